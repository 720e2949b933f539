package vitals

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

const fixtures = "../../schemas/testdata/fixtures"

// fixture is one captured request.
type fixture struct {
	dir    string
	header http.Header
	body   []byte
}

func loadFixture(t testing.TB, dir string) fixture {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(fixtures, dir, "body.bin"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(fixtures, dir, "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Headers [][2]string `json:"headers"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	f := fixture{dir: dir, header: http.Header{}, body: body}
	for _, h := range r.Headers {
		f.header.Add(h[0], h[1])
	}
	return f
}

// scenario are the captured requests of one scenario, in their order.
func scenario(t testing.TB, name string) (list []fixture) {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(fixtures, name, "*"))
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no fixtures in %s: %v", name, err)
	}
	for _, d := range dirs {
		rel, err := filepath.Rel(fixtures, d)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, loadFixture(t, rel))
	}
	return list
}

func envelope(body []byte) (*ingest.Batch, error) {
	r := schemas.NewReader(bytes.NewReader(body))
	h, err := r.Header()
	if err != nil {
		return nil, err
	}
	b := &ingest.Batch{Header: h}
	for {
		ih, payload, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		raw, err := io.ReadAll(payload)
		if err != nil {
			return b, err
		}
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: ih, Payload: schemas.Bytes(raw)}))
	}
}

// person puts a browser in place of what drove it: requests sent while a page
// was torn down were captured with the name of the headless browser.
func person(body []byte) []byte {
	return bytes.ReplaceAll(body, []byte("HeadlessChrome"), []byte("Chrome"))
}

// sentry runs a captured envelope through the stage.
func (h *harness) sentry(f fixture) {
	h.t.Helper()
	b, err := envelope(person(f.body))
	if err != nil {
		h.t.Fatalf("%s: %v", f.dir, err)
	}
	req := *h.req
	req.Header = f.header
	req.UserAgent = strings.Replace(f.header.Get("User-Agent"), "HeadlessChrome", "Chrome", 1)
	b.Request = &req
	before := len(b.Alive())
	if err := h.FromSentry().Apply(b); err != nil {
		h.t.Fatal(err)
	}
	if len(b.Alive()) != before || len(b.Items) != before {
		h.t.Error("the stage dropped or added items")
	}
}

func TestVitalsOfBothSentryLifecycles(t *testing.T) {
	for name, want := range map[string][webVitals]float64{
		"sentry-browser/tracing-stream": {552, 192, 0.0437595041322314, 448, 29},
		"sentry-browser/tracing-static": {364, 192, 0.0437595041322314, 240, 25.600000000093132},
	} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			h := newHarness(t, Config{})
			for range 2 { // the second time as retries
				for _, f := range scenario(t, name) {
					h.sentry(f)
				}
			}
			h.later(time.Hour)
			for v, value := range want {
				if got, want := h.buckets(families[v]), render(map[float64]float64{bucketOf(vital(v), value/specs[v].div): 1}); got != want {
					t.Errorf("%s: buckets %q, want %q", specs[v].name, got, want)
				}
			}
			if n := h.sum("web_vitals_releases_total", "release", "harbour-web@3.14.2"); n != 5 {
				t.Errorf("%v under the payload's release, want 5", n)
			}
			if n := h.sum("web_vitals_ratings_total", "device", "desktop", "environment", "production"); n != 5 {
				t.Errorf("%v under the page's labels, want 5", n)
			}
			for _, m := range h.series("web_vitals_lcp_seconds") {
				if route := label(m, "route"); route != "/" {
					t.Errorf("LCP of the page load is under route %q", route)
				}
			}
			if n := h.sum("web_vitals_rejected_total"); n != 0 {
				t.Errorf("%v rejected", n)
			}
		})
	}
}

func TestSoftNavigationsOfAStreamAreApart(t *testing.T) {
	h := newHarness(t, Config{})
	for _, f := range scenario(t, "sentry-browser/tracing-stream") {
		h.sentry(f)
	}
	h.later(time.Hour)
	for _, v := range []string{"LCP", "CLS", "INP"} {
		if n := h.sum("web_vitals_navigations_total", "vital", v, "navigation_type", "soft-navigation"); n != 1 {
			t.Errorf("%s of the soft navigation: %v, want 1", v, n)
		}
	}
}

