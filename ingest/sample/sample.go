package sample

import (
	"fmt"
	"strings"
	"sync/atomic"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Reason is the word under which the ledger counts what was not kept.
const Reason = "sampled"

// Config are the shares of one project that are kept, each from 0 (none) to 1
// (all). The zero value keeps none of the three; see KeepAll.
type Config struct {
	// Transaction is the share of traces whose transactions are kept.
	Transaction float64
	// Replay is the share of replays, with all their segments.
	Replay float64
	// Session is the share of sessions, with all their updates.
	Session float64
}

// KeepAll drops nothing.
var KeepAll = Config{Transaction: 1, Replay: 1, Session: 1}

// Validate reports the first share that is not between 0 and 1.
func (c Config) Validate() error {
	for _, s := range []struct {
		key   string
		share float64
	}{{"transaction", c.Transaction}, {"replay", c.Replay}, {"session", c.Session}} {
		if !(s.share >= 0 && s.share <= 1) {
			return fmt.Errorf("%s: %v is not between 0 and 1", s.key, s.share)
		}
	}
	return nil
}

// Sampler samples for all projects. It is safe for concurrent use.
type Sampler struct {
	projects atomic.Pointer[map[string]Config]
}

// New makes a sampler that keeps everything until Configure.
func New() *Sampler {
	s := &Sampler{}
	s.projects.Store(&map[string]Config{})
	return s
}

// Configure puts the shares of all projects in force, by configured name; an
// error changes nothing. Projects that are not named keep everything.
func (s *Sampler) Configure(projects map[string]Config) error {
	next := make(map[string]Config, len(projects))
	for name, c := range projects {
		if err := c.Validate(); err != nil {
			return fmt.Errorf("project %s: sampling.%w", name, err)
		}
		next[name] = c
	}
	s.projects.Store(&next)
	return nil
}

// Name is "sample".
func (s *Sampler) Name() string { return "sample" }

// Apply drops what is not in the sample, as suppressed/sampled. It never
// returns an error.
func (s *Sampler) Apply(b *ingest.Batch) error {
	if b.Request.Project == nil || len(b.Items) == 0 {
		return nil
	}
	c, ok := (*s.projects.Load())[b.Request.Project.Name]
	if !ok || c == KeepAll {
		return nil
	}
	for _, it := range b.Items {
		if it.Alive() && !c.keeps(b, it) {
			b.Drop(it, schemas.Suppressed, Reason)
		}
	}
	return nil
}

// Drops tells whether Apply would drop an item.
func (s *Sampler) Drops(b *ingest.Batch, it *ingest.Item) bool {
	if b.Request.Project == nil {
		return false
	}
	c, ok := (*s.projects.Load())[b.Request.Project.Name]
	return ok && c != KeepAll && !c.keeps(b, it)
}

func (c Config) keeps(b *ingest.Batch, it *ingest.Item) bool {
	switch it.Header.Type {
	case "transaction":
		return kept(c.Transaction, func() string { return traceID(b, it) })
	case "replay_event", "replay_recording", "replay_video":
		return kept(c.Replay, func() string { return replayID(b) })
	case "session", "sessions":
		return kept(c.Session, func() string { return sessionID(it) })
	}
	return true
}

// kept asks for the id only when the share leaves a choice.
func kept(share float64, id func() string) bool {
	switch {
	case share >= 1:
		return true
	case share <= 0:
		return false
	}
	return fraction(id()) < share
}

// fraction spreads ids evenly over [0,1). It must never change: gateways of
// different versions share the traffic of one client. FNV-1a, finished as
// SplitMix64, over the id in lower case without dashes.
func fraction(id string) float64 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(id) {
		c := id[i]
		switch {
		case c == '-':
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		}
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	h ^= h >> 31
	return float64(h>>11) / (1 << 53)
}

// traceID is the transaction's, else the envelope's, else the event's id.
func traceID(b *ingest.Batch, it *ingest.Item) string {
	if ev := it.Event(); ev != nil {
		if contexts, ok := ev.Object.Object("contexts"); ok {
			if trace, ok := contexts.Object("trace"); ok {
				if id, ok := trace.String("trace_id"); ok && id != "" {
					return id
				}
			}
		}
	}
	if trace, ok := b.Header.Trace(); ok {
		if id, ok := trace.String("trace_id"); ok && id != "" {
			return id
		}
	}
	return eventID(b)
}

// replayID is the replay event's, else the envelope's event id, which SDKs set
// to the same: a recording does not know it.
func replayID(b *ingest.Batch) string {
	for _, it := range b.Items {
		if it.Header.Type != "replay_event" {
			continue
		}
		if ev := it.Event(); ev != nil {
			if id, ok := ev.String("replay_id"); ok && id != "" {
				return id
			}
		}
	}
	return eventID(b)
}

func eventID(b *ingest.Batch) string {
	if b.EventID != "" {
		return b.EventID
	}
	return b.Header.EventID()
}

// sessionID is the sid. Sessions without one (anonymous, or aggregates that
// count many) are told apart by their payload, so a repeated request meets the
// same fate.
func sessionID(it *ingest.Item) string {
	if ev := it.Event(); ev != nil {
		if sid, ok := ev.String("sid"); ok && strings.Trim(sid, "0-") != "" {
			return sid
		}
	}
	raw, _ := it.InMemory()
	return string(raw)
}
