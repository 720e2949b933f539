package relaytest

import (
	"errors"
	"fmt"
	"time"

	"breakwater/schemas"
)

// sourceClaim is one record handed out by a Source.
type sourceClaim struct {
	s     *Source
	q     *sourceQueue
	r     *sourceRecord
	ended bool
}

func (c *sourceClaim) Meta() *schemas.Meta {
	m := c.r.rec.Meta
	return &m
}

func (c *sourceClaim) Attempts() int { return c.r.attempts }

// Envelope reads the headers again for every claim: the caller may edit them.
func (c *sourceClaim) Envelope() (*schemas.Envelope, error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if err := c.s.failOpen[c.r.rec.Meta.ID]; err != nil {
		return nil, err
	}
	return CopyEnvelope(&c.r.rec.Envelope)
}

// CopyEnvelope copies an envelope; payloads are shared.
func CopyEnvelope(e *schemas.Envelope) (*schemas.Envelope, error) {
	h, err := schemas.ParseObject(append([]byte(nil), e.Header.Bytes()...))
	if err != nil {
		return nil, err
	}
	out := &schemas.Envelope{Header: schemas.EnvelopeHeader{Object: h}}
	for i := range e.Items {
		ih := e.Items[i].Header
		if ih.Object, err = schemas.ParseObject(append([]byte(nil), ih.Bytes()...)); err != nil {
			return nil, err
		}
		out.Items = append(out.Items, schemas.Item{Header: ih, Payload: e.Items[i].Payload})
	}
	return out, nil
}

func (c *sourceClaim) Settle(finals []schemas.Final) error {
	return c.finish(func() {
		if len(finals) != len(c.r.rec.Envelope.Items) {
			c.s.problems = append(c.s.problems, fmt.Sprintf("%s settled with %d finals for %d items", c.r.rec.Meta.ID, len(finals), len(c.r.rec.Envelope.Items)))
		}
		c.note(End{Finals: append([]schemas.Final(nil), finals...), At: c.s.now()})
	})
}

func (c *sourceClaim) Bury(reason string) error {
	return c.finish(func() {
		c.q.buried[c.r.rec.Meta.ID] = c.r
		c.note(End{Buried: reason, At: c.s.now()})
	})
}

func (c *sourceClaim) note(e End) {
	id := c.r.rec.Meta.ID
	if len(c.q.ends[id]) > 0 {
		c.s.problems = append(c.s.problems, id+" ended twice")
	}
	c.q.ends[id] = append(c.q.ends[id], e)
}

func (c *sourceClaim) finish(write func()) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.ended {
		c.s.problems = append(c.s.problems, c.r.rec.Meta.ID+": a claim was ended twice")
		return errors.New("claim has ended")
	}
	if len(c.s.failEnd) > 0 {
		err := c.s.failEnd[0]
		c.s.failEnd = c.s.failEnd[1:]
		return err
	}
	c.ended = true
	c.q.out--
	write()
	c.s.wake()
	return nil
}

func (c *sourceClaim) Release(due time.Time, reason string) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.ended {
		c.s.problems = append(c.s.problems, c.r.rec.Meta.ID+": a claim was ended twice")
		return
	}
	c.ended = true
	c.q.out--
	c.r.due = due
	c.r.attempts++
	c.q.releases = append(c.q.releases, Release{ID: c.r.rec.Meta.ID, At: c.s.now(), Due: due, Reason: reason})
	c.q.insert(c.r)
	c.s.wake()
}
