package storm

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/ingest"
	"breakwater/schemas"
)

var shop = &ingest.Project{ID: 1, Name: "shop", Keys: []ingest.Key{{Public: "k"}}}

func control(t testing.TB, opts Options, cfg Config) *Control {
	t.Helper()
	c, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Configure(map[string]Config{"shop": cfg}); err != nil {
		t.Fatal(err)
	}
	return c
}

func batch(now time.Time, payload string, more ...string) *ingest.Batch {
	b := &ingest.Batch{
		Request: &ingest.Request{Project: shop, Key: &shop.Keys[0], ReceivedAt: now, ClientIP: netip.MustParseAddr("192.0.2.1")},
		Header:  schemas.EmptyHeader(),
	}
	for i, typ := range append([]string{"event"}, more...) {
		body := `{}`
		if i == 0 {
			body = payload
		}
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(body)}))
	}
	return b
}

func apply(t testing.TB, c *Control, b *ingest.Batch) bool {
	t.Helper()
	if err := c.Apply(b); err != nil {
		t.Fatal(err)
	}
	return b.Items[0].Alive()
}

func failure(typ, release string) string {
	return fmt.Sprintf(`{"release":%q,"environment":"production","exception":{"values":[{"type":%q,"value":"boom 17"}]},"tags":{"a":"b"}}`, release, typ)
}

func tags(t testing.TB, b *ingest.Batch) (rate, since string) {
	t.Helper()
	raw, _ := b.Items[0].InMemory()
	ev := event(t, string(raw))
	rate, _ = ev.Tag(TagSampleRate)
	since, _ = ev.Tag(TagSuppressed)
	if a, _ := ev.Tag("a"); a != "b" {
		t.Errorf("the client's tag is gone: %s", raw)
	}
	return rate, since
}

func TestApply(t *testing.T) {
	var marked string
	c := control(t, Options{Mark: func(_ *ingest.Batch, fp, rel string) { marked = fp + " " + rel }}, Config{First: 2, ThenOneIn: 3})
	raw := failure("Error", "shop@1")
	for i, want := range []string{"pass", "pass", "drop", "drop", "0.3333/2", "drop", "drop", "0.3333/2"} {
		b := batch(t0, raw, "attachment", "session")
		alive := apply(t, c, b)
		got := "drop"
		if alive {
			rate, since := tags(t, b)
			if got = "pass"; rate != "" {
				got = rate + "/" + since
			}
			if payload, _ := b.Items[0].InMemory(); got == "pass" && string(payload) != raw {
				t.Error("an event outside a storm was changed")
			}
		} else if it := b.Items[0]; it.Outcome != schemas.Suppressed || it.Reason != "storm" || b.Items[1].Alive() {
			t.Errorf("dropped as %s/%s, attachment alive %v", it.Outcome, it.Reason, b.Items[1].Alive())
		}
		if got != want {
			t.Errorf("error %d: %s, want %s", i+1, got, want)
		}
		if !b.Items[2].Alive() {
			t.Error("the session went with the error")
		}
	}
	if want := Read(event(t, raw)).ID.String() + " shop@1"; marked != want {
		t.Errorf("marked %q, want %q", marked, want)
	}
	b := batch(t0.Add(time.Minute), raw)
	if !apply(t, c, b) {
		t.Fatal("the first of the next window was suppressed")
	}
	if rate, since := tags(t, b); rate != "" || since != "" {
		t.Errorf("nothing was suppressed since, got tags %s %s", rate, since)
	}
}

func TestOtherItemsAndProjectsPass(t *testing.T) {
	c := control(t, Options{}, Config{First: 1, ThenOneIn: 1000})
	for range 5 {
		b := batch(t0, `{}`)
		b.Items = b.Items[:0]
		for _, typ := range []string{"transaction", "feedback", "session", "client_report"} {
			b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(`{}`)}))
		}
		if err := c.Apply(b); err != nil {
			t.Fatal(err)
		}
		if len(b.Alive()) != 4 {
			t.Error("something that is no error was suppressed")
		}
		other := batch(t0, `{"message":"x"}`)
		other.Request.Project = &ingest.Project{Name: "unnamed"}
		if !apply(t, c, other) {
			t.Error("a project without storm control was controlled")
		}
		if broken := batch(t0, `{"message":`); !apply(t, c, broken) {
			t.Error("what cannot be read is not ours to drop")
		}
	}
	off := control(t, Options{}, Config{Off: true, First: 1, ThenOneIn: 1000})
	for range 5 {
		if !apply(t, off, batch(t0, `{"message":"x"}`)) {
			t.Error("suppressed though off")
		}
	}
}

