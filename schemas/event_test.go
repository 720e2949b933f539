package schemas

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func event(t testing.TB, raw string) *Event {
	t.Helper()
	e, err := ParseEvent([]byte(raw))
	if err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return e
}

func TestEventTexts(t *testing.T) {
	tests := []struct {
		name, in string
		get      func(*Event) string
		want     string
	}{
		{"release", `{"release":"a@1"}`, (*Event).Release, "a@1"},
		{"release of another kind", `{"release":1}`, (*Event).Release, ""},
		{"release null", `{"release":null}`, (*Event).Release, ""},
		{"dist", `{"dist":"45"}`, (*Event).Dist, "45"},
		{"dist as number", `{"dist":45}`, (*Event).Dist, "45"},
		{"environment", `{"environment":"staging"}`, (*Event).Environment, "staging"},
		{"event id", `{"event_id":"9EC7-9c33"}`, (*Event).EventID, "9EC7-9c33"},
		{"type", `{"type":"transaction"}`, (*Event).Type, "transaction"},
		{"platform", `{"platform":"javascript"}`, (*Event).Platform, "javascript"},
		{"logger", `{"logger":"root"}`, (*Event).Logger, "root"},
		{"transaction", `{"transaction":"/user/:id"}`, (*Event).Transaction, "/user/:id"},
		{"transaction source", `{"transaction_info":{"source":"route"}}`, (*Event).TransactionSource, "route"},
		{"transaction source elsewhere", `{"transaction_info":"route"}`, (*Event).TransactionSource, ""},
		{"level absent", `{}`, (*Event).Level, "error"},
		{"level fatal", `{"level":"fatal"}`, (*Event).Level, "fatal"},
		{"level critical", `{"level":"critical"}`, (*Event).Level, "fatal"},
		{"level warn", `{"level":"warn"}`, (*Event).Level, "warning"},
		{"level log", `{"level":"log"}`, (*Event).Level, "info"},
		{"level in capitals", `{"level":"WARNING"}`, (*Event).Level, "warning"},
		{"level of Python 50", `{"level":50}`, (*Event).Level, "fatal"},
		{"level of Python 40", `{"level":40}`, (*Event).Level, "error"},
		{"level of Python 30", `{"level":30}`, (*Event).Level, "warning"},
		{"level of Python 20", `{"level":20}`, (*Event).Level, "info"},
		{"level of Python 10 in quotes", `{"level":"10"}`, (*Event).Level, "debug"},
		{"level unknown", `{"level":"catastrophe"}`, (*Event).Level, "error"},
		{"level of another kind", `{"level":{}}`, (*Event).Level, "error"},
		{"message", `{"message":"hello"}`, (*Event).Message, "hello"},
		{"message object", `{"message":{"message":"a %s","formatted":"a b"}}`, (*Event).Message, "a b"},
		{"message object without formatted", `{"message":{"message":"a %s"}}`, (*Event).Message, "a %s"},
		{"logentry formatted", `{"logentry":{"message":"a %s","params":["b"],"formatted":"a b"},"message":"other"}`, (*Event).Message, "a b"},
		{"logentry message", `{"logentry":{"message":"a %s"}}`, (*Event).Message, "a %s"},
		{"logentry string", `{"logentry":"a"}`, (*Event).Message, "a"},
		{"logentry unformatted beside a message", `{"logentry":{"message":"a %s"},"message":"a b"}`, (*Event).Message, "a b"},
		{"message in the old key", `{"sentry.interfaces.Message":{"formatted":"x"}}`, (*Event).Message, "x"},
		{"message of another kind", `{"message":[1]}`, (*Event).Message, ""},
		{"user ip", `{"user":{"ip_address":"{{auto}}"}}`, (*Event).UserIP, "{{auto}}"},
		{"user ip in the old key", `{"user":null,"sentry.interfaces.User":{"ip_address":"1.2.3.4"}}`, (*Event).UserIP, "1.2.3.4"},
		{"user null", `{"user":null}`, (*Event).UserIP, ""},
		{"user of another kind", `{"user":"x"}`, (*Event).UserIP, ""},
		{"request url", `{"request":{"url":"https://a.example/"}}`, (*Event).RequestURL, "https://a.example/"},
		{"request url in the old key", `{"sentry.interfaces.Http":{"url":"https://a.example/"}}`, (*Event).RequestURL, "https://a.example/"},
		{"user agent", `{"request":{"headers":{"user-agent":"Mozilla"}}}`, (*Event).UserAgent, "Mozilla"},
		{"user agent in pairs", `{"request":{"headers":[["Accept","*/*"],["User-Agent","Mozilla"]]}}`, (*Event).UserAgent, "Mozilla"},
		{"user agent as list", `{"request":{"headers":{"User-Agent":["Mozilla","x"]}}}`, (*Event).UserAgent, "Mozilla"},
		{"user agent in broken pairs", `{"request":{"headers":[["User-Agent"],null,"User-Agent",[]]}}`, (*Event).UserAgent, ""},
		{"sdk name", `{"sdk":{"name":"sentry.javascript.react"}}`, (*Event).SDKName, "sentry.javascript.react"},
		{"sdk version", `{"sdk":{"version":"10.1"}}`, (*Event).SDKVersion, "10.1"},
		{"infer ip", `{"sdk":{"settings":{"infer_ip":"never"}}}`, (*Event).InferIP, "never"},
		{"infer ip without settings", `{"sdk":{"settings":null}}`, (*Event).InferIP, ""},
		{"escaped key", `{"rel\u0065ase":"a@1"}`, (*Event).Release, "a@1"},
		{"last duplicate", `{"release":"a","release":"b"}`, (*Event).Release, "b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.get(event(t, tt.in)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseTimestamp(t *testing.T) {
	day := time.Date(2021, 3, 16, 9, 37, 20, 0, time.UTC)
	tests := []struct {
		in   string
		want time.Time // zero: not a time
	}{
		{`1615887440`, day},
		{`1615887440.123456`, day.Add(123456 * time.Microsecond)},
		{`1.615887440e9`, day},
		{`"1615887440"`, day},
		{`"2021-03-16T09:37:20Z"`, day},
		{`"2021-03-16T09:37:20.123456789Z"`, day.Add(123456789)},
		{`"2021-03-16T10:37:20+01:00"`, day},
		{`"2021-03-16T09:37:20"`, day},
		{`"2021-03-16T09:37:20.5"`, day.Add(500 * time.Millisecond)},
		{`"2021-03-16 09:37:20"`, day},
		{`"2021-03-16 09:37:20.5+00:00"`, day.Add(500 * time.Millisecond)},
		{`0`, time.Unix(0, 0).UTC()},
		{`-1`, time.Time{}},
		{`1e300`, time.Time{}},
		{`"1969-12-31T23:59:59Z"`, time.Time{}},
		{`"NaN"`, time.Time{}},
		{`"yesterday"`, time.Time{}},
		{`""`, time.Time{}},
		{`null`, time.Time{}},
		{`{}`, time.Time{}},
		{`true`, time.Time{}},
	}
	for _, tt := range tests {
		got, ok := ParseTimestamp(jsontext.Value(tt.in))
		if ok == tt.want.IsZero() || !got.Equal(tt.want) {
			t.Errorf("%s: got %v, %v; want %v", tt.in, got, ok, tt.want)
		}
	}
	if _, ok := event(t, `{}`).Timestamp(); ok {
		t.Error("no timestamp is no time")
	}
}

func TestExceptions(t *testing.T) {
	yes, no := true, false
	one := []readException{{
		Exception{Type: "TypeError", Value: "x", Module: "m", Handled: &no, MechanismType: "onerror"},
		[]Frame{{Filename: "a.js", AbsPath: "https://a/a.js", Function: "f", Module: "mod", Lineno: 3, Colno: 4, InApp: &yes}, {Function: "g"}},
	}}
	const ex = `{"type":"TypeError","value":"x","module":"m","mechanism":{"type":"onerror","handled":false},"stacktrace":{"frames":[` +
		`{"filename":"a.js","abs_path":"https://a/a.js","function":"f","module":"mod","lineno":3,"colno":"4","in_app":true},null,{"function":"g","lineno":-1,"in_app":"maybe"}]}}`
	tests := []struct {
		name, in string
		want     []readException
	}{
		{"values", `{"exception":{"values":[` + ex + `]}}`, one},
		{"array", `{"exception":[` + ex + `]}`, one},
		{"object", `{"exception":` + ex + `}`, one},
		{"old key", `{"sentry.interfaces.Exception":{"values":[` + ex + `]}}`, one},
		{"null under the new key", `{"exception":null,"sentry.interfaces.Exception":[` + ex + `]}`, one},
		{"values is one object", `{"exception":{"values":` + ex + `}}`, one},
		{"nulls between", `{"exception":{"values":[null,` + ex + `,3]}}`, one},
		{"none", `{}`, nil},
		{"no values", `{"exception":{"values":[]}}`, nil},
		{"null values", `{"exception":{"values":null}}`, nil},
		{"of another kind", `{"exception":"x"}`, nil},
		{"value is a number", `{"exception":[{"type":"E","value":12}]}`, []readException{{Exception: Exception{Type: "E", Value: "12"}}}},
		{"value is an object", `{"exception":[{"type":"E","value":{"a":[1]}}]}`, []readException{{Exception: Exception{Type: "E", Value: `{"a":[1]}`}}}},
		{"handled is null", `{"exception":[{"mechanism":{"handled":null,"type":"generic"}}]}`, []readException{{Exception: Exception{MechanismType: "generic"}}}},
		{"stacktrace is null", `{"exception":[{"type":"E","stacktrace":null}]}`, []readException{{Exception: Exception{Type: "E"}}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := event(t, tt.in)
			if diff := cmp.Diff(tt.want, withFrames(e.Exceptions()), cmpopts.IgnoreUnexported(Stack{})); diff != "" {
				t.Error(diff)
			}
			first, ok := e.FirstException()
			if ok != (len(tt.want) > 0) || e.HasException() != ok || ok && first.Type != tt.want[0].Type {
				t.Errorf("first: %+v, %v", first, ok)
			}
		})
	}
	t.Run("bounded", func(t *testing.T) {
		frames := strings.Repeat(`{"function":"old"},`, 500) + `{"function":"crash"}`
		e := event(t, `{"exception":[`+strings.Repeat(`{"type":"E","stacktrace":{"frames":[`+frames+`]}},`, 100)+`{}]}`)
		got := e.Exceptions()
		if len(got) != MaxExceptions || got[0].Stack.Len() != MaxFrames || got[0].Stack.Frame(MaxFrames-1).Function != "crash" {
			t.Errorf("%d exceptions, %d frames", len(got), got[0].Stack.Len())
		}
	})
}

func TestHandled(t *testing.T) {
	for name, tt := range map[string]struct {
		in             string
		handled, known bool
	}{
		"message":            {`{"message":"x"}`, false, false},
		"mechanism absent":   {`{"exception":[{"type":"E"}]}`, false, false},
		"handled":            {`{"exception":[{"mechanism":{"handled":true}}]}`, true, true},
		"unhandled":          {`{"exception":[{"mechanism":{"handled":false}}]}`, false, true},
		"one of a chain":     {`{"exception":[{"mechanism":{"handled":true}},{"mechanism":{"handled":false}},{}]}`, false, true},
		"the other way":      {`{"exception":[{"mechanism":{"handled":false}},{"mechanism":{"handled":true}}]}`, false, true},
		"as text":            {`{"exception":[{"mechanism":{"handled":"false"}}]}`, false, true},
		"mechanism is text":  {`{"exception":[{"mechanism":"generic"}]}`, false, false},
		"handled is no word": {`{"exception":[{"mechanism":{"handled":"who knows"}}]}`, false, false},
	} {
		e := event(t, tt.in)
		handled, known := e.Handled()
		if handled != tt.handled || known != tt.known || e.IsUnhandledCrash() != (tt.known && !tt.handled) {
			t.Errorf("%s: %v, %v", name, handled, known)
		}
	}
}

func TestFingerprint(t *testing.T) {
	for in, want := range map[string][]string{
		`{}`:                      nil,
		`{"fingerprint":null}`:    nil,
		`{"fingerprint":[]}`:      nil,
		`{"fingerprint":"one"}`:   {"one"},
		`{"fingerprint":{"a":1}}`: nil,
		`{"fingerprint":["{{ default }}",42,true,null,{}]}`: {"{{ default }}", "42", "true"},
	} {
		if diff := cmp.Diff(want, event(t, in).Fingerprint()); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
}

func TestAddTags(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"absent", `{"a":1}`, `{"a":1,"tags":{"gateway.project":"shop"}}`},
		{"null", `{"tags":null,"a":1}`, `{"tags":{"gateway.project":"shop"},"a":1}`},
		{"of another kind", `{"tags":"x"}`, `{"tags":{"gateway.project":"shop"}}`},
		{"empty object", `{"tags":{}}`, `{"tags":{"gateway.project":"shop"}}`},
		{"object", `{"tags":{ "a" : 9223372036854775809 }}`, `{"tags":{ "a" : 9223372036854775809,"gateway.project":"shop" }}`},
		{"object with the key", `{"tags":{"gateway.project":"forged","a":"b"}}`, `{"tags":{"gateway.project":"shop","a":"b"}}`},
		{"empty array", `{"tags":[]}`, `{"tags":[["gateway.project","shop"]]}`},
		{"pairs", `{"tags":[["a", "b"]]}`, `{"tags":[["a", "b"],["gateway.project","shop"]]}`},
		{"pairs with the key", `{"tags":[["gateway.project","forged"],["a","b"],null]}`, `{"tags":[["a","b"],null,["gateway.project","shop"]]}`},
		{
			"key and value objects", `{"tags":[{"key":"a","value":"b"},{"value":"forged","key":"gateway.project"}]}`,
			`{"tags":[{"key":"a","value":"b"},{"key":"gateway.project","value":"shop"}]}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := event(t, tt.in)
			e.AddTags("gateway.project", "shop")
			if got := string(e.Bytes()); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if v, ok := e.Tag("gateway.project"); !ok || v != "shop" {
				t.Errorf("tag reads %q, %v", v, ok)
			}
		})
	}
	e := event(t, `{"tags":[["n",1],["n",2],["b",true],["z",null]]}`)
	for key, want := range map[string]string{"n": "1", "b": "true", "z": "", "absent": ""} {
		if got, ok := e.Tag(key); got != want || ok != (want != "") {
			t.Errorf("%s: %q, %v", key, got, ok)
		}
	}
}

func TestEventEditsKeepTheRest(t *testing.T) {
	e := event(t, `{"event_id":"x", "release":"bad/one" ,"dist":"1","environment":"none","n":9007199254740993}`)
	e.SetEnvironment("production")
	e.DeleteRelease()
	if got, want := string(e.Bytes()), `{"event_id":"x","environment":"production","n":9007199254740993}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	e.SetRelease("shop@1")
	e.SetDist("7")
	e.DeleteDist()
	e.DeleteEnvironment()
	if got, want := string(e.Bytes()), `{"event_id":"x","n":9007199254740993,"release":"shop@1"}`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestEventFixtures: what the view reads of every captured event is what a
// full decode finds there.
func TestEventFixtures(t *testing.T) {
	n := 0
	for _, f := range fixtures(t) {
		if !f.isEnvelope() {
			continue
		}
		env, err := readAll(bytes.NewReader(f.body(t)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range env.Items {
			payload, _ := env.Items[i].InMemory()
			if typ := env.Items[i].Header.Type; typ != "event" && typ != "transaction" && typ != "feedback" {
				continue
			}
			n++
			e := event(t, string(payload))
			var full struct {
				EventID     string `json:"event_id"`
				Release     string
				Environment string
				Level       string
				Platform    string
				Message     any
				Timestamp   float64
				SDK         struct{ Name, Version string }
				Request     struct {
					URL     string
					Headers map[string]string
				}
				Exception struct {
					Values []struct {
						Type, Value string
						Mechanism   struct {
							Type    string
							Handled *bool
						}
						Stacktrace struct {
							Frames []struct {
								Filename, Function string
								AbsPath            string `json:"abs_path"`
								Lineno, Colno      int
								InApp              *bool `json:"in_app"`
							}
						}
					}
				}
			}
			if err := json.Unmarshal(payload, &full); err != nil {
				t.Fatal(err)
			}
			for what, pair := range map[string][2]string{
				"event id": {full.EventID, e.EventID()}, "release": {full.Release, e.Release()}, "environment": {full.Environment, e.Environment()},
				"platform": {full.Platform, e.Platform()}, "sdk": {full.SDK.Name + full.SDK.Version, e.SDKName() + e.SDKVersion()},
				"url": {full.Request.URL, e.RequestURL()}, "user agent": {full.Request.Headers["User-Agent"], e.UserAgent()},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s: %s: got %q, want %q", f.ID, what, pair[1], pair[0])
				}
			}
			if want, ok := full.Message.(string); ok && e.Message() != want {
				t.Errorf("%s: message %q, want %q", f.ID, e.Message(), want)
			}
			if full.Level != "" && e.Level() != full.Level {
				t.Errorf("%s: level %q, want %q", f.ID, e.Level(), full.Level)
			}
			if ts, ok := e.Timestamp(); !ok || ts.Sub(time.UnixMicro(int64(full.Timestamp*1e6+0.5))).Abs() > time.Microsecond {
				t.Errorf("%s: time %v", f.ID, ts)
			}
			var want []readException
			for _, v := range full.Exception.Values {
				ex := readException{Exception: Exception{Type: v.Type, Value: v.Value, Handled: v.Mechanism.Handled, MechanismType: v.Mechanism.Type}}
				for _, fr := range v.Stacktrace.Frames {
					ex.Frames = append(ex.Frames, Frame{Filename: fr.Filename, AbsPath: fr.AbsPath, Function: fr.Function, Lineno: fr.Lineno, Colno: fr.Colno, InApp: fr.InApp})
				}
				want = append(want, ex)
			}
			if diff := cmp.Diff(want, withFrames(e.Exceptions()), cmpopts.IgnoreUnexported(Stack{})); diff != "" {
				t.Errorf("%s: %s", f.ID, diff)
			}
			before := string(e.Bytes())
			e.AddTags("gateway.project", "shop")
			e.SetRelease("shop@1")
			e.DeleteRelease()
			var a, b map[string]any
			if json.Unmarshal([]byte(before), &a) != nil || json.Unmarshal(e.Bytes(), &b) != nil {
				t.Fatalf("%s: edits broke the event", f.ID)
			}
			for _, m := range []map[string]any{a, b} {
				delete(m, "release")
				delete(m, "dist")
				delete(m, "tags")
			}
			if diff := cmp.Diff(a, b); diff != "" {
				t.Errorf("%s: %s", f.ID, diff)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d events among the fixtures", n)
	}
}

func TestContainers(t *testing.T) {
	n := 0
	for _, f := range fixtures(t) {
		if !f.isEnvelope() {
			continue
		}
		env, err := readAll(bytes.NewReader(f.body(t)))
		if err != nil {
			t.Fatal(err)
		}
		for i := range env.Items {
			h := env.Items[i].Header
			if !h.IsContainer() {
				continue
			}
			n++
			payload, _ := env.Items[i].InMemory()
			c, err := ParseContainer(payload)
			if err != nil {
				t.Fatalf("%s: %v", f.ID, err)
			}
			count, ok := h.ItemCount()
			if !ok || count != len(c.Items) {
				t.Fatalf("%s: %d items, header says %d", f.ID, len(c.Items), count)
			}
			if !bytes.Equal(c.Bytes(), payload) {
				t.Errorf("%s: changed without an edit", f.ID)
			}
			var full struct{ Items []json.RawMessage }
			if err := json.Unmarshal(payload, &full); err != nil {
				t.Fatal(err)
			}
			for j := range full.Items {
				if !bytes.Equal(full.Items[j], c.Items[j]) {
					t.Errorf("%s: member %d differs", f.ID, j)
				}
			}
			first := string(c.Items[0])
			c.Items = append(c.Items[:0:0], c.Items[1:]...)
			c.Save()
			h.SetItemCount(len(c.Items))
			again, err := ParseContainer(c.Bytes())
			if got, ok := h.ItemCount(); err != nil || !ok || got != count-1 || len(again.Items) != count-1 || strings.Contains(string(c.Bytes()), first) {
				t.Errorf("%s: after removing one: %v", f.ID, err)
			}
		}
	}
	if n == 0 {
		t.Error("no container among the fixtures")
	}
	for _, bad := range []string{`{}`, `{"items":{}}`, `{"items":null}`, `[]`, `{"items":[`} {
		if _, err := ParseContainer([]byte(bad)); err == nil {
			t.Errorf("%s is no container", bad)
		}
	}
	for _, bad := range []string{`"3"`, `-1`, `1.5`, `null`, `99999999999`} {
		h := NewItemHeader("log")
		h.Set("item_count", jsontext.Value(bad))
		if n, ok := h.ItemCount(); ok {
			t.Errorf("item_count %s reads %d", bad, n)
		}
	}
}

func FuzzEvent(f *testing.F) {
	for _, b := range envelopeSeeds(f) {
		env, err := readAll(bytes.NewReader(b))
		if err != nil {
			f.Fatal(err)
		}
		for i := range env.Items {
			if b, ok := env.Items[i].InMemory(); ok {
				f.Add([]byte(b))
			}
		}
	}
	f.Add([]byte(`{"exception":[{"mechanism":{"handled":"0"}}],"tags":[["a",1],{"key":"b"}],"items":[1,{}],"timestamp":"2021-03-16 09:37:20"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := ParseEvent(raw)
		if err != nil {
			return
		}
		for _, get := range []func(*Event) string{
			(*Event).Type, (*Event).EventID, (*Event).Release, (*Event).Dist, (*Event).Environment, (*Event).Level,
			(*Event).Platform, (*Event).Transaction, (*Event).TransactionSource, (*Event).Message, (*Event).Logger, (*Event).UserIP, (*Event).RequestURL,
			(*Event).UserAgent, (*Event).SDKName, (*Event).SDKVersion, (*Event).InferIP,
		} {
			get(e)
		}
		e.Timestamp()
		e.Fingerprint()
		if len(e.Exceptions()) > MaxExceptions {
			t.Fatal("unbounded")
		}
		e.Handled()
		if c, err := ParseContainer(raw); err == nil {
			c.Save()
			if _, err := ParseContainer(c.Bytes()); err != nil {
				t.Fatalf("%s: %v", c.Bytes(), err)
			}
		}
		e.AddTags("gateway.project", "shop", "gateway.received_at", "now")
		e.DeleteRelease()
		e.SetEnvironment("production")
		again, err := ParseEvent(e.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", e.Bytes(), err)
		}
		if v, _ := again.Tag("gateway.project"); v != "shop" || again.Release() != "" || again.Environment() != "production" {
			t.Fatalf("%s: tag %q", e.Bytes(), v)
		}
	})
}
