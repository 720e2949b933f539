package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"breakwater/relay"
	"breakwater/schemas"
)

type spoolShowCmd struct {
	ID     string `arg:"" help:"The record."`
	Hex    bool   `help:"The envelope as hex, item by item."`
	Raw    bool   `help:"The envelope's bytes, as they go to the upstream."`
	Opaque bool   `help:"With --hex: also what could not be scrubbed, because it cannot be read (attachments, minidumps, replays)."`
	JSON   bool   `help:"Print JSON."`
}

// Run shows a record as it rests in the spool: after scrubbing. What scrubbing
// could not read is shown by its size only, unless somebody insists.
func (s *spoolShowCmd) Run(c *cli, out io.Writer) (err error) {
	a, err := c.Spool.open(c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	path := "/api/v1/spool/records/" + strings.TrimSpace(s.ID)
	if s.Hex || s.Raw {
		resp, err := a.do(context.Background(), "GET", path+"/raw", nil, "", nil)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if s.Raw {
			_, err = io.Copy(out, resp.Body)
			return err
		}
		return hexView(out, resp.Body, s.Opaque)
	}
	var detail json.RawMessage
	if err := a.get(context.Background(), path, nil, &detail); err != nil {
		return err
	}
	if s.JSON || !isTerminal(out) {
		return writeJSON(out, detail)
	}
	return detailView(out, detail)
}

// detailView is a record for people.
func detailView(out io.Writer, raw []byte) error {
	var d struct {
		storedRecord
		Destinations []storedRecord `json:"destinations"`
		Header       string         `json:"header"`
		Items        []struct {
			Type     string `json:"type"`
			Size     int64  `json:"size_bytes"`
			Filename string `json:"filename"`
			Preview  string `json:"preview"`
			Shown    string `json:"shown"`
		} `json:"items"`
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return err
	}
	fmt.Fprintf(out, "record %s, received %s, %s\n", d.ID, d.ReceivedAt.Format("2006-01-02 15:04:05.000Z"), shortSize(d.Size))
	for _, r := range d.Destinations {
		fmt.Fprintf(out, "  %s/%s: %s, %d attempts %s\n", r.Project, r.Destination, r.State, r.Attempts, relay.Printable(r.Reason, 200))
	}
	fmt.Fprintf(out, "\nheader\n%s\n", d.Header)
	for i, it := range d.Items {
		fmt.Fprintf(out, "\nitem %d: %s, %s %s\n", i+1, it.Type, shortSize(it.Size), relay.Printable(it.Filename, 100))
		switch {
		case it.Preview != "":
			fmt.Fprintln(out, it.Preview)
		case it.Shown != "":
			fmt.Fprintf(out, "(%s)\n", it.Shown)
		}
	}
	return nil
}

// hexView dumps an envelope: header lines as they are, payloads as hex with
// their offsets. Payloads that scrubbing cannot read are left out.
func hexView(out io.Writer, r io.Reader, opaque bool) error {
	er := schemas.NewReader(r)
	h, err := er.Header()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "envelope header, %d bytes\n", len(h.Bytes()))
	if err := dump(out, strings.NewReader(string(h.Bytes()))); err != nil {
		return err
	}
	for n := 1; ; n++ {
		ih, payload, err := er.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\nitem %d: %s, header of %d bytes\n", n, relay.Printable(ih.Type, 100), len(ih.Bytes()))
		if err := dump(out, strings.NewReader(string(ih.Bytes()))); err != nil {
			return err
		}
		if t, _ := schemas.LookupItemType(ih.Type); !t.JSON && !opaque {
			size, err := io.Copy(io.Discard, payload)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "payload, %d bytes, left out: nobody can scrub it (--opaque shows it)\n", size)
			continue
		}
		fmt.Fprintf(out, "payload, %d bytes\n", ih.Length)
		if err := dump(out, payload); err != nil {
			return err
		}
	}
}

func dump(out io.Writer, r io.Reader) error {
	d := hex.Dumper(out)
	_, err := io.Copy(d, r)
	return errors.Join(err, d.Close())
}