// The whole path at 20,000: one error again and again and 200 others from four
// releases, in between.
func TestApplyAtVolume(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	var summaries []*ingest.Batch
	c := control(t, Options{Registerer: reg, Emit: func(b *ingest.Batch) error { summaries = append(summaries, b); return nil }}, Config{})
	now, forwarded, others, limited := t0, 0, 0, 0
	for i := range 20_000 {
		now = now.Add(time.Millisecond)
		b := batch(now, failure("StormError", "shop@1"), "session")
		if apply(t, c, b) {
			forwarded++
		}
		for _, l := range b.Limits {
			limited++
			if s, _ := schemas.FormatRateLimits(b.Limits, now); s != "60:error:key:storm" || len(l.Categories) != 1 {
				t.Fatalf("limits %q", s)
			}
		}
		if i%100 == 0 {
			b := batch(now, failure("Distinct"+string(rune('A'+i/100%20))+string(rune('a'+i/2000)), "shop@"+strconv.Itoa(i/100%4)))
			b.Request.ClientIP = netip.MustParseAddr("192.0.2.9")
			if apply(t, c, b) {
				others++
			}
		}
	}
	if forwarded != 50+19_950/100 || others != 200 {
		t.Errorf("forwarded %d of the storm, %d of 200 others", forwarded, others)
	}
	if limited < 19_000 {
		t.Errorf("the client was told to stop %d times", limited)
	}
	if got := testutil.ToFloat64(c.metrics.suppressed.WithLabelValues("shop")); int(got)+forwarded != 20_000 {
		t.Errorf("suppressed_total %v + forwarded %d ≠ 20000", got, forwarded)
	}
	c.Sweep(now)
	if len(summaries) != 0 {
		t.Error("summed up while it rages")
	}
	c.Sweep(now.Add(time.Minute + time.Second))
	if len(summaries) != 1 {
		t.Fatalf("%d summaries, want 1", len(summaries))
	}
	checkSummary(t, summaries[0], 20_000, forwarded)
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	want := fmt.Sprintf("# HELP breakwater_storm_fingerprints Fingerprints of errors remembered. At its bound (max_fingerprints) the rarest are forgotten.\n# TYPE breakwater_storm_fingerprints gauge\nbreakwater_storm_fingerprints{project=\"shop\"} %d\n", 201)
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "breakwater_storm_fingerprints"); err != nil {
		t.Error(err)
	}
}

func checkSummary(t *testing.T, b *ingest.Batch, seen, forwarded int) {
	t.Helper()
	if len(b.Items) != 1 || b.Items[0].Header.Type != "event" || b.Items[0].Category != schemas.CategoryError || b.Request.Project != shop {
		t.Fatalf("batch %+v", b)
	}
	raw, _ := b.Items[0].InMemory()
	ev := event(t, string(raw))
	want := fmt.Sprintf("Storm of StormError: boom <n>: %d events, %d forwarded", seen, forwarded)
	if ev.Message() != want || ev.Level() != "warning" || ev.Release() != "shop@1" || ev.EventID() != b.EventID || b.Header.EventID() != b.EventID || len(b.EventID) != 32 {
		t.Errorf("summary %s", raw)
	}
	if n, _ := ev.Tag("storm.suppressed"); n != strconv.Itoa(seen-forwarded) {
		t.Errorf("tag storm.suppressed %s", n)
	}
	rec := b.Record([]string{"sentry"})
	if rec.Meta.EventID != b.EventID || rec.Meta.Key != "k" || len(rec.Meta.Counts) != 1 {
		t.Errorf("record %+v", rec.Meta)
	}
}

func rage(t *testing.T, c *Control, now time.Time, n int) {
	t.Helper()
	for range n {
		apply(t, c, batch(now, failure("StormError", "shop@1")))
	}
}

