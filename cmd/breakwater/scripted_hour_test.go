package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"breakwater/cmd/breakwater/redistest"
	"breakwater/relay/relaytest"
)

// hour is an hour of a gateway's life in a minute at most: scripted traffic,
// and after each of its minutes the real /metrics as it was then.
type hour struct {
	states [][]*dto.MetricFamily // one a minute, oldest first
}

// hourConfig has a bit of everything that can be limited, filtered, scrubbed,
// suppressed and folded.
const hourConfig = `server: {listen: "LISTEN", admin_listen: "ADMIN"}
spool: {dir: "DATA/spool", min_free: 0B}
vitals: {settle: 1s, series_per_project: 12}
limits: {per_ip: {rate: 100000/s, burst: 100000}, redis: {url: "REDIS", timeout: 2s}}
projects:
  - id: 1
    name: shop
    keys: [{public: ` + testKey + `, name: web}]
    upstreams: [{name: sentry, type: sentry, dsn: "DSN"}]
    filters: {web_crawlers: true}
    limits: {categories: {transaction: {rate: 1/h, burst: 1}}}
    storm: {window: 1s, first: 2, then_one_in: 10, max_fingerprints: 1000}
    vitals: {routes: ["/product/:id"]}
`

// playHour plays it: one release, then a worse one; in the end the upstream
// goes away and the spool grows.
func playHour(t *testing.T) *hour {
	t.Helper()
	var slow atomic.Bool
	posted := make(chan struct{})
	up := startUpstream(t, relaytest.Options{Decide: func(*relaytest.Request) relaytest.Step {
		if slow.Load() {
			<-posted
			return relaytest.Status(429, "X-Sentry-Rate-Limits", "3600:attachment:organization")
		}
		return relaytest.Step{}
	}})
	g := newGateway(t, strings.NewReplacer("DSN", up.DSN("5"), "REDIS", redistest.Start(t).URL()).Replace(hourConfig)).start()
	h := &hour{}
	client := &http.Client{Transport: &http.Transport{}} // its connection is open whenever the gateway is looked at
	t.Cleanup(client.CloseIdleConnections)
	const minutes = 61
	for i := range minutes {
		switch i {
		case 10:
			// A slow upstream lets attachments pile up; then it wants none for an hour.
			slow.Store(true)
			for n := range 30 {
				if status, body := post(t, g.envelopeURL(), "{}\n{\"type\":\"attachment\",\"length\":5,\"filename\":\"a.txt\"}\nhello"); status != http.StatusOK {
					t.Fatalf("attachment %d was answered %d %s", n, status, body)
				}
			}
			close(posted)
			eventually(t, time.Minute, func() error {
				if sumSeries(g.scrape(), "breakwater_relay_upstream_limited_until_seconds{") == 0 {
					return errors.New("the upstream's limit is not known yet")
				}
				return nil
			})
			slow.Store(false)
		case 20, 30:
			up.Script(relaytest.Status(400))
		case 50:
			up.Always(relaytest.Status(503))
		}
		minuteOf(t, g, i)
		if i%20 == 4 || i >= minutes-3 { // what settles is counted after a second or two: not worth the wait each time
			eventually(t, time.Minute, func() error {
				if n := sumSeries(g.scrape(), "web_vitals_pending"); n > 0 {
					return fmt.Errorf("%v page views wait", n)
				}
				return nil
			})
		}
		if resp, err := client.Get("http://" + g.public + "/api/relay/healthcheck/ready/"); err != nil {
			t.Fatal(err)
		} else if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Body.Close() != nil {
			t.Fatal(err)
		}
		h.states = append(h.states, g.families())
	}
	return h
}

