package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

var arrived = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

func request() *ingest.Request {
	return &ingest.Request{
		Project: &ingest.Project{ID: 1, Name: "shop"}, ReceivedAt: arrived, UserAgent: "Mozilla/5.0 (X)", Budget: ingest.BudgetReports,
		Header: http.Header{"Content-Type": {"application/reports+json"}},
		Query:  map[string][]string{"sentry_release": {"shop@1.4.2"}, "sentry_environment": {"production"}},
	}
}

func decode(t testing.TB, body string) *ingest.Batch {
	t.Helper()
	b, err := (&Protocol{SecurityTypes}).Decode(t.Context(), request(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func payload(t testing.TB, it *ingest.Item) string {
	t.Helper()
	raw, ok := it.InMemory()
	if !ok {
		t.Fatal("payload is not in memory")
	}
	return string(raw)
}

// What becomes of each kind.
func TestKinds(t *testing.T) {
	for _, c := range []struct{ name, in, header, payload string }{
		{"csp", `{"csp-report":{"effective-directive":"img-src"}}`, `{"type":"raw_security","content_type":"application/json","sentry_release":"shop@1.4.2","sentry_environment":"production"}`, ""},
		{"csp of an old Firefox", `{"csp-report":{"violated-directive":"img-src 'self'"}}`, `{"type":"raw_security"`, ""},
		{"csp, Reporting API", `{"type":"csp-violation","body":{"effectiveDirective":"img-src"}}`, `{"type":"raw_security"`, ""},
		{"expect-ct", `{"expect-ct-report":{"hostname":"a"}}`, `{"type":"raw_security"`, ""},
		{"expect-staple", `{"expect-staple-report":{"hostname":"a"}}`, `{"type":"raw_security"`, ""},
		{"hpkp", `{"hostname":"a","known-pins":[]}`, `{"type":"raw_security"`, ""},
		{"nel", `{"type":"network-error","body":{"phase":"dns"}}`, `{"type":"nel","content_type":"application/json"}`, ""},
		{
			"deprecation", `{"type":"deprecation","age":1500,"url":"https://shop.example/","body":{"id":"X","message":"old","sourceFile":"https://shop.example/a.js","lineNumber":7,"columnNumber":null,"anticipatedRemoval":null,"blocked":true}}`,
			`{"type":"log","content_type":"application/vnd.sentry.items.log+json","item_count":1}`,
			`{"items":[{"timestamp":1795489198.500,"trace_id":"ID","level":"warn","body":"old","attributes":{` +
				`"browser.report.blocked":{"value":true,"type":"boolean"},"browser.report.id":{"value":"X","type":"string"},"browser.report.type":{"value":"deprecation","type":"string"},` +
				`"code.file.path":{"value":"https://shop.example/a.js","type":"string"},"code.line.number":{"value":7,"type":"integer"},` +
				`"sentry.environment":{"value":"production","type":"string"},"sentry.origin":{"value":"auto.browser.report","type":"string"},"sentry.release":{"value":"shop@1.4.2","type":"string"},` +
				`"url.full":{"value":"https://shop.example/","type":"string"},"user_agent.original":{"value":"Mozilla/5.0 (X)","type":"string"}}}]}`,
		},
		{"no message", `{"type":"coep","url":"https://shop.example/","body":{"type":"corp"}}`, `{"type":"log"`, ""},
		{
			"crash", `{"type":"crash","age":-5,"url":"https://shop.example/","user_agent":"Then","body":{"reason":"unresponsive","big":9007199254740993}}`, `{"type":"event","content_type":"application/json"}`,
			`{"event_id":"ID","timestamp":1795489200.000,"platform":"javascript","level":"error","logger":"browser.crash","release":"shop@1.4.2","environment":"production",` +
				`"exception":[{"type":"BrowserCrash","value":"unresponsive","mechanism":{"handled":false,"synthetic":true,"type":"browser_report"}}],` +
				`"request":{"url":"https://shop.example/","headers":{"User-Agent":"Then"}},"contexts":{"browser_report":{"reason":"unresponsive","big":9007199254740993}},"sdk":{"name":"breakwater.report","version":"1"}}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, body := range []string{c.in, "[" + c.in + "]", " [ " + c.in + " ]\n"} {
				b := decode(t, body)
				if len(b.Items) != 1 || !b.Items[0].Alive() || b.Refusal != nil {
					t.Fatalf("items %+v, %v", b.Items, b.Refusal)
				}
				it := b.Items[0]
				if got := string(it.Header.Bytes()); !strings.HasPrefix(got, c.header) {
					t.Errorf("header %s, want %s", got, c.header)
				}
				want := c.payload
				if want == "" && it.Header.Type != "log" {
					want = c.in // as it came
				}
				got := payload(t, it)
				if want != "" && withoutID(t, got) != want {
					t.Errorf("payload\n%s, want\n%s", withoutID(t, got), want)
				}
				wantCategory := schemas.CategorySecurity
				if it.Header.Type == "event" {
					wantCategory = schemas.CategoryError
				}
				if it.Category != wantCategory || it.Quantity != 1 {
					t.Errorf("counts as %d %s", it.Quantity, it.Category)
				}
				if named := b.Header.EventID() != ""; named != it.Type.Main || b.EventID != b.Header.EventID() {
					t.Errorf("event id %q %q", b.EventID, b.Header.EventID())
				}
			}
		})
	}
}

// withoutID replaces the random id of an event or a log entry.
func withoutID(t testing.TB, s string) string {
	t.Helper()
	var ids struct {
		EventID string `json:"event_id"`
		Items   []struct {
			TraceID string `json:"trace_id"`
		}
	}
	if err := json.Unmarshal([]byte(s), &ids); err != nil {
		t.Fatal(err)
	}
	for _, it := range ids.Items {
		s = strings.ReplaceAll(s, it.TraceID, "ID")
	}
	if ids.EventID != "" {
		s = strings.ReplaceAll(s, ids.EventID, "ID")
	}
	return s
}

// All logs of a request are one container, for an envelope may hold one; the
// rest keep their order.
func TestMixed(t *testing.T) {
	dep := `{"type":"deprecation","body":{"message":"a"}}`
	b := decode(t, `[`+dep+`,{"type":"network-error","body":{}},7,`+dep+`,{"csp-report":{"effective-directive":"x"}},{"type":"new","body":7}]`)
	var got []string
	for _, it := range b.Items {
		got = append(got, strings.TrimRight(it.Header.Type+" "+string(it.Outcome)+" "+it.Reason, " "))
	}
	if want := "nel,raw_security invalid invalid_report,raw_security,raw_security filtered report_type,log"; strings.Join(got, ",") != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if last := b.Items[len(b.Items)-1]; last.Quantity != 2 {
		t.Errorf("%d log entries", last.Quantity)
	}
	if b.Refusal == nil || b.Refusal.Causes[0] != "report 2: not a JSON object" || RejectReport.Causes != nil {
		t.Errorf("%+v", b.Refusal)
	}
}

func TestBounds(t *testing.T) {
	b := decode(t, "["+strings.Repeat(`{"type":"network-error","body":{}},`, 5000)+"{}]")
	if n := len(b.Items); n != MaxReports+1 || b.Items[n-1].Quantity != maxCounted-MaxReports {
		t.Errorf("%d items, the last of %d", n, b.Items[n-1].Quantity)
	}
	var body strings.Builder
	for i := range 10_000 {
		body.WriteString(`"k` + strings.Repeat("x", i%7) + `":"` + strings.Repeat("v", 50) + `",`)
	}
	b = decode(t, `{"type":"intervention","body":{`+body.String()+`"message":"`+strings.Repeat("m", 20_000)+`"}}`)
	if n := len(payload(t, b.Items[0])); n > maxAttributes*200+maxText+2000 {
		t.Errorf("an entry of %d bytes", n)
	}
}

func TestReading(t *testing.T) {
	broken := errors.New("connection reset")
	if _, err := (&Protocol{SecurityTypes}).Decode(t.Context(), request(), iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if _, err := (&Protocol{NELTypes}).Decode(t.Context(), request(), iotest.OneByteReader(strings.NewReader(`{"type":"network-error","body":{}}`))); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("../../schemas/testdata/fixtures/browser-reports/*/*/body.bin")
	if len(files) < 10 {
		f.Fatal("no fixtures")
	}
	for _, name := range files {
		if raw, err := os.ReadFile(name); err == nil && len(raw) > 0 {
			f.Add(raw)
		}
	}
	f.Add([]byte(`[{"type":"crash","age":1e400,"body":{"reason":"\ud800"}},{"known-pins":[]},{"type":"coop","body":{"":0}}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := (&Protocol{SecurityTypes}).Decode(t.Context(), request(), bytes.NewReader(body))
		if err != nil {
			if rej := ingest.AsRejection(err); rej.Status >= 500 {
				t.Fatal(err)
			}
			return
		}
		for _, it := range b.Items {
			if it.Quantity < 1 || it.Category == "" || !it.Alive() && it.Reason == "" {
				t.Fatalf("%+v", it)
			}
			if raw, _ := it.InMemory(); it.Alive() && it.Event() == nil {
				t.Fatalf("%s is no object: %s", it.Header.Type, raw)
			}
			if n, ok := it.Header.ItemCount(); it.Header.Type == "log" && (!ok || n != it.Quantity) {
				t.Fatalf("count %d, quantity %d", n, it.Quantity)
			}
		}
		if b.Main() != nil && len(b.EventID) != 32 {
			t.Fatalf("event id %q", b.EventID)
		}
		if len(b.Items) == 0 {
			t.Fatal("neither items nor an answer")
		}
	})
}
