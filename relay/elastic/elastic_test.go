package elastic_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/elastic"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/schemas"
)

func make1(t *testing.T, c elastic.Config) *elastic.Destination {
	t.Helper()
	if c.Index == "" {
		c.Index, c.Project = "errors-{project}", "Shop Web"
	}
	d, err := elastic.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func start(t *testing.T, b *relaytest.Bulk) *relaytest.Upstream {
	t.Helper()
	return relaytest.StartUpstream(t, b.Options())
}

func TestContract(t *testing.T) {
	bulk := &relaytest.Bulk{Authorization: "ApiKey aHVzaDpodXNo", DataStream: true}
	bounded, away := relaytest.Want{Class: relay.Bounded}, relaytest.Want{Class: relay.Temporary, Down: true}
	relaytest.Contract(t, relaytest.Suite{
		New: func(t *testing.T, up *relaytest.Upstream) relay.Destination {
			return make1(t, elastic.Config{URL: up.URL(), APIKey: "hush:hush", Timeout: 2 * time.Second})
		},
		Upstream: bulk.Options(),
		Batches:  true,
		Secrets:  []string{"hush:hush", "aHVzaDpodXNo"},
		// The answer's body says what became of each document: without it
		// nothing is known, and a repeat does no harm.
		Except: map[int]relaytest.Want{204: bounded},
		ExceptFault: map[relaytest.Fault]relaytest.Want{
			relaytest.Truncated: away, relaytest.SlowBody: away, relaytest.HugeBody: bounded,
		},
	})
}

func TestPlainContract(t *testing.T) {
	relaytest.PlainContract(t, relaytest.Plain{
		New: func(t *testing.T) (relay.Destination, func() string) {
			bulk := &relaytest.Bulk{DataStream: true}
			up := start(t, bulk)
			return make1(t, elastic.Config{URL: up.URL(), Concurrency: 2}), func() string {
				docs, _ := bulk.Documents()
				return string(bytes.Join(docs, []byte("\n")))
			}
		},
		Away: func(t *testing.T) relay.Destination {
			up := start(t, &relaytest.Bulk{})
			up.Close()
			return make1(t, elastic.Config{URL: up.URL()})
		},
		Reason: "connection",
		Stuck: func(t *testing.T) relay.Destination {
			up := start(t, &relaytest.Bulk{})
			up.Always(relaytest.Step{Fault: relaytest.Hang})
			return make1(t, elastic.Config{URL: up.URL()})
		},
		Store: true,
	})
}

// The same record twice, as after an answer that was lost, is one document.
func TestRepeatIsOneDocument(t *testing.T) {
	bulk := &relaytest.Bulk{DataStream: true}
	up := start(t, bulk)
	d := make1(t, elastic.Config{URL: up.URL()})
	rec := relaytest.SampleRecord()
	up.Script(relaytest.Step{Fault: relaytest.ResetAfter})
	if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err == nil {
		t.Fatal("an answer that was lost counts as delivered")
	}
	finals, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
	if err != nil || finals[0].Outcome != schemas.Delivered || finals[1] != (schemas.Final{Outcome: schemas.Filtered, Reason: relay.NoDocument}) {
		t.Fatalf("the repeat ended %+v, %v", finals, err)
	}
	docs, repeats := bulk.Documents()
	if len(docs) != 1 || repeats == 0 {
		t.Errorf("%d documents, %d repeats", len(docs), repeats)
	}
	var doc map[string]any
	if err := json.Unmarshal(docs[0], &doc); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"@timestamp": "2026-01-02T03:04:05.123Z", "timestamp": "2026-01-02T03:04:05.123Z", "project": "shop", "kind": "error", "level": "error",
		"type": "Error", "value": "no", "platform": "javascript", "event_id": rec.Meta.EventID,
	} {
		if doc[name] != want {
			t.Errorf("%s is %v, want %v", name, doc[name], want)
		}
	}
	if bulk.Get("errors-shop-web", "1-"+rec.Meta.EventID) == nil {
		t.Error("the document is not in the project's index under the event's id")
	}
}

// logs is a record with two logs in one item, and an event beside it.
func logs() *schemas.Record {
	rec := relaytest.SampleRecord()
	more := relaytest.MustRecord("{}\n" + `{"type":"log","content_type":"application/vnd.sentry.items.log+json","item_count":2}` + "\n" +
		`{"items":[{"timestamp":1767323045.1,"level":"warn","body":"first"},{"timestamp":1767323045.2,"level":"info","body":"second"}]}`)
	rec.Envelope.Items = append(rec.Envelope.Items[:1], more.Envelope.Items...)
	rec.Meta.Counts = append(rec.Meta.Counts[:1], schemas.Count{Category: schemas.CategoryLog, Quantity: 2})
	return rec
}

