package schemas

import (
	"bytes"
	"encoding/json"
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
