package release

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

var arrived = time.Date(2026, 11, 3, 13, 0, 0, 123456789, time.FixedZone("CET", 3600))

const tags = `"tags":{"gateway.project":"shop","gateway.received_at":"2026-11-03T12:00:00.123Z"}`

func batch(rule ingest.ReleaseRule, items ...string) *ingest.Batch {
	b := &ingest.Batch{
		Request: &ingest.Request{ReceivedAt: arrived, Project: &ingest.Project{Name: "shop", Release: rule}},
		Header:  schemas.EmptyHeader(),
	}
	for i := 0; i+1 < len(items); i += 2 {
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(items[i]), Payload: schemas.Bytes(items[i+1])}))
	}
	return b
}

func apply(t *testing.T, b *ingest.Batch) {
	t.Helper()
	if err := New(nil).Apply(b); err != nil {
		t.Fatal(err)
	}
}

// text is the payload without the time that undated events are given; that
// one has a test of its own.
func text(it *ingest.Item) string {
	raw, _ := it.InMemory()
	const stamp = `"timestamp":1793707200.123`
	return strings.Replace(strings.Replace(string(raw), stamp+",", "", 1), ","+stamp, "", 1)
}

// An event without a time gets the time it was received: a server would date
// it by its own clock, hours late after an outage. A time that is there stays.
func TestUndatedEventsGetTheTimeOfReceipt(t *testing.T) {
	for in, want := range map[string]string{
		`{"message":"a"}`:                          "1793707200.123",
		`{"message":"a","timestamp":null}`:         "1793707200.123",
		`{"message":"a","timestamp":1700000000.5}`: "1700000000.5",
		`{"message":"a","timestamp":"2026-11-03"}`: `"2026-11-03"`,
	} {
		b := batch(ingest.ReleaseRule{}, "event", in)
		apply(t, b)
		if got, _ := b.Items[0].Event().Get("timestamp"); string(got) != want {
			t.Errorf("%s: timestamp %s, want %s", in, got, want)
		}
	}
}

