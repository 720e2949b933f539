package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/doctor"
	"breakwater/cmd/breakwater/monitoring"
	"breakwater/relay/relaytest"
)

// A gateway behind a real nginx, with real Prometheus and Alertmanager, and
// nothing wrong: no fault and no warning.
func TestDoctorFindsAHealthySystemHealthy(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, healthyConfig(up.DSN("5"))).start()
	public := nginx(t, g, passAll, forwarded)
	am := alertmanager(t)
	prom := prometheusFor(t, promConfig(g.private, am, true))
	eventually(t, 30*time.Second, func() error { return prom.hasRules() })
	r := examine(t, g, func(o *doctor.Options) {
		o.Public, o.Prometheus, o.Alertmanager, o.Rules = public, prom.url, am, ownRules()
	})
	expectFaults(t, r)
	for _, res := range r.Results {
		if res.Status != doctor.OK && res.Name != "fsync_slow" { // this machine's disk may have other work
			t.Errorf("%+v", res)
		}
	}
	// The canary event came, marked; nobody's numbers moved.
	if taken := up.Taken(); len(taken) != 2 { // one by doctor, one by the gateway
		t.Errorf("the upstream got %d requests", len(taken))
	}
	for _, line := range strings.Split(g.scrape(), "\n") {
		for _, family := range []string{"web_vitals_ratings_total{", "release_errors_total{", "release_sessions_total{", "web_vitals_lcp_seconds_count{"} {
			if strings.HasPrefix(line, family) && !strings.HasSuffix(line, " 0") {
				t.Errorf("a canary counts as a person's: %s", line)
			}
		}
	}
	if !strings.Contains(g.scrape(), `breakwater_canary_last_success_timestamp_seconds{path="errors"} 1.`) || !strings.Contains(g.scrape(), `breakwater_canary_last_success_timestamp_seconds{path="vitals"} 1.`) {
		t.Error("the dead-man metric does not tell that the paths work")
	}
}

// An upstream that takes spans only is asked with its headers, and no canary
// error is expected there.
func TestDoctorKnowsUpstreamsOfSpans(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	spans := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Api-Key") != "topsecret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusMethodNotAllowed)
	}))
	t.Cleanup(spans.Close)
	const first = `timeout: 10s}`
	config := strings.Replace(healthyConfig(up.DSN("5")), first, first+`, {type: otlp, url: "`+spans.URL+`", headers: {x-api-key: topsecret}}`, 1)
	if !strings.Contains(config, "otlp") {
		t.Fatal("the configuration has no second upstream")
	}
	g := newGateway(t, config).start()
	r := examine(t, g, func(*doctor.Options) {})
	expectFaults(t, r)
	asked := false
	for _, res := range r.Results {
		asked = asked || res.Status == doctor.OK && strings.Contains(fmt.Sprintf("%+v", res), "otlp answers")
	}
	if !asked {
		t.Errorf("%+v", r.Results)
	}
}