func TestAppStartOfReactNative(t *testing.T) {
	h := newHarness(t, Config{})
	for range 2 {
		for _, f := range scenario(t, "sentry-react-native/bridge-transaction") {
			h.sentry(f)
		}
	}
	if n := h.sum("mobile_app_start_seconds", "type", "cold", "os", "android", "environment", "production"); n != 1 {
		t.Errorf("%v cold starts, want 1", n)
	}
	if got := h.buckets("mobile_app_start_seconds"); got != "1.2:1 " {
		t.Errorf("850 ms is in %q", got)
	}
}

func TestUntracedPagesMeasureNothing(t *testing.T) {
	h := newHarness(t, Config{})
	for _, f := range scenario(t, "sentry-browser/vitals-only-untraced") {
		h.sentry(f)
	}
	h.later(time.Hour)
	if n := h.sum("web_vitals_ratings_total") + h.sum("web_vitals_rejected_total"); n != 0 {
		t.Errorf("%v measurements out of nothing", n)
	}
}

// item wraps a payload as the only item of an envelope.
func (h *harness) item(typ, contentType, payload string) {
	h.t.Helper()
	head := schemas.NewItemHeader(typ)
	if contentType != "" {
		head.SetString("content_type", contentType)
	}
	b := &ingest.Batch{
		Request: h.req, Header: schemas.EmptyHeader(),
		Items: []*ingest.Item{ingest.NewItem(schemas.Item{Header: head, Payload: schemas.Bytes(payload)})},
	}
	if err := h.FromSentry().Apply(b); err != nil {
		h.t.Fatal(err)
	}
}

const v2 = "application/vnd.sentry.items.span.v2+json"

