package backlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Moved is the reason of records that lie in another spool of this gateway
// now; their outcome there is delivered, and nobody counts it.
const Moved = "moved"

const (
	// movePage is how many records are ended at a time: one fsync for all on
	// disk, one walk in a stream.
	movePage = 2048
	// moveWorkers are as many appends at the same time: they share a commit.
	moveWorkers = 32
	// moveTries is how often a record is tried that the target refuses for
	// another reason than room.
	moveTries = 5
	// moveReport is how often progress is logged.
	moveReport = 10 * time.Second
)

// Mover moves all records of a spool that nobody else uses into another one,
// which is in use: from when a gateway changes its engine. Waiting records
// first, oldest first, then dead letters, which stay such.
//
// Each record is adopted, and durable there, then noted, then ended here, a
// page at a time. A kill leaves at most moveWorkers records that are at both
// places and not noted, those under way: the next start adopts them again. A
// stream recognises them for two minutes; a disk, which has what was written
// before the kill also where nobody was told, does not, and there they arrive
// twice, with the same event_id. To know them again the disk would have to keep
// where each record came from until long after it was delivered, for the sake of
// one move; an operator sees up to moveWorkers events twice upstream for each
// kill -9 or power cut during it, and none for a stop in order. A kill costs
// nothing else.
type Mover struct {
	From Source
	To   spool.Adopter
	// Notes is the path of the file that remembers what was adopted. It is
	// removed when nothing is left.
	Notes string
	// Ended is told of each waiting record that left From; now says that it was
	// adopted by this Run, not by one before. Optional.
	Ended func(m *schemas.Meta, now bool)
	// Count is told after each page of how many records moved, and how many of
	// those met so far could not be. Optional.
	Count func(moved, failed int)
	Log   zerolog.Logger
	// Pause is the wait before the second try of a record that was refused; it
	// grows with each [1 s].
	Pause time.Duration

	notes *notes
	mu    sync.Mutex // notes and counts
	MoveResult
}

// MoveResult is what became of a move.
type MoveResult struct {
	Moved  int // records, dead letters among them
	Failed int // records that stay where they are, and why is in the log
}

// parcel is a record on its way.
type parcel struct {
	meta    schemas.Meta
	dests   []string
	origin  spool.Origin
	adopted bool // by this run
	safe    bool // at the target
}

// Run moves until nothing is left that can be moved, or ctx ends.
func (m *Mover) Run(ctx context.Context) (res MoveResult, err error) {
	if m.notes, err = openNotes(m.Notes, time.Now); err != nil {
		return res, fmt.Errorf("opening the notes of what was moved: %w", err)
	}
	defer func() {
		err = errors.Join(err, m.notes.close())
		if res = m.MoveResult; err == nil && res.Failed == 0 {
			err = os.Remove(m.Notes)
		}
	}()
	if m.Pause <= 0 {
		m.Pause = time.Second
	}
	for before := -1; m.Moved > before; { // a stream may get more while it is emptied
		before, m.Failed = m.Moved, 0
		if err := m.pass(ctx); err != nil {
			return m.MoveResult, err
		}
	}
	return m.MoveResult, nil
}

// pass moves what is there, from the oldest to the newest.
func (m *Mover) pass(ctx context.Context) error {
	last := time.Now()
	for _, dead := range []bool{false, true} {
		for after := ""; ; {
			page, next, err := m.page(dead, after)
			if err != nil {
				return fmt.Errorf("listing what to move: %w", err)
			}
			if len(page) == 0 {
				break
			}
			if err := m.adopt(ctx, page); err != nil {
				return errors.Join(err, m.end(page)) // what is safe need not wait for the next start
			}
			if err := m.end(page); err != nil {
				return err
			}
			if after = next; time.Since(last) >= moveReport {
				last = time.Now()
				m.Log.Info().Int("moved", m.Moved).Int("failed", m.Failed).Msg("records are moving from the spool of before")
			}
		}
	}
	return nil
}