// Each row is one thing wrong, and the one word that names it.
func TestDoctorNamesWhatIsWrong(t *testing.T) {
	ok := startUpstream(t, relaytest.Options{})
	shared := newGateway(t, healthyConfig(ok.DSN("5"))).start()
	certs := newAuthority(t)
	proxy := func(server, location string, more ...string) func(*testing.T) *doctor.Report {
		return func(t *testing.T) *doctor.Report {
			public := nginx(t, shared, server, location, more...)
			return examine(t, shared, func(o *doctor.Options) { o.Public = public })
		}
	}
	upstream := func(dsn func(t *testing.T) string, set func(*doctor.Options)) func(*testing.T) *doctor.Report {
		return func(t *testing.T) *doctor.Report { // the gateway itself keeps a good one
			return examine(t, shared, func(o *doctor.Options) {
				o.Config.Projects[0].Upstreams[0].DSN = config.Secret(dsn(t))
				if set != nil {
					set(o)
				}
			})
		}
	}
	answer := func(status int, body string, header ...string) func(*testing.T) *doctor.Report {
		return upstream(func(t *testing.T) string { return answering(t, status, body, header...) }, nil)
	}
	tls := func(cert, key string, set func(*doctor.Options)) func(*testing.T) *doctor.Report {
		return func(t *testing.T) *doctor.Report {
			public := nginx(t, shared, passAll+"ssl_certificate "+cert+"; ssl_certificate_key "+key+";", forwarded)
			return examine(t, shared, func(o *doctor.Options) {
				o.Public, o.CAFile = public, certs.file
				if set != nil {
					set(o)
				}
			})
		}
	}
	for _, row := range []struct {
		name string
		want string
		run  func(t *testing.T) *doctor.Report
	}{
		// Between clients and the gateway: a real nginx.
		{"CORS headers stripped by the proxy", "proxy_cors", proxy(passAll, forwarded+"proxy_hide_header Access-Control-Allow-Origin; proxy_hide_header Access-Control-Expose-Headers;")},
		{"preflights answered by the proxy", "proxy_preflight", proxy(passAll, forwarded+"if ($request_method = OPTIONS) { return 403; }")},
		{"limit headers eaten by the proxy", "proxy_limit_headers", proxy(passAll, forwarded+"proxy_hide_header X-Sentry-Rate-Limits; proxy_hide_header Retry-After;")},
		{"X-Sentry-Auth eaten by the proxy", "proxy_auth_header", proxy(passAll, forwarded+`proxy_set_header X-Sentry-Auth "";`)},
		{"Content-Encoding eaten by the proxy", "proxy_encoding", proxy(passAll, forwarded+`proxy_set_header Content-Encoding "";`)},
		{"tunnel's path rewritten", "tunnel_rewritten", proxy(passAll, forwarded, "location = /t { proxy_pass http://GATEWAY/api/tunnel; "+forwarded+" }")},
		{"tunnel's path not passed on", "proxy_route", proxy(passAll, forwarded, "location = /t { return 404; }")},
		{"bodies limited by the proxy", "proxy_body_limit", proxy("client_max_body_size 1m;", forwarded)},
		{"bodies dropped by the proxy", "proxy_body_changed", proxy(passAll, forwarded, "location ~ envelope { proxy_pass http://GATEWAY; "+forwarded+" proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }")},
		{"redirect to https", "proxy_redirects", proxy("return 301 https://errors.example$request_uri;", "")},
		{"proxy not trusted", "proxy_untrusted", func(t *testing.T) *doctor.Report {
			g := newGateway(t, strings.Replace(healthyConfig(ok.DSN("5")), `, trusted_proxies: ["127.0.0.0/8"]`, "", 1)).start()
			public := nginx(t, g, passAll, forwarded)
			return examine(t, g, func(o *doctor.Options) { o.Public = public })
		}},
		{"proxy that hides its client", "proxy_no_address", proxy(passAll, "proxy_set_header Host $host;")},
		{"origin not allowed", "origin_refused", func(t *testing.T) *doctor.Report {
			return examine(t, shared, func(o *doctor.Options) { o.Origins = []string{"https://other.example"} })
		}},
		{"expired certificate", "certificate_expired", tls(certs.issue(t, "127.0.0.1", -time.Hour))},
		{"certificate of another name", "certificate_name", tls(certs.issue(t, "errors.example", time.Hour*2400))},
		{"certificate of an unknown authority", "certificate_chain", func(t *testing.T) *doctor.Report {
			cert, key, _ := certs.issue(t, "127.0.0.1", time.Hour*2400)
			return tls(cert, key, func(o *doctor.Options) { o.CAFile = "" })(t)
		}},
		{"nobody at the public address", "public_unreachable", func(t *testing.T) *doctor.Report {
			return examine(t, shared, func(o *doctor.Options) { o.Public = "http://" + freeAddr(t) })
		}},

		// The gateway and its machine.
		{"configuration with a mistake", "config_invalid", func(t *testing.T) *doctor.Report {
			return examine(t, newGateway(t, healthyConfig("no dsn at all")), nil)
		}},
		{"gateway not running", "gateway_down", func(t *testing.T) *doctor.Report {
			return examine(t, newGateway(t, healthyConfig(ok.DSN("5"))), nil)
		}},
		{"port taken by another program", "port_taken", func(t *testing.T) *doctor.Report {
			g := newGateway(t, healthyConfig(ok.DSN("5")))
			l, err := net.Listen("tcp", g.private)
			if err != nil {
				t.Fatal(err)
			}
			s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.NotFoundHandler()}
			go func() { _ = s.Serve(l) }()
			t.Cleanup(func() { _ = s.Close() })
			return examine(t, g, nil)
		}},
		{"wrong admin token", "token_refused", func(t *testing.T) *doctor.Report {
			g := newGateway(t, strings.Replace(healthyConfig(ok.DSN("5")), "server: {", `server: {admin_token: "0123456789abcdef-real", `, 1)).start()
			return examine(t, g, func(o *doctor.Options) { o.Config.Server.AdminToken = "0123456789abcdef-other" })
		}},
		{"read-only folder", "dir_not_writable", func(t *testing.T) *doctor.Report {
			dir := mounted(t, unix.MS_RDONLY, "size=1m")
			return examine(t, shared, func(o *doctor.Options) { o.Config.Spool.Dir = dir })
		}},
		{"full disk", "disk_full", func(t *testing.T) *doctor.Report {
			dir := mounted(t, 0, "size=2m")
			writeFile(t, filepath.Join(dir, "fill"), strings.Repeat("x", 1536<<10))
			return examine(t, shared, func(o *doctor.Options) { o.Config.Spool.Dir, o.Config.Spool.MaxSize = dir, 1<<20 })
		}},
		{"clock off by an hour", "clock_off", answer(200, `{}`, "Date", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))},
		{"log server not there", "log_unreachable", func(t *testing.T) *doctor.Report {
			return examine(t, shared, func(o *doctor.Options) {
				o.Config.Logs.Outputs = []config.Output{{Type: "syslog", Network: "tcp", Address: freeAddr(t)}}
			})
		}},

		// Upstreams.
		{"wrong key", "upstream_key", answer(403, `{"detail":"invalid key: no such sentry_key"}`)},
		{"closed project", "upstream_closed", answer(403, `{"detail":"project is disabled"}`)},
		{"key or project, as Sentry says it", "upstream_project", answer(403, `{"detail":"event submission rejected with_reason: ProjectId"}`)},
		{"wrong region", "upstream_region", upstream(func(*testing.T) string { return "http://" + testKey + "@o1.ingest.sentry.io/5" }, func(o *doctor.Options) {
			wrong, right := answering(t, 403, `{"detail":"event submission rejected with_reason: ProjectId"}`), answering(t, 200, `{}`)
			o.Transport = resolving(map[string]string{"o1.ingest.sentry.io": wrong, "o1.ingest.us.sentry.io": wrong, "o1.ingest.de.sentry.io": right})
		})},
		{"upstream limits", "upstream_limited", answer(429, ``, "Retry-After", "60")},
		{"upstream fails", "upstream_failing", answer(502, `bad gateway`)},
		{"upstream redirects", "upstream_redirect", answer(301, ``, "Location", "https://elsewhere.example/")},
		{"no ingest there", "upstream_not_found", answer(404, `not here`)},
		{"upstream refuses a good event", "upstream_rejects", answer(400, `{"detail":"no"}`)},
		{"name without an address", "upstream_dns", upstream(func(*testing.T) string { return "http://" + testKey + "@no-such-host.invalid/5" }, nil)},
		{"upstream not running", "upstream_refused", upstream(func(t *testing.T) string { return "http://" + testKey + "@" + freeAddr(t) + "/5" }, nil)},
		{"upstream silent", "upstream_timeout", upstream(func(t *testing.T) string {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			return "http://" + testKey + "@" + l.Addr().String() + "/5"
		}, func(o *doctor.Options) { o.Config.Projects[0].Upstreams[0].Timeout = config.Duration(time.Second) })},
		{"upstream's certificate", "upstream_certificate", upstream(func(t *testing.T) string {
			s := httptest.NewTLSServer(http.NotFoundHandler())
			t.Cleanup(s.Close)
			return "https://" + testKey + "@" + strings.TrimPrefix(s.URL, "https://") + "/5"
		}, nil)},
		{"upstream is the gateway", "upstream_loop", upstream(func(*testing.T) string { return "http://" + testKey + "@" + shared.public + "/1" }, nil)},
	} {
		t.Run(row.name, func(t *testing.T) { expectFaults(t, row.run(t), row.want) })
	}
}

