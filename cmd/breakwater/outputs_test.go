package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

const outputsConfig = `server: {listen: "LISTEN", admin_listen: "ADMIN"}
spool: {dir: "DATA/spool", min_free: 0B}
logs:
  outputs:
    - {type: stdout}
    - {type: syslog, address: "UDP"}
    - {type: syslog, network: tcp, address: "TCP", facility: local0}
    - {type: syslog, network: tls, address: "TLS", ca_file: "CAFILE"}
    - {type: file, path: "DATA/gateway.log"}
projects:
  - {id: 1, name: shop, keys: [{public: ` + testKey + `}]}
`

// One gateway with every kind of log output at once, a real rsyslog among
// them: each line is in all of them, a SIGHUP begins a new file, and the last
// line before the end is not lost.
func TestLogOutputs(t *testing.T) {
	r := relaytest.StartRsyslog(t)
	g := newGateway(t, strings.NewReplacer("UDP", r.Addr("udp"), "TCP", r.Addr("tcp"), "TLS", r.Addr("tls"), "CAFILE", r.CAFile()).Replace(outputsConfig)).start()
	for range 20 { // each refusal is a line, with an id of its own
		if status, _ := post(t, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey, "nonsense"); status != 400 {
			t.Fatalf("answered %d", status)
		}
	}
	path := filepath.Join(g.dir, "gateway.log")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() error { _, err := os.Stat(path); return err })
	eventually(t, time.Minute, func() error { // a busy server may be late once
		if text := g.scrape(); !strings.Contains(text, `breakwater_log_output_up{output="tls://`+r.Addr("tls")+`"} 1`) || !strings.Contains(text, `breakwater_log_lines_dropped_total{output="stdout"} 0`) {
			return errors.New("the outputs are not in the metrics")
		}
		return nil
	})
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(g.stdout.String()), "\n")
	if len(want) < 24 || !strings.Contains(want[len(want)-1], `"stopped"`) {
		t.Fatalf("standard output has %d lines and ends with %s", len(want), want[len(want)-1])
	}
	inFiles := ""
	for _, p := range []string{path + ".1", path} {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		inFiles += string(b)
	}
	if n := strings.Count(inFiles, "\n"); n != len(want) {
		t.Errorf("%d lines in the files, %d on standard output", n, len(want))
	}
	for _, line := range want {
		if !strings.Contains(inFiles, line) {
			t.Errorf("not in the files: %s", line)
		}
	}
	for _, network := range []string{"udp", "tcp", "tls"} {
		eventually(t, time.Minute, func() error {
			text := strings.Join(r.Lines(network), "\n")
			for _, line := range want {
				if !strings.Contains(text, line) {
					return fmt.Errorf("rsyslog did not get by %s: %s", network, line)
				}
			}
			return nil
		})
	}
}

const destinationsConfig = `server: {listen: "LISTEN", admin_listen: "ADMIN"}
spool: {dir: "DATA/spool", min_free: 0B}
projects:
  - id: 1
    name: shop
    keys: [{public: ` + testKey + `}]
    upstreams:
      - {type: sentry, dsn: "SENTRY"}
      - {type: elasticsearch, url: "ELASTIC", index: "errors-{project}", api_key: "id:s3cr3t"}
      - {type: loki, url: "LOKI", tenant: mine, labels: {cluster: eu}}
      - {type: syslog, network: tls, address: "SYSLOG", ca_file: "CAFILE", facility: local1}
      - {type: file, path: "DATA/errors.jsonl", full_event: true}
  - id: 2
    name: notes
    keys: [{public: fedcba9876543210fedcba9876543210}]
    upstreams: [{name: disk, type: file, path: "DATA/notes.jsonl"}, {name: elk, type: elasticsearch, url: "ELASTIC", index: notes}]
`

