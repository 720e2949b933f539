package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/ingest/sample"
	"breakwater/schemas"
)

const (
	// reportEvery is how often what was dropped is reported upstream. A kill
	// forgets what was dropped since; the metrics' counters do not depend on it.
	reportEvery = time.Minute
	// maxReportEntries bounds the entries of one project's report; reasons
	// beyond it are added up as "other". The words come from closed lists, so
	// this is a net under a mistake of ours, not a limit anybody meets.
	maxReportEntries = 200
	// otherReason stands for the reasons beyond maxReportEntries.
	otherReason = "other"
	// sampledReason is the reason of what sampling left out. Sentry's Relay
	// reads "Sampled:" and the number of a rule, and silently ignores other
	// words in this list.
	sampledReason = "Sampled:1"
)

// The lists of a client report. SDKs write the first; the others are those in
// which Sentry's Relays say what they dropped themselves.
const (
	listDiscarded   = "discarded_events"
	listRateLimited = "rate_limited_events"
	listFiltered    = "filtered_events"
	listSampled     = "filtered_sampling_events"
)

// reports tell upstreams what the gateway dropped at its door, in the form of
// Sentry's client reports, so that their statistics show it beside what SDKs
// dropped. The ledger feeds it:
//
//	rate_limited            rate_limited_events
//	filtered                filtered_events
//	suppressed (sampled)    filtered_sampling_events
//	suppressed (storm)      discarded_events, reason storm
//	invalid, too large      discarded_events
//
// Not reported: what nobody allowed to send had (unauthorized, or no project
// of ours), measurements, which no upstream expects, and client reports: there
// is never a report about a report. What an upstream itself refused later it
// knows.
type reports struct {
	// project finds a configured project, nil when it is gone.
	project func(name string) *ingest.Project
	// emit stores a batch of the gateway's own making.
	emit func(*ingest.Batch) error
	log  zerolog.Logger

	mu      sync.Mutex
	dropped map[string]map[drop]int
}

// drop is one line of a report.
type drop struct {
	list     string
	category schemas.Category
	reason   string
}

func newReports(project func(string) *ingest.Project, emit func(*ingest.Batch) error, log zerolog.Logger) *reports {
	return &reports{project: project, emit: emit, log: log, dropped: map[string]map[drop]int{}}
}

// outcome notes n items of a category that ended at the door.
func (r *reports) outcome(project string, c schemas.Category, o schemas.Outcome, reason string, n int) {
	if r == nil || n <= 0 || project == ingest.UnknownProject || c == schemas.CategoryInternal || c == schemas.CategoryVital {
		return
	}
	d := drop{category: c, reason: reason}
	switch o {
	case schemas.RateLimited:
		d.list = listRateLimited
	case schemas.Filtered:
		d.list = listFiltered
	case schemas.Invalid:
		d.list = listDiscarded
	case schemas.Suppressed:
		d.list = listDiscarded
		if reason == sample.Reason {
			d.list, d.reason = listSampled, sampledReason
		}
	default: // accepted, or nobody's
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(project, d, n)
}

// add counts a line; r.mu is held.
func (r *reports) add(project string, d drop, n int) {
	lines := r.dropped[project]
	if lines == nil {
		lines = map[drop]int{}
		r.dropped[project] = lines
	}
	if _, known := lines[d]; !known && len(lines) >= maxReportEntries {
		d.reason = otherReason
	}
	lines[d] += n
}

// flush stores a report for every project that had something dropped. What
// could not be stored is kept for the next one.
func (r *reports) flush(now time.Time) {
	r.mu.Lock()
	all := r.dropped
	r.dropped = map[string]map[drop]int{}
	r.mu.Unlock()
	for name, lines := range all {
		p := r.project(name)
		if p == nil || len(p.Destinations) == 0 {
			continue
		}
		b, err := reportBatch(p, lines, now)
		if err == nil {
			err = r.emit(b)
		}
		if err == nil {
			continue
		}
		r.log.Warn().Err(err).Str("project", name).Msg("report of dropped items not stored, trying again")
		r.mu.Lock()
		for d, n := range lines {
			r.add(name, d, n)
		}
		r.mu.Unlock()
	}
}

// Run reports every minute until ctx ends. It blocks; the last flush is left
// to the caller, after the last request and before the spool closes.
func (r *reports) Run(ctx context.Context) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			r.flush(now)
		}
	}
}

// reportLine and clientReport are the wire form of a client report.
type reportLine struct {
	Reason   string `json:"reason"`
	Category string `json:"category"`
	Quantity int    `json:"quantity"`
}

type clientReport struct {
	Timestamp   string       `json:"timestamp"`
	Discarded   []reportLine `json:"discarded_events"`
	RateLimited []reportLine `json:"rate_limited_events,omitempty"`
	Filtered    []reportLine `json:"filtered_events,omitempty"`
	Sampled     []reportLine `json:"filtered_sampling_events,omitempty"`
}

// reportBatch is the report of one project: one item in an envelope of its own.
func reportBatch(p *ingest.Project, lines map[drop]int, now time.Time) (*ingest.Batch, error) {
	rep := clientReport{Timestamp: now.UTC().Format(time.RFC3339Nano), Discarded: []reportLine{}}
	into := map[string]*[]reportLine{listDiscarded: &rep.Discarded, listRateLimited: &rep.RateLimited, listFiltered: &rep.Filtered, listSampled: &rep.Sampled}
	for d, n := range lines {
		list := into[d.list]
		*list = append(*list, reportLine{d.reason, string(d.category), n})
	}
	for _, list := range into {
		sort.Slice(*list, func(i, j int) bool {
			a, b := (*list)[i], (*list)[j]
			return a.Category < b.Category || a.Category == b.Category && a.Reason < b.Reason
		})
	}
	raw, err := json.Marshal(rep)
	if err != nil {
		return nil, fmt.Errorf("writing report of dropped items: %w", err)
	}
	header := schemas.EmptyHeader()
	header.SetString("sent_at", now.UTC().Format(time.RFC3339Nano))
	item := schemas.Item{Header: schemas.NewItemHeader("client_report", "content_type", "application/json"), Payload: schemas.Bytes(raw)}
	return &ingest.Batch{
		Request: &ingest.Request{Endpoint: "report", Project: p, ReceivedAt: now},
		Header:  header, Items: []*ingest.Item{ingest.NewItem(item)},
	}, nil
}
