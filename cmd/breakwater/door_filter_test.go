package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/ingest/filter"
	"breakwater/relay/relaytest"
)

// filterConfigAll switches every filter on.
const filterConfigAll = `
    filters:
      browser_extensions: true
      legacy_browsers: [ie, default]
      web_crawlers: true
      localhost: true
      error_messages: ["*is of no use*"]
      releases: ["1.*"]
      client_ips: ["198.51.100.0/24"]
      transactions: ["*/healthz"]
      csp_disallowed: ["chrome-extension://*"]
      react_hydration_errors: true
      chunk_load_errors: true
      log_messages: ["*heartbeat*"]
      trace_metrics: ["debug.*"]
`

// Every filter, by name, through a real process: the client is told 200, the
// ledger counts the name, nothing reaches the upstream; the same request
// without what the filter looks for passes.
func TestFiltersAtTheDoor(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, filterConfigAll+"    storm: {then_one_in: 1}\n")).start()
	type object = map[string]any
	envelope := func(typ string, members object) string {
		ev := object{"event_id": "9ec79c33ec9942ab8353589fcb2e04dc", "platform": "javascript", "release": "shop@2.0"}
		for k, v := range members {
			ev[k] = v
		}
		raw, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		return "{}\n{\"type\":\"" + typ + "\"}\n" + string(raw)
	}
	exception := func(typ, value, file string) object {
		return object{"exception": object{"values": []any{object{
			"type": typ, "value": value,
			"stacktrace": object{"frames": []any{object{"filename": file, "abs_path": file, "function": "f", "lineno": 1}}},
		}}}}
	}
	page := func(url, agent string) object {
		return object{"message": "hello", "request": object{"url": url, "headers": object{"User-Agent": agent}}}
	}
	transaction := func(name string) string {
		return envelope("transaction", object{
			"type": "transaction", "transaction": name, "start_timestamp": 1764000000, "timestamp": 1764000001,
			"contexts": object{"trace": object{"trace_id": "e292a4fcb0104e9ebef9b1c9cf689836", "span_id": "b655c2191ddc62a1"}},
		})
	}
	csp := func(blocked string) string {
		return "{}\n{\"type\":\"raw_security\"}\n" + `{"csp-report":{"document-uri":"https://shop.example/","violated-directive":"script-src","blocked-uri":"` + blocked + `"}}`
	}
	container := func(typ, subtype, members string) string {
		return `{}` + "\n" + `{"type":"` + typ + `","item_count":1,"content_type":"application/vnd.sentry.items.` + subtype + `+json"}` + "\n" +
			`{"items":[{"timestamp":1764000000,"trace_id":"e292a4fcb0104e9ebef9b1c9cf689836",` + members + `}]}`
	}
	const ours, firefox = "https://shop.example/app.js", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	cases := []struct {
		name, bad, good string
		agent           string // of the bad request
	}{
		{
			name: filter.ReactHydration, bad: envelope("event", exception("Error", "Minified React error #418; visit https://react.dev/errors/418 for it", ours)),
			good: envelope("event", exception("Error", "Minified React error #301; visit https://react.dev/errors/301 for it", ours)),
		},
		{
			name: filter.ChunkLoad, bad: envelope("event", exception("ChunkLoadError", "Loading chunk 7 failed.", ours)),
			good: envelope("event", exception("ChunkError", "No chunk 7.", ours)),
		},
		{name: filter.LogMessage, bad: container("log", "log", `"level":"info","body":"Heartbeat 7"`), good: container("log", "log", `"level":"info","body":"paid"`)},
		{name: filter.TraceMetricName, bad: container("trace_metric", "trace-metric", `"name":"debug.x","type":"counter","value":1`), good: container("trace_metric", "trace-metric", `"name":"orders","type":"counter","value":1`)},
		{name: filter.InvalidCSP, bad: csp("chrome-extension://abcdef/x.js"), good: csp("https://ads.example/x.js")},
		{
			name: filter.IPAddress, bad: envelope("event", object{"message": "hello", "user": object{"ip_address": "198.51.100.77"}}),
			good: envelope("event", object{"message": "hello", "user": object{"ip_address": "203.0.113.77"}}),
		},
		{name: filter.ReleaseVersion, bad: envelope("event", object{"message": "hello", "release": "1.4.2"}), good: envelope("event", object{"message": "hello", "release": "2.4.2"})},
		{name: filter.ErrorMessage, bad: envelope("event", exception("Error", "this one IS OF NO USE at all", ours)), good: envelope("event", exception("Error", "this one is of use", ours))},
		{name: filter.Localhost, bad: envelope("event", page("http://localhost:3000/checkout", firefox)), good: envelope("event", page("https://shop.example/checkout", firefox))},
		{
			name: filter.BrowserExtensions, bad: envelope("event", exception("TypeError", "x is undefined", "chrome-extension://abcdef/content.js")),
			good: envelope("event", exception("TypeError", "x is undefined", ours)),
		},
		{
			name: filter.LegacyBrowsers, bad: envelope("event", page("https://shop.example/", "Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)")),
			good: envelope("event", page("https://shop.example/", firefox)),
		},
		{name: filter.WebCrawlers, agent: "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", bad: envelope("event", object{"message": "hello"}), good: envelope("event", object{"message": "hello"})},
		{name: filter.Transaction, bad: transaction("GET /healthz"), good: transaction("GET /checkout")},
	}
	tested := map[string]bool{}
	send := func(t *testing.T, agent, body string) {
		t.Helper()
		if agent == "" {
			agent = firefox
		}
		req, err := http.NewRequest(http.MethodPost, g.envelopeURL(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("User-Agent", agent)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Errorf("answered %d, want success: clients must not learn of filters", resp.StatusCode)
		}
	}
	for i, c := range cases {
		tested[c.name] = true
		t.Run(c.name, func(t *testing.T) {
			send(t, c.agent, c.bad)
			if n := g.outcomes(`outcome="filtered"`, `reason="`+c.name+`"`); n != 1 {
				t.Errorf("%v counted as filtered for %s", n, c.name)
			}
			if n := g.outcomes(`outcome="filtered"`); int(n) != i+1 {
				t.Errorf("%v filtered in all, want %d", n, i+1)
			}
			send(t, "", c.good)
			if n := g.outcomes(`outcome="accepted"`); int(n) != i+1 {
				t.Errorf("%v accepted, want %d: its like without the reason should pass", n, i+1)
			}
		})
	}
	for _, name := range filter.Names {
		if !tested[name] {
			t.Errorf("no request tests %s", name)
		}
	}
	eventually(t, 20*time.Second, g.emptySpool)
	got := 0
	for _, r := range up.Taken() {
		if !slices.Contains(r.Types(), "client_report") { // the gateway's own, once a minute
			got++
		}
	}
	if got != len(cases) {
		t.Errorf("%d requests reached the upstream, want the %d good ones", got, len(cases))
	}
	g.closed(t)
}