// One error goes to all five kinds of upstream, scrubbed; what makes no
// document ends in an outcome that says so, and the books balance.
func TestEveryKindOfUpstream(t *testing.T) {
	r := relaytest.StartRsyslog(t)
	bulk, push := &relaytest.Bulk{Authorization: "ApiKey aWQ6czNjcjN0", DataStream: true}, &relaytest.Push{Tenant: "mine"}
	start := func(o relaytest.Options) *relaytest.Upstream {
		up := relaytest.NewUpstream(o)
		if err := up.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(up.Close)
		return up
	}
	sentry, elk, loki := start(relaytest.Options{}), start(bulk.Options()), start(push.Options())
	config := strings.NewReplacer("SENTRY", sentry.DSN("7"), "ELASTIC", elk.URL(), "LOKI", loki.URL(), "SYSLOG", r.Addr("tls"), "CAFILE", r.CAFile()).Replace(destinationsConfig)
	config = strings.ReplaceAll(config, `url: "`+elk.URL()+`", index: notes`, `url: "`+elk.URL()+`", index: notes, api_key: "id:s3cr3t"`)
	g := newGateway(t, config).start()

	const id = "9ec79c33ec9942ab8353589fcb2e04dc"
	envelope := `{"event_id":"` + id + `"}
{"type":"event"}
{"message":"card 4111111111111111 refused","level":"error","release":"shop@1.4.2","environment":"production","extra":{"password":"canary"},"user":{"id":"42"}}
{"type":"session"}
{"sid":"7c7b6585-f901-4351-bf8d-02711b721929","init":true,"started":"` + time.Now().UTC().Format(time.RFC3339) + `","status":"ok","attrs":{"release":"shop@1.4.2"}}
`
	for project, key := range map[string]string{"1": testKey, "2": "fedcba9876543210fedcba9876543210"} {
		if status, body := post(t, "http://"+g.public+"/api/"+project+"/envelope/?sentry_key="+key, envelope); status != 200 {
			t.Fatalf("answered %d %s", status, body)
		}
	}
	eventually(t, time.Minute, func() error {
		if err := g.emptySpool(); err != nil {
			return fmt.Errorf("%w\n%s", err, g.stdout.String())
		}
		return nil
	})
	eventually(t, time.Minute, func() error { // rsyslog has read it, and writes it in its own time
		if len(r.Lines("tls")) != 1 {
			return fmt.Errorf("rsyslog has %q", r.Lines("tls"))
		}
		return nil
	})
	inFile, err := os.ReadFile(filepath.Join(g.dir, "errors.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	entries, _ := push.Entries()
	if len(entries) != 1 || entries[0].Labels["cluster"] != "eu" || entries[0].Labels["project"] != "shop" {
		t.Fatalf("Loki has %+v", entries)
	}
	for where, text := range map[string]string{
		"elasticsearch": string(bulk.Get("errors-shop", "1-"+id)), "elasticsearch, other project": string(bulk.Get("notes", "2-"+id)),
		"loki": entries[0].Line, "syslog": r.Lines("tls")[0], "file": string(inFile),
	} {
		if !strings.Contains(text, `"event_id":"`+id+`"`) || !strings.Contains(text, `"user_id":"42"`) {
			t.Errorf("%s has %q", where, text)
		}
		if strings.Contains(text, "4111111111111111") || strings.Contains(text, "canary") {
			t.Errorf("%s got what was to be scrubbed: %s", where, text)
		}
	}
	var doc struct{ Event string }
	if err := json.Unmarshal(inFile, &doc); err != nil || !json.Valid([]byte(doc.Event)) {
		t.Errorf("the file holds %s: %v", inFile, err)
	}
	text := g.scrape()
	for _, want := range []string{
		`breakwater_items_outcome_total{category="error",outcome="delivered",project="shop",reason=""} 1`,
		`breakwater_items_outcome_total{category="session",outcome="delivered",project="shop",reason=""} 1`, // Sentry has it
		`breakwater_items_outcome_total{category="error",outcome="delivered",project="notes",reason=""} 1`,
		`breakwater_items_outcome_total{category="session",outcome="filtered",project="notes",reason="no_document"} 1`,
		`breakwater_relay_attempts_total{destination="shop/elasticsearch",result="delivered"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is missing", want)
		}
	}
	if strings.Contains(g.stdout.String(), "s3cr3t") || strings.Contains(text, "s3cr3t") {
		t.Error("a secret is in the log or in the metrics")
	}
}