// minuteOf sends what one minute holds.
func minuteOf(t *testing.T, g *gateway, i int) {
	t.Helper()
	send := func(status int, path, body string, header ...string) {
		req, err := http.NewRequest(http.MethodPost, "http://"+g.public+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36")
		for j := 0; j+1 < len(header); j += 2 {
			req.Header.Set(header[j], header[j+1])
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != status {
			t.Fatalf("%s was answered %s, want %d: %s", path, resp.Status, status, body)
		}
	}
	envelopes, beacons := "/api/1/envelope/?sentry_key="+testKey, "/api/1/vitals/?key="+testKey
	bot := []string{"User-Agent", "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}
	vitals := func(n, factor int, navigation string) string {
		var list []string
		for name, value := range map[string]int{"LCP": 1500, "INP": 150, "FCP": 1000, "TTFB": 500} {
			list = append(list, fmt.Sprintf(`{"name":%q,"value":%d,"id":"%s-%d-%d","navigationType":%q}`, name, value*factor, name, i, n, navigation))
		}
		list = append(list, fmt.Sprintf(`{"name":"CLS","value":0.0%d,"id":"CLS-%d-%d","navigationType":%q}`, 2*factor, i, n, navigation))
		return strings.Join(list, ",")
	}
	release := func(n int) string {
		if i >= 20 && n%2 == 0 {
			return "shop@1.4.2"
		}
		return "shop@1.4.1"
	}
	// Page views: twelve on phones, one in four of them slow, and two on desktops,
	// which are too few for a percentile; robots, soft navigations, repeats.
	for n := range 12 {
		send(204, beacons, wrap("/product/:id", "mobile", release(n), vitals(n, 1+3*(n%4/3), "navigate")))
	}
	send(204, beacons, wrap("/", "desktop", release(1), vitals(20, 1, "reload")))
	send(204, beacons, wrap(fmt.Sprintf("/page-%c", 'a'+i%26), "desktop", release(1), vitals(21, 1, "navigate")))
	send(204, beacons, wrap("/product/:id", "mobile", release(0), vitals(22, 1, "soft-navigation")))
	send(204, beacons, wrap("/product/:id", "desktop", release(1), vitals(23, 1, "navigate")), bot...)
	send(204, beacons, wrap("/product/:id", "mobile", release(0), `{"name":"LCP","value":1834.2,"id":"early","navigationType":"navigate"}`, `{"name":"FID","value":3,"id":"f"}`))
	for n, os := range []string{"ios", "android", "android"} {
		var list []string
		for name, value := range map[string]int{
			"app_start_cold": 1400, "app_start_warm": 700, "app_start_hot": 200, "ttid": 400, "ttfd": 900,
			"frames_total": 600, "frames_slow": 12, "frames_frozen": 1, "stall_count": 2, "stall_longest": 300,
		} {
			list = append(list, fmt.Sprintf(`{"name":%q,"value":%d,"id":"%s-%d-%d"}`, name, value*(1+n), name, i, n))
		}
		send(204, beacons, strings.Replace(wrap("Checkout", "mobile", release(n), list...), "{", fmt.Sprintf(`{"os":%q,`, os), 1))
	}
	// Errors: each its own, and one that floods.
	for n := range 3 {
		send(200, envelopes, errorEnvelope(t, 1000*i+n, letters(100*i+n), release(n)))
	}
	for n := range 8 {
		send(200, envelopes, errorEnvelope(t, 1000*i+100+n, "Flood", release(0)))
	}
	unhandled := `{"extra":{"password":"hunter2"},"user":{"email":"jane.doe@shop.example","ip_address":"203.0.113.7"},"exception":{"values":[{"type":%q,"value":"mail me at jane.doe@shop.example or 4111 1111 1111 1111","mechanism":{"type":"onerror","handled":%t}}]},"release":%q}`
	send(200, envelopes, "{}\n{\"type\":\"event\"}\n"+fmt.Sprintf(unhandled, "Gone"+letters(i), i%2 == 0, release(i)))
	send(200, envelopes, errorEnvelope(t, 1000*i+200, "Seen by a robot", release(0)), bot...)
	send(400, envelopes, "nonsense")
	send(403, strings.Replace(envelopes, testKey, strings.Repeat("f", 32), 1), anEnvelope)
	now := time.Now().UTC().Format(time.RFC3339Nano)
	for n := range 6 {
		status := "ok"
		if n == 0 && i%10 == 3 {
			status = "crashed"
		}
		send(200, envelopes, fmt.Sprintf("{}\n{\"type\":\"session\"}\n{\"sid\":\"%032x\",\"did\":\"user-%d\",\"init\":true,\"started\":%q,\"status\":%q,\"errors\":0,\"attrs\":{\"release\":%q,\"environment\":\"production\"}}",
			100*i+n+1, 100*i+n, now, status, release(n)))
	}
	send(200, envelopes, "{}\n{\"type\":\"session\"}\n{\"sid\":\"00000000000000000000000000009999\",\"init\":true,\"started\":\"2020-01-01T00:00:00Z\",\"status\":\"ok\",\"attrs\":{\"release\":\"shop@0\"}}")
	send(200, envelopes, "{}\n{\"type\":\"client_report\"}\n"+fmt.Sprintf(`{"timestamp":%q,"discarded_events":[{"reason":"network_error","category":"error","quantity":2}]}`, now))
	limited := 429
	if i == 0 {
		limited = 200 // the first one is in the bucket
	}
	send(limited, envelopes, "{}\n{\"type\":\"transaction\"}\n"+fmt.Sprintf(`{"type":"transaction","transaction":"/a","start_timestamp":%q,"timestamp":%q,"contexts":{"trace":{"trace_id":"%032x","span_id":"%016x"}}}`, now, now, i+1, i+1))
	if i == 5 { // what doctor's watch does after each round
		_, body := post(t, "http://"+g.private+"/api/v1/canaries", "")
		id := strings.Split(body, `"`)[3]
		for _, path := range []string{"errors", "vitals"} {
			if status, body := post(t, "http://"+g.private+"/api/v1/canaries/"+id+"/passed?path="+path, ""); status != http.StatusNoContent {
				t.Fatalf("canary: %d %s", status, body)
			}
		}
	}
}

// families is a scrape with native histograms.
func (g *gateway) families() []*dto.MetricFamily {
	g.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+g.private+"/metrics", nil)
	if err != nil {
		g.t.Fatal(err)
	}
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	req.Header.Set("Accept", string(format))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	var list []*dto.MetricFamily
	for dec := expfmt.NewDecoder(resp.Body, format); ; {
		var f dto.MetricFamily
		if err := dec.Decode(&f); err != nil {
			break // the end; an incomplete scrape shows as empty panels
		}
		list = append(list, &f)
	}
	return list
}

// serve answers scrape after scrape with the next minute's state, its time in
// the past, so that after sixty of them the hour ends now; from then on with
// the last one. A minute that a busy machine made late is served once more:
// Prometheus closes the connection of a scrape that it gave up, and keeps one
// whose answer it has read.
func (h *hour) serve(t *testing.T) (addr string, played func() error) {
	t.Helper()
	var mu sync.Mutex
	next, began, before := 0, time.Now(), ""
	bodies := map[int][]byte{} // of minutes, by their number
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.RemoteAddr == before {
			next++
		}
		before = r.RemoteAddr
		format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultAcceptedFormats()...)
		w.Header().Set("Content-Type", string(format))
		body := bodies[next]
		if body == nil {
			at := began.Add(time.Duration(next-len(h.states)+1) * time.Minute)
			if at.After(time.Now()) {
				at = time.Now()
			}
			body = encodeAt(t, h.states[min(next, len(h.states)-1)], format, at)
			bodies[next] = body
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), func() error {
		mu.Lock()
		defer mu.Unlock()
		if next < len(h.states) {
			return fmt.Errorf("%d of %d minutes were scraped", next, len(h.states))
		}
		return nil
	}
}

// encodeAt is a scrape whose samples have a time.
func encodeAt(t *testing.T, state []*dto.MetricFamily, format expfmt.Format, at time.Time) []byte {
	var body bytes.Buffer
	enc := expfmt.NewEncoder(&body, format)
	millis := at.UnixMilli()
	for _, f := range state {
		for _, m := range f.Metric {
			m.TimestampMs = &millis
		}
		if err := enc.Encode(f); err != nil {
			t.Error(err)
		}
	}
	return body.Bytes()
}
