package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// reportRig is reports with one project and what they stored.
func reportRig() (*reports, *[]string, *error) {
	p := &ingest.Project{ID: 1, Name: "shop", Destinations: []string{"sentry"}}
	var stored []string
	var fault error
	r := newReports(func(name string) *ingest.Project {
		if name == "shop" {
			return p
		}
		return nil
	}, func(b *ingest.Batch) error {
		if fault != nil {
			return fault
		}
		rec := b.Record(b.Request.Project.Destinations)
		raw, _ := rec.Envelope.Items[0].InMemory()
		stored = append(stored, fmt.Sprintf("%s %s %v %s", rec.Meta.Project, rec.Envelope.Items[0].Header.Type, rec.Meta.Counts, raw))
		return nil
	}, zerolog.New(io.Discard))
	return r, &stored, &fault
}

// Each refusal stands in the list Sentry reads it from; what must not be
// reported is not.
func TestReportLists(t *testing.T) {
	r, stored, _ := reportRig()
	r.outcome("shop", schemas.CategoryError, schemas.RateLimited, "quota", 2)
	r.outcome("shop", schemas.CategoryError, schemas.RateLimited, "quota", 3)
	r.outcome("shop", schemas.CategoryTransaction, schemas.RateLimited, "per_key", 1)
	r.outcome("shop", schemas.CategoryError, schemas.Filtered, "web-crawlers", 4)
	r.outcome("shop", schemas.CategoryReplay, schemas.Suppressed, "sampled", 5)
	r.outcome("shop", schemas.CategoryError, schemas.Suppressed, "storm", 6)
	r.outcome("shop", schemas.CategoryUnknown, schemas.Invalid, "too_large", 7)
	for _, o := range []schemas.Outcome{schemas.Accepted, schemas.Delivered, schemas.Unauthorized, schemas.Expired, schemas.DeadLetter} {
		r.outcome("shop", schemas.CategoryError, o, "x", 1)
	}
	r.outcome("shop", schemas.CategoryInternal, schemas.Invalid, "too_large", 1)
	r.outcome("shop", schemas.CategoryVital, schemas.Invalid, "unusable", 1)
	r.outcome("shop", schemas.CategoryError, schemas.Invalid, "none", 0)
	r.outcome("gone", schemas.CategoryError, schemas.Invalid, "too_large", 1)
	r.outcome(ingest.UnknownProject, schemas.CategoryUnknown, schemas.Invalid, "not_found", 1)
	at := time.Date(2026, 11, 24, 4, 5, 6, 0, time.UTC)
	r.flush(at)
	want := []string{`shop client_report [{internal 1}] {"timestamp":"2026-11-24T04:05:06Z",` +
		`"discarded_events":[{"reason":"storm","category":"error","quantity":6},{"reason":"too_large","category":"unknown","quantity":7}],` +
		`"rate_limited_events":[{"reason":"quota","category":"error","quantity":5},{"reason":"per_key","category":"transaction","quantity":1}],` +
		`"filtered_events":[{"reason":"web-crawlers","category":"error","quantity":4}],` +
		`"filtered_sampling_events":[{"reason":"Sampled:1","category":"replay","quantity":5}]}`}
	if diff := cmp.Diff(want, *stored); diff != "" {
		t.Error(diff)
	}
	r.flush(at)
	if len(*stored) != 1 {
		t.Errorf("with nothing dropped since, %q was stored", (*stored)[1:])
	}
}

