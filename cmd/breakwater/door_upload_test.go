package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"breakwater/ingest/scrub"
	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

const (
	anID           = "9ec79c33ec9942ab8353589fcb2e04dc"
	minidumpPath   = "/api/1/minidump/?sentry_key=" + testKey
	unrealPath     = "/api/1/unreal/" + testKey + "/"
	attachmentPath = "/api/1/events/" + anID + "/attachments/?sentry_key=" + testKey
	cronPath       = "/api/1/cron/nightly-backup/?sentry_key=" + testKey
	aDump          = "MDMP\x93\xa7\x00\x00dump"
)

// What these endpoints take ends where it should: at the upstream, in the form
// Sentry has for it, scrubbed and tagged like everything else.
func TestUploadsReachSentry(t *testing.T) {
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    release: {required: true}\n")).start()
	log := strings.Repeat("line\n", 100_000)
	id := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	send := func(method, path, contentType, body string, status int) (answer string) {
		t.Helper()
		req, err := http.NewRequest(method, "http://"+g.public+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != status {
			t.Fatalf("%s: answered %d %s, want %d", path, resp.StatusCode, text, status)
		}
		return string(text)
	}
	// last is the newest request at the upstream, once the spool is empty.
	last := func() *relaytest.Request {
		t.Helper()
		eventually(t, 20*time.Second, g.emptySpool)
		taken := up.Taken()
		if len(taken) == 0 {
			t.Fatalf("nothing arrived: %v", up.Problems())
		}
		return taken[len(taken)-1]
	}
	types := func(r *relaytest.Request) string {
		var list []string
		for _, it := range r.Items {
			typ := it.Header.Type
			if typ == "attachment" {
				typ = it.Header.AttachmentType() + ":" + it.Header.Filename()
			}
			list = append(list, typ)
		}
		return strings.Join(list, " ")
	}

	t.Run("minidump in a form", func(t *testing.T) {
		answer := send("POST", minidumpPath, "multipart/form-data; boundary=B", formOf(t, [3]string{"sentry[user][ip_address]", "", "192.0.2.7"},
			[3]string{"sentry", "", `{"tags":{"password":"hunter2"}}`}, [3]string{"log", "shop.log", log}, [3]string{"upload_file_minidump", "a.dmp.gz", gzipped(aDump)}, [3]string{"prod", "", "Shop"}), 200)
		r := last()
		if !id.MatchString(answer) || strings.ReplaceAll(answer, "-", "") != r.EventID {
			t.Errorf("answered %q, the event is %s", answer, r.EventID)
		}
		if got := types(r); got != "event event.attachment:shop.log event.minidump:a.dmp" {
			t.Fatal(got)
		}
		ev, err := schemas.ParseEvent(r.Items[0].Payload)
		if err != nil {
			t.Fatal(err)
		}
		extra, _ := ev.Object.Object("extra")
		prod, _ := extra.String("prod")
		if tag, _ := ev.Tag("gateway.project"); tag != "shop" || ev.EventID() != r.EventID || prod != "Shop" || ev.Platform() != "native" || ev.Level() != "fatal" {
			t.Errorf("event %s", r.Items[0].Payload)
		}
		if s := string(r.Items[0].Payload); strings.Contains(s, "hunter2") || strings.Contains(s, "192.0.2.7") || !strings.Contains(s, `"timestamp"`) {
			t.Errorf("event %s", s)
		}
		if string(r.Items[1].Payload) != log || string(r.Items[2].Payload) != aDump {
			t.Error("the files are not what was sent")
		}
	})
	t.Run("minidump alone", func(t *testing.T) {
		send("POST", minidumpPath, "application/x-dmp", aDump, 200)
		if r := last(); types(r) != "event.minidump:Minidump" || len(r.EventID) != 32 {
			t.Error(types(r))
		}
	})
	t.Run("unreal", func(t *testing.T) {
		body := zlibbed("CR1" + log)
		answer := send("POST", unrealPath+"?UserID=abc%7C123&AppVersion=5.4", "application/octet-stream", body, 200)
		r := last()
		user, _ := r.Envelope.String("unreal_user_id")
		if !id.MatchString(answer) || strings.ReplaceAll(answer, "-", "") != r.EventID || types(r) != "unreal_report" || string(r.Items[0].Payload) != body || user != "abc|123" {
			t.Errorf("%s %s %s", answer, types(r), r.Envelope.Bytes())
		}
	})
	t.Run("attachments", func(t *testing.T) {
		answer := send("POST", strings.Replace(attachmentPath, anID, "9EC79C33-EC99-42AB-8353-589FCB2E04DC", 1), "multipart/form-data; boundary=B", formOf(t, [3]string{"a", "shop.log", log}, [3]string{"x", "", "y"}, [3]string{"b", "b.txt", ""}), 201)
		if r := last(); answer != "" || r.EventID != anID || types(r) != "event.attachment:shop.log event.attachment:b.txt" || string(r.Items[0].Payload) != log {
			t.Errorf("%q %s %s", answer, r.EventID, types(r))
		}
	})
	t.Run("check-ins", func(t *testing.T) {
		for _, c := range []struct{ method, path, typ, body, want string }{
			{"GET", "/api/1/cron/nightly/" + testKey + "/?status=in_progress", "", "", `{"status":"in_progress","check_in_id":"00000000000000000000000000000000","monitor_slug":"nightly"}`},
			{
				"POST", "/api/1/cron/nightly/" + testKey + "/?status=ok&duration=1.5&environment=production&check_in_id=9EC79C33-EC99-42AB-8353-589FCB2E04DC", "", "",
				`{"check_in_id":"` + anID + `","status":"ok","environment":"production","duration":1.5,"monitor_slug":"nightly"}`,
			},
			{
				"POST", "/api/1/cron/nightly/?status=error&sentry_key=" + testKey, "application/json", `{"status":"ok","monitor_config":{"schedule":{"type":"crontab","value":"0 * * * *"}}}`,
				`{"status":"ok","monitor_config":{"schedule":{"type":"crontab","value":"0 * * * *"}},"check_in_id":"00000000000000000000000000000000","monitor_slug":"nightly"}`,
			},
		} {
			if answer := send(c.method, c.path, c.typ, c.body, 202); answer != "" {
				t.Errorf("answered %q", answer)
			}
			if r := last(); types(r) != "check_in" || string(r.Items[0].Payload) != c.want {
				t.Errorf("%s %s, want %s", types(r), r.Items[0].Payload, c.want)
			}
		}
	})
	if p := up.Problems(); len(p) > 0 {
		t.Errorf("the upstream found fault: %v", p)
	}
	g.closed(t)
}

// Crash uploaders and cron jobs are not told of limits, legacy attachments are.
func TestUploadsOverTheLimit(t *testing.T) {
	a, _ := inProcess(t, strings.Replace(oneProject, "    vitals:", "    limits: {quota: {error: 0/day, monitor: 0/day, attachment: 0/day}}\n    vitals:", 1))
	for _, c := range []struct {
		path, typ, body string
		status          int
		books           string
	}{
		{minidumpPath, "application/x-dmp", aDump, 200, "error rate_limited:quota"},
		{unrealPath, "", zlibbed("CR1"), 200, "error rate_limited:quota"},
		{cronPath + "&status=ok", "", "", 202, "monitor rate_limited:quota"},
		{attachmentPath, "multipart/form-data; boundary=B", formOf(t, [3]string{"a", "a", "x"}), 429, "attachment rate_limited:quota"},
	} {
		before := books(t, a)
		r := httptest.NewRequest(http.MethodPost, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.typ)
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		if got := booksSince(before, books(t, a)); w.Code != c.status || got != c.books {
			t.Errorf("%s: answered %d %s; counted %s", c.path, w.Code, w.Body, got)
		}
		if c.status == 200 && len(w.Body.String()) != 36 {
			t.Errorf("%s: no id in %q", c.path, w.Body)
		}
	}
}

// stream is a minidump of size bytes that nobody can compress, never in memory
// as a whole.
type stream struct {
	left int64
	from *rand.ChaCha8
}

func dumpStream(size int64) io.Reader {
	return io.MultiReader(strings.NewReader("MDMP"), &stream{left: size - 4, from: rand.NewChaCha8([32]byte{1})})
}

func (s *stream) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), s.left)]
	n, err := s.from.Read(p)
	s.left -= int64(n)
	return n, err
}

