package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zlib"

	"breakwater/ingest/scrub"
	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// A canary is a text that identifies a person, planted where it must not
// survive: an address of this domain in every text, a password in every object.
const canaryDomain = "leak.example"

var canaryText = regexp.MustCompile(`(?i)cnry[0-9a-z.]*@leak\.example|cnrypw[0-9]+x`)

// planter plants canaries, each its own, in a decoded JSON document.
type planter struct {
	next int
	// keep are canaries that scrubbing leaves where they are planted: fields
	// that grouping and symbolication need are exempt, and stay as they were.
	keep map[string]bool
	left int // how many fields were left alone for that
}

// plant is a copy of doc with a canary in every text, and in every object a
// member more.
func (p *planter) plant(doc any) any {
	switch v := doc.(type) {
	case map[string]any:
		m := make(map[string]any, len(v)+1)
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			m[k] = p.plant(v[k])
		}
		p.next++
		if secret := fmt.Sprintf("cnrypw%dx", p.next); !p.keep[secret] {
			m["db_password"] = secret
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = p.plant(e)
		}
		return l
	case string:
		p.next++
		c := fmt.Sprintf("cnry%d@%s", p.next, canaryDomain)
		if p.keep[c] {
			p.left++
			return v
		}
		return v + " " + c
	}
	return doc
}

// planted is a payload with canaries wherever the scrubber itself, which has
// tests of its own for what it must take, takes them.
func planted(t *testing.T, rules *scrub.Rules, typ string, payload []byte, p *planter) []byte {
	t.Helper()
	first, plain := []byte(nil), payload
	if typ == "replay_recording" {
		head, body, ok := bytes.Cut(payload, []byte("\n"))
		if !ok {
			return payload
		}
		first, plain = append(head, '\n'), body
		if body[0] != '[' {
			plain = inflate(t, body)
		}
	}
	var doc any
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.UseNumber()
	if dec.Decode(&doc) != nil {
		return payload
	}
	encode := func(from int) []byte {
		p.next = from
		raw, err := json.Marshal(p.plant(doc))
		if err != nil {
			t.Fatal(err)
		}
		return append(append([]byte(nil), first...), raw...)
	}
	from := p.next
	p.keep = nil
	scrubbed, _, err := rules.Item(typ, encode(from))
	if err != nil {
		t.Fatalf("%s: %v", typ, err)
	}
	p.keep = map[string]bool{}
	for _, c := range canaryText.FindAllString(visible(t, typ, scrubbed), -1) {
		p.keep[c] = true
	}
	return encode(from)
}

