package main

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"breakwater/cmd/breakwater/monitoring"
	"breakwater/relay/relaytest"
)

// TestAlertsReachPeople: an error spike and an upstream outage, provoked at a
// real gateway, go through a real Prometheus and a real Alertmanager with the
// exported rules and the exported example, and arrive as Slack messages and as
// mails; and so does their end. Only times and addresses differ: see hasty.
func TestAlertsReachPeople(t *testing.T) {
	t.Parallel() // it waits most of the time
	alertmanager, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Fatal("prometheus-alertmanager is missing: `make test` installs it")
	}
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "")).start()
	slack, inbox := newSlack(t), newInbox(t)
	am := startAlertmanager(t, alertmanager, slack.url, inbox.addr)
	prom := runPrometheus(t, debianPrometheus(t), "alerting: {alertmanagers: [{static_configs: [{targets: [\""+am+"\"]}]}]}\nscrape_configs:\n  - {job_name: breakwater, static_configs: [{targets: [\""+g.private+"\"]}]}\n",
		hasty(t, string(monitoring.Rules(monitoring.Links{Console: "https://console.example", Grafana: "https://grafana.example"}))), "--rules.alert.resend-delay=1s")
	up.Always(relaytest.Status(503))
	// A Prometheus that stands still for some of the hasty rules' seconds sees no
	// spike in them: then there is another one.
	for spike, seen := 0, false; !seen && spike < 4; spike++ {
		// A day without errors, as the hasty rules count days.
		prom.expect(t, `sum by (project) (rate(breakwater_items_received_total{category="error"}[20s] offset 10s))`, func(v float64) bool { return v == 0 })
		if got := blast(t, g.public, 8, 150, time.Time{}, func(n int) []byte {
			return postRequest(g.public, envelopePath, errorEnvelope(t, 1000*spike+n, letters(1000*spike+n), "shop@2"))
		}); got[http.StatusOK] != 150 {
			t.Fatalf("the errors were answered %v", got)
		}
		for deadline := time.Now().Add(20 * time.Second); !seen && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			seen = find(slack.all(), "[FIRING", "BreakwaterErrorSpike") != ""
		}
	}
	both := []string{"BreakwaterErrorSpike", "BreakwaterUpstreamDown"}
	arrive := func(state string) {
		t.Helper()
		eventually(t, 90*time.Second, func() error {
			for _, alert := range both {
				for where, texts := range map[string][]string{"Slack": slack.all(), "the inbox": inbox.all()} {
					if find(texts, "["+state, alert) == "" {
						return fmt.Errorf("%s: no %s %s in %d messages", where, state, alert, len(texts))
					}
				}
			}
			return nil
		})
	}
	arrive("FIRING")
	for where, texts := range map[string][]string{"Slack": slack.all(), "the inbox": inbox.all()} {
		for alert, wants := range map[string][]string{
			"BreakwaterErrorSpike":   {"Project shop receives", "https://console.example/help/alerts/BreakwaterErrorSpike", "https://grafana.example/d/breakwater-errors?var-project=shop", "warning"},
			"BreakwaterUpstreamDown": {"Destination shop/sentry fails", "https://console.example/help/alerts/BreakwaterUpstreamDown", "https://grafana.example/d/breakwater-gateway", "critical"},
		} {
			text := find(texts, "[FIRING", alert)
			for _, want := range wants {
				if !strings.Contains(text, want) {
					t.Errorf("%s, %s: %q is not in\n%s", where, alert, want, text)
				}
			}
		}
	}
	t.Logf("for example:\n%s", find(slack.all(), "[FIRING", "BreakwaterUpstreamDown"))
	if find(slack.all(), "BreakwaterWatchdog") != "" || find(inbox.all(), "BreakwaterWatchdog") != "" {
		t.Error("the watchdog barks at people")
	}
	eventually(t, 30*time.Second, func() error {
		if slack.watched() == 0 {
			return fmt.Errorf("the watchdog did not arrive where it is waited for")
		}
		return nil
	})

	up.Relent()
	arrive("RESOLVED")
	eventually(t, 60*time.Second, g.emptySpool)
}

// hasty makes the rules' minutes to seconds and their hours to ten of them, so
// that an outage of half an hour is one of some seconds. What is compared, and
// with what, stays.
func hasty(t *testing.T, rules string) string {
	t.Helper()
	short := map[string]string{"1m": "2s", "2m": "3s", "3m": "3s", "5m": "4s", "10m": "5s", "15m": "6s", "30m": "8s", "1h": "10s", "6h": "15s", "1d": "20s", "3d": "30s", "7d": "60s", "1w": "60s"}
	replace := func(pattern, format string) {
		rules = regexp.MustCompile(pattern).ReplaceAllStringFunc(rules, func(m string) string {
			d := regexp.MustCompile(pattern).FindStringSubmatch(m)[1]
			if short[d] == "" {
				t.Fatalf("the rules have a time that is not known here: %s", m)
			}
			return fmt.Sprintf(format, short[d])
		})
	}
	replace(`\[(\d+[mhdw])\]`, "[%s]")
	replace(`offset (\d+[mhdw])`, "offset %s")
	rules = regexp.MustCompile(`for: \d+[mhd]`).ReplaceAllString(rules, "for: 1s")
	return strings.ReplaceAll(rules, "interval: 1m", "interval: 1s")
}

