package main

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
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
