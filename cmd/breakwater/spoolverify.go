package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"breakwater/cmd/breakwater/config"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
)

type spoolVerifyCmd struct {
	Archive string `help:"Check an exported file instead." type:"existingfile" placeholder:"FILE"`
	JSON    bool   `help:"Print JSON."`
}

// verified is what a check found.
type verified struct {
	What     string   `json:"what"`
	Records  int      `json:"records"`
	Bytes    int64    `json:"bytes"`
	Damaged  int      `json:"damaged"`
	Segments int      `json:"segments,omitempty"`
	Payloads int      `json:"payload_files,omitempty"`
	Torn     int      `json:"torn_segments,omitempty"`
	Problems []string `json:"problems,omitempty"`
}

// Run reads every record and compares its checksum. It changes nothing.
func (v *spoolVerifyCmd) Run(c *cli, out io.Writer) error {
	res, err := v.verify(c)
	if err != nil {
		return err
	}
	if v.JSON || !isTerminal(out) {
		err = writeJSON(out, res)
	} else {
		fmt.Fprintf(out, "%s: %d record(s), %s read, %d damaged\n", res.What, res.Records, shortSize(res.Bytes), res.Damaged)
		if res.Torn > 0 {
			fmt.Fprintf(out, "%d segment(s) end in a write that was cut off, as after a kill; nobody was told that it is safe\n", res.Torn)
		}
		for _, p := range res.Problems {
			fmt.Fprintln(out, " ", p)
		}
	}
	if err == nil && res.Damaged > 0 {
		err = errors.New("there are damaged records")
	}
	return err
}

func (v *spoolVerifyCmd) verify(c *cli) (res verified, err error) {
	if v.Archive != "" {
		s, err := surveyArchive(v.Archive)
		res = verified{What: v.Archive, Records: len(s.records), Bytes: s.bytes}
		if err != nil {
			res.Damaged, res.Problems = 1, []string{err.Error()}
		}
		return res, nil
	}
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if err != nil {
		return res, err
	}
	t := c.Spool.spoolTarget
	dir := t.Dir
	if dir == "" {
		base, token, up := t.running(cfg)
		if up || t.URL != "" {
			return verifyRunning(&admin{base: base, token: token, client: &http.Client{}})
		}
		if cfg.Spool.Engine == config.EngineJetStream {
			return verifyStream(cfg)
		}
		dir = cfg.Spool.Dir
	}
	rep, err := disk.Verify(dir)
	if errors.Is(err, spool.ErrLocked) {
		return res, fmt.Errorf("%w: a gateway is running on it; verify that one with --url, or stop it first", err)
	}
	return verified{
		What: dir, Records: rep.Records, Bytes: rep.Bytes, Damaged: rep.Damaged, Segments: rep.Segments, Payloads: rep.Blobs, Torn: rep.Torn, Problems: rep.Problems,
	}, err
}

// verifyStream reads every record of the stream from here.
func verifyStream(cfg *config.Config) (verified, error) {
	a, err := openStreamAtRest(cfg)
	if err != nil {
		return verified{}, err
	}
	res, err := verifyRunning(a)
	res.What = a.rest
	return res, errors.Join(err, a.close())
}

// verifyRunning lets a gateway read every record that is still needed, waiting
// or dead. It does not pause anything: what is delivered meanwhile is left out.
func verifyRunning(a *admin) (res verified, err error) {
	res.What = a.base
	ctx := context.Background()
	for _, dead := range []bool{false, true} {
		list, _, err := a.records(ctx, url.Values{}, dead, 0)
		if err != nil {
			return res, err
		}
		seen := ""
		for _, r := range list {
			if r.ID == seen {
				continue
			}
			seen = r.ID
			n, err := a.readWhole(ctx, r.ID)
			var refused *apiError
			switch {
			case errors.As(err, &refused) && refused.status == http.StatusNotFound: // delivered meanwhile
			case err != nil:
				res.Damaged++
				res.Problems = append(res.Problems, fmt.Sprintf("record %s: %v", r.ID, err))
			default:
				res.Records++
				res.Bytes += n
			}
		}
	}
	return res, nil
}

// readWhole reads one record's envelope and checks that it is one.
func (a *admin) readWhole(ctx context.Context, id string) (int64, error) {
	resp, err := a.do(ctx, http.MethodGet, "/api/v1/spool/records/"+url.PathEscape(id)+"/raw", nil, "", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return io.Copy(io.Discard, resp.Body)
}
