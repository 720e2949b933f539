package console

import (
	"math"

	"breakwater/relay"
	"breakwater/schemas"
)

// Books are the ledgers of all projects, and whether they close.
type Books struct {
	Received        float64 `json:"received"`
	Recovered       float64 `json:"recovered"`
	Requeued        float64 `json:"requeued"`
	InSpool         float64 `json:"in_spool"`
	ClientDiscarded float64 `json:"client_discarded"`
	// Unaccounted is received + recovered + requeued - ended - in the spool as
	// far as it stayed the same over two readings: must be 0.
	Unaccounted float64  `json:"unaccounted"`
	Projects    []Ledger `json:"projects"`
	// Shared says that other gateways put into the same spool and take out of
	// it: InSpool is what this one put in less what it took out.
	Shared bool `json:"-"`
}

// Rest is what InSpool is called.
func (b Books) Rest() string {
	if b.Shared {
		return "put in the stream, less taken out"
	}
	return "in the spool"
}

// Sum adds the items of an outcome up; reason "" takes all reasons.
func (b Books) Sum(o schemas.Outcome, reason string) (n float64) {
	for _, p := range b.Projects {
		for _, c := range p.Outcomes {
			if c.Outcome == o && (reason == "" || c.Reason == reason) {
				n += c.Items
			}
		}
	}
	return n
}

// Lost is what was accepted and then not delivered: dead letters that were not
// put back, what expired, and what an upstream's limit ended.
func (b Books) Lost() float64 { return b.Dead() + b.Sum(schemas.Expired, "") + b.Limited() }

// Dead is how many items became dead letters and were not put back.
func (b Books) Dead() float64 { return max(b.Sum(schemas.DeadLetter, "")-b.Requeued, 0) }

// Limited is what an upstream's long limit ended after it was accepted.
func (b Books) Limited() float64 { return b.Sum(schemas.RateLimited, relay.UpstreamLimit) }

// NoDocument is what was accepted and is none of its destinations' kind.
func (b Books) NoDocument() float64 { return b.Sum(schemas.Filtered, relay.NoDocument) }

// books reads the ledgers. Counters are not read in one moment, so while
// items move the sum is off by a few: what counts is what stays.
func (s *source) books(project string) Books {
	all := remember(s, "books", freshLedger, func() Books {
		b := Books{Projects: s.o.State.Outcomes(), Shared: s.o.Shared}
		ended := 0.0
		for _, p := range b.Projects {
			b.Received += p.Received
			b.Recovered += p.Recovered
			b.Requeued += p.Requeued
			b.InSpool += p.InSpool
			b.ClientDiscarded += p.ClientDiscarded
			for _, c := range p.Outcomes {
				if c.Outcome != schemas.Accepted {
					ended += c.Items
				}
			}
		}
		off := b.Received + b.Recovered + b.Requeued - ended - b.InSpool
		if off*s.last > 0 {
			b.Unaccounted = math.Copysign(min(math.Abs(off), math.Abs(s.last)), off)
		}
		s.last = off
		return b
	})
	if project == "" {
		return all
	}
	one := Books{Shared: all.Shared, Unaccounted: all.Unaccounted, Projects: of(all.Projects, project, func(l Ledger) string { return l.Project })}
	for _, p := range one.Projects {
		one.Received, one.Recovered, one.Requeued = p.Received, p.Recovered, p.Requeued
		one.InSpool, one.ClientDiscarded = p.InSpool, p.ClientDiscarded
	}
	return one
}