func TestShapesOfOlderAndNewerSDKs(t *testing.T) {
	pageload := func(op, measurements string) string {
		return `{"type":"transaction","transaction":"/product/:id","transaction_info":{"source":"route"},"release":"a@1","environment":"staging",` +
			`"contexts":{"trace":{"op":"` + op + `","trace_id":"0123456789abcdef0123456789abcdef","span_id":"0123456789abcdef"}},"measurements":` + measurements + `}`
	}
	for _, c := range []struct {
		name, typ, contentType, payload string
		family                          string
		labels                          []string
		want                            float64
	}{
		{"no unit", "transaction", "", pageload("pageload", `{"lcp":{"value":900}}`), "web_vitals_lcp_seconds", []string{"route", "/product/:id", "environment", "staging"}, 1},
		{"seconds", "transaction", "", pageload("pageload", `{"ttfb":{"value":0.7,"unit":"second"}}`), "web_vitals_ttfb_seconds", nil, 1},
		{"CLS as a ratio", "transaction", "", pageload("pageload", `{"cls":{"value":0.04,"unit":"ratio"}}`), "web_vitals_cls", nil, 1},
		{"FID", "transaction", "", pageload("pageload", `{"fid":{"value":9}}`), "web_vitals_rejected_total", []string{"vital", "FID", "reason", "unsupported"}, 1},
		{"not on navigations", "transaction", "", pageload("navigation", `{"lcp":{"value":900},"fid":{"value":1}}`), "web_vitals_ratings_total", nil, 0},
		{"no number", "transaction", "", pageload("pageload", `{"lcp":{"value":"fast"}}`), "web_vitals_rejected_total", []string{"vital", "LCP", "reason", "not_a_number"}, 1},
		{"null", "transaction", "", pageload("pageload", `{"lcp":null}`), "web_vitals_rejected_total", []string{"vital", "LCP", "reason", "not_a_number"}, 1},
		{"measurements of the wrong kind", "transaction", "", pageload("pageload", `[1]`), "web_vitals_rejected_total", nil, 0},
		{"own measurements are not ours", "transaction", "", pageload("pageload", `{"berth.count":{"value":4}}`), "web_vitals_rejected_total", nil, 0},
		{"first byte after first paint", "transaction", "", pageload("pageload", `{"ttfb":{"value":900},"fcp":{"value":100}}`), "web_vitals_rejected_total", []string{"reason", "inconsistent"}, 2},
		{"app start of an hour", "transaction", "", pageload("ui.load", `{"app_start_cold":{"value":3600000}}`), "web_vitals_rejected_total", []string{"vital", "app_start_cold", "reason", "too_large"}, 1},
		{"display times", "transaction", "", pageload("navigation", `{"time_to_initial_display":{"value":400},"time_to_full_display":{"value":800}}`), "mobile_ttfd_seconds", []string{"route", "/product/:id"}, 1},
		{"frames", "transaction", "", pageload("ui.load", `{"frames_total":{"value":120},"frames_slow":{"value":7},"frames_frozen":{"value":1}}`), "mobile_frames_total", []string{"kind", "slow"}, 7},
		{"stalls", "transaction", "", pageload("ui.load", `{"stall_count":{"value":3},"stall_longest_time":{"value":250},"stall_total_time":{"value":500}}`), "mobile_stalls_total", nil, 3},
		{
			"INP span of version 1", "span", "", `{"op":"ui.interaction.click","trace_id":"0123456789abcdef0123456789abcdef","span_id":"0123456789abcdef","measurements":{"inp":{"value":208,"unit":"millisecond"}},"data":{"release":"a@1","environment":"staging","transaction":"/product/:id","sentry.source":"route"}}`,
			"web_vitals_inp_seconds",
			[]string{"route", "/product/:id", "environment", "staging"},
			1,
		},
		{
			"app vitals in a span", "span", v2, `{"items":[{"trace_id":"0123456789abcdef0123456789abcdef","span_id":"0123456789abcdef","is_segment":true,"name":"Home","attributes":{"sentry.op":{"value":"ui.load"},"sentry.source":{"value":"view"},"app.vitals.start.value":{"value":900,"type":"double"},"app.vitals.start.type":{"value":"warm","type":"string"},"app.vitals.ttid.value":{"value":300},"os.name":{"value":"iOS"}}}]}`,
			"mobile_app_start_seconds",
			[]string{"type", "warm", "os", "ios"},
			1,
		},
		{
			"frames of a span inside a screen", "span", v2, `{"items":[{"trace_id":"0123456789abcdef0123456789abcdef","span_id":"0123456789abcdef","is_segment":false,"attributes":{"app.vitals.frames.slow.count":{"value":3}}}]}`,
			"mobile_frames_total", nil, 0,
		},
		{"without an id", "span", v2, `{"items":[{"attributes":{"browser.web_vital.lcp.value":{"value":3}}}]}`, "web_vitals_ratings_total", nil, 0},
		{"broken", "span", v2, `{"items":[{"attributes":{"browser.web_vital.lcp.value"`, "web_vitals_ratings_total", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, Config{})
			h.item(c.typ, c.contentType, c.payload)
			h.item(c.typ, c.contentType, c.payload)
			h.Flush()
			want := c.want
			if c.family == "web_vitals_rejected_total" {
				want *= 2 // each report is counted
			}
			if got := h.sum(c.family, c.labels...); got != want {
				t.Errorf("%s %v: %v, want %v", c.family, c.labels, got, want)
			}
		})
	}
}

func TestLCPInTransactionAndInSpanIsOne(t *testing.T) {
	h := newHarness(t, Config{})
	h.item("transaction", "", `{"transaction":"/","contexts":{"trace":{"op":"pageload","span_id":"aaaaaaaaaaaaaaaa"}},"measurements":{"lcp":{"value":900}}}`)
	h.item("span", v2, `{"items":[{"span_id":"bbbbbbbbbbbbbbbb","attributes":{"browser.web_vital.lcp.value":{"value":1400},"sentry.pageload.span_id":{"value":"aaaaaaaaaaaaaaaa"}}}]}`)
	h.Flush()
	if got := h.buckets("web_vitals_lcp_seconds"); got != "1.5:1 " {
		t.Errorf("buckets %q, want the later, larger value once", got)
	}
}