func inflate(t *testing.T, b []byte) []byte {
	t.Helper()
	zr, err := zlib.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// visible is a payload as a reader of the wire would see it.
func visible(t *testing.T, typ string, payload []byte) string {
	if typ == "replay_recording" {
		if head, body, ok := bytes.Cut(payload, []byte("\n")); ok && len(body) > 0 && body[0] == 0x78 {
			return string(head) + string(inflate(t, body))
		}
	}
	return string(payload)
}

// leaks fails when a text holds a canary.
func leaks(t *testing.T, where, text string) {
	t.Helper()
	if found := canaryText.FindAllStringIndex(text, -1); len(found) > 0 {
		at := found[0]
		t.Errorf("%d canaries in %s, the first in …%s…", len(found), where, text[max(0, at[0]-120):min(len(text), at[1]+40)])
	}
}

// No personal data leaves, or rests: every text field of every captured
// request of the stock SDKs, of beacons and of crash reports carries a canary
// of its own (but for the fields that grouping and symbolication need and the
// scrubber so leaves alone: exceptions' types and values, frames, identifiers),
// and so do requests that are refused. None is in the files of the
// data directory while the upstream is away, nor on the wire when it is back,
// nor in the log at level debug, the metrics and the pages of the private
// listener. A text of a field that is exempt shows that the search finds.
func TestCanariesEndToEnd(t *testing.T) {
	const control = "positive-control-release"
	c := scrub.DefaultConfig()
	c.Email = true
	rules, err := scrub.Compile(c)
	if err != nil {
		t.Fatal(err)
	}
	upstream := freeAddr(t) // nobody listens there yet
	config := strings.Replace(doorConfig(relaytest.NewUpstream(relaytest.Options{}), "    storm: {first: 2, then_one_in: 2}\n    aliases: ["+browserKey+", "+nativeKey+"]\n"),
		`dsn: "`, `dsn: "http://`+relaytest.TestKey+`@`+upstream+`/5`, 1)
	config = regexp.MustCompile(`(@`+regexp.QuoteMeta(upstream)+`/5)[^"]*"`).ReplaceAllString(config, `$1"`)
	config = strings.Replace(config, "server: {", `server: {trusted_proxies: ["127.0.0.0/8"], `, 1)
	g := newGateway(t, config+"scrub: {email: true}\nvitals: {settle: 1s, series_per_project: 5000}\n", "LOG_LEVEL=debug").start()

	send := func(path string, body []byte, contentType string) int {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, "http://"+g.public+path, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) Chrome/156.0.0.0")
		req.Header.Set("Cookie", "session=cnrypw900000001x")
		req.Header.Set("Referer", "https://shop.example/?mail=cnryreferer@"+canaryDomain)
		req.Header.Set("X-Forwarded-For", "203.0.113.222")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	p := &planter{}
	ok, refused := 0, map[string]int{}
	for _, f := range loadFixtures(t, func(f fixture) bool { return f.Kind == "sentry-envelope" && !strings.HasPrefix(f.Dir, "sourcemaps") }) {
		header, items := readEnvelope(t, f.Dir, f.body(t))
		header.Delete("dsn")
		env := schemas.Envelope{Header: header}
		for _, it := range items {
			if it.Header.Type != "attachment" { // forwarded as it is, by default: nobody can look into it
				it.Payload = schemas.Bytes(planted(t, rules, it.Header.Type, payload(it), p))
			}
			env.Items = append(env.Items, it)
		}
		var b bytes.Buffer
		if _, err := env.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		if status := send(envelopePath, b.Bytes(), "text/plain;charset=UTF-8"); status == http.StatusOK {
			ok++
		} else {
			refused[fmt.Sprint(f.Dir, " ", status)]++
		}
	}
	t.Logf("%d canaries planted, %d fields are exempt; %d requests taken, refused %v", p.next-p.left, p.left, ok, refused)
	if len(refused) > ok/10 || p.left > p.next/2 {
		t.Error("too few canaries came in to prove anything")
	}
	mail := func(name string) string { return "cnry" + name + "@" + canaryDomain }
	for _, beacon := range []string{
		`{"name":"LCP","value":1834.2,"id":"v6-1","navigationType":"navigate","url":"https://shop.example/u/` + mail("a") + `/cart?mail=` + mail("b") + `"}`,
		`{"route":"/u/` + mail("c") + `","url":"https://shop.example/` + mail("d") + `","release":"shop@1","vitals":[{"name":"LCP","value":9000,"id":"v6-` + mail("e") + `","navigationType":"navigate","attribution":{"target":"img#` + mail("f") + `","url":"https://cdn.example/` + mail("f2") + `/a.png"}}]}`,
		`{"route":"` + mail("g") + `","vitals":[{"name":"INP","value":1,"id":"v6-3","navigationType":"` + mail("h") + `"},{"name":"` + mail("i") + `","value":1}]}`,
	} {
		if status := send("/api/1/vitals/?key="+testKey+"&mail="+mail("j"), []byte(beacon), "text/plain"); status != http.StatusNoContent {
			t.Errorf("a beacon was answered %d", status)
		}
	}
	if status := send("/api/1/crash/?key="+testKey, []byte(`{"platform":"javascript","release":"`+control+`","message":"of `+mail("k")+`","exceptions":[{"type":"TypeError","value":"x is undefined",
		"stack":"TypeError: x is undefined\n    at pay (https://shop.example/assets/app.js:10:15)"}],"user":{"email":"`+mail("n")+`","id":"`+mail("o")+`"},"tags":{"mail":"`+mail("p")+`","password":"cnrypw900000002x"},
		"breadcrumbs":[{"category":"ui","message":"`+mail("q")+`","data":{"token":"cnrypw900000003x"}}],"contexts":{"account":{"mail":"`+mail("r")+`"}}}`), "application/json"); status != http.StatusOK {
		t.Errorf("a crash report was answered %d", status)
	}
	// What is refused must not be told in the log either.
	for _, r := range []struct{ path, body string }{
		{envelopePath, "{}\n{\"type\":\"event\"}\n{\"message\":\"" + mail("s") + "\", broken"},
		{envelopePath, mail("t")},
		{envelopePath, "{\"event_id\":\"" + mail("u") + "\"}\n{\"type\":\"event\"}\n{}"},
		{envelopePath, "{}\n{\"type\":\"" + mail("w") + "\",\"length\":99999}\n"},
		{"/api/1/envelope/?sentry_key=" + mail("x"), anEnvelope},
		{"/api/" + mail("y") + "/envelope/?sentry_key=" + testKey, anEnvelope},
		{"/t", "{\"dsn\":\"https://" + mail("z") + "/1\"}\n"},
		{"/nowhere/" + mail("aa"), ""},
		{"/api/1/crash/?key=" + testKey, "{\"exceptions\":\"" + mail("ab") + "\"}"},
	} {
		if status := send(r.path, []byte(r.body), "text/plain"); status/100 == 2 {
			t.Logf("taken, not refused: %s", r.path)
		}
	}
	send(envelopePath, []byte(strings.Replace(anEnvelope, "shop@1.4.2", control, 1)), "text/plain")
	eventually(t, 20*time.Second, func() error { // vitals have settled: now the search could find what must not be there
		if !strings.Contains(g.scrape(), "web_vitals_lcp_seconds_count") {
			return errors.New("no vitals in the metrics")
		}
		return nil
	})
	g.privatePages(t)
	g.grepFiles(t, control)
	if err := g.stop(); err != nil { // vitals that are settling, quotas, the last summaries and reports are written
		t.Fatal(err)
	}
	g.grepFiles(t, control)

	up := relaytest.NewUpstream(relaytest.Options{MaxRequests: 100_000, Key: relaytest.TestKey})
	if err := up.Listen(upstream); err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	g.start()
	eventually(t, 60*time.Second, g.emptySpool)
	g.privatePages(t)
	found := false
	for _, r := range up.Requests() {
		leaks(t, "the request's head", fmt.Sprint(r.Path, r.Query, r.Header))
		leaks(t, "an envelope's header", string(r.Envelope.Bytes()))
		if strings.Contains(fmt.Sprint(r.Header), "203.0.113.222") {
			t.Error("the client's address is in the request's head")
		}
		for _, it := range r.Items {
			leaks(t, "an item's header", string(it.Header.Bytes()))
			text := visible(t, it.Header.Type, it.Payload)
			if it.Header.Type != "attachment" {
				leaks(t, "a "+it.Header.Type, text)
			}
			found = found || strings.Contains(text, control)
			if strings.Contains(text, "203.0.113.222") {
				t.Errorf("the client's address is in a %s", it.Header.Type)
			}
		}
	}
	if !found || up.Totals().Taken < int64(ok)/2 {
		t.Errorf("%d requests reached the upstream; the control among them: %v", up.Totals().Taken, found)
	}
	if !strings.Contains(g.stdout.String()+g.stderr.String(), `"target":"`) {
		t.Error("the log does not say what made a vital poor: what is looked for could not be there")
	}
	for _, log := range []string{g.stdout.String(), g.stderr.String()} {
		leaks(t, "the log", log)
		for _, word := range []string{"203.0.113.222", control, "TypeError"} {
			if strings.Contains(log, word) {
				t.Errorf("%s is in the log", word)
			}
		}
	}
	if !strings.Contains(g.stdout.String(), `"level":"debug"`) {
		t.Error("the log is not at level debug")
	}
}

// privatePages looks for canaries in the metrics and in every page of the private
// listener that a link leads to.
func (g *gateway) privatePages(t *testing.T) {
	t.Helper()
	leaks(t, "the metrics", g.scrape())
	link := regexp.MustCompile(`(?:href|src|action)="(/[^"#]*)"`)
	queue, seen := []string{"/", "/api/v1/status"}, map[string]bool{}
	for _, name := range []string{"spool", "destinations", "dead-letters", "fingerprints", "releases", "vitals", "outcomes"} {
		queue = append(queue, "/api/v1/"+name, "/"+name)
	}
	for len(queue) > 0 && len(seen) < 200 {
		path := queue[0]
		queue = queue[1:]
		if seen[path] || strings.HasPrefix(path, "/debug/") {
			continue
		}
		seen[path] = true
		resp, err := http.Get("http://" + g.private + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		leaks(t, "the page "+path, string(text))
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			queue = append(queue, strings.ReplaceAll(m[1], "&amp;", "&"))
		}
	}
}

// grepFiles looks for canaries in every file of the data directory, and for
// the control, which must be there.
func (g *gateway) grepFiles(t *testing.T, control string) {
	t.Helper()
	found := false
	err := filepath.WalkDir(g.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == g.config {
			return err
		}
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a running gateway writes files anew, under another name first
		}
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(g.dir, path)
		leaks(t, "the file "+rel, string(raw))
		if bytes.Contains(raw, []byte("203.0.113.222")) {
			t.Errorf("the client's address is in the file %s", rel)
		}
		for at := 0; ; { // recordings are compressed inside
			i := bytes.Index(raw[at:], []byte("\n\x78"))
			if i < 0 {
				break
			}
			at += i + 1
			if zr, err := zlib.NewReader(bytes.NewReader(raw[at:])); err == nil {
				plain, _ := io.ReadAll(zr) // ends early where it is no recording
				leaks(t, "a recording in "+rel, string(plain))
			}
		}
		found = found || bytes.Contains(raw, []byte(control))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		t.Error("the control is in no file: the search does not find")
	}
}