// page lists the next records. Destinations of one record travel together,
// dead letters those with the same reason.
func (m *Mover) page(dead bool, after string) (page []*parcel, last string, err error) {
	err = m.From.List(spool.Query{Dead: dead, After: after, Limit: movePage}, func(e spool.Entry) bool {
		last = e.Meta.ID
		for i := len(page) - 1; i >= 0 && page[i].origin.ID == e.Meta.ID; i-- {
			if p := page[i]; !dead || p.origin.Reason == e.Reason {
				p.dests = append(p.dests, e.Destination.Name)
				return true
			}
		}
		p := &parcel{meta: e.Meta, dests: []string{e.Destination.Name}, origin: spool.Origin{ID: e.Meta.ID, Dead: dead}}
		if dead {
			p.origin.Reason = e.Reason
		}
		page = append(page, p)
		return true
	})
	return page, last, err
}

// adopt hands a page over, several at a time.
func (m *Mover) adopt(ctx context.Context, page []*parcel) error {
	work := make(chan *parcel)
	errs := make(chan error, moveWorkers)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for range min(moveWorkers, len(page)) {
		wg.Go(func() {
			for p := range work {
				if err := m.one(ctx, p); err != nil {
					errs <- err
					cancel()
					return
				}
			}
		})
	}
feed:
	for _, p := range page {
		select {
		case work <- p:
		case <-ctx.Done():
			break feed
		}
	}
	close(work)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return ctx.Err()
	}
}

// one adopts a record for the destinations that do not have it there already.
func (m *Mover) one(ctx context.Context, p *parcel) error {
	var missing, notesOf []string
	m.mu.Lock()
	for _, d := range p.dests {
		if note := noteOf(p.origin.ID, p.meta.Project, d); !m.notes.has(note) {
			missing, notesOf = append(missing, d), append(notesOf, note)
		}
	}
	m.mu.Unlock()
	if len(missing) == 0 {
		p.safe = true
		return nil
	}
	repeat, err := m.hand(ctx, p, missing)
	switch {
	case err == nil:
	case ctx.Err() != nil || errors.Is(err, spool.ErrClosed):
		return err
	case errors.Is(err, spool.ErrNotFound): // ended meanwhile, or the next pass finds it; the last pass counts it
		m.mu.Lock()
		m.Failed++
		m.mu.Unlock()
		return nil
	default:
		m.Log.Error().Err(err).Str("record", p.origin.ID).Str("project", p.meta.Project).Msg("a record could not be moved, and stays where it is")
		m.mu.Lock()
		m.Failed++
		m.mu.Unlock()
		return nil
	}
	p.safe, p.adopted = true, !repeat
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.notes.add(notesOf...); err != nil {
		return fmt.Errorf("noting record %s: %w", p.origin.ID, err)
	}
	return nil
}

// hand tries until the target has room. repeat says that the target had it.
func (m *Mover) hand(ctx context.Context, p *parcel, dests []string) (repeat bool, err error) {
	for try := 1; ; try++ {
		rec, err := m.From.Open(p.origin.ID)
		if err != nil {
			return false, err
		}
		rec.Meta.ID, rec.Meta.Destinations = "", dests
		err = m.To.Adopt(ctx, rec, p.origin)
		if err == nil || ctx.Err() != nil || errors.Is(err, spool.ErrClosed) {
			return rec.Meta.ID == "", err
		}
		wait := time.Duration(try) * m.Pause
		var full *spool.FullError
		switch {
		case errors.As(err, &full):
			try--
			wait = min(max(full.After, m.Pause), 30*time.Second)
		case try == moveTries:
			return false, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// end takes out of the source what is safe at the target.
func (m *Mover) end(page []*parcel) error {
	groups := map[group][]string{}
	for _, p := range page {
		if !p.safe {
			continue
		}
		for _, d := range p.dests {
			k := group{p.meta.Project, d, p.origin.Dead}
			groups[k] = append(groups[k], p.origin.ID)
		}
	}
	for k, ids := range groups {
		q := spool.Query{Project: k.project, Destination: k.destination, IDs: ids, Dead: k.dead}
		if _, err := m.From.End(q, schemas.Final{Outcome: schemas.Delivered, Reason: Moved}); err != nil {
			return fmt.Errorf("ending what was moved of %s/%s: %w", k.project, k.destination, err)
		}
	}
	moved := 0
	for _, p := range page {
		if !p.safe {
			continue
		}
		moved++
		if !p.origin.Dead && m.Ended != nil {
			m.Ended(&p.meta, p.adopted)
		}
	}
	m.mu.Lock()
	m.Moved += moved
	failed := m.Failed
	m.mu.Unlock()
	if m.Count != nil {
		m.Count(moved, failed)
	}
	return nil
}
