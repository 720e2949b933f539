package jetstream

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// publish stores a project's records until none wait.
func (s *Spool) publish(p *project) {
	defer s.wg.Done()
	last, took := 0, time.Duration(0)
	for {
		runtime.Gosched() // callers that are about to append come along
		s.gather(p, last, min(took/4, longestGather))
		s.mu.Lock()
		var group []*appending
		if p.running == 1 || p.line >= s.packSize() { // else those under way are enough
			group = s.take(p)
		}
		if len(group) == 0 {
			p.running--
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		begin := time.Now()
		err := s.store(p, group)
		last, took = len(group), time.Since(begin)
		s.mu.Lock()
		for _, a := range group {
			s.account(p, a, false)
		}
		s.mu.Unlock()
		for _, a := range group {
			a.done <- err
		}
	}
}

// gather waits, for a part of the time that a message takes, until as many
// records came as the last message had: its callers were told just now, and most
// have more. Without it they and those that came meanwhile would take turns, with
// half as many in each message.
func (s *Spool) gather(p *project, last int, most time.Duration) {
	if last < gatherFrom {
		return
	}
	s.mu.Lock()
	enough := make(chan struct{})
	p.gatherers = append(p.gatherers, gatherer{min(len(p.queue)+last, maxPacked), enough})
	s.mu.Unlock()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-enough:
		return
	case <-timer.C:
	case <-s.ctx.Done():
	}
	s.mu.Lock()
	p.gatherers = slices.DeleteFunc(p.gatherers, func(g gatherer) bool { return g.enough == enough })
	s.mu.Unlock()
}

// gatherer is a publisher that waits for a line of a length, or for one that
// fills a message.
type gatherer struct {
	want   int
	enough chan struct{} // closed then
}

// gathered lets go of the publishers that have waited for what is in line now. Under mu.
func (s *Spool) gathered(p *project) {
	p.gatherers = slices.DeleteFunc(p.gatherers, func(g gatherer) bool {
		if len(p.queue) < g.want && p.line < s.packSize() {
			return false
		}
		close(g.enough)
		return true
	})
}

// take takes what fits into one message from the line.
func (s *Spool) take(p *project) []*appending {
	n, size := 0, 0
	for n < len(p.queue) && n < maxPacked {
		size += len(p.queue[n].data)
		if n > 0 && size > s.packSize() {
			break
		}
		n++
	}
	group := p.queue[:n:n]
	p.queue = p.queue[n:]
	for _, a := range group {
		p.line -= len(a.data)
	}
	return group
}

const (
	maxPacked     = 512 // records of one message
	maxPublishers = 4   // messages of one project under way
	gatherFrom    = 8   // records of a message whose callers are waited for

	longestGather = 50 * time.Millisecond // also where a message waited for a new leader
)

// store puts a commit group into the stream as one message and tells the
// observer.
func (s *Spool) store(p *project, group []*appending) error {
	records := make([][]byte, len(group))
	var size int64
	for i, a := range group {
		records[i], size = a.data, size+a.size
	}
	msg := &nats.Msg{Subject: s.names.packOf(p.name), Data: encodePack(s.life, p.name, records...)}
	msg.Header = nats.Header{jetstream.MsgIDHeader: {messageID(p.name, group)}}
	start := time.Now()
	ack, again, err := s.confirm(msg, func() bool {
		for _, a := range group {
			if a.ctx.Err() == nil {
				return true
			}
		}
		return false
	})
	if err != nil {
		s.doubt(group, err)
		return err
	}
	s.metrics.publish.Observe(time.Since(start).Seconds())
	s.metrics.packed.Observe(float64(len(group)))
	s.added(addition{ack.Sequence, p.name, int64(len(msg.Data)), size})
	repeat := ack.Duplicate && (!again || s.isOther(ack.Sequence, group[0].rec.Meta.ID))
	for _, a := range group {
		s.observer.Appended(&a.rec.Meta)
		if repeat { // it was there before this gateway sent it
			s.observer.Settled(&a.rec.Meta, schemas.AllFinal(len(a.rec.Meta.Counts), schemas.Filtered, reasonDuplicate))
			s.dropObjects(a.objs)
		}
	}
	return nil
}