// What comes behind the gateway: real Prometheus and Alertmanager.
func TestDoctorAsksPrometheusAndAlertmanager(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, healthyConfig(up.DSN("5"))).start()
	am := alertmanager(t)
	old := strings.Replace(string(monitoring.Rules(monitoring.Links{})), "> 0", "> 1000", 1)
	for _, row := range []struct {
		name   string
		want   []string
		config string
		flags  []string
		am     string
	}{
		{"not scraping", []string{"prometheus_not_scraping"}, promConfig("", am, true), nil, am},
		{"scrape fails", []string{"prometheus_scrape_fails"}, strings.Replace(promConfig(g.private, am, true), "job_name: breakwater\n", "job_name: breakwater\n    metrics_path: /nothing\n", 1), nil, am},
		{"native histograms only", []string{"prometheus_native_only"}, promConfig(g.private, am, true), []string{"--enable-feature=native-histograms"}, am},
		{"rules not loaded", []string{"rules_missing"}, promConfig(g.private, am, false), nil, am},
		{"rules of another version", []string{"rules_old"}, promConfig(g.private, am, true) + "\x00" + old, nil, am},
		{"no Alertmanager in Prometheus", []string{"prometheus_no_alertmanager"}, promConfig(g.private, "", true), nil, am},
		{"Alertmanager not there", []string{"alertmanager_unreachable"}, promConfig(g.private, am, true), nil, "http://" + freeAddr(t)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			prom := prometheusFor(t, row.config, row.flags...)
			if row.name != "rules not loaded" {
				eventually(t, 30*time.Second, prom.hasRules)
			}
			r := examine(t, g, func(o *doctor.Options) {
				o.Prometheus, o.Alertmanager, o.Rules = prom.url, row.am, ownRules()
				if row.name == "not scraping" { // it waits for nothing
					o.Patience = 10 * time.Second
				}
			})
			expectFaults(t, r, row.want...)
		})
	}
	t.Run("Prometheus not there", func(t *testing.T) {
		r := examine(t, g, func(o *doctor.Options) { o.Prometheus = "http://" + freeAddr(t) })
		expectFaults(t, r, "prometheus_unreachable")
	})
	t.Run("a bucket named as Prometheus 3 never does", func(t *testing.T) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/api/v1/status/buildinfo":
				_, _ = w.Write([]byte(`{"status":"success","data":{"version":"3.8.0"}}`))
			case "/api/v1/rules":
				_, _ = w.Write([]byte(`{"status":"success","data":{"groups":[{"name":"mine","rules":[{"name":"slow","query":"sum(rate(web_vitals_lcp_seconds_bucket{le=\"4\"}[5m]))","health":"ok"}]}]}}`))
			case "/api/v1/alertmanagers":
				_, _ = w.Write([]byte(`{"status":"success","data":{"activeAlertmanagers":[{"url":"http://am"}]}}`))
			default:
				_, _ = fmt.Fprintf(w, `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"%d"]}]}}`, 1<<40)
			}
		}))
		defer s.Close()
		r := examine(t, g, func(o *doctor.Options) { o.Prometheus = s.URL })
		got := names(r)
		if !slices.Contains(got, "prometheus_le") {
			t.Errorf("faults %v", got)
		}
	})
}