// find is the first text that has all the words.
func find(texts []string, words ...string) string {
next:
	for _, text := range texts {
		for _, w := range words {
			if !strings.Contains(text, w) {
				continue next
			}
		}
		return text
	}
	return ""
}

// startAlertmanager runs the exported example with addresses and times of this test.
func startAlertmanager(t *testing.T, path, slackURL, smtpAddr string) (addr string) {
	t.Helper()
	dir := t.TempDir()
	tree, err := monitoring.Tree(monitoring.Export{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range tree {
		base, ok := strings.CutPrefix(f.Path, "alertmanager/")
		if !ok {
			continue
		}
		text := strings.NewReplacer(
			"/etc/alertmanager/slack_url", filepath.Join(dir, "slack_url"), "smtp.example.org:587", smtpAddr, "https://watchdog.example.org/breakwater", slackURL+"/watchdog",
			"  smtp_auth_username: breakwater@example.org\n", "  smtp_require_tls: false\n", "  smtp_auth_password_file: /etc/alertmanager/smtp_password\n", "",
			"group_wait: 30s", "group_wait: 1s", "group_interval: 5m", "group_interval: 1s", "group_interval: 1m", "group_interval: 1s",
		).Replace(string(f.Data))
		if err := os.WriteFile(filepath.Join(dir, base), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "slack_url"), []byte(slackURL+"/slack"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr = freeAddr(t)
	var output lockedBuffer
	cmd := exec.Command(path, "--config.file="+filepath.Join(dir, "alertmanager.yml"), "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+addr, "--cluster.listen-address=", "--log.level=warn")
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("alertmanager said:\n%s", output.String())
		}
	})
	eventually(t, 60*time.Second, func() error {
		resp, err := http.Get("http://" + addr + "/-/ready")
		if err != nil {
			return fmt.Errorf("%w\n%s", err, output.String())
		}
		return resp.Body.Close()
	})
	return addr
}

// slackRecorder takes messages as Slack's incoming webhooks do.
type slackRecorder struct {
	url   string
	mu    sync.Mutex
	texts []string
	dog   int
}

func newSlack(t *testing.T) *slackRecorder {
	t.Helper()
	s := &slackRecorder{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if r.URL.Path == "/watchdog" {
			s.dog++
			return
		}
		var message struct {
			Channel     string
			Attachments []struct {
				Title, Text, Color string
				TitleLink          string `json:"title_link"`
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil || len(message.Attachments) != 1 || message.Channel != "#on-call" {
			t.Errorf("not a Slack message: %v %+v", err, message)
			http.Error(w, "invalid_payload", http.StatusBadRequest)
			return
		}
		a := message.Attachments[0]
		if want := map[bool]string{true: "good", false: "danger warning"}[strings.Contains(a.Title, "RESOLVED")]; !strings.Contains(want, a.Color) || a.Color == "" || a.TitleLink == "" {
			t.Errorf("color %q, link %q of %q", a.Color, a.TitleLink, a.Title)
		}
		s.texts = append(s.texts, a.Title+"\n"+a.Text)
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(srv.Close)
	s.url = srv.URL
	return s
}

func (s *slackRecorder) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.texts...)
}

func (s *slackRecorder) watched() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dog
}

// inboxRecorder is a mail server that keeps what it is sent.
type inboxRecorder struct {
	addr  string
	t     *testing.T
	mu    sync.Mutex
	texts []string
}

func newInbox(t *testing.T) *inboxRecorder {
	t.Helper()
	b := &inboxRecorder{t: t}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return b, nil }))
	srv.Domain = "localhost"
	ended := make(chan struct{})
	go func() { defer close(ended); _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close(); <-ended })
	b.addr = l.Addr().String()
	return b
}

func (b *inboxRecorder) Reset()                               {}
func (b *inboxRecorder) Logout() error                        { return nil }
func (b *inboxRecorder) Mail(string, *smtp.MailOptions) error { return nil }
func (b *inboxRecorder) Rcpt(to string, _ *smtp.RcptOptions) error {
	if to != "on-call@example.org" {
		b.t.Errorf("a mail to %s", to)
	}
	return nil
}

// Data keeps the subject and the text.
func (b *inboxRecorder) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return err
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	text := subject + "\n"
	for parts := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := parts.NextRawPart()
		if err != nil {
			break
		}
		body, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			return err
		}
		text += string(body)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.texts = append(b.texts, text)
	return nil
}

func (b *inboxRecorder) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.texts...)
}
