package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// Every captured beacon of the web-vitals library, in each shape pages send
// it (string, Blob, fetch, array, attribution, forms), ends in the histograms:
// one observation per metric id, each in the bucket of its final value.
func TestBeaconsReachHistograms(t *testing.T) {
	g := newGateway(t, oneProject+"vitals: {settle: 1s}\nlimits: {per_ip: {rate: 100000/s, burst: 100000}}\n").start()
	final := map[string]schemas.Vital{} // by name and id, the last one wins as the browser sends it
	for _, f := range loadFixtures(t, func(f fixture) bool { return f.Kind == "web-vitals" }) {
		body := f.body(t)
		query := ""
		if _, q, ok := strings.Cut(f.Path, "?"); ok {
			query = "&" + q
		}
		req, err := http.NewRequest(f.Method, "http://"+g.public+"/api/1/vitals/?key="+testKey+query, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = f.headers(t)
		// The pages were driven by a headless browser, and some late requests say
		// so; those would be kept out of the histograms as a robot's.
		req.Header.Set("User-Agent", strings.ReplaceAll(req.Header.Get("User-Agent"), "HeadlessChrome", "Chrome"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: answered %d", f.Dir, resp.StatusCode)
		}
		b, _, err := schemas.DecodeBeacon(body, f.headers(t).Get("Content-Type"), nil)
		if err != nil {
			t.Fatalf("%s: %v", f.Dir, err)
		}
		for _, v := range b.Vitals {
			final[v.Name+v.ID] = v
		}
	}
	count, good := map[string]int{}, map[string]int{}
	bounds := map[string]float64{"LCP": 2500, "INP": 200, "CLS": 0.1, "FCP": 1800, "TTFB": 800}
	for _, v := range final {
		if v.NavigationType == "soft-navigation" {
			continue
		}
		count[v.Name]++
		if v.Value <= bounds[v.Name] {
			good[v.Name]++
		}
	}
	if len(count) != 5 {
		t.Fatalf("the fixtures hold %v", count)
	}
	eventually(t, time.Minute, func() error {
		text := g.scrape()
		for name, n := range count {
			family := "web_vitals_" + strings.ToLower(name) + "_seconds"
			le := strconv.FormatFloat(bounds[name]/1000, 'g', -1, 64)
			if name == "CLS" {
				family, le = "web_vitals_cls", "0.1"
			}
			if got := sumSeries(text, family+"_count{"); got != float64(n) {
				return fmt.Errorf("%s: %v observations, want %d", name, got, n)
			}
			if got := sumSeries(text, family+"_bucket{", `le="`+le+`"`); got != float64(good[name]) {
				return fmt.Errorf("%s: %v within %s, want %d", name, got, le, good[name])
			}
		}
		return nil
	})
}

// sumSeries adds up the series of a text scrape that begin with prefix and
// contain every part.
func sumSeries(text, prefix string, parts ...string) float64 {
	total := 0.0
lines:
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, prefix) {
			continue
		}
		for _, p := range parts {
			if !strings.Contains(line, p) {
				continue lines
			}
		}
		v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
		if err == nil {
			total += v
		}
	}
	return total
}

