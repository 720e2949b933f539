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
	for _, f := range ex[1].Frames {
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
			for _, f := range ex.Frames {
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
	if ex, _ := ev.FirstException(); len(ex.Frames) != MaxFrames || ex.Frames[MaxFrames-1].Function != "crash" {
		t.Errorf("%d frames", len(ex.Frames))
	}
	m, _ := event(t, `{"exceptions":[{"type":"E","stack":"`+strings.Repeat("ü", 50_000)+`"}]}`)
	if s, _ := at(m, "contexts", "crash_report", "stack").(string); len(s) < maxRawStack-4 || len(s) > maxRawStack+4 {
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

func TestSeveralReports(t *testing.T) {
	const id = "9ec79c33ec9942ab8353589fcb2e04dc"
	b, err := decode(t, `{"reports":[{"message":"a","id":"`+id+`"},{"message":1},{"message":"b"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Items) != 3 || !b.Items[0].Alive() || !b.Items[1].Alive() || b.Items[2].Outcome != schemas.Invalid || b.Items[2].Reason != "invalid_report" {
		t.Fatalf("%+v", b.Items)
	}
	var reply struct {
		ID       string
		IDs      []string
		Rejected []struct {
			Index int
			Cause string
		}
	}
	if b.Reply == nil || json.Unmarshal(b.Reply.Body, &reply) != nil || reply.ID != id || len(reply.IDs) != 2 || reply.IDs[0] != id || reply.IDs[1] != b.Items[1].Event().EventID() ||
		len(reply.Rejected) != 1 || reply.Rejected[0].Index != 1 || !strings.HasPrefix(reply.Rejected[0].Cause, "message:") {
		t.Errorf("%+v", reply)
	}
	b, err = decode(t, `[{"message":1},{}]`)
	if err != nil || b.EventID != "" || b.Refusal.Status != 400 {
		t.Fatalf("%+v %v", b, err)
	}
	want := []string{"reports[0].message: must not be a number like this", "reports[1].message: a message or an exception is required"}
	if diff := cmp.Diff(want, b.Refusal.Causes); diff != "" {
		t.Error(diff)
	}
	if RejectReport.Causes != nil {
		t.Error("the template was changed")
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