// isOther says that a message holds another record than the one given: where
// this gateway tried again, the servers recognise its own first try or that of
// another gateway, to which the client came meanwhile. One that is gone is taken
// for its own.
func (s *Spool) isOther(seq uint64, id string) bool {
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	raw, err := s.read(ctx, s.names.records(), read{Seq: seq})
	if err != nil {
		return false
	}
	p, err := decodePack(raw.data)
	return err == nil && !slices.ContainsFunc(p.records, func(r stored) bool { return r.id == id })
}

// confirm publishes until a server says what became of the message, wanted is
// false, or the time is over. again is true when it was sent more than once.
func (s *Spool) confirm(msg *nats.Msg, wanted func() bool) (ack *jetstream.PubAck, again bool, err error) {
	deadline := time.Now().Add(s.cfg.times.giveUp)
	for try := 0; ; try++ {
		ctx, cancel := context.WithTimeout(s.ctx, min(2*time.Second, s.cfg.times.giveUp))
		ack, err = s.js.PublishMsg(ctx, msg, withoutRetry...)
		cancel()
		if err == nil {
			if s.isDown() {
				s.found()
			}
			return ack, try > 0, nil
		}
		if s.ctx.Err() != nil {
			return nil, try > 0, spool.ErrClosed
		}
		full := asFull(err)
		if try > 0 && (full != nil || !away(err)) { // the try before may have been stored
			return nil, true, &spool.FullError{Why: "unavailable", After: retryAfter, Err: err}
		}
		if full != nil {
			return nil, false, full
		}
		if !away(err) {
			return nil, false, fmt.Errorf("storing: %w", err)
		}
		if errors.Is(err, context.DeadlineExceeded) || try > 5 {
			s.lost(err) // this one goes on trying, others need not begin
		}
		if time.Now().After(deadline) || !wanted() {
			s.lost(err)
			return nil, try > 0, &spool.FullError{Why: "unavailable", After: retryAfter, Err: err}
		}
		pause(s.ctx, 100*time.Millisecond)
	}
}

// doubt remembers records that were refused and may be stored: this gateway
// did not count them.
func (s *Spool) doubt(group []*appending, err error) {
	if full := (*spool.FullError)(nil); errors.As(err, &full) && full.Why != "unavailable" {
		return
	}
	for _, a := range group {
		s.doubtful.Add(a.rec.Meta.ID, struct{}{})
	}
}

func (s *Spool) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down != nil
}

// asFull is the refusal of a full stream in the spool's words, nil for other errors.
func asFull(err error) error {
	var api *jetstream.APIError
	if !errors.As(err, &api) {
		return nil
	}
	why := ""
	switch {
	case api.ErrorCode == codeStoreFailed && strings.Contains(api.Description, "per subject"):
		why = "project_share"
	case api.ErrorCode == codeStoreFailed && strings.Contains(api.Description, "maximum"):
		why = "max_size"
	case api.ErrorCode == codeStoreFailed, api.ErrorCode == codeNoResources, api.ErrorCode == codeStorageFull, api.ErrorCode == codeAccountFull:
		why = "disk"
	default:
		return nil
	}
	return &spool.FullError{Why: why, After: fullRetry, Err: err}
}

// messageID names a message for the servers' window of duplicates. A record
// that is alone in its message is named by its project, event id and items, so
// that a client's second try is stored once. A commit group is named by its
// records, so that only the gateway's own second try is recognised.
func messageID(project string, group []*appending) string {
	h := sha256.New()
	rec := group[0].rec
	if len(group) > 1 || rec.Meta.EventID == "" || len(group[0].objs) > 0 {
		for _, a := range group {
			h.Write([]byte(a.rec.Meta.ID))
		}
		return fmt.Sprintf("%x", h.Sum(nil)[:16])
	}
	var n [8]byte
	write := func(b []byte) {
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for _, d := range rec.Meta.Destinations {
		write([]byte(d))
	}
	for i := range rec.Envelope.Items {
		b, _ := rec.Envelope.Items[i].InMemory()
		write(rec.Envelope.Items[i].Header.Bytes())
		write(b)
	}
	return token(project) + "/" + rec.Meta.EventID + "/" + fmt.Sprintf("%x", h.Sum(nil)[:16])
}
