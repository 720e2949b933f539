package simulate

import (
	"sort"
	"strconv"
	"sync"
	"time"

	"breakwater/schemas"
)

// Row is one category's account.
type Row struct {
	Category schemas.Category `json:"category"`
	// Sent is how many items were posted. Of these, Unread were in requests
	// refused before they were read (the gateway counts each such request as one
	// item of category unknown), and Lost in requests that got no answer.
	Sent   int `json:"sent"`
	Unread int `json:"refused_unread"`
	Lost   int `json:"no_answer"`
	// Own is how many items the gateway added itself: summaries of storms,
	// reports of what it dropped.
	Own int `json:"gateway_own"`
	// Received and what follows is the gateway's count.
	Received int                     `json:"received"`
	Outcomes map[schemas.Outcome]int `json:"outcomes"`
	Waiting  int                     `json:"waiting"`
	// Missing is Sent + Own − Unread − Received: items nobody knows of. When
	// requests got no answer, up to Lost of them may be missing.
	Missing int `json:"missing"`
	// Open is Received − what ended − Waiting: items without an outcome.
	Open int `json:"without_outcome"`
}

func (r *Row) balanced() bool { return r.Missing >= 0 && r.Missing <= r.Lost && r.Open == 0 }

// Report is a run's result.
type Report struct {
	Scenario string         `json:"scenario"`
	Seconds  float64        `json:"seconds"`
	Requests int            `json:"requests"`
	Answers  map[string]int `json:"answers"` // by status; "none" for those without
	Rate     float64        `json:"items_per_second"`
	Rows     []Row          `json:"categories"`
	Upstream *Upstream      `json:"upstream,omitempty"`
	// Balanced says that every item is accounted for.
	Balanced bool `json:"balanced"`
}

// Upstream is what a recording upstream got meanwhile.
type Upstream struct {
	Requests int `json:"requests"`
	// Events are different event ids; Delivered is how many errors,
	// transactions and feedbacks the gateway says it delivered. An envelope whose
	// event was dropped at the door keeps its id for the session beside it, so
	// there may be up to Dropped more. Envelopes of sessions, spans and logs
	// alone have no id.
	Events    int `json:"events"`
	Delivered int `json:"delivered_by_gateway"`
	Dropped   int `json:"dropped_by_gateway"`
}

// sums is what the sender saw. It is safe for concurrent use.
type sums struct {
	mu                sync.Mutex
	requests, flying  int
	answers           map[string]int
	sent, unread, bad tally // bad: without an answer
	unreadRequests    int
	refused           int
}

func newSums() *sums {
	return &sums{answers: map[string]int{}, sent: tally{}, unread: tally{}, bad: tally{}}
}

func (s *sums) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying++
}

func (s *sums) lost(r request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	s.requests++
	s.answers["none"]++
	s.sent.add(r.items)
	s.bad.add(r.items)
}

func (s *sums) answered(r request, status int, unread bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	s.requests++
	s.answers[strconv.Itoa(status)]++
	s.sent.add(r.items)
	if status/100 != 2 {
		s.refused += r.items.total()
	}
	if unread {
		s.unread.add(r.items)
		s.unreadRequests++
	}
}

func (s *sums) progress(phase string, elapsed time.Duration) Progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Progress{Phase: phase, Elapsed: elapsed, Sent: s.sent.total(), Refused: s.refused, Lost: s.bad.total(), InFlight: s.flying}
}

// terminal are the outcomes that end an item: accepted does not.
func terminal(o schemas.Outcome) bool { return o != schemas.Accepted }

// report holds what was sent against the difference of two scrapes.
func (s *sums) report(o *Options, before, after counts, took time.Duration) *Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &Report{
		Scenario: o.Scenario, Seconds: took.Seconds(), Requests: s.requests, Answers: s.answers,
		Rate: float64(s.sent.total()) / took.Seconds(), Balanced: true,
	}
	for _, c := range schemas.Categories {
		row := Row{Category: c, Sent: s.sent[c], Unread: s.unread[c], Lost: s.bad[c], Outcomes: map[schemas.Outcome]int{}}
		for k, n := range after {
			d := n - before[k]
			if k.category != c || d == 0 {
				continue
			}
			switch k.family {
			case received:
				row.Received = d
			case outcomes:
				row.Outcomes[k.outcome] = d
			case inSpool:
				row.Waiting = d
			}
		}
		switch c {
		case schemas.CategoryUnknown: // one for each request refused unread
			row.Sent = s.unreadRequests
		case schemas.CategoryError:
			row.Own = after.total(summaries) - before.total(summaries)
		case schemas.CategoryInternal: // reports about what was dropped
			row.Own = max(0, row.Received-row.Sent+row.Unread)
		}
		if row.Sent == 0 && row.Received == 0 && row.Waiting == 0 {
			continue
		}
		row.Missing = row.Sent + row.Own - row.Unread - row.Received
		row.Open = row.Received - row.Waiting
		for outcome, n := range row.Outcomes {
			if terminal(outcome) {
				row.Open -= n
			}
		}
		r.Balanced = r.Balanced && row.balanced()
		r.Rows = append(r.Rows, row)
	}
	sort.SliceStable(r.Rows, func(i, j int) bool { return r.Rows[i].Sent > r.Rows[j].Sent })
	return r
}

func (r *Report) compareUpstream(before, after upstreamCounts) {
	u := &Upstream{Requests: after.Requests - before.Requests, Events: after.Unique - before.Unique}
	for _, row := range r.Rows {
		switch row.Category {
		case schemas.CategoryError, schemas.CategoryTransaction, schemas.CategoryFeedback:
			u.Delivered += row.Outcomes[schemas.Delivered]
			u.Dropped += row.Received - row.Outcomes[schemas.Accepted]
		}
	}
	r.Upstream = u
	r.Balanced = r.Balanced && u.Events >= u.Delivered && u.Events <= u.Delivered+u.Dropped
}