func TestItems(t *testing.T) {
	rule := ingest.ReleaseRule{Default: "shop@0", Environment: "production"}
	bare := ingest.ReleaseRule{}
	long := strings.Repeat("x", 201)
	tests := []struct {
		name, typ string
		rule      ingest.ReleaseRule
		in, want  string
		dropped   string // the reason
	}{
		{"valid names stay", "event", rule, `{"release":"a@1","dist":"7","environment":"staging"}`, `{"release":"a@1","dist":"7","environment":"staging",` + tags + `}`, ""},
		{"white space and big numbers stay", "event", rule, "{ \"n\" : 9007199254740993,\n \"release\" : \"a@1\" , \"environment\":\"e\" }", "{ \"n\" : 9007199254740993,\n \"release\" : \"a@1\" , \"environment\":\"e\"," + tags + " }", ""},
		{"missing release", "event", rule, `{"environment":"e"}`, `{"environment":"e","release":"shop@0",` + tags + `}`, ""},
		{"null release", "event", rule, `{"release":null,"environment":"e"}`, `{"release":"shop@0","environment":"e",` + tags + `}`, ""},
		{"empty release", "event", rule, `{"release":"","environment":"e"}`, `{"release":"shop@0","environment":"e",` + tags + `}`, ""},
		{"release of another kind", "event", rule, `{"release":12,"environment":"e"}`, `{"release":"shop@0","environment":"e",` + tags + `}`, ""},
		{"invalid release", "event", rule, `{"release":"a/b","environment":"e"}`, `{"release":"shop@0","environment":"e",` + tags + `}`, ""},
		{"latest is no release", "event", rule, `{"release":"Latest","environment":"e"}`, `{"release":"shop@0","environment":"e",` + tags + `}`, ""},
		{"too long release", "event", rule, `{"release":"` + long + `","environment":"e"}`, `{"release":"shop@0","environment":"e",` + tags + `}`, ""},
		{"the dist goes with its release", "event", rule, `{"release":"a/b","dist":"7","environment":"e"}`, `{"release":"shop@0","environment":"e",` + tags + `}`, ""},
		{"a dist without release", "event", bare, `{"dist":"7"}`, `{` + tags + `}`, ""},
		{"invalid dist", "event", bare, `{"release":"a@1","dist":"a b"}`, `{"release":"a@1",` + tags + `}`, ""},
		{"dist as number", "event", bare, `{"release":"a@1","dist":7}`, `{"release":"a@1","dist":7,` + tags + `}`, ""},
		{"no default: invalid release removed", "event", bare, `{"release":"a\nb","dist":"1","x":1}`, `{"x":1,` + tags + `}`, ""},
		{"no default: missing release", "event", bare, `{"x":1}`, `{"x":1,` + tags + `}`, ""},
		{"missing environment", "event", rule, `{"release":"a@1"}`, `{"release":"a@1","environment":"production",` + tags + `}`, ""},
		{"invalid environment", "event", rule, `{"release":"a@1","environment":"None"}`, `{"release":"a@1","environment":"production",` + tags + `}`, ""},
		{"invalid environment, no default", "event", bare, `{"release":"a@1","environment":"a/b"}`, `{"release":"a@1",` + tags + `}`, ""},
		{"environment as a tag", "event", rule, `{"release":"a@1","tags":[["environment","qa"]]}`, `{"release":"a@1","tags":[["environment","qa"],["gateway.project","shop"],["gateway.received_at","2026-11-03T12:00:00.123Z"]]}`, ""},
		{"invalid environment beside a tag", "event", rule, `{"release":"a@1","environment":"none","tags":{"environment":"qa"}}`, `{"release":"a@1","environment":"production","tags":{"environment":"qa","gateway.project":"shop","gateway.received_at":"2026-11-03T12:00:00.123Z"}}`, ""},
		{"forged tags", "event", rule, `{"release":"a@1","environment":"e","tags":{"gateway.project":"other","a":"b"}}`, `{"release":"a@1","environment":"e","tags":{"gateway.project":"shop","a":"b","gateway.received_at":"2026-11-03T12:00:00.123Z"}}`, ""},
		{"required and missing", "event", ingest.ReleaseRule{Required: true}, `{"x":1}`, "", ReasonRequired},
		{"required and invalid", "event", ingest.ReleaseRule{Required: true}, `{"release":"a/b"}`, "", ReasonRequired},
		{"required and there", "event", ingest.ReleaseRule{Required: true}, `{"release":"a@1"}`, `{"release":"a@1",` + tags + `}`, ""},
		{"required, but a default", "event", ingest.ReleaseRule{Required: true, Default: "shop@0"}, `{}`, `{"release":"shop@0",` + tags + `}`, ""},
		{"required and not JSON", "event", ingest.ReleaseRule{Required: true}, `nonsense`, "", ReasonRequired},
		{"not JSON", "event", rule, `nonsense`, `nonsense`, ""},

		{"transaction untouched", "transaction", rule, `{"release":"a@1" ,"x":1}`, `{"release":"a@1" ,"x":1}`, ""},
		{"transaction without names", "transaction", ingest.ReleaseRule{Default: "shop@0", Environment: "production", Required: true}, `{"x":1}`, `{"x":1}`, ""},
		{"transaction with invalid names", "transaction", rule, `{"release":"a/b","dist":"1","environment":"..","x":1}`, `{"x":1}`, ""},
		{"feedback with an invalid release", "feedback", rule, `{"release":"a/b","x":1}`, `{"x":1}`, ""},
		{"replay with an invalid environment", "replay_event", rule, `{"environment":"none","x":1}`, `{"x":1}`, ""},
		{"check-in with an invalid release", "check_in", rule, `{"release":"latest","status":"ok"}`, `{"status":"ok"}`, ""},

		{"session", "session", rule, `{"sid":"1","attrs":{"release":"a@1","environment":"e"}}`, `{"sid":"1","attrs":{"release":"a@1","environment":"e"}}`, ""},
		{"session with an invalid release", "session", rule, `{"sid":"1","attrs":{"release":"a/b"}}`, "", ReasonInvalid},
		{"session without a release", "session", bare, `{"sid":"1","attrs":{}}`, "", ReasonInvalid},
		{"session without attributes", "session", bare, `{"sid":"1"}`, "", ReasonInvalid},
		{"session with attributes of another kind", "session", bare, `{"sid":"1","attrs":"x"}`, "", ReasonInvalid},
		{"session gets the default", "session", rule, `{"sid":"1","attrs":{"environment":"e"},"seq":9007199254740993}`, `{"sid":"1","attrs":{"environment":"e","release":"shop@0"},"seq":9007199254740993}`, ""},
		{"session with an invalid environment", "session", rule, `{"attrs":{"release":"a@1","environment":"none"}}`, `{"attrs":{"release":"a@1"}}`, ""},
		{"aggregates with an invalid release", "sessions", rule, `{"aggregates":[],"attrs":{"release":"."}}`, "", ReasonInvalid},

		{"user report", "user_report", rule, `{"comments":"x"}`, `{"comments":"x"}`, ""},
		{"client report", "client_report", ingest.ReleaseRule{Required: true}, `{}`, `{}`, ""},
		{"attachment that looks like an event", "attachment", rule, `{"release":"a/b"}`, `{"release":"a/b"}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := batch(tt.rule, tt.typ, tt.in)
			apply(t, b)
			it := b.Items[0]
			if tt.dropped != "" {
				if it.Outcome != schemas.Invalid || it.Reason != tt.dropped {
					t.Errorf("ended as %q %q, want %q", it.Outcome, it.Reason, tt.dropped)
				}
				if refused := b.Refusal != nil; refused != (tt.dropped == ReasonRequired) {
					t.Errorf("refusal %v", b.Refusal)
				}
				return
			}
			if !it.Alive() || b.Refusal != nil {
				t.Fatalf("ended as %q %q", it.Outcome, it.Reason)
			}
			if got := text(it); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestSecurityReportsCarryTheNamesInTheirHeader(t *testing.T) {
	for _, tt := range []struct {
		name, release, environment string
		rule                       ingest.ReleaseRule
		want                       string
	}{
		{"named", "a@1", "e", ingest.ReleaseRule{Default: "shop@0"}, `{"type":"raw_security","sentry_release":"a@1","sentry_environment":"e"}`},
		{"invalid, defaults", "a/b", "none", ingest.ReleaseRule{Default: "shop@0", Environment: "production"}, `{"type":"raw_security","sentry_release":"shop@0","sentry_environment":"production"}`},
		{"invalid, no defaults, required", "a/b", "none", ingest.ReleaseRule{Required: true}, `{"type":"raw_security"}`},
	} {
		b := batch(tt.rule, "raw_security", `{"csp-report":{}}`)
		b.Items[0].Header = schemas.NewItemHeader("raw_security", "sentry_release", tt.release, "sentry_environment", tt.environment)
		apply(t, b)
		if got := string(b.Items[0].Header.Bytes()); got != tt.want || !b.Items[0].Alive() || text(b.Items[0]) != `{"csp-report":{}}` {
			t.Errorf("%s: %s", tt.name, got)
		}
	}
}

func TestWhatIsDroppedTakesOnlyItsOwnAlong(t *testing.T) {
	b := batch(ingest.ReleaseRule{Required: true}, "event", `{}`, "attachment", `x`, "session", `{"attrs":{"release":"a@1"}}`, "session", `{"attrs":{"release":"a/b"}}`, "client_report", `{}`)
	apply(t, b)
	want := []string{ReasonRequired, ReasonRequired, "", ReasonInvalid, ""}
	for i, it := range b.Items {
		if it.Reason != want[i] {
			t.Errorf("%s: %q, want %q", it.Header.Type, it.Reason, want[i])
		}
	}
	if !errors.Is(b.Refusal, ingest.RejectRelease) {
		t.Errorf("refusal %v", b.Refusal)
	}
	earlier := ingest.RejectEventID
	b = batch(ingest.ReleaseRule{Required: true}, "event", `{}`)
	b.Refusal = earlier
	apply(t, b)
	if b.Refusal != earlier {
		t.Error("what the decoder said first was replaced")
	}
	b = batch(ingest.ReleaseRule{Required: true}, "event", `{}`)
	b.Items[0].Outcome, b.Items[0].Reason = schemas.Filtered, "localhost"
	apply(t, b)
	if b.Items[0].Reason != "localhost" || b.Refusal != nil {
		t.Error("an item that had ended was judged again")
	}
}

func TestTheClockIsAskedOnlyForRequestsWithoutATime(t *testing.T) {
	b := batch(ingest.ReleaseRule{}, "event", `{}`)
	b.Request.ReceivedAt = time.Time{}
	if err := New(func() time.Time { return arrived.Add(time.Second) }).Apply(b); err != nil {
		t.Fatal(err)
	}
	if got := text(b.Items[0]); !strings.Contains(got, "2026-11-03T12:00:01.123Z") {
		t.Error(got)
	}
}

// TestCapturedTraffic: of every captured event only the tags change, and no
// captured session is lost.
func TestCapturedTraffic(t *testing.T) {
	files, err := filepath.Glob("../../schemas/testdata/fixtures/sentry-*/*/*/body.bin")
	if err != nil || len(files) < 200 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	events := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b := batch(ingest.ReleaseRule{Default: "shop@0", Environment: "production", Required: true})
		r := schemas.NewReader(bytes.NewReader(raw))
		if _, err := r.Header(); err != nil {
			continue // no envelope
		}
		for {
			h, p, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			payload, err := io.ReadAll(p)
			if err != nil {
				t.Fatal(err)
			}
			b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: h, Payload: schemas.Bytes(payload)}))
		}
		before := make([]string, len(b.Items))
		for i, it := range b.Items {
			before[i] = text(it)
		}
		apply(t, b)
		for i, it := range b.Items {
			if !it.Alive() {
				t.Errorf("%s: %s ended as %s", file, it.Header.Type, it.Reason)
			}
			if it.Header.Type != "event" {
				if text(it) != before[i] {
					t.Errorf("%s: %s changed", file, it.Header.Type)
				}
				continue
			}
			events++
			was, _ := schemas.ParseEvent([]byte(before[i]))
			is := it.Event()
			for _, name := range was.Names() {
				a, _ := was.Get(name)
				if b, _ := is.Get(name); name != "tags" && !bytes.Equal(a, b) {
					t.Errorf("%s: %s changed", file, name)
				}
			}
			if v, _ := is.Tag(TagProject); v != "shop" {
				t.Errorf("%s: tag %q", file, v)
			}
		}
	}
	if events < 50 {
		t.Errorf("only %d events", events)
	}
}

func BenchmarkApply(b *testing.B) {
	const in = `{"exception":{"values":[{"type":"TypeError","value":"x"}]},"level":"error","platform":"javascript","release":"shop@1","environment":"production","tags":{"a":"b"}}`
	b.ReportAllocs()
	for b.Loop() {
		if err := New(nil).Apply(batch(ingest.ReleaseRule{}, "event", in)); err != nil {
			b.Fatal(err)
		}
	}
}