// A plain JSON crash report becomes a proper Sentry event: frames from the raw
// stack, handled, release, and the gateway's tags.
func TestCrashReportReachesSentry(t *testing.T) {
	up := relaytest.NewUpstream(relaytest.Options{})
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	g := newGateway(t, oneProject+`    upstreams: [{name: sentry, type: sentry, dsn: "`+up.DSN("5")+`"}]
    release: {default: "shop@9.9.9"}
`).start()
	report := `{"platform":"javascript","level":"error","message":"checkout failed","exceptions":[{"type":"TypeError","value":"x is undefined","handled":false,
 "stack":"TypeError: x is undefined\n    at pay (https://shop.example/assets/app-1a2b.js:10:15)\n    at async Checkout.submit (https://shop.example/assets/app-1a2b.js:20:5)"}],"tags":{"cart":"7"}}`
	status, body := post(t, "http://"+g.public+"/api/1/crash/?key="+testKey, report)
	var answer struct{ ID string }
	if err := json.Unmarshal([]byte(body), &answer); status != http.StatusOK || err != nil || len(answer.ID) != 32 {
		t.Fatalf("answered %d %s", status, body)
	}
	eventually(t, time.Minute, func() error {
		if len(up.Taken()) == 0 {
			return fmt.Errorf("nothing arrived; problems: %v", up.Problems())
		}
		return nil
	})
	r := up.Taken()[0]
	ev, err := schemas.ParseEvent(r.Items[0].Payload)
	if err != nil {
		t.Fatal(err)
	}
	ex := ev.Exceptions()
	if len(ex) != 1 || ex[0].Type != "TypeError" || ex[0].Stack.Len() != 2 || ex[0].Stack.Frame(1).Function != "pay" || ex[0].Stack.Frame(1).Lineno != 10 {
		t.Errorf("exception %+v", ex)
	}
	if ex[0].Handled == nil || *ex[0].Handled {
		t.Error("an unhandled crash did not stay unhandled")
	}
	if rel := ev.Release(); rel != "shop@9.9.9" {
		t.Errorf("release %q", rel)
	}
	if env := ev.Environment(); env != "production" {
		t.Errorf("environment %q", env)
	}
	for _, want := range []string{`"gateway.project":"shop"`, `"gateway.received_at":"2`, `"cart":"7"`} {
		if !bytes.Contains(r.Items[0].Payload, []byte(want)) {
			t.Errorf("%s is not in %s", want, r.Items[0].Payload)
		}
	}
	if r.EventID != answer.ID {
		t.Errorf("the event arrived as %s, the client was told %s", r.EventID, answer.ID)
	}
}

// Where a release is required, an error without one is refused in clear words.
func TestReleaseRequired(t *testing.T) {
	g := newGateway(t, oneProject+"    release: {required: true}\n").start()
	url := "http://" + g.public + "/api/1/envelope/?sentry_key=" + testKey
	if status, body := post(t, url, strings.Replace(anEnvelope, `,"release":"shop@1.4.2"`, "", 1)); status != http.StatusBadRequest || !strings.Contains(body, "release") {
		t.Errorf("without a release: %d %s", status, body)
	}
	if status, body := post(t, url, strings.Replace(anEnvelope, "shop@1.4.2", "a/b", 1)); status != http.StatusBadRequest || !strings.Contains(body, "release") {
		t.Errorf("with an invalid release: %d %s", status, body)
	}
	if status, body := post(t, url, anEnvelope); status != http.StatusOK {
		t.Errorf("with a release: %d %s", status, body)
	}
	if got := sumSeries(g.scrape(), "breakwater_items_outcome_total{", `outcome="invalid"`, `reason="release_required"`); got != 2 {
		t.Errorf("%v items were counted as refused for their release", got)
	}
}

// What settles is saved before the relay waits for an upstream: who stops the
// gateway may have less patience than that (a container's 10 s).
func TestSettlingVitalsAreSavedBeforeTheRelayEnds(t *testing.T) {
	up := relaytest.NewUpstream(relaytest.Options{})
	up.Always(relaytest.Step{Fault: relaytest.Hang})
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	g := newGateway(t, strings.Replace(oneProject, `admin_listen: "ADMIN"`, `admin_listen: "ADMIN", shutdown_timeout: 2m`, 1)+
		`    upstreams: [{name: sentry, type: sentry, timeout: 2m, dsn: "`+up.DSN("5")+`"}]`+"\nvitals: {settle: 1h, settle_max: 1h}\n").start()
	if status, answer := post(t, "http://"+g.public+"/api/1/store/?sentry_key="+testKey, `{"message":"hello"}`); status != http.StatusOK {
		t.Fatalf("answered %d %s", status, answer)
	}
	if status, answer := post(t, "http://"+g.public+"/api/1/vitals/?key="+testKey, `{"name":"LCP","value":900,"id":"a"}`); status != http.StatusNoContent {
		t.Fatalf("answered %d %s", status, answer)
	}
	eventually(t, 60*time.Second, func() error {
		if sumSeries(g.scrape(), "breakwater_relay_in_flight{") == 0 {
			return errors.New("no attempt is under way")
		}
		return nil
	})
	if err := g.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, 60*time.Second, func() error {
		_, err := os.Stat(filepath.Join(g.dir, "health.bin")) // comes after vitals.bin
		return err
	})
	select {
	case <-g.done:
		t.Fatal("the gateway did not wait for the attempt: this tests nothing")
	default:
	}
	g.kill()
	g.start()
	if n := sumSeries(g.scrape(), "web_vitals_pending"); n != 1 {
		t.Errorf("%v measurements settle after the restart, want 1", n)
	}
}
