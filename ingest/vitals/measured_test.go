package vitals

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/schemas"
)

func TestReleasesAndEnvironments(t *testing.T) {
	h := newHarness(t, Config{ReleaseSlots: 2, Environments: 2})
	h.req.Project.Release = ingest.ReleaseRule{Default: "shop@0", Environment: "production"}
	send := func(release, env string) {
		h.Record(h.req, &schemas.Beacon{Release: release, Environment: env, Vitals: []schemas.Vital{one("LCP", 100, "")}})
	}
	send("", "")
	send("shop@1", "staging")
	send("shop@2", "evil")
	send("shop@0", "production")
	for release, want := range map[string]float64{"shop@0": 0, "shop@1": 1, "shop@2": 1, "__other__": 1} {
		if n := h.sum("web_vitals_releases_total", "release", release); n != want {
			t.Errorf("release %s: %v, want %v", release, n, want)
		}
	}
	for env, want := range map[string]float64{"production": 2, "staging": 1, "__other__": 1} {
		if n := h.sum("web_vitals_lcp_seconds", "environment", env); n != want {
			t.Errorf("environment %s: %v, want %v", env, n, want)
		}
	}
}

func TestMobileVitals(t *testing.T) {
	h := newHarness(t, Config{})
	h.req.UserAgent = "okhttp/4.12"
	b := &schemas.Beacon{Route: "Home", OS: "Android 14", Environment: "production", Vitals: []schemas.Vital{
		one("app_start_cold", 850, "a"), one("app_start_warm", 90, "a"), one("app_start_hot", 60, "a"), one("ttid", 400, "a"), one("ttfd", 700, "a"),
		one("frames_slow", 3, "a"), one("frames_frozen", 1, "a"), one("frames_total", 120, "a"), one("stall_count", 2, "a"), one("stall_longest", 400, "a"),
	}}
	if n := h.Record(h.req, b); n != 10 {
		t.Errorf("%d usable, want 10", n)
	}
	h.Record(h.req, b) // a retry
	for _, c := range []struct {
		family string
		labels []string
		want   float64
	}{
		{"mobile_app_start_seconds", []string{"type", "cold", "os", "android"}, 1},
		{"mobile_app_start_seconds", []string{"type", "warm"}, 1},
		{"mobile_app_start_seconds", []string{"type", "hot"}, 1},
		{"mobile_ttid_seconds", []string{"route", "Home", "os", "android"}, 1},
		{"mobile_ttfd_seconds", []string{"route", "Home"}, 1},
		{"mobile_frames_total", []string{"kind", "slow"}, 3},
		{"mobile_frames_total", []string{"kind", "frozen"}, 1},
		{"mobile_frames_total", []string{"kind", "total"}, 120},
		{"mobile_stalls_total", nil, 2},
		{"mobile_stall_longest_seconds", nil, 1},
	} {
		if n := h.sum(c.family, c.labels...); n != c.want {
			t.Errorf("%s %v: %v, want %v", c.family, c.labels, n, c.want)
		}
	}
}

func TestExemplarsOfPoorValuesOnly(t *testing.T) {
	h := newHarness(t, Config{})
	trace := strings.Repeat("ab", 16)
	for _, b := range []schemas.Beacon{
		{TraceID: trace, Vitals: []schemas.Vital{one("LCP", 100, "")}},
		{TraceID: trace, Vitals: []schemas.Vital{one("LCP", 5500, "")}},
		{TraceID: strings.Repeat("zz", 16), Vitals: []schemas.Vital{one("LCP", 7000, "")}},
	} {
		h.Record(h.req, &b)
	}
	var got []string
	for _, b := range h.series("web_vitals_lcp_seconds")[0].Histogram.Bucket {
		if ex := b.GetExemplar(); ex != nil {
			got = append(got, fmt.Sprint(b.GetUpperBound(), ex.Label[0].GetName(), ex.Label[0].GetValue()))
		}
	}
	if want := fmt.Sprint(6.0, "trace_id", trace); len(got) != 1 || got[0] != want {
		t.Errorf("exemplars %v, want %v alone", got, want)
	}
}

func TestAttributionOfPoorValuesIsLogged(t *testing.T) {
	var out bytes.Buffer
	h := newHarness(t, Config{Log: zerolog.New(&out)})
	bad, fine := one("LCP", 5000, ""), one("LCP", 500, "")
	bad.Attribution = `{"target":"a[href=\"/u?mail=ida@example.com\"]>img","url":"https://u:secret@cdn.example/a.png?token=secret","timeToFirstByte":120.5,"lcpEntry":{"secret":1}}`
	fine.Attribution = bad.Attribution
	h.beacon("/p/:id", bad, fine)
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 1 {
		t.Fatalf("%d lines, want one: %s", len(lines), out.String())
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &line); err != nil {
		t.Fatal(err)
	}
	if line["url"] != "https://cdn.example/a.png" || line["timeToFirstByte"] != 120.5 || line["route"] != "/p/:id" {
		t.Errorf("line is %s", lines[0])
	}
	if strings.Contains(lines[0], "secret") || strings.Contains(lines[0], "ida@") {
		t.Errorf("the line tells secrets: %s", lines[0])
	}
	for range 1000 {
		h.beacon("/p/:id", bad)
	}
	if n := strings.Count(out.String(), "\n"); n > 20 {
		t.Errorf("%d lines for 1000 poor values at one instant", n)
	}
}

func TestMetricsAreClean(t *testing.T) {
	h := newHarness(t, Config{})
	h.beacon("/", one("LCP", 100, ""), one("INP", 100, ""), one("CLS", 0, ""), one("FCP", 100, ""), one("TTFB", 100, ""),
		one("app_start_cold", 1, ""), one("ttid", 1, ""), one("ttfd", 1, ""), one("frames_slow", 1, ""), one("stall_count", 1, ""), one("stall_longest", 1, ""))
	problems, err := testutil.GatherAndLint(h.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestNativeBucketsStayBelowTheLimit(t *testing.T) {
	// Beyond 160 native buckets client_golang would reset the whole histogram,
	// the classic buckets with it.
	for _, name := range []string{"LCP", "CLS"} {
		v, _ := lookup(name)
		h := newHarness(t, Config{})
		for x := specs[v].max; x > 1e-9; x /= 1.02 {
			h.beacon("/", one(name, x, ""))
		}
		m := h.series(families[v])[0].Histogram
		n := 0
		for _, s := range m.PositiveSpan {
			n += int(s.GetLength())
		}
		if m.GetSchema() != 3 || n > 160 || n < 50 {
			t.Errorf("%s: schema %d with %d native buckets", name, m.GetSchema(), n)
		}
	}
}

func BenchmarkNewUserAgent(b *testing.B) {
	ua := chrome + strings.Repeat(" (X; Y) Z/1", 40)
	b.ReportAllocs()
	for range b.N {
		parseClient(ua[:maxUserAgent])
	}
}

func TestUserAgentsAreNotKeptWhole(t *testing.T) {
	c := newClients()
	for i := range 5_000 {
		c.read(fmt.Sprint(i, strings.Repeat(" Mozilla/5.0 (X; Y) Z/1", 50)), http.Header{})
	}
	kept := 0
	for i := range c.known.places {
		if r := c.known.places[i].Load(); r != nil {
			kept++
			if len(r.text) > maxUserAgent {
				t.Fatalf("%d bytes of a User-Agent kept", len(r.text))
			}
		}
	}
	if kept < 2000 || kept > 4096 {
		t.Errorf("%d User-Agents kept", kept)
	}
}
