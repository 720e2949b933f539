package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"breakwater/ingest"
	"breakwater/schemas"
)

var arrived = time.Date(2026, 11, 3, 12, 0, 0, 0, time.UTC)

func decode(t testing.TB, body string) (*ingest.Batch, error) {
	t.Helper()
	return (&Protocol{}).Decode(context.Background(), &ingest.Request{ReceivedAt: arrived, UserAgent: "Mozilla/5.0 (X)"}, strings.NewReader(body))
}

// event decodes a report and returns the event as a stranger would read it.
func event(t testing.TB, body string) (map[string]any, *schemas.Event) {
	t.Helper()
	b, err := decode(t, body)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Items) != 1 || !b.Items[0].Alive() || b.Items[0].Header.Type != "event" || b.Items[0].Category != schemas.CategoryError {
		t.Fatalf("items %+v", b.Items)
	}
	raw, _ := b.Items[0].InMemory()
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	ev := b.Items[0].Event()
	if id := ev.EventID(); id != b.EventID || id != b.Header.EventID() || !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(id) {
		t.Fatalf("ids: event %q, answer %q, header %q", id, b.EventID, b.Header.EventID())
	}
	return m, ev
}

func at(m any, path ...string) any {
	for _, p := range path {
		mm, ok := m.(map[string]any)
		if !ok {
			return nil
		}
		m = mm[p]
	}
	return m
}

func TestReactNativeCrash(t *testing.T) {
	m, ev := event(t, `{"id":"9EC79C33-EC99-42AB-8353-589FCB2E04DC","platform":"react-native","release":"com.example.shop@1.4.2+45","dist":45,"environment":"production","timestamp":1495470350.758,
		"exceptions":[{"type":"SyncError","value":"offline","handled":true,"stack":"SyncError: offline\n    at g (address at index.android.bundle:1:99)"},
			{"type":"TypeError","value":"x is null","handled":false,"stack":"TypeError: x is null\n    at onPress (address at index.android.bundle:1:2345)\n    at apply (native)\n    at global (address at index.android.bundle:1:419)"}],
		"breadcrumbs":[{"timestamp":"2017-05-22T16:25:50Z","category":"ui.click","message":"pay","level":"info","data":{"n":9007199254740993}}],
		"user":{"id":7,"email":"a@b.example","data":{"vip":true}},"tags":{"screen":"Cart","n":1},
		"contexts":{"app":{"build":9007199254740993},"react_native_context":{"fabric":true}},"device":{"model":"Pixel 9","os":"Android","os_version":"16"}}`)
	for path, want := range map[string]any{
		"event_id": "9ec79c33ec9942ab8353589fcb2e04dc", "platform": "javascript", "level": "fatal", "release": "com.example.shop@1.4.2+45", "dist": "45", "environment": "production",
		"timestamp": "2017-05-22T16:25:50.758Z", "user.id": "7", "user.email": "a@b.example", "user.data.vip": "true", "tags.screen": "Cart", "tags.n": "1",
		"contexts.device.model": "Pixel 9", "contexts.os.name": "Android", "contexts.os.version": "16", "contexts.react_native_context.fabric": true,
		"contexts.react_native_context.js_engine": "hermes", "sdk.name": "breakwater.crash",
	} {
		if got := at(m, strings.Split(path, ".")...); got != want {
			t.Errorf("%s: got %v, want %v", path, got, want)
		}
	}
	raw := string(ev.Bytes())
	for _, want := range []string{`"build":9007199254740993`, `"n":9007199254740993`, `"timestamp":"2017-05-22T16:25:50Z"`} {
		if !strings.Contains(raw, want) {
			t.Errorf("%s is not in %s", want, raw)
		}
	}
	ex := ev.Exceptions()
	if len(ex) != 2 || ex[0].Type != "SyncError" || ex[1].Type != "TypeError" || ex[1].Value != "x is null" || *ex[1].Handled || !*ex[0].Handled || ex[1].MechanismType != "onerror" || ex[0].MechanismType != "chained" {
		t.Fatalf("%+v", ex)
	}
	var got []string
	for _, f := range ex[1].Stack.Frames() {
		got = append(got, fmt.Sprintf("%s %s %d:%d %v", f.Function, f.Filename, f.Lineno, f.Colno, *f.InApp))
	}
	want := []string{"global app:///index.android.bundle 1:419 true", "apply native 0:0 false", "onPress app:///index.android.bundle 1:2345 true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !ev.IsUnhandledCrash() {
		t.Error("nobody caught it")
	}
	cause := at(m["exception"].([]any)[0], "mechanism").(map[string]any)
	if cause["exception_id"] != 1.0 || cause["parent_id"] != 0.0 || cause["source"] != "cause" {
		t.Errorf("the cause is not linked: %v", cause)
	}
}