// What could not be stored is reported later, once, with what came meanwhile;
// and however many words there are, a report stays small.
func TestReportKeepsAndBounds(t *testing.T) {
	r, stored, fault := reportRig()
	*fault = errors.New("full")
	r.outcome("shop", schemas.CategoryError, schemas.Invalid, "a", 1)
	r.flush(time.Unix(0, 0))
	r.outcome("shop", schemas.CategoryError, schemas.Invalid, "a", 1)
	*fault = nil
	r.flush(time.Unix(60, 0))
	r.flush(time.Unix(120, 0))
	if len(*stored) != 1 || !strings.Contains((*stored)[0], `[{"reason":"a","category":"error","quantity":2}]`) {
		t.Errorf("stored %q", *stored)
	}
	for n := range 10_000 {
		r.outcome("shop", schemas.CategoryError, schemas.Invalid, fmt.Sprint("word", n), 1)
	}
	r.flush(time.Unix(180, 0))
	last := (*stored)[len(*stored)-1]
	if n := strings.Count(last, `"reason"`); n != maxReportEntries+1 || !strings.Contains(last, fmt.Sprintf(`{"reason":"other","category":"error","quantity":%d}`, 10_000-maxReportEntries)) {
		t.Errorf("%d entries, %d bytes", n, len(last))
	}
}

// Reports go out each minute, and only then.
func TestReportEveryMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, stored, _ := reportRig()
		emit, sent := r.emit, make(chan struct{}, 9)
		r.emit = func(b *ingest.Batch) error { defer func() { sent <- struct{}{} }(); return emit(b) }
		go func() { _ = r.Run(t.Context()) }()
		r.outcome("shop", schemas.CategoryError, schemas.Filtered, "localhost", 1)
		began := time.Now()
		<-sent
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the first report went out after %v", took)
		}
		if len(*stored) != 1 {
			t.Errorf("after a minute stored %q", *stored)
		}
	})
}

// A real process tells its upstream what it dropped, by an orderly stop at the
// latest; the report is an item of the ledger like any other, and none follows
// a report.
func TestDropsAreReportedUpstream(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, `
    limits: {categories: {error: {rate: 1/h, burst: 3}}}
    filters: {error_messages: ["*unwanted*"]}
    sampling: {session: 0}
`)).start()
	url := g.envelopeURL()
	for n := range 5 { // 3 pass
		post(t, url, errorEnvelope(t, n, fmt.Sprint("kind", letters(n)), "shop@1"))
	}
	post(t, url, errorEnvelope(t, 9, "unwanted", "shop@1"))
	post(t, url, sessionEnvelope)
	post(t, url, "{}\n{\"type\":\"event\"}\n{broken")
	post(t, url, "{}\n{\"type\":\"client_report\"}\n{broken") // dropped too, and never reported
	post(t, "http://"+g.public+"/api/1/envelope/?sentry_key=ffffffffffffffffffffffffffffffff", anEnvelope)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	g.start()
	eventually(t, time.Minute, g.emptySpool)
	var got []string
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			if it.Header.Type == "client_report" {
				got = append(got, string(it.Payload))
			}
		}
	}
	if len(got) != 1 {
		t.Fatalf("%d reports arrived: %q", len(got), got)
	}
	var rep map[string]json.RawMessage
	if err := json.Unmarshal([]byte(got[0]), &rep); err != nil {
		t.Fatal(err)
	}
	for list, want := range map[string]string{
		listRateLimited: `[{"reason":"category","category":"error","quantity":2}]`,
		listFiltered:    `[{"reason":"error-message","category":"error","quantity":1}]`,
		listSampled:     `[{"reason":"Sampled:1","category":"session","quantity":1}]`,
		listDiscarded:   `[{"reason":"invalid_json","category":"error","quantity":1}]`,
	} {
		if string(rep[list]) != want {
			t.Errorf("%s is %s, want %s", list, rep[list], want)
		}
	}
	if err := g.stop(); err != nil { // nothing was dropped in this life: no further report
		t.Fatal(err)
	}
	g.start()
	eventually(t, time.Minute, g.emptySpool)
	reports := 0
	for _, r := range up.Taken() {
		reports += len(slices.DeleteFunc(r.Types(), func(s string) bool { return s != "client_report" }))
	}
	if reports != 1 {
		t.Errorf("%d reports after a life without drops", reports)
	}
}
