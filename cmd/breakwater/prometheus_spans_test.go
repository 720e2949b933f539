package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

// TestBeaconsReachSentry: with vitals.to_sentry a beacon is counted and goes on
// to Sentry as standalone spans, one for each web vital.
func TestBeaconsReachSentry(t *testing.T) {
	up := relaytest.NewUpstream(relaytest.Options{})
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	g := newGateway(t, strings.Replace(oneProject, "vitals: {", "vitals: {to_sentry: true, ", 1)+
		`    upstreams: [{name: sentry, type: sentry, dsn: "`+up.DSN("5")+`"}]`+"\nvitals: {settle: 1s}\n").start()
	body := `{"url":"https://shop.example/product/42?token=secret","release":"shop@1.4.2","trace_id":"0123456789abcdef0123456789abcdef","vitals":[` +
		`{"name":"LCP","value":1834.2,"id":"v6-1","navigationType":"navigate"},{"name":"CLS","value":0.04,"id":"v6-2","navigationType":"navigate"},{"name":"ttid","value":300,"id":"v6-3"}]}`
	if status, answer := post(t, "http://"+g.public+"/api/1/vitals/?key="+testKey, body); status != http.StatusNoContent {
		t.Fatalf("answered %d %s", status, answer)
	}
	eventually(t, time.Minute, func() error {
		if n := len(up.Taken()); n != 1 {
			return fmt.Errorf("%d envelopes arrived, want 1", n)
		}
		return nil
	})
	req := up.Taken()[0]
	if types := strings.Join(req.Types(), " "); types != "span span" || req.Project != "5" || len(up.Problems()) > 0 {
		t.Fatalf("items %q for project %s, faults %v", types, req.Project, up.Problems())
	}
	for i, want := range []struct {
		op, name string
		value    float64
		unit     string
	}{{"ui.webvital.lcp", "lcp", 1834.2, "millisecond"}, {"ui.webvital.cls", "cls", 0.04, ""}} {
		var span struct {
			Op           string
			SpanID       string `json:"span_id"`
			TraceID      string `json:"trace_id"`
			Description  string
			Start        float64 `json:"start_timestamp"`
			Timestamp    float64
			Measurements map[string]struct {
				Value float64
				Unit  string
			}
			Data map[string]any
		}
		if err := json.Unmarshal(req.Items[i].Payload, &span); err != nil {
			t.Fatal(err)
		}
		m := span.Measurements[want.name]
		if span.Op != want.op || m.Value != want.value || m.Unit != want.unit || span.TraceID != "0123456789abcdef0123456789abcdef" || len(span.SpanID) != 16 ||
			span.Description != "/product/:id" || span.Data["release"] != "shop@1.4.2" || span.Data["environment"] != "production" || span.Start > span.Timestamp || span.Start == 0 {
			t.Errorf("%s: %s", want.name, req.Items[i].Payload)
		}
		if bytes.Contains(req.Items[i].Payload, []byte("secret")) {
			t.Errorf("the page's query left: %s", req.Items[i].Payload)
		}
	}
	eventually(t, time.Minute, func() error { // the upstream has them before the gateway has its answer
		text := g.scrape()
		if n := sumSeries(text, "web_vitals_lcp_seconds_count{"); n != 1 {
			return fmt.Errorf("%v observations, want 1", n)
		}
		if n := sumSeries(text, "breakwater_items_outcome_total{", `category="span"`, `outcome="delivered"`); n != 2 {
			return fmt.Errorf("%v spans are delivered, want 2", n)
		}
		return nil
	})
}
