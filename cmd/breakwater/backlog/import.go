package backlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Target is the spool that takes records.
type Target interface {
	Append(ctx context.Context, rec *schemas.Record) error
	Spill(project string) (spool.Spill, error)
}

// Importer takes records into a spool, each once.
type Importer struct {
	// Spool takes them.
	Spool Target
	// Notes is the path of the file that remembers what was taken.
	Notes string
	// Project is a configured project's id and the names of its upstreams; ok
	// is false when there is none of that name.
	Project func(name string) (id uint64, upstreams []string, ok bool)
	// Accepted is told of each record that was taken, for the ledger. Optional.
	Accepted func(m *schemas.Meta)
	Now      func() time.Time // time.Now

	mu sync.Mutex
}

// Result is what became of an import.
type Result struct {
	Imported int `json:"imported"` // records taken now
	Repeated int `json:"repeated"` // records that were taken before
	// Last is the id of the last record that is safe.
	Last string `json:"last,omitempty"`
}

// ErrBusy says that another import is under way.
var ErrBusy = errors.New("another import is under way")

// UnknownError says that a record's project or destination is not configured.
type UnknownError struct{ Record, Project, Destination string }

func (e *UnknownError) Error() string {
	if e.Destination == "" {
		return fmt.Sprintf("record %s is of project %q, which this gateway does not have", e.Record, e.Project)
	}
	return fmt.Sprintf("record %s goes to %s/%s, which this gateway does not have; add the upstream, or map it to another one", e.Record, e.Project, e.Destination)
}

// smallPayload is up to where an item is held in memory.
const smallPayload = 64 << 10

// Import takes the records that r reads until its end. An error leaves those
// before it taken and noted: the same import again goes on behind them.
func (im *Importer) Import(ctx context.Context, r *Reader) (res Result, err error) {
	if !im.mu.TryLock() {
		return res, ErrBusy
	}
	defer im.mu.Unlock()
	now := im.Now
	if now == nil {
		now = time.Now
	}
	taken, err := openNotes(im.Notes, now)
	if err != nil {
		return res, fmt.Errorf("opening the notes of what was imported: %w", err)
	}
	defer func() { err = errors.Join(err, taken.close()) }()
	for {
		h, envelope, _, err := r.Next()
		if errors.Is(err, io.EOF) {
			return res, nil
		}
		if err != nil {
			return res, err
		}
		var notesOf, dests []string
		for _, d := range h.Destinations {
			if note := noteOf(h.Record, h.Project, d); !taken.has(note) {
				notesOf, dests = append(notesOf, note), append(dests, d)
			}
		}
		if len(dests) == 0 {
			res.Repeated++
			res.Last = h.Record
			continue
		}
		rec, err := im.read(h, dests, envelope)
		if err != nil {
			return res, err
		}
		if err := im.Spool.Append(ctx, rec); err != nil {
			return res, fmt.Errorf("record %s: %w", h.Record, err)
		}
		if err := taken.add(notesOf...); err != nil {
			return res, fmt.Errorf("noting record %s: %w", h.Record, err)
		}
		if im.Accepted != nil {
			im.Accepted(&rec.Meta)
		}
		res.Imported++
		res.Last = h.Record
	}
}

// read makes a record for the spool of this gateway; its checksum was right.
func (im *Importer) read(h Head, dests []string, envelope io.Reader) (rec *schemas.Record, err error) {
	rec = &schemas.Record{Meta: h.Meta}
	if err := im.admit(h, dests, &rec.Meta); err != nil {
		return nil, err
	}
	var spills []spool.Spill
	defer func() {
		if err != nil {
			for _, s := range spills {
				s.Discard()
			}
		}
	}()
	er := schemas.NewReader(envelope)
	if rec.Envelope.Header, err = er.Header(); err != nil {
		return nil, fmt.Errorf("record %s: %w", h.Record, err)
	}
	for {
		ih, payload, err := er.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", h.Record, err)
		}
		it := schemas.Item{Header: ih}
		if ih.Length >= 0 && ih.Length <= smallPayload {
			b, err := io.ReadAll(payload)
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", h.Record, err)
			}
			it.Payload = schemas.Bytes(b)
		} else {
			s, err := im.Spool.Spill(rec.Meta.Project)
			if err != nil {
				return nil, fmt.Errorf("record %s: %w", h.Record, err)
			}
			spills = append(spills, s)
			if _, err := io.Copy(s, payload); err != nil {
				return nil, fmt.Errorf("record %s: %w", h.Record, err)
			}
			if err := s.Finish(); err != nil {
				return nil, fmt.Errorf("record %s: %w", h.Record, err)
			}
			it.Payload = s
		}
		rec.Envelope.Items = append(rec.Envelope.Items, it)
	}
	if _, err := io.Copy(io.Discard, envelope); err != nil { // compares the checksum
		return nil, err
	}
	if len(rec.Envelope.Items) == 0 || len(rec.Envelope.Items) != len(rec.Meta.Counts) {
		return nil, fmt.Errorf("record %s: %d items, %d counts", h.Record, len(rec.Envelope.Items), len(rec.Meta.Counts))
	}
	return rec, nil
}

// admit checks where a record goes, and makes it one of this gateway.
func (im *Importer) admit(h Head, dests []string, m *schemas.Meta) error {
	id, upstreams, ok := im.Project(h.Project)
	if !ok {
		return &UnknownError{Record: h.Record, Project: h.Project}
	}
	for _, d := range dests {
		known := false
		for _, u := range upstreams {
			known = known || u == d
		}
		if !known {
			return &UnknownError{h.Record, h.Project, d}
		}
	}
	m.ID, m.Project, m.ProjectID, m.Destinations = "", h.Project, id, dests
	if m.ReceivedAt.IsZero() {
		return fmt.Errorf("record %s does not say when it was received", h.Record)
	}
	for i, c := range m.Counts {
		if !schemas.KnownCategory(c.Category) || c.Quantity < 0 || c.Quantity > 1<<20 {
			return fmt.Errorf("record %s: count %d cannot be", h.Record, i)
		}
	}
	return nil
}