func TestABeaconSupersedesSentrysValue(t *testing.T) {
	transaction := func(i int, release string) string {
		return fmt.Sprintf(`{"transaction":"/","release":%q,"contexts":{"trace":{"op":"pageload","span_id":"%016x"}},"measurements":{"lcp":{"value":900},"fcp":{"value":800}}}`, release, i)
	}
	beacon := func(h *harness, release string) {
		h.Record(h.req, &schemas.Beacon{URL: "/", Release: release, Source: "beacon", Vitals: []schemas.Vital{one("LCP", 910, fmt.Sprint(h.now.UnixNano()))}})
	}
	for _, c := range []struct {
		name            string
		beacon, sentry  string
		beaconFirst     bool
		between         time.Duration
		want, wantOther float64
	}{
		{"beacon first", "a@1", "a@1", true, 0, 1, 1},
		{"Sentry first, beacon while it settles", "a@1", "a@1", false, 30 * time.Second, 1, 1},
		{"a beacon without a release", "", "a@1", true, 0, 1, 1},
		{"another release is another app", "b@1", "a@1", true, 0, 2, 1},
		{"beacons have ceased", "a@1", "a@1", true, 11 * time.Minute, 2, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHarness(t, Config{})
			if c.beaconFirst {
				beacon(h, c.beacon)
				h.later(c.between)
				h.item("transaction", "", transaction(1, c.sentry))
			} else {
				h.item("transaction", "", transaction(1, c.sentry))
				h.later(c.between)
				beacon(h, c.beacon)
			}
			h.later(time.Minute)
			h.later(time.Minute)
			if n := h.sum("web_vitals_lcp_seconds"); n != c.want {
				t.Errorf("%v LCPs, want %v", n, c.want)
			}
			if n := h.sum("web_vitals_fcp_seconds"); n != c.wantOther {
				t.Errorf("%v FCPs, want %v: no beacon measured it", n, c.wantOther)
			}
			if n := h.sum("web_vitals_rejected_total", "reason", "superseded"); n != 2-c.want {
				t.Errorf("%v superseded, want %v", n, 2-c.want)
			}
		})
	}
}

// Beacons are noted once a second, and keep Sentry's values out for ten minutes all
// the same: from the last of them, whichever of a second it was.
func TestPrecedenceLastsFromTheLastBeacon(t *testing.T) {
	for _, c := range []struct {
		after time.Duration
		want  float64
	}{{10 * time.Minute, 1}, {10*time.Minute + 2*time.Second, 2}} {
		h := newHarness(t, Config{})
		h.beacon("/", one("LCP", 910, ""))
		h.later(noteEvery - time.Millisecond)
		h.beacon("/", one("LCP", 910, "last"))
		h.later(c.after)
		h.Record(h.req, &schemas.Beacon{URL: "/", Source: SourceSentry, Vitals: []schemas.Vital{one("LCP", 900, "")}})
		h.later(time.Minute)
		if n := h.sum("web_vitals_lcp_seconds") - 1; n != c.want {
			t.Errorf("%v LCPs after %v, want %v", n, c.after, c.want)
		}
	}
}

func TestFromSentryCanBeSwitchedOff(t *testing.T) {
	h := newHarness(t, Config{})
	h.SetProjects([]Project{{Name: "shop"}})
	for _, f := range scenario(t, "sentry-browser/tracing-static") {
		h.sentry(f)
	}
	h.Flush()
	if n := h.sum("web_vitals_ratings_total"); n != 0 {
		t.Errorf("%v measurements, want none", n)
	}
}

func FuzzFromSentry(f *testing.F) {
	for _, name := range []string{"sentry-browser/tracing-stream", "sentry-browser/tracing-static", "sentry-react-native/bridge-transaction"} {
		for _, x := range scenario(f, name) {
			if len(x.body) < 10_000 {
				f.Add(x.body)
			}
		}
	}
	f.Add([]byte("{}\n{\"type\":\"span\"}\n{\"span_id\":\"0123456789abcdef\",\"measurements\":{\"inp\":{\"value\":1e999}}}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := envelope(body)
		if err != nil {
			return
		}
		h := newHarness(t, Config{SeriesPerProject: 4})
		b.Request = h.req
		if err := h.FromSentry().Apply(b); err != nil {
			t.Fatal(err)
		}
		h.Flush()
		if n := len(h.project("shop").budget.sets); n > 4 {
			t.Fatalf("%d label sets, the budget is 4", n)
		}
	})
}

func BenchmarkFromSentry(b *testing.B) {
	for _, name := range []string{"sentry-browser/tracing-stream/001", "sentry-browser/tracing-static/001", "sentry-browser/tracing-static/003"} {
		h := newHarness(b, Config{})
		f := loadFixture(b, name)
		batch, err := envelope(f.body)
		if err != nil {
			b.Fatal(err)
		}
		batch.Request = h.req
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(f.body)))
			b.ReportAllocs()
			for range b.N {
				if err := h.FromSentry().Apply(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
