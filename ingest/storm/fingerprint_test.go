package storm

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/schemas"
)

func event(t testing.TB, raw string) *schemas.Event {
	t.Helper()
	ev, err := schemas.ParseEvent([]byte(raw))
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return ev
}

const base = `{"release":"shop@1","environment":"production","exception":{"values":[{"type":"TypeError","value":"Cannot read properties of undefined (reading 'price')",
"stacktrace":{"frames":[
{"filename":"https://cdn.example/assets/react-dom-AAAA1111.js","function":"dispatch","in_app":false,"lineno":1,"colno":10},
{"filename":"https://cdn.example/assets/index-BxT3k9aQ.js?v=1","function":"onClick","in_app":true,"lineno":1,"colno":4711},
{"filename":"https://cdn.example/assets/index-BxT3k9aQ.js?v=1","function":"total","in_app":true,"lineno":1,"colno":99}]}}]}}`

func TestFingerprintAgreesAndDiffers(t *testing.T) {
	want := Read(event(t, base))
	for name, swap := range map[string][]string{
		"other quoted text": {"'price'", "'quantity'"},
		"other lines":       {"4711", "12"},
		"other build":       {"index-BxT3k9aQ.js?v=1", "index-Zz91kQpl.js?v=2"},
		"other host":        {"cdn.example", "cdn2.example"},
		"other framework":   {"dispatch", "flushSync"},
		"another release":   {"shop@1", "shop@2"},
	} {
		if got := Read(event(t, strings.NewReplacer(swap...).Replace(base))); got.ID != want.ID {
			t.Errorf("%s: must be the same error", name)
		}
	}
	for name, swap := range map[string][]string{
		"other type":     {`"TypeError"`, `"RangeError"`},
		"other message":  {"Cannot read", "Cannot set"},
		"other function": {"total", "subtotal"},
		"other file":     {"/assets/index", "/assets/cart"},
		"a frame less":   {`{"filename":"https://cdn.example/assets/index-BxT3k9aQ.js?v=1","function":"onClick","in_app":true,"lineno":1,"colno":4711},`, ""},
		"own grouping":   {`{"release"`, `{"fingerprint":["cart"],"release"`},
		"own addition":   {`{"release"`, `{"fingerprint":["{{ default }}","cart"],"release"`},
	} {
		changed := strings.NewReplacer(swap...).Replace(base)
		if changed == base {
			t.Fatalf("%s: nothing replaced", name)
		}
		if got := Read(event(t, changed)); got.ID == want.ID {
			t.Errorf("%s: must be another error", name)
		}
	}
	if want.Title != "TypeError: Cannot read properties of undefined (reading <str>)" || want.Release != "shop@1" || want.Level != "error" {
		t.Errorf("%+v", want)
	}
}

func TestClientFingerprint(t *testing.T) {
	id := func(exception, fingerprint string) ID {
		return Read(event(t, fmt.Sprintf(`{"exception":[{"type":%q,"value":"x"}],"fingerprint":%s}`, exception, fingerprint))).ID
	}
	if id("A", `["a","b"]`) != id("B", `["a","b"]`) {
		t.Error("a client's own fingerprint groups whatever is inside")
	}
	if id("A", `["{{ default }}","b"]`) == id("B", `["{{ default }}","b"]`) {
		t.Error("{{ default }} was not expanded")
	}
	for _, same := range []string{`["{{default}}"]`, `["{{ default }}"]`, `[]`, `null`, `"{{ default }}"`, `{}`} {
		if id("A", same) != id("A", `["{{  default  }}"]`) {
			t.Errorf("%s must be the default", same)
		}
	}
	if id("A", `[1,true]`) != id("A", `["1","true"]`) {
		t.Error("numbers are taken as text")
	}
	if id("A", `["ab",""]`) == id("A", `["a","b"]`) {
		t.Error("parts run together")
	}
}

func TestMessagesAndOddities(t *testing.T) {
	a := Read(event(t, `{"message":"Payment 4711 failed"}`))
	b := Read(event(t, `{"logentry":{"formatted":"Payment 12 failed"}}`))
	if a.ID != b.ID || a.Title != "Payment <n> failed" {
		t.Errorf("%+v %+v", a, b)
	}
	if c := Read(event(t, `{"message":"Payment 12 failed","logger":"jobs"}`)); c.ID == a.ID {
		t.Error("another logger's message")
	}
	seen := map[ID]string{}
	for _, raw := range []string{
		`{}`, `{"exception":[{"type":"A"}]}`, `{"exception":{"values":[{"value":"A"}]}}`,
		`{"exception":[{"type":"A"},{"type":"B"}]}`, `{"exception":[{"type":"B"},{"type":"A"}]}`,
		`{"exception":[{"type":"A","stacktrace":{"frames":[{"function":"f"}]}}]}`,
		`{"exception":[{"type":"A","stacktrace":{"frames":[{"function":"g"}]}}]}`,
		`{"exception":[{"type":"A","stacktrace":{"frames":[{"module":"app.jobs","function":"f"}]}}]}`,
	} {
		id := Read(event(t, raw)).ID
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s are the same", raw, other)
		}
		seen[id] = raw
	}
	for _, raw := range []string{`{"exception":5}`, `{"exception":[null,7,{}]}`, `{"fingerprint":7,"message":[]}`, `{"exception":{"values":"x"}}`} {
		Read(event(t, raw)) // anything goes
	}
}

// What SDKs really send: the two hundred errors of the recorded storm are two
// fingerprints (the first 20 come from a call, the others from a timer, with one
// frame less), and different scenarios are different ones.
func TestRecordedErrors(t *testing.T) {
	dir := filepath.Join("..", "..", "schemas", "testdata", "fixtures", "sentry-browser")
	ids := map[string]map[ID]int{}
	for _, scenario := range []string{"error-storm", "error-storm-burst", "large-event"} {
		bodies, err := filepath.Glob(filepath.Join(dir, scenario, "*", "body.bin"))
		if err != nil || len(bodies) == 0 {
			t.Fatalf("no recorded %s: %v", scenario, err)
		}
		ids[scenario] = map[ID]int{}
		for _, path := range bodies {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range strings.Split(string(raw), "\n") {
				if !json.Valid([]byte(line)) || !strings.Contains(line, `"exception"`) {
					continue
				}
				f := Read(event(t, line))
				ids[scenario][f.ID]++
				if f.Title == "" {
					t.Errorf("%s has no title", path)
				}
			}
		}
	}
	if len(ids["error-storm"]) != 2 || len(ids["error-storm-burst"]) != 1 {
		t.Errorf("the recorded storms are %v", ids)
	}
	for id := range ids["error-storm"] {
		if ids["large-event"][id] > 0 {
			t.Error("a storm's error and a large one are the same")
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte(`{"fingerprint":["{{ default }}"],"exception":[{"type":"\ud800","value":{"a":1}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ev, err := schemas.ParseEvent(raw)
		if err != nil {
			return
		}
		a, b := Read(ev), Read(ev)
		if a != b {
			t.Error("not the same twice")
		}
		if len(a.Title) > maxTitle {
			t.Errorf("title of %d bytes", len(a.Title))
		}
	})
}

func BenchmarkRead(b *testing.B) {
	ev := event(b, base)
	b.ReportAllocs()
	for b.Loop() {
		Read(ev)
	}
}