// A minidump of 50 MiB goes through the real process to the upstream, raw, in
// a form and packed, and the process's memory does not grow with it; the dump
// that arrives is the one that was sent.
func TestLargeMinidumpsStayFlat(t *testing.T) {
	const size = 50 << 20
	h := sha256.New()
	if _, err := io.Copy(h, dumpStream(size)); err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", h.Sum(nil))
	up := startUpstream(t, relaytest.Options{Decide: func(r *relaytest.Request) relaytest.Step { return relaytest.Step{} }})
	config := doorConfig(up, "", "limits: {per_ip: {rate: 100000/s, burst: 1000000}, read_timeout: 5m}\n")
	config = strings.Replace(config, "name: sentry, ", "name: sentry, timeout: 5m, ", 1) // else a dump that takes long comes twice
	g := newGateway(t, config).start()
	post := func(name, contentType string, write func(w io.Writer) error) {
		t.Helper()
		pr, pw := io.Pipe()
		go func() { pw.CloseWithError(write(pw)) }()
		resp, err := http.Post("http://"+g.public+minidumpPath, contentType, pr)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != 200 || len(text) != 36 {
			t.Fatalf("%s: answered %d %s", name, resp.StatusCode, text)
		}
	}
	raw := func(w io.Writer) error { _, err := io.Copy(w, dumpStream(size)); return err }
	inForm := func(fill func(w io.Writer) error) (string, func(w io.Writer) error) {
		return "multipart/form-data; boundary=B", func(w io.Writer) error {
			mw := multipart.NewWriter(w)
			if err := mw.SetBoundary("B"); err != nil {
				return err
			}
			if err := mw.WriteField("sentry[release]", "shop@1"); err != nil {
				return err
			}
			pw, err := mw.CreateFormFile("upload_file_minidump", "a.dmp")
			if err != nil {
				return err
			}
			return errors.Join(fill(pw), mw.Close())
		}
	}
	packed := func(w io.Writer) error {
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			return err
		}
		return errors.Join(raw(z), z.Close())
	}
	// Warm: a small one through the whole path.
	post("warm", "application/x-dmp", func(w io.Writer) error { _, err := io.WriteString(w, aDump); return err })
	eventually(t, 20*time.Second, g.emptySpool)
	g.collect(t)
	g.forgetPeak()
	before, _ := g.rss()
	post("raw", "application/x-dmp", raw)
	ct, form := inForm(raw)
	post("form", ct, form)
	ct, form = inForm(packed)
	post("packed", ct, form)
	eventually(t, 5*time.Minute, g.emptySpool)
	_, peak := g.rss()
	t.Logf("3 dumps of %d MiB: memory %s, at most %s more", size>>20, mib(before), mib(peak-before))
	if grown := peak - before; grown > 24<<20 {
		t.Errorf("memory grew by %s", mib(grown))
	}
	arrived := 0
	for _, r := range up.Taken() {
		for _, it := range r.Items {
			if it.Size != size {
				continue
			}
			arrived++
			if got := fmt.Sprintf("%x", sha256.Sum256(it.Payload)); got != sum {
				t.Error("a dump is not the one that was sent")
			}
		}
	}
	if arrived != 3 {
		t.Errorf("%d dumps arrived", arrived)
	}
}

// With opaque: drop the dump goes, which nobody can read; the event that was
// made of the fields was read and scrubbed, and stays.
func TestOpaqueMinidumps(t *testing.T) {
	a, _ := inProcess(t, oneProject+"scrub: {opaque: drop}\n")
	before := books(t, a)
	r := httptest.NewRequest(http.MethodPost, minidumpPath, strings.NewReader(formOf(t, [3]string{"upload_file_minidump", "a.dmp", aDump}, [3]string{"prod", "", "Shop"})))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=B")
	w := httptest.NewRecorder()
	a.edge.ServeHTTP(w, r)
	if got := booksSince(before, books(t, a)); w.Code != 200 || got != "error accepted, error filtered:"+scrub.ReasonOpaque {
		t.Errorf("answered %d; counted %s", w.Code, got)
	}
}
