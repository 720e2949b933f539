package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
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

// formOf writes a multipart body with the boundary B; name, filename, value
// of each part, a field where filename is empty.
func formOf(t testing.TB, pieces ...[3]string) string {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary("B"); err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		disposition := fmt.Sprintf(`form-data; name=%q`, p[0])
		if p[1] != "" {
			disposition += fmt.Sprintf(`; filename=%q`, p[1])
		}
		pw, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {disposition}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(pw, p[2]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func zlibbed(s string) string {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = io.WriteString(w, s)
	_ = w.Close()
	return b.String()
}

func zstded(t testing.TB, s string) string {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(w.EncodeAll([]byte(s), nil))
}

// smallUploads makes limits that a test reaches without megabytes.
const smallUploads = oneProject + "limits: {attachment_size: 256KiB, event_size: 64KiB, request_size: 128KiB}\n"

// Bad uploads of minidumps: see badRow.
func TestBadMinidumps(t *testing.T) {
	a, _ := inProcess(t, smallUploads)
	form := []string{"Content-Type", "multipart/form-data; boundary=B"}
	raw := []string{"Content-Type", "application/x-dmp"}
	with := func(headers []string, more ...string) []string { return slices.Concat(headers, more) }
	dump := [3]string{"upload_file_minidump", "a.dmp", aDump}
	big := strings.Repeat("x", 300<<10)
	zeros := aDump + strings.Repeat("\x00", 8<<20)
	const unknown = "unknown "
	runBadRows(t, a, []badRow{
		{"no key", "/api/1/minidump/", aDump, raw, "", 401, "missing authorization information", unknown + "unauthorized:missing_auth"},
		{"unknown key", "/api/1/minidump/?sentry_key=" + strings.Repeat("f", 32), aDump, raw, "", 403, "event submission rejected", unknown + "unauthorized:project_id"},
		{"get", minidumpPath, "", raw, "GET", 405, "method not allowed", ""},
		{"empty", minidumpPath, "", raw, "", 400, "empty request body", unknown + "invalid:no_data"},
		{"empty form", minidumpPath, "", form, "", 400, "empty request body", unknown + "invalid:no_data"},
		{"form without a boundary", minidumpPath, formOf(t, dump), []string{"Content-Type", "multipart/form-data"}, "", 400, "invalid multipart data", unknown + "invalid:invalid_multipart"},
		{"another boundary", minidumpPath, formOf(t, dump), []string{"Content-Type", "multipart/form-data; boundary=C"}, "", 400, "invalid multipart data", unknown + "invalid:invalid_multipart"},
		{"cut off", minidumpPath, formOf(t, dump)[:80], form, "", 400, "invalid multipart data", unknown + "invalid:invalid_multipart"},
		{"a part's header without end", minidumpPath, "--B\r\nContent-Disposition: " + strings.Repeat("x", 100<<10), form, "", 400, "invalid multipart data", unknown + "invalid:invalid_multipart"},
		{"no parts", minidumpPath, "--B--\r\n", form, "", 400, "missing minidump", unknown + "invalid:missing_minidump_upload"},
		{"no dump", minidumpPath, formOf(t, [3]string{"sentry", "", "{}"}, [3]string{"log", "a.txt", "x"}), form, "", 400, "missing minidump", unknown + "invalid:missing_minidump_upload"},
		{"the dump is empty", minidumpPath, formOf(t, [3]string{"upload_file_minidump", "a.dmp", ""}), form, "", 400, "invalid minidump", unknown + "invalid:invalid_minidump"},
		{"the dump is text", minidumpPath, formOf(t, [3]string{"upload_file_minidump", "a.dmp", "hello world"}), form, "", 400, "invalid minidump", unknown + "invalid:invalid_minidump"},
		{"raw text", minidumpPath, "hello world", raw, "", 400, "invalid minidump", unknown + "invalid:invalid_minidump"},
		{"raw, cut short", minidumpPath, "MDM", raw, "", 400, "invalid minidump", unknown + "invalid:invalid_minidump"},
		{"packed text", minidumpPath, gzipped("hello world"), raw, "", 400, "invalid minidump", unknown + "invalid:invalid_minidump"},
		{"packed twice", minidumpPath, gzipped(gzipped(aDump)), raw, "", 400, "invalid minidump", unknown + "invalid:invalid_minidump"},
		{"broken gzip", minidumpPath, gzipped(aDump)[:20], raw, "", 400, "request body cannot be decompressed", unknown + "invalid:invalid_compression"},
		{"broken zstd", minidumpPath, zstded(t, aDump)[:12], raw, "", 400, "request body cannot be decompressed", unknown + "invalid:invalid_compression"},
		{"broken xz", minidumpPath, "\xfd7zXZ\x00hello world hello", raw, "", 400, "request body cannot be decompressed", unknown + "invalid:invalid_compression"},
		{"broken bzip2", minidumpPath, "BZh9hello world", raw, "", 400, "request body cannot be decompressed", unknown + "invalid:invalid_compression"},
		{"a gzip bomb", minidumpPath, gzipped(zeros), raw, "", 413, "request body", unknown + "invalid:too_large"},
		{"a zstd bomb", minidumpPath, zstded(t, zeros), raw, "", 413, "request body", unknown + "invalid:too_large"},
		{"too large", minidumpPath, aDump + big, raw, "", 413, "request body too large", unknown + "invalid:too_large"},
		{"too large, in a form", minidumpPath, formOf(t, [3]string{"upload_file_minidump", "a.dmp", aDump + big}), form, "", 413, "request body too large", unknown + "invalid:too_large"},
		{"fields too large", minidumpPath, formOf(t, dump, [3]string{"a", "", big[:50<<10]}, [3]string{"b", "", big[:50<<10]}), form, "", 413, "request body too large", unknown + "invalid:too_large"},
		{"a thousand fields", minidumpPath, strings.Repeat("--B\r\n\r\n\r\n", 1001) + "--B--\r\n", form, "", 413, "request body too large", unknown + "invalid:too_large"},
		{"a multipart in the field, without a dump", minidumpPath, formOf(t, [3]string{"upload_file_minidump", "a.dmp", strings.ReplaceAll(formOf(t, [3]string{"x", "", "y"}), "--B", "--C")}), form, "", 400, "missing minidump", unknown + "invalid:missing_minidump_upload"},
		{"dashes", minidumpPath, "--------", raw, "", 400, "invalid minidump", unknown + "invalid:invalid_minidump"},
		{"unknown encoding", minidumpPath, aDump, with(raw, "Content-Encoding", "lzma"), "", 415, "unsupported content encoding", unknown + "invalid:content_encoding"},
		{"an attachment too large beside the dump", minidumpPath, formOf(t, dump, [3]string{"a", "a.bin", big[:200<<10]}, [3]string{"b", "b.bin", big[:60<<10]}), form, "", 200, "", "attachment accepted, attachment invalid:too_large:attachment, error accepted"},
		{"broken fields beside the dump", minidumpPath, formOf(t, dump, [3]string{"sentry", "", "{"}, [3]string{"__sentry-event", "e", "\xc1"}), form, "", 200, "", "3× error accepted"},
	})
}

// Bad attachments for an event that was sent before: see badRow.
func TestBadAttachments(t *testing.T) {
	a, _ := inProcess(t, smallUploads)
	form := []string{"Content-Type", "multipart/form-data; boundary=B"}
	file := [3]string{"log", "a.log", "hello"}
	body := formOf(t, file)
	big := strings.Repeat("x", 300<<10)
	at := func(id string) string { return "/api/1/events/" + id + "/attachments/?sentry_key=" + testKey }
	const unknown = "unknown "
	runBadRows(t, a, []badRow{
		{"no key", "/api/1/events/" + anID + "/attachments/", body, form, "", 401, "missing authorization information", unknown + "unauthorized:missing_auth"},
		{"unknown key", "/api/1/events/" + anID + "/attachments/?sentry_key=" + strings.Repeat("f", 32), body, form, "", 403, "event submission rejected", unknown + "unauthorized:project_id"},
		{"get", attachmentPath, "", form, "GET", 405, "method not allowed", ""},
		{"bad id", at("nope"), body, form, "", 400, "invalid event id", unknown + "invalid:invalid_event_id"},
		{"short id", at(anID[:31]), body, form, "", 400, "invalid event id", unknown + "invalid:invalid_event_id"},
		{"nil id", at(strings.Repeat("0", 32)), body, form, "", 400, "invalid event id", unknown + "invalid:invalid_event_id"},
		{"id with other dashes", at("9ec79c33e-c99-42ab-8353-589fcb2e04dc"), body, form, "", 400, "invalid event id", unknown + "invalid:invalid_event_id"},
		{"no content type", attachmentPath, body, nil, "", 415, "unsupported content type", unknown + "invalid:content_type"},
		{"JSON", attachmentPath, "{}", []string{"Content-Type", "application/json"}, "", 415, "unsupported content type", unknown + "invalid:content_type"},
		{"no boundary", attachmentPath, body, []string{"Content-Type", "multipart/form-data"}, "", 400, "invalid multipart data", unknown + "invalid:invalid_multipart"},
		{"another boundary", attachmentPath, body, []string{"Content-Type", "multipart/form-data; boundary=C"}, "", 400, "invalid multipart data", unknown + "invalid:invalid_multipart"},
		{"empty", attachmentPath, "", form, "", 400, "invalid multipart data", unknown + "invalid:invalid_multipart"},
		{"cut off", attachmentPath, body[:60], form, "", 400, "invalid multipart data", unknown + "invalid:invalid_multipart"},
		{"no file", attachmentPath, formOf(t, [3]string{"a", "", "b"}), form, "", 400, "nothing in the request was usable", unknown + "invalid:no_data"},
		{"no parts", attachmentPath, "--B--\r\n", form, "", 400, "nothing in the request was usable", unknown + "invalid:no_data"},
		{"broken gzip", attachmentPath, body, slices.Concat(form, []string{"Content-Encoding", "gzip"}), "", 400, "request body cannot be decompressed", unknown + "invalid:invalid_compression"},
		{"one too large", attachmentPath, formOf(t, [3]string{"a", "a", big}), form, "", 413, "request body too large", "attachment invalid:too_large:attachment"},
		{"one too large beside another", attachmentPath, formOf(t, [3]string{"a", "a", big[:260<<10]}, file), form, "", 201, "", "attachment accepted, attachment invalid:too_large:attachment"},
		{"request too large", attachmentPath, formOf(t, [3]string{"a", "a", big + big}), form, "", 413, "request body too large", unknown + "invalid:too_large"},
		{"too many", attachmentPath, formOf(t, slices.Repeat([][3]string{file}, 33)...), form, "", 201, "", "30× attachment accepted, 3× attachment invalid:too_many:attachment"},
	})
}

// Bad crashes of Unreal Engine: see badRow.
func TestBadUnreal(t *testing.T) {
	a, _ := inProcess(t, smallUploads)
	body := zlibbed("CR1 and so on")
	big := strings.Repeat("x", 600<<10)
	const unknown = "unknown "
	invalid := func(name, body string) badRow {
		return badRow{name, unrealPath, body, nil, "", 400, "invalid unreal crash report", unknown + "invalid:invalid_unreal"}
	}
	runBadRows(t, a, []badRow{
		{"no key", "/api/1/unreal/", body, nil, "", 404, "no such endpoint", ""},
		{"short key", "/api/1/unreal/abc/", body, nil, "", 400, "bad sentry DSN public key", unknown + "unauthorized:bad_key"},
		{"unknown key", "/api/1/unreal/" + strings.Repeat("f", 32) + "/", body, nil, "", 403, "event submission rejected", unknown + "unauthorized:project_id"},
		{"two keys", unrealPath + "?sentry_key=" + testKey, body, nil, "", 401, "multiple authorization payloads detected", unknown + "unauthorized:multiple_auth"},
		{"project is a word", "/api/shop/unreal/" + testKey + "/", body, nil, "", 400, "bad project path parameter", unknown + "invalid:project_id"},
		{"another project", "/api/2/unreal/" + testKey + "/", body, nil, "", 403, "event submission rejected", unknown + "unauthorized:project_id"},
		{"get", unrealPath, "", nil, "GET", 405, "method not allowed", ""},
		{"empty", unrealPath, "", nil, "", 400, "empty request body", unknown + "invalid:no_data"},
		invalid("text", "hello world"), invalid("JSON", "{}"), invalid("gzip", gzipped("CR1")), invalid("a dump", aDump), invalid("one byte", "\x78"),
		invalid("nearly zlib", "\x78\x9d and so on"), invalid("CR2", "CR2"),
		{"too large", unrealPath, body + big[:300<<10], nil, "", 413, "request body too large", unknown + "invalid:too_large"},
		{"request too large", unrealPath, body + big, nil, "", 413, "request body too large", unknown + "invalid:too_large"},
		{"unknown encoding", unrealPath, body, []string{"Content-Encoding", "lzma"}, "", 415, "unsupported content encoding", unknown + "invalid:content_encoding"},
	})
}

// Bad check-ins: see badRow.
func TestBadCheckIns(t *testing.T) {
	a, _ := inProcess(t, smallUploads)
	js := []string{"Content-Type", "application/json"}
	const unknown = "unknown "
	invalid := func(name, query, body string) badRow {
		return badRow{name, cronPath + query, body, js, "", 400, "invalid check-in", unknown + "invalid:invalid_check_in"}
	}
	deep := strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101)
	runBadRows(t, a, []badRow{
		{"no key", "/api/1/cron/x/?status=ok", "", nil, "", 401, "missing authorization information", unknown + "unauthorized:missing_auth"},
		{"unknown key", "/api/1/cron/x/" + strings.Repeat("f", 32) + "/?status=ok", "", nil, "GET", 403, "event submission rejected", unknown + "unauthorized:project_id"},
		{"short key", "/api/1/cron/x/abc/?status=ok", "", nil, "GET", 400, "bad sentry DSN public key", unknown + "unauthorized:bad_key"},
		{"two keys", "/api/1/cron/x/" + testKey + "/?status=ok&sentry_key=" + testKey, "", nil, "", 401, "multiple authorization payloads detected", unknown + "unauthorized:multiple_auth"},
		{"no monitor", "/api/1/cron/?status=ok&sentry_key=" + testKey, "", nil, "", 404, "no such endpoint", ""},
		{"put", cronPath, "", nil, "PUT", 405, "method not allowed", ""},
		{"a name without end", "/api/1/cron/" + strings.Repeat("x", 201) + "/?status=ok&sentry_key=" + testKey, "", nil, "", 400, "invalid check-in", unknown + "invalid:invalid_check_in"},
		invalid("no status", "", ""), invalid("a status of nobody", "&status=fine", ""), invalid("status is a number", "", `{"status":1}`), invalid("an empty status", "&status=", ""),
		invalid("id", "&status=ok&check_in_id=7", ""), invalid("id is a number", "", `{"status":"ok","check_in_id":7}`),
		invalid("duration is a word", "&status=ok&duration=long", ""), invalid("duration is negative", "", `{"status":"ok","duration":-1}`), invalid("duration without end", "", `{"status":"ok","duration":1e999}`),
		{"broken JSON", cronPath, `{"status":`, js, "", 400, "invalid JSON data", unknown + "invalid:invalid_json"},
		{"a list", cronPath, `[]`, js, "", 400, "invalid JSON data", unknown + "invalid:invalid_json"},
		{"too deep", cronPath, deep, js, "", 400, "JSON is nested too deeply", unknown + "invalid:json_depth"},
		{"too large", cronPath, `{"a":"` + strings.Repeat("x", 110<<10) + `"}`, js, "", 413, "request body too large", unknown + "invalid:too_large"},
		{"a form's body is skipped", cronPath + "&status=ok", "a=b", []string{"Content-Type", "application/x-www-form-urlencoded"}, "", 202, "", "monitor accepted"},
	})
}

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
			{"POST", "/api/1/cron/nightly/" + testKey + "/?status=ok&duration=1.5&environment=production&check_in_id=9EC79C33-EC99-42AB-8353-589FCB2E04DC", "", "",
				`{"check_in_id":"` + anID + `","status":"ok","environment":"production","duration":1.5,"monitor_slug":"nightly"}`},
			{"POST", "/api/1/cron/nightly/?status=error&sentry_key=" + testKey, "application/json", `{"status":"ok","monitor_config":{"schedule":{"type":"crontab","value":"0 * * * *"}}}`,
				`{"status":"ok","monitor_config":{"schedule":{"type":"crontab","value":"0 * * * *"}},"check_in_id":"00000000000000000000000000000000","monitor_slug":"nightly"}`},
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
	if off := imbalance(g.scrape()); off != 0 {
		t.Errorf("the ledger is off by %v", off)
	}
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
	g := newGateway(t, doorConfig(up, "", "limits: {per_ip: {rate: 100000/s, burst: 1000000}, read_timeout: 5m}\n")).start()
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
	eventually(t, 60*time.Second, g.emptySpool)
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