func TestEventDetails(t *testing.T) {
	const stack = `"stack":"E: x\n    at f (https://a.example/b.js:1:2)"`
	tests := []struct{ name, in, path, want string }{
		{"browser crash is an error", `{"platform":"javascript","exceptions":[{"type":"E","handled":false,` + stack + `}]}`, "level", "error"},
		{"app crash is fatal", `{"platform":"ios","exceptions":[{"type":"E","handled":false}]}`, "level", "fatal"},
		{"handled app error is not", `{"platform":"android","exceptions":[{"type":"E","handled":true}]}`, "level", "error"},
		{"unknown handling is not fatal", `{"platform":"react-native","exceptions":[{"type":"E"}]}`, "level", "error"},
		{"the client's level", `{"platform":"ios","level":"warning","exceptions":[{"type":"E","handled":false}]}`, "level", "warning"},
		{"message", `{"message":"out of memory"}`, "message", "out of memory"},
		{"message level", `{"message":"out of memory"}`, "level", "error"},
		{"ios", `{"message":"x","platform":"ios"}`, "platform", "cocoa"},
		{"android", `{"message":"x","platform":"android"}`, "platform", "java"},
		{"other", `{"message":"x"}`, "platform", "other"},
		{"time of arrival", `{"message":"x"}`, "timestamp", "2026-11-03T12:00:00Z"},
		{"time null", `{"message":"x","timestamp":null}`, "timestamp", "2026-11-03T12:00:00Z"},
		{"time zone", `{"message":"x","timestamp":"2021-03-16T10:37:20+01:00"}`, "timestamp", "2021-03-16T09:37:20Z"},
		{"user agent of a browser", `{"message":"x","platform":"javascript"}`, "request.headers.User-Agent", "Mozilla/5.0 (X)"},
		{"no user agent for apps", `{"message":"x","platform":"ios"}`, "request.headers.User-Agent", ""},
		{"device os object", `{"message":"x","device":{"os":{"name":"iOS"}}}`, "contexts.device.os.name", "iOS"},
		{"the os context wins over the device", `{"message":"x","contexts":{"os":{"name":"iOS"}},"device":{"os":"other","os_version":"18"}}`, "contexts.os.name", "iOS"},
		{"and is completed by it", `{"message":"x","contexts":{"os":{"name":"iOS"}},"device":{"os":"other","os_version":"18"}}`, "contexts.os.version", "18"},
		{"a stack nobody can read is kept", `{"exceptions":[{"type":"E","stack":"0  libc  abort + 12"}]}`, "contexts.crash_report.stack", "0  libc  abort + 12"},
		{"the engine is told", `{"platform":"react-native","exceptions":[{"type":"E","stack":"f@main.jsbundle:1:2"}]}`, "contexts.react_native_context.js_engine", "jsc"},
		{"or not known", `{"platform":"react-native","message":"x"}`, "contexts.react_native_context.js_engine", "unknown"},
		{"the client's word for it", `{"platform":"react-native","contexts":{"react_native_context":{"js_engine":"v8"}},"exceptions":[{"type":"E","stack":"f@main.jsbundle:1:2"}]}`, "contexts.react_native_context.js_engine", "v8"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := event(t, tt.in)
			got, _ := at(m, strings.Split(tt.path, ".")...).(string)
			if got != tt.want {
				t.Errorf("%s is %q, want %q", tt.path, got, tt.want)
			}
		})
	}
}

