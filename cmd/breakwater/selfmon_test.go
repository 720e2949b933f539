package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay/relaytest"
)

// self is an upstream for the gateway's own reports.
func self(t *testing.T) *relaytest.Upstream {
	t.Helper()
	u := relaytest.NewUpstream(relaytest.Options{Raw: true})
	if err := u.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

// A real process sends traces of its own requests, with the time of each step
// and the outcome, and nothing in them that a client sent.
func TestSelfMonitoringTraces(t *testing.T) {
	u := self(t)
	g := newGateway(t, oneProject+"self_monitoring: {dsn: \""+u.DSN("9")+"\", traces_sample_rate: 1}\n")
	var trace struct {
		Type, Transaction, Release string
		Tags                       map[string]string
		Spans                      []struct{ Op string }
	}
	var all strings.Builder
	// The end of a life waits two seconds for what is left to be sent: on a machine
	// that is busy enough that is too short, and so there may be more lives than one.
	for life := 0; trace.Type == "" && life < 5; life++ {
		g.start()
		req, err := http.NewRequest(http.MethodPost, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, strings.NewReader(anEnvelope))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", "canary-agent/1")
		req.Header.Set("Cookie", "session=canary-cookie")
		req.Header.Set("Sentry-Trace", "771a43a4192642f0b136d5159a501700-7e1c5ff2d6b4a2c1-1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("answered %d", resp.StatusCode)
		}
		if err := g.stop(); err != nil { // sends what is left
			t.Fatal(err)
		}
		for _, r := range u.Requests() {
			all.Write(r.Body)
			_, items := readEnvelope(t, "the gateway's own report", r.Body)
			for _, it := range items {
				if it.Header.Type == "transaction" && trace.Type == "" {
					if err := json.Unmarshal(payload(it), &trace); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if trace.Transaction != "POST envelope" || trace.Tags["project"] != "shop" || trace.Tags["outcome"] != "accepted" || trace.Tags["request_id"] == "" ||
		!strings.HasPrefix(trace.Release, "breakwater@") {
		t.Errorf("trace is %+v", trace)
	}
	var ops []string
	for _, s := range trace.Spans {
		ops = append(ops, s.Op)
	}
	if got := strings.Join(ops, " "); got != "ingest.read ingest.decide spool.append" {
		t.Errorf("steps are %q", got)
	}
	for _, canary := range []string{testKey, "canary", "hello", "127.0.0.1:", "771a43a4192642f0b136d5159a501700"} {
		for _, line := range strings.Split(all.String(), "\n") {
			if strings.Contains(line, canary) && !strings.Contains(line, `"dsn"`) {
				t.Errorf("%q left with the gateway's own traces: %s", canary, line)
			}
		}
	}
}

// Lines of level error become events; a flood of them does not.
func TestSelfMonitoringErrors(t *testing.T) {
	u := self(t)
	hub, err := newHub(u.DSN("9"), 0, "test")
	if err != nil {
		t.Fatal(err)
	}
	log := zerolog.New(zerolog.MultiLevelWriter(reportsOf(hub)))
	log.Warn().Msg("only a warning")
	log.Error().Str("panic", "x").Msg("reported where it was caught")
	for i := range 10 * reportsAtOnce {
		log.Error().Err(errors.New("no space left on device")).Str("part", "spool").Msg(fmt.Sprintf("spool write failed %d", i))
	}
	hub.Flush(time.Minute)
	var events []string
	for _, r := range u.Requests() {
		_, items := readEnvelope(t, "the gateway's own report", r.Body)
		for _, it := range items {
			if it.Header.Type == "event" {
				events = append(events, string(payload(it)))
			}
		}
	}
	if len(events) == 0 || len(events) > reportsAtOnce+1 {
		t.Fatalf("%d events, want up to %d", len(events), reportsAtOnce)
	}
	for _, want := range []string{`spool write failed 0`, `no space left on device`, `"part":"spool"`, `"level":"error"`} {
		if !strings.Contains(events[0], want) {
			t.Errorf("%s is not in %s", want, events[0])
		}
	}
}

// Without a DSN there is nobody to tell, and nothing to pay for.
func TestSelfMonitoringOff(t *testing.T) {
	hub, err := newHub("", 0.2, "test")
	if hub != nil || err != nil || reportsOf(hub) != nil {
		t.Fatalf("hub %v, error %v", hub, err)
	}
}
