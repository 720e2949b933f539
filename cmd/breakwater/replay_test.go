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
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

const fixtures = "../../schemas/testdata/fixtures"

// fixture is one captured request of a stock SDK.
type fixture struct {
	Dir    string `json:"dir"`
	Kind   string `json:"kind"`
	Method string `json:"method"`
	Path   string `json:"path"`
	SDK    string `json:"sdk"`
	Vitals any    `json:"vitals"`
}

func (f fixture) body(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fixtures, f.Dir, "body.bin"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// headers are those the SDK sent, without what the connection decides.
func (f fixture) headers(t *testing.T) http.Header {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(fixtures, f.Dir, "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	var req struct{ Headers [][2]string }
	if err := json.Unmarshal(raw, &req); err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	for _, pair := range req.Headers {
		switch http.CanonicalHeaderKey(pair[0]) {
		case "Host", "Connection", "Content-Length", "Accept-Encoding", "Transfer-Encoding":
		default:
			h.Add(pair[0], pair[1])
		}
	}
	return h
}

func loadFixtures(t *testing.T, keep func(fixture) bool) []fixture {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(fixtures, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	var index struct{ Fixtures []fixture }
	if err := json.Unmarshal(raw, &index); err != nil {
		t.Fatal(err)
	}
	var list []fixture
	for _, f := range index.Fixtures {
		if keep(f) {
			list = append(list, f)
		}
	}
	return list
}

const (
	browserKey = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
	nativeKey  = "0f9e8d7c6b5a49382716051423324150"
)

// plainConfig changes nothing but what every gateway must: no limits that
// matter, no filters, no storm control, no scrubbing.
const plainConfig = `server: {listen: "LISTEN", admin_listen: "ADMIN"}
spool: {dir: "DATA/spool", min_free: 0B}
limits: {per_ip: {rate: 100000/s, burst: 100000}}
scrub: {defaults: false, ip: false}
projects:
  - id: 4201
    name: browser
    keys: [{public: ` + browserKey + `}]
    upstreams: [{name: sentry, type: sentry, dsn: "http://%s@%s/77"}]
    filters: {browser_extensions: false, web_crawlers: false}
    storm: {then_one_in: 1}
    limits: {per_key: {rate: 100000/s, burst: 100000}}
  - id: 5102
    name: native
    keys: [{public: ` + nativeKey + `}]
    upstreams: [{name: sentry, type: sentry, dsn: "http://%s@%s/88"}]
    filters: {browser_extensions: false, web_crawlers: false}
    storm: {then_one_in: 1}
    limits: {per_key: {rate: 100000/s, burst: 100000}}
`

// Every captured request of the stock browser and React Native SDKs goes
// through a real process to a strict recording upstream: each is answered as
// its SDK expects, and item by item the same bytes arrive, but for the fields
// the gateway is there to set.
func TestReplayOfStockSDKs(t *testing.T) {
	up := relaytest.NewUpstream(relaytest.Options{Key: relaytest.TestKey})
	defer up.Close()
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(up.URL(), "http://")
	g := newGateway(t, fmt.Sprintf(plainConfig, relaytest.TestKey, host, relaytest.TestKey, host)).start()

	list := loadFixtures(t, func(f fixture) bool { return f.Kind == "sentry-envelope" && !strings.HasPrefix(f.Dir, "sourcemaps") })
	if len(list) < 300 {
		t.Fatalf("only %d fixtures", len(list))
	}
	want, sent := map[string][]string{}, map[string]string{}
	for _, f := range list {
		body := f.body(t)
		url := "http://" + g.public + f.Path
		if f.Path == "/tunnel" {
			url = "http://" + g.public + "/t"
		}
		req, err := http.NewRequest(f.Method, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = f.headers(t)
		if !strings.Contains(f.Path, "sentry_key") && f.Path != "/tunnel" { // the native SDKs send the header instead
			req.Header.Set("X-Sentry-Auth", "Sentry sentry_version=7,sentry_client=sentry.cocoa.react-native/8.28.0,sentry_key="+nativeKey)
			req.Header.Set("Content-Type", "application/x-sentry-envelope")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", f.Dir, err)
		}
		answer, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		header, items := readEnvelope(t, f.Dir, body)
		wantAnswer := "{}"
		if id := header.EventID(); id != "" {
			wantAnswer = `{"id":"` + id + `"}`
		}
		if resp.StatusCode != http.StatusOK || string(answer) != wantAnswer {
			t.Errorf("%s: answered %d %s, want 200 %s", f.Dir, resp.StatusCode, answer, wantAnswer)
		}
		for _, it := range items {
			k := itemKey(it)
			want[k] = append(want[k], f.Dir)
			sent[k] = string(payload(it))
		}
	}
	total := 0
	for _, dirs := range want {
		total += len(dirs)
	}
	got := func() int {
		n := 0
		for _, r := range up.Requests() {
			n += len(r.Items)
		}
		return n
	}
	eventually(t, 2*time.Minute, func() error {
		if n := got(); n < total {
			return fmt.Errorf("%d of %d items arrived", n, total)
		}
		return nil
	})
	if p := up.Problems(); len(p) > 0 {
		t.Errorf("the upstream found fault: %v", p)
	}
	for _, r := range up.Requests() {
		checkHeader(t, r)
		for _, it := range r.Items {
			k := itemKey(schemas.Item{Header: it.Header, Payload: schemas.Bytes(it.Payload)})
			if len(want[k]) == 0 {
				t.Errorf("an item arrived that nobody sent: %s %.300s", it.Header.Bytes(), it.Payload)
				continue
			}
			want[k] = want[k][1:]
		}
	}
	var missing []string
	for _, dirs := range want {
		missing = append(missing, dirs...)
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("%d items did not arrive as they were sent: %v", len(missing), missing[:min(len(missing), 10)])
	}
	t.Logf("%d requests, %d items, each arrived once", len(list), total)
}

// checkHeader holds the envelope header to what the upstream may see: its own
// key, never the client's DSN.
func checkHeader(t *testing.T, r *relaytest.Request) {
	t.Helper()
	if r.Envelope.DSN() != "" && strings.Contains(r.Envelope.DSN(), browserKey) {
		t.Errorf("the client's DSN reached the upstream: %s", r.Envelope.Bytes())
	}
	if trace, ok := r.Envelope.Trace(); ok {
		if key, _ := trace.String("public_key"); key != relaytest.TestKey {
			t.Errorf("trace.public_key is %q, not the upstream's", key)
		}
	}
	for _, name := range []string{"Cookie", "Authorization"} {
		if r.Header.Get(name) != "" {
			t.Errorf("%s was forwarded", name)
		}
	}
	if sentAt := r.Envelope.SentAt(); sentAt != "" {
		if _, err := time.Parse(time.RFC3339Nano, sentAt); err != nil {
			t.Errorf("sent_at %q: %v", sentAt, err)
		}
	}
}

func readEnvelope(t *testing.T, name string, body []byte) (schemas.EnvelopeHeader, []schemas.Item) {
	t.Helper()
	r := schemas.NewReader(bytes.NewReader(body))
	header, err := r.Header()
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	var items []schemas.Item
	for {
		h, p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return header, items
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		raw, err := io.ReadAll(p)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		items = append(items, schemas.Item{Header: h, Payload: schemas.Bytes(raw)})
	}
}

func payload(it schemas.Item) []byte { b, _ := it.InMemory(); return b }

var (
	ourTags   = regexp.MustCompile(`,?"gateway\.(project|received_at)":"[^"]*"`)
	emptyTags = regexp.MustCompile(`,?"tags":\{\}`)
	length    = regexp.MustCompile(`,?"length":\d+`)
)

// itemKey is an item's header and payload without what the gateway sets: the
// length of every item, the two tags of an error, and the client's address
// where the SDK asked for it with {{auto}}.
func itemKey(it schemas.Item) string {
	p := payload(it)
	if it.Header.Type == "event" {
		p = emptyTags.ReplaceAll(ourTags.ReplaceAll(p, nil), nil)
	}
	if it.Header.Type != "attachment" && it.Header.Type != "replay_recording" {
		p = bytes.ReplaceAll(p, []byte(`"127.0.0.1"`), []byte(`"{{auto}}"`))
	}
	header := strings.ReplaceAll(length.ReplaceAllString(string(it.Header.Bytes()), ""), "{,", "{")
	return header + "\n" + string(p)
}