// What becomes of a record when some of its documents are refused.
func TestPartialFailures(t *testing.T) {
	delivered := schemas.Final{Outcome: schemas.Delivered}
	for name, tc := range map[string]struct {
		event, first, second int // status of each document; 0: stored
		word                 string
		class                relay.Class
		down, fails, alert   bool
		finals               []schemas.Final
	}{
		"all good":                       {finals: []schemas.Final{delivered, delivered}},
		"all there already":              {event: 409, first: 409, second: 409, finals: []schemas.Final{delivered, delivered}},
		"one log refused":                {second: 400, word: "document_parsing_exception", finals: []schemas.Final{delivered, {Outcome: schemas.DeadLetter, Reason: "http_400"}}},
		"the event refused":              {event: 400, word: "document_parsing_exception", finals: []schemas.Final{{Outcome: schemas.DeadLetter, Reason: "http_400"}, delivered}},
		"all refused":                    {event: 400, first: 400, second: 400, fails: true, class: relay.Permanent},
		"one too many requests":          {first: 429, word: "es_rejected_execution_exception", fails: true, class: relay.Temporary},
		"refused, and too many requests": {event: 400, first: 429, fails: true, class: relay.Temporary},
		"shards away":                    {first: 503, word: "unavailable_shards_exception", fails: true, class: relay.Temporary, down: true},
		"disk flooded":                   {event: 403, first: 403, second: 403, word: "cluster_block_exception", fails: true, class: relay.Temporary, down: true, alert: true},
		"index missing":                  {event: 404, first: 404, second: 404, word: "index_not_found_exception", fails: true, class: relay.Temporary, down: true, alert: true},
		"no privilege":                   {event: 403, first: 403, second: 403, word: "security_exception", fails: true, class: relay.Permanent, alert: true},
		"a fault of theirs":              {second: 500, fails: true, class: relay.Bounded},
	} {
		t.Run(name, func(t *testing.T) {
			refuse := true
			bulk := &relaytest.Bulk{DataStream: true}
			bulk.Document = func(id string, source []byte) (int, string) {
				switch {
				case !refuse:
					return 0, ""
				case strings.Contains(string(source), `"first"`):
					return tc.first, tc.word
				case strings.Contains(string(source), `"second"`):
					return tc.second, tc.word
				}
				return tc.event, tc.word
			}
			up := start(t, bulk)
			d := make1(t, elastic.Config{URL: up.URL()})
			rec := logs()
			finals, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
			if !tc.fails {
				if err != nil || fmt.Sprint(finals) != fmt.Sprint(tc.finals) {
					t.Fatalf("ended %v, %v; want %v", finals, err, tc.finals)
				}
				return
			}
			de := relay.AsDeliverError(err)
			if err == nil || de.Class != tc.class || de.Down != tc.down || (de.Alert != "") != tc.alert {
				t.Fatalf("ended %v, %+v", finals, de)
			}
			refuse = false // the repeat finds some there already, and the rest arrives
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				t.Fatal(err)
			}
			if docs, _ := bulk.Documents(); len(docs) != 3 {
				t.Errorf("%d documents", len(docs))
			}
		})
	}
}

// A batch that is too large for what stands before the cluster goes in parts;
// one record that is too large by itself is refused, and only that one.
func TestTooLargeIsSplit(t *testing.T) {
	bulk := &relaytest.Bulk{MaxContent: 100 << 10}
	up := start(t, bulk)
	d := make1(t, elastic.Config{URL: up.URL(), Concurrency: 1, FullEvent: true, Encoding: "none"})
	record := func(n int) *schemas.Record {
		id := relaytest.SampleRecord().Meta.EventID
		return relaytest.MustRecord(fmt.Sprintf("{\"event_id\":%q}\n{\"type\":\"event\"}\n{\"extra\":{\"x\":%q}}", id, strings.Repeat("x", n)))
	}
	var wg sync.WaitGroup
	var refused sync.Map
	for i := range 40 {
		wg.Go(func() {
			rec := record(20 << 10)
			if i == 7 {
				rec = record(200 << 10)
			}
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				refused.Store(i, err)
			}
		})
	}
	wg.Wait()
	n := 0
	refused.Range(func(i, err any) bool {
		n++
		if de := relay.AsDeliverError(err.(error)); i != 7 || de.Class != relay.Permanent || de.Reason != "too_large" {
			t.Errorf("record %v: %v", i, err)
		}
		return true
	})
	if docs, _ := bulk.Documents(); n != 1 || len(docs) != 39 {
		t.Errorf("%d refused, %d documents", n, len(docs))
	}
}

func TestCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  elastic.Config
		want string
	}{
		"id and key": {elastic.Config{APIKey: "id:key"}, "ApiKey aWQ6a2V5"},
		"encoded":    {elastic.Config{APIKey: "aWQ6a2V5"}, "ApiKey aWQ6a2V5"},
		"basic":      {elastic.Config{Username: "u", Password: "p"}, "Basic dTpw"},
		"none":       {elastic.Config{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bulk := &relaytest.Bulk{}
			up := start(t, bulk)
			tc.cfg.URL = up.URL() + "/"
			d := make1(t, tc.cfg)
			rec := relaytest.SampleRecord()
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				t.Fatal(err)
			}
			r := up.Requests()[0]
			if r.Header.Get("Authorization") != tc.want || r.Header.Get("Content-Encoding") != "gzip" || r.Path != "/_bulk" || r.Header.Get("Cookie") != "" {
				t.Errorf("%s %v", r.Path, r.Header)
			}
		})
	}
}

