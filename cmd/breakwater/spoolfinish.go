package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"breakwater/cmd/breakwater/backlog"
)

// receipt is what an import leaves beside the archive: that all of it is safe
// on another gateway.
type receipt struct {
	Archive string    `json:"archive"` // its id
	SHA256  string    `json:"sha256"`  // of its last line
	Records int       `json:"records"`
	At      time.Time `json:"at"`
	Gateway string    `json:"gateway,omitempty"`
}

func receiptOf(file string) string { return file + ".receipt" }

// survey is a whole archive, read once and found good.
type survey struct {
	header  backlog.Header
	end     backlog.End
	records []backlog.Gone
	bytes   int64
}

// surveyArchive reads an archive from its first to its last line and compares
// every checksum.
func surveyArchive(path string) (s survey, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	r := backlog.NewReader(f)
	if s.header, err = r.Header(); err != nil {
		if errors.Is(err, io.EOF) {
			err = backlog.ErrTorn
		}
		return s, err
	}
	for {
		h, envelope, end, err := r.Next()
		if end != nil {
			s.end, s.bytes = *end, r.Offset
			return s, nil
		}
		if errors.Is(err, io.EOF) {
			return s, backlog.ErrTorn
		}
		if err == nil {
			_, err = io.Copy(io.Discard, envelope)
		}
		if err != nil {
			return s, err
		}
		s.records = append(s.records, backlog.Gone{Record: h.Record, Project: h.Project, Destinations: h.Destinations, Dead: h.Dead})
	}
}

// finish ends here what the other gateway has.
func (e *spoolExportCmd) finish(a *admin) (res exportReport, err error) {
	s, err := surveyArchive(e.File)
	if err != nil {
		return res, err
	}
	if err := e.checkReceipt(s); err != nil {
		return res, err
	}
	res.File, res.Records, res.Bytes = e.File, len(s.records), s.bytes
	ctx := context.Background()
	for list := s.records; len(list) > 0; {
		n := min(len(list), backlog.MaxFinish)
		var done backlog.Finished
		if err := a.post(ctx, backlog.Paths[2], nil, map[string]any{"records": list[:n]}, &done); err != nil {
			return res, fmt.Errorf("the same command goes on: %w", err)
		}
		res.Ended += done.Ended
		res.Gone += done.Gone
		list = list[n:]
	}
	res.Resumed, err = a.resumeAll(ctx, s.header.Paused)
	return res, err
}

// checkReceipt demands the other gateway's word that it has all of the archive.
func (e *spoolExportCmd) checkReceipt(s survey) error {
	if e.NoReceipt {
		return nil
	}
	b, err := os.ReadFile(receiptOf(e.File))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("there is no %s, which the import writes: copy it here, or say --no-receipt", receiptOf(e.File))
	}
	if err != nil {
		return err
	}
	var r receipt
	if json.Unmarshal(b, &r) != nil || r.Archive != s.header.ID || r.SHA256 != s.end.SHA256 || r.Records != len(s.records) {
		return fmt.Errorf("%s is not the receipt of this archive", receiptOf(e.File))
	}
	return nil
}

// cancel lets the destinations work again.
func (e *spoolExportCmd) cancel(a *admin) (res exportReport, err error) {
	f, err := os.Open(e.File)
	if err != nil {
		return res, err
	}
	defer f.Close()
	h, err := backlog.NewReader(f).Header()
	if err != nil {
		return res, err
	}
	res.File = e.File
	res.Resumed, err = a.resumeAll(context.Background(), h.Paused)
	return res, err
}

func (a *admin) resumeAll(ctx context.Context, paused []string) (resumed []string, err error) {
	if a.rest != "" {
		return nil, nil
	}
	for _, d := range paused {
		project, name, _ := strings.Cut(d, "/")
		if err := a.gate(ctx, queueState{Project: project, Name: name}, "resume"); err != nil {
			return resumed, fmt.Errorf("%s is still paused: %w", d, err)
		}
		resumed = append(resumed, d)
	}
	return resumed, nil
}