// The command's table, its JSON and its exit code, and rounds of --watch.
func TestDoctorCommand(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, healthyConfig(up.DSN("5"))).start()
	t.Setenv("BREAKWATER_DATA_DIR", g.dir)
	var out, errs bytes.Buffer
	if code := run([]string{"doctor", "--config", g.config}, &out, &errs); code != exitGood {
		t.Errorf("exit %d\n%s%s", code, out.String(), errs.String())
	}
	var r doctor.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || len(r.Results) < 12 {
		t.Errorf("%v: %d results", err, len(r.Results))
	}
	if text := renderExamination(&r); !strings.Contains(text, "no fault") || !strings.Contains(text, "tunnel") {
		t.Error(text)
	}
	out.Reset()
	if code := run([]string{"doctor", "--config", g.config, "--from", "https://other.example"}, &out, &errs); code != exitFault || !strings.Contains(out.String(), "origin_refused") {
		t.Errorf("exit %d\n%s", code, out.String())
	}
	before := len(up.Taken())
	ctx, stop := context.WithCancel(t.Context())
	d, watched := &doctorCmd{Patience: time.Minute, Every: time.Second, JSON: true}, make(chan error, 1)
	var lines lockedBuffer
	go func() { watched <- d.watch(ctx, &cli{Config: g.config}, &lines) }()
	eventually(t, 30*time.Second, func() error {
		if !strings.Contains(lines.String(), `"faults": 0`) || len(up.Taken()) < before+4 {
			return errors.New("no two rounds yet: " + lines.String())
		}
		return nil
	})
	stop()
	if err := <-watched; err != nil {
		t.Error(err)
	}
	for _, req := range up.Taken()[before:] {
		for _, it := range req.Items {
			if it.Header.Type != "client_report" {
				t.Errorf("--watch sent a %s", it.Header.Type)
			}
		}
	}
}