func TestBadConfiguration(t *testing.T) {
	for _, c := range []elastic.Config{
		{URL: "ftp://h", Index: "i"},
		{URL: "http://u:p@h", Index: "i"},
		{URL: "http://", Index: "i"},
		{URL: "http://h", Index: "---"},
		{URL: "http://h", Index: "i", Encoding: "lzma"},
	} {
		if _, err := elastic.New(c); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Thousands of records through the real spool and loop to a cluster that fails
// in every way at random: each document is there once, or its record is a dead
// letter, and the books balance.
func TestEveryDocumentOnceWhateverFails(t *testing.T) {
	rnd, mu := rand.New(rand.NewPCG(7, 9)), sync.Mutex{}
	chance := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
	poison := func(id string) bool { return strings.HasSuffix(id, "00") } // one in 256 never fits the mapping
	bulk := &relaytest.Bulk{DataStream: true}
	bulk.Document = func(id string, _ []byte) (int, string) {
		switch n := chance(20); {
		case poison(id):
			return 400, "document_parsing_exception"
		case n == 0:
			return 429, "es_rejected_execution_exception"
		case n == 1:
			return 503, "unavailable_shards_exception"
		}
		return 0, ""
	}
	opts := bulk.Options()
	opts.Decide = func(*relaytest.Request) relaytest.Step {
		switch chance(12) {
		case 0:
			return relaytest.Step{Fault: relaytest.ResetAfter}
		case 1:
			return relaytest.Status(502)
		case 2:
			return relaytest.Step{Fault: relaytest.Truncated}
		}
		return relaytest.Step{}
	}
	up := relaytest.NewUpstream(opts)
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	s, err := disk.Open(disk.Config{Dir: t.TempDir(), MaxSize: 1 << 30, MinFree: -1, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r, err := relay.New(relay.Config{BackoffBase: time.Millisecond, BackoffCap: 10 * time.Millisecond, CircuitBase: time.Millisecond, CircuitCap: 5 * time.Millisecond}, s)
	if err != nil {
		t.Fatal(err)
	}
	dst := spool.Destination{Project: "shop", Name: "up"}
	if err := r.Apply([]relay.DestinationConfig{{Destination: dst, Upstream: make1(t, elastic.Config{URL: up.URL(), Concurrency: 4}), Concurrency: 64}}); err != nil {
		t.Fatal(err)
	}
	const n = 2000
	want := map[string]bool{}
	var wg sync.WaitGroup
	for i := range n {
		id := fmt.Sprintf("%032x", i+1)
		want[id] = true
		wg.Go(func() {
			rec := relaytest.MustRecord("{\"event_id\":\"" + id + "\"}\n{\"type\":\"event\"}\n{}")
			if err := s.Append(t.Context(), rec); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	deadline := time.Now().Add(2 * time.Minute)
	queue := func() spool.Queue {
		for _, q := range s.Stats().Queues {
			if q.Destination == dst {
				return q
			}
		}
		return spool.Queue{}
	}
	for queue().Records > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if err := r.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	q := queue()
	docs, repeats := bulk.Documents()
	if q.Records != 0 || int(q.Dead)+len(docs) != n || q.Dead != n/256 {
		t.Errorf("%d documents, %d dead, %d waiting of %d", len(docs), q.Dead, q.Records, n)
	}
	for _, doc := range docs {
		var d struct {
			EventID string `json:"event_id"`
		}
		if json.Unmarshal(doc, &d) != nil || !want[d.EventID] {
			t.Errorf("document %s", doc)
		}
		delete(want, d.EventID)
	}
	for id := range want {
		if !poison(id) {
			t.Errorf("event %s is nowhere", id)
		}
	}
	t.Logf("%d documents, %d of them sent more than once, %d dead letters, %d requests", len(docs), repeats, q.Dead, up.Totals().Requests)
}

// An error shows neither the value that did not fit nor the key.
func TestErrorsHoldNoPayload(t *testing.T) {
	up := start(t, &relaytest.Bulk{})
	up.Always(relaytest.Step{Body: `{"errors":true,"items":[{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"failed to parse field [value] of type [long]. Preview of field's value: 'canary'"}}}]}`, Header: http.Header{}})
	d := make1(t, elastic.Config{URL: up.URL(), APIKey: "s3cr3t:k"})
	rec := relaytest.SampleRecord()
	_, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope)
	var de *relay.DeliverError
	if !errors.As(err, &de) || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "field [value]") {
		t.Errorf("%v", err)
	}
}