func TestExceptionDetails(t *testing.T) {
	yes, no := true, false
	tests := []struct {
		name, in         string
		typ, value, mech string
		handled          *bool
		frames           []string
	}{
		{"type and value from the stack", `{"exceptions":[{"stack":"RangeError: too far\n    at f (https://a.example/b.js:1:2)"}]}`, "RangeError", "too far", "generic", nil, []string{"f|/b.js|https://a.example/b.js"}},
		{"the client's win", `{"exceptions":[{"type":"T","value":"v","stack":"RangeError: too far\n    at f (https://a.example/b.js:1:2)"}]}`, "T", "v", "generic", nil, []string{"f|/b.js|https://a.example/b.js"}},
		{"a value alone", `{"exceptions":[{"value":"v"}]}`, "Error", "v", "generic", nil, nil},
		{"handled", `{"exceptions":[{"type":"T","handled":true}]}`, "T", "", "generic", &yes, nil},
		{"unhandled", `{"exceptions":[{"type":"T","handled":false}]}`, "T", "", "onerror", &no, nil},
		{"a rejection", `{"exceptions":[{"type":"T","handled":true,"mechanism":"onunhandledrejection"}]}`, "T", "", "onunhandledrejection", &yes, nil},
		{"frames win over the stack", `{"exceptions":[{"type":"T","stack":"T\n    at f (https://a.example/b.js:1:2)","frames":[{"function":"old"},{"function":"crash","filename":"a.js"}]}]}`, "T", "", "generic", nil, []string{"old||", "crash|a.js|"}},
		{"frames of a bundle", `{"platform":"react-native","exceptions":[{"type":"T","frames":[{"function":"f","filename":"/data/index.android.bundle"}]}]}`, "T", "", "generic", nil, []string{"f|app:///index.android.bundle|app:///index.android.bundle"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, ev := event(t, tt.in)
			ex, ok := ev.FirstException()
			if !ok || ex.Type != tt.typ || ex.Value != tt.value || ex.MechanismType != tt.mech {
				t.Errorf("%+v", ex)
			}
			if diff := cmp.Diff(tt.handled, ex.Handled); diff != "" {
				t.Error(diff)
			}
			var got []string
			for _, f := range ex.Stack.Frames() {
				got = append(got, f.Function+"|"+f.Filename+"|"+f.AbsPath)
			}
			if diff := cmp.Diff(tt.frames, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	_, ev := event(t, `{"message":"x","breadcrumbs":[{"message":"old"},`+strings.Repeat(`{"message":"m"},`, 99)+`{"message":"new"}]}`)
	if raw := string(ev.Bytes()); strings.Contains(raw, `"old"`) || !strings.Contains(raw, `"new"`) {
		t.Error("the newest hundred breadcrumbs are kept")
	}
	_, ev = event(t, `{"exceptions":[{"type":"E","frames":[`+strings.Repeat(`{"function":"old"},`, 300)+`{"function":"crash"}]}]}`)
	if ex, _ := ev.FirstException(); ex.Stack.Len() != ingest.MaxFrames || ex.Stack.Frame(ingest.MaxFrames-1).Function != "crash" {
		t.Errorf("%d frames", ex.Stack.Len())
	}
	m, _ := event(t, `{"exceptions":[{"type":"E","stack":"`+strings.Repeat("ü", 50_000)+`"}]}`)
	if s, _ := at(m, "contexts", "crash_report", "stack").(string); len(s) < 16<<10-4 || len(s) > 16<<10+4 {
		t.Errorf("%d bytes of raw stack", len(s))
	}
}

func TestIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		b, err := decode(t, `{"message":"x"}`)
		if err != nil || seen[b.EventID] || b.EventID[12] != '4' {
			t.Fatalf("%q %v", b.EventID, err)
		}
		seen[b.EventID] = true
	}
	for range 2 {
		if b, err := decode(t, `{"message":"x","id":"9ec79c33ec9942ab8353589fcb2e04dc"}`); err != nil || b.EventID != "9ec79c33ec9942ab8353589fcb2e04dc" {
			t.Fatalf("%q %v", b.EventID, err)
		}
	}
}

// Times of an offline queue: old ones stay, impossible ones give way to the
// arrival, and a wrong clock is put right by sent_at.
func TestTimes(t *testing.T) {
	for _, tt := range []struct{ name, in, want, kept string }{
		{"years old", `{"message":"x","timestamp":"2019-05-05T05:05:05Z"}`, "2019-05-05T05:05:05Z", ""},
		{"before clocks were set", `{"message":"x","timestamp":3600}`, "2026-11-03T12:00:00Z", "1970-01-01T01:00:00Z"},
		{"of the future", `{"message":"x","timestamp":"2027-01-01T00:00:00Z"}`, "2026-11-03T12:00:00Z", "2027-01-01T00:00:00Z"},
		{"a moment ahead", `{"message":"x","timestamp":"2026-11-03T12:00:59Z"}`, "2026-11-03T12:00:59Z", ""},
		{"a clock two hours behind", `{"sent_at":"2026-11-03T10:00:00Z","reports":[{"message":"x","timestamp":"2026-11-03T09:30:00Z"}]}`, "2026-11-03T11:30:00Z", ""},
		{"a clock a year ahead", `{"sent_at":"2027-11-03T12:00:00Z","reports":[{"message":"x","timestamp":"2027-11-03T11:00:00.5Z"}]}`, "2026-11-03T11:00:00.5Z", ""},
		{"a slow network is no wrong clock", `{"sent_at":"2026-11-03T11:59:30Z","reports":[{"message":"x","timestamp":"2026-11-03T11:59:00Z"}]}`, "2026-11-03T11:59:00Z", ""},
		{"one report with sent_at", `{"sent_at":"2026-11-03T10:00:00Z","message":"x","timestamp":"2026-11-03T09:30:00Z"}`, "2026-11-03T11:30:00Z", ""},
		{"sent_at that is none", `{"sent_at":"now","reports":[{"message":"x","timestamp":"2026-11-03T09:30:00Z"}]}`, "2026-11-03T09:30:00Z", ""},
		{"no time", `{"sent_at":"2026-11-03T10:00:00Z","reports":[{"message":"x"}]}`, "2026-11-03T12:00:00Z", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := event(t, tt.in)
			kept, _ := at(m, "contexts", "crash_report", "timestamp").(string)
			if got := at(m, "timestamp"); got != tt.want || kept != tt.kept {
				t.Errorf("got %v, kept %q; want %v, %q", got, kept, tt.want, tt.kept)
			}
		})
	}
	m, _ := event(t, `{"sent_at":"2026-11-03T10:00:00Z","message":"x","breadcrumbs":[{"message":"a","timestamp":"2026-11-03T09:00:00Z"},{"message":"b"}]}`)
	if got := at(m["breadcrumbs"].([]any)[0], "timestamp"); got != "2026-11-03T11:00:00Z" {
		t.Errorf("a breadcrumb's time is %v", got)
	}
}

func TestErrors(t *testing.T) {
	for in, want := range map[string]*ingest.Rejection{
		"": ingest.RejectEmpty, " ": ingest.RejectEmpty, "hello": ingest.RejectJSON, `{"message":"x"`: ingest.RejectJSON, "[]": ingest.RejectNothingUsable,
		strings.Repeat("[", 200): ingest.RejectDepth,
	} {
		_, err := decode(t, in)
		var rej *ingest.Rejection
		if !errors.As(err, &rej) || rej.Detail != want.Detail || rej.Status != want.Status {
			t.Errorf("%.20q: %v", in, err)
		}
	}
	broken := errors.New("connection reset")
	if _, err := (&Protocol{}).Decode(context.Background(), &ingest.Request{}, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestPublishedSamples: every sample of the schema that is valid becomes as
// many events as it has reports.
func TestPublishedSamples(t *testing.T) {
	files, err := filepath.Glob("../../schemas/testdata/crash/valid/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d samples, %v", len(files), err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := decode(t, string(raw))
		if err != nil || b.Refusal != nil {
			t.Errorf("%s: %v %v", file, err, b.Refusal)
			continue
		}
		for _, it := range b.Items {
			if ev := it.Event(); ev == nil || ev.EventID() == "" || ev.Message() == "" && !ev.HasException() {
				t.Errorf("%s: not an event", file)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("../../schemas/testdata/crash/*/*.json")
	for _, file := range files {
		if raw, err := os.ReadFile(file); err == nil && len(raw) < 2048 {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		b, err := decode(t, string(raw))
		if err != nil {
			if r := ingest.AsRejection(err); r.Status >= 500 {
				t.Fatal(err)
			}
			return
		}
		for _, it := range b.Items {
			if ev := it.Event(); it.Alive() && (ev == nil || len(ev.EventID()) != 32) {
				t.Fatalf("no event: %+v", it)
			}
		}
	})
}

// Two bytes of a list must not make an item and a line of the answer each.
func TestEndlessList(t *testing.T) {
	const n = 400_000
	b, err := decode(t, "["+strings.Repeat("0,", n-1)+`{"message":"never looked at"}]`)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, it := range b.Items {
		if it.Outcome != schemas.Invalid {
			t.Fatalf("%+v", it)
		}
		total += it.Quantity
	}
	answer, _ := conclude1(t, b, nil)
	if total != n || len(b.Items) > schemas.MaxCrashRejected+1 || len(answer) > 100*schemas.MaxCrashRejected {
		t.Errorf("%d of %d are counted, in %d items, and answered with %d bytes", total, n, len(b.Items), len(answer))
	}
}