func TestSummaryWaitsForTheSpool(t *testing.T) {
	fails := 1
	var got []*ingest.Batch
	c := control(t, Options{Emit: func(b *ingest.Batch) error {
		if fails > 0 {
			fails--
			return errors.New("full")
		}
		got = append(got, b)
		return nil
	}}, Config{})
	rage(t, c, t0, 100)
	c.Sweep(t0.Add(time.Minute))
	c.Sweep(t0.Add(2 * time.Minute))
	c.Sweep(t0.Add(3 * time.Minute))
	if len(got) != 1 {
		t.Fatalf("%d summaries, want 1", len(got))
	}
	checkSummary(t, got[0], 100, 50)
}

func TestCloseEndsStorms(t *testing.T) {
	var got []*ingest.Batch
	c := control(t, Options{Emit: func(b *ingest.Batch) error { got = append(got, b); return nil }}, Config{})
	rage(t, c, t0, 60)
	c.Close(t0)
	if len(got) != 1 {
		t.Fatalf("%d summaries, want 1", len(got))
	}
	checkSummary(t, got[0], 60, 50)
}

func TestProjectTakenOutIsSummedUp(t *testing.T) {
	var got []*ingest.Batch
	c := control(t, Options{Emit: func(b *ingest.Batch) error { got = append(got, b); return nil }}, Config{})
	rage(t, c, t0, 60)
	if err := c.Configure(map[string]Config{"other": {}}); err != nil {
		t.Fatal(err)
	}
	c.Sweep(t0)
	if len(got) != 1 || c.Groups("shop", 10) != nil {
		t.Errorf("%d summaries, want 1", len(got))
	}
}

func TestAStormThatReturnsIsASecondStorm(t *testing.T) {
	var got []*ingest.Batch
	c := control(t, Options{Emit: func(b *ingest.Batch) error { got = append(got, b); return nil }}, Config{})
	rage(t, c, t0, 100)
	rage(t, c, t0.Add(10*time.Minute), 70) // nobody swept in between
	c.Sweep(t0.Add(20 * time.Minute))
	if len(got) != 2 {
		t.Fatalf("%d summaries, want 2", len(got))
	}
	checkSummary(t, got[0], 100, 50)
	checkSummary(t, got[1], 70, 50)
}

func TestGroups(t *testing.T) {
	c := control(t, Options{Scrub: func(_ *ingest.Project, s string) string { return strings.ReplaceAll(s, "boom", "[x]") }}, Config{})
	for i := range 30 {
		apply(t, c, batch(t0.Add(time.Duration(i)*time.Second), failure("Often", "shop@"+strconv.Itoa(i%3))))
	}
	apply(t, c, batch(t0, failure("Once", "shop@1")))
	g := c.Groups("shop", 1)
	if len(g) != 1 {
		t.Fatalf("%d groups", len(g))
	}
	got := g[0]
	if got.Title != "Often: [x] <n>" || got.Count != 30 || got.Forwarded != 30 || got.Suppressed != 0 || got.Storming ||
		strings.Join(got.Releases, " ") != "shop@2 shop@1 shop@0" || !got.FirstSeen.Equal(t0) || !got.LastSeen.Equal(t0.Add(29*time.Second)) {
		t.Errorf("%+v", got)
	}
	if got.Fingerprint != Read(event(t, failure("Often", ""))).ID.String() {
		t.Errorf("fingerprint %s", got.Fingerprint)
	}
	if len(c.Groups("shop", 10)) != 2 || c.Groups("nobody", 10) != nil || c.Groups("shop", 0) != nil {
		t.Error("wrong number of groups")
	}
}

func TestConfigValidate(t *testing.T) {
	for name, cfg := range map[string]Config{
		"short window": {Window: time.Millisecond}, "long window": {Window: 48 * time.Hour}, "negative first": {First: -1},
		"negative share": {ThenOneIn: -1}, "few fingerprints": {MaxFingerprints: 5}, "many fingerprints": {MaxFingerprints: 1e9},
	} {
		if err := control(t, Options{}, Config{}).Configure(map[string]Config{"shop": cfg}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func BenchmarkApply(b *testing.B) {
	c := control(b, Options{}, Config{})
	raw := schemas.Bytes(base)
	b.ReportAllocs()
	now := t0
	for b.Loop() {
		now = now.Add(time.Microsecond)
		bt := batch(now, "{}")
		bt.Items[0].SetPayload(raw)
		if err := c.Apply(bt); err != nil {
			b.Fatal(err)
		}
	}
}
