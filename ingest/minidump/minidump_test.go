package minidump

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/tinylib/msgp/msgp"

	"breakwater/ingest"
	"breakwater/schemas"
)

const (
	id     = "9ec79c33ec9942ab8353589fcb2e04dc"
	dashed = "9ec79c33-ec99-42ab-8353-589fcb2e04dc"
	dump   = "MDMP\x93\xa7\x00\x00 the rest of a dump\r\n\x00\xff--x\r\n"
)

// piece is a part of a form: a field without a filename.
type piece struct{ name, filename, value string }

// form writes a multipart body and its content type.
func form(t testing.TB, pieces ...piece) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range pieces {
		h := textproto.MIMEHeader{"Content-Disposition": {fmt.Sprintf(`form-data; name=%q`, p.name)}}
		if p.filename != "" {
			h["Content-Disposition"][0] += fmt.Sprintf(`; filename=%q`, p.filename)
			h["Content-Type"] = []string{"text/plain; charset=x"}
		}
		pw, err := w.CreatePart(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(pw, p.value); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.String()
}

func request(contentType string) *ingest.Request {
	return &ingest.Request{Project: &ingest.Project{ID: 1, Name: "app"}, Header: http.Header{"Content-Type": {contentType}}, Method: http.MethodPost}
}

func decode(t testing.TB, contentType, body string) (*ingest.Batch, error) {
	t.Helper()
	return (&Protocol{}).Decode(t.Context(), request(contentType), strings.NewReader(body))
}

func content(t testing.TB, it *ingest.Item) string {
	t.Helper()
	r, err := it.Payload.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func packed(t testing.TB, tool string, data string) string {
	t.Helper()
	var b bytes.Buffer
	switch tool {
	case "gzip":
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, data)
		_ = w.Close()
	case "zstd":
		w, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(w, data)
		_ = w.Close()
	default: // xz and bzip2 are written by the programs everybody has
		cmd := exec.Command(tool, "-c")
		cmd.Stdin = strings.NewReader(data)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s is missing: `make test` installs it: %v", tool, err)
		}
		return string(out)
	}
	return b.String()
}

// A dump arrives whole however it was packed, and however it was wrapped.
func TestDumps(t *testing.T) {
	ct, plain := form(t, piece{dumpField, "a.dmp", dump})
	forms := map[string][2]string{
		"form":            {ct, plain},
		"raw":             {"application/x-dmp", dump},
		"raw, other type": {"application/octet-stream", dump},
		"raw, no type":    {"", dump},
		"raw, PMDM":       {"", "PMDM" + dump[4:]},
	}
	add := func(name, filename, value string) {
		ct, body := form(t, piece{"prod", "", "Shop"}, piece{dumpField, filename, value})
		forms[name] = [2]string{ct, body}
	}
	for tool, suffix := range map[string]string{"gzip": ".gz", "zstd": ".zst", "xz": ".xz", "bzip2": ".bz2"} {
		add(tool, "a.dmp"+suffix, packed(t, tool, dump))
		forms["raw "+tool] = [2]string{"", packed(t, tool, dump)}
	}
	_, inner := form(t, piece{"x", "", "y"}, piece{dumpField, "b.dmp", dump})
	add("a multipart in the field", "a.dmp", inner)
	_, inner = form(t, piece{dumpField, "b.dmp", packed(t, "gzip", dump)})
	add("and packed", "a.dmp", inner)
	for name, f := range forms {
		t.Run(name, func(t *testing.T) {
			b, err := decode(t, f[0], f[1])
			if err != nil {
				t.Fatal(err)
			}
			var found *ingest.Item
			for _, it := range b.Items {
				if it.Header.Type == "attachment" {
					found = it
				}
			}
			want := dump
			if strings.HasSuffix(name, "PMDM") {
				want = "PMDM" + dump[4:]
			}
			if got := content(t, found); got != want {
				t.Errorf("dump %q", got)
			}
			filename := "a.dmp"
			if strings.HasPrefix(name, "raw") {
				filename = "Minidump"
			}
			if h := found.Header; h.Filename() != filename || h.AttachmentType() != "event.minidump" || h.ContentType() != "application/x-dmp" || found.Category != schemas.CategoryError {
				t.Errorf("header %s", h.Bytes())
			}
			if uuid := string(b.Reply.Body); len(uuid) != 36 || strings.ReplaceAll(uuid, "-", "") != b.EventID || b.Header.EventID() != b.EventID || !strings.HasPrefix(b.Reply.ContentType, "text/plain") {
				t.Errorf("answer %s, id %q", uuid, b.EventID)
			}
		})
	}
}

func message(t testing.TB, v any) string {
	t.Helper()
	raw, err := msgp.AppendIntf(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Everything a form says becomes one event, whatever the spelling.
func TestFields(t *testing.T) {
	type m = map[string]any
	d := piece{dumpField, "a.dmp", dump}
	for _, c := range []struct {
		name   string
		pieces []piece
		id     string
		want   string // the event without its id; "" for none
	}{
		{"nothing", nil, "", ""},
		{"one JSON", []piece{{"sentry", "", `{"event_id":"` + dashed + `","release":"a@1","tags":{"n":12345678901234567890}}`}}, id, `{"level":"fatal","platform":"native","release":"a@1","tags":{"n":12345678901234567890}}`},
		{"paths", []piece{{"sentry[release]", "", "a@1"}, {"sentry[user][id]", "", "7"}, {"sentry[user][email]", "", "a@b.example"}, {"sentry[event_id]", "", id}}, id, `{"level":"fatal","platform":"native","release":"a@1","user":{"email":"a@b.example","id":"7"}}`},
		{"chunks in any order", []piece{{"sentry__2", "", `"b"}}`}, {"sentry__1", "", `{"tags":{"a":`}}, "", `{"level":"fatal","platform":"native","tags":{"a":"b"}}`},
		{"eleven chunks", chunked(`{"tags":{"abcdefghij":"klmnopqrst"}}`, 11), "", `{"level":"fatal","platform":"native","tags":{"abcdefghij":"klmnopqrst"}}`},
		{"global below", []piece{{"sentry___global", "", `{"release":"old","environment":"e"}`}, {"sentry", "", `{"release":"new"}`}}, "", `{"environment":"e","level":"fatal","platform":"native","release":"new"}`},
		{"other fields", []piece{{"prod", "", "Shop"}, {"ver", "", "1.4.2"}}, "", `{"extra":{"prod":"Shop","ver":"1.4.2"},"level":"fatal","platform":"native"}`},
		{"other fields beside extra", []piece{{"sentry", "", `{"extra":{"prod":"mine","x":[1]},"level":"error","platform":"javascript"}`}, {"prod", "", "Shop"}}, "", `{"extra":{"prod":"mine","x":[1]},"level":"error","platform":"javascript"}`},
		{"broken JSON is kept as text", []piece{{"sentry", "", `{"release":`}, {"sentry[release]", "", "a@1"}}, "", `{"extra":{"sentry":"{\"release\":"},"level":"fatal","platform":"native","release":"a@1"}`},
		{"a broken id", []piece{{"sentry", "", `{"event_id":"nope"}`}, {"sentry[event_id]", "", dashed}}, id, `{"level":"fatal","platform":"native"}`},
		{"broken paths are kept as text", []piece{{"sentry[]", "", "a"}, {"sentry[a]b]", "", "c"}, {"sentry[", "", "d"}}, "", `{"extra":{"sentry[":"d","sentry[]":"a","sentry[a]b]":"c"},"level":"fatal","platform":"native"}`},
		{"MessagePack", []piece{{"__sentry-event", "__sentry-event", message(t, m{"event_id": dashed, "release": "a@1", "level": "error"})}, {"sentry", "", `{"event_id":"00112233445566778899aabbccddeeff","dist":"5"}`}}, id, `{"dist":"5","level":"error","platform":"native","release":"a@1"}`},
		{"breadcrumbs of two files", []piece{
			{"__sentry-breadcrumb1", "__sentry-breadcrumb1", message(t, m{"timestamp": "2026-11-24T03:00:03Z"}) + message(t, m{"timestamp": "2026-11-24T03:00:04Z"})},
			{"__sentry-breadcrumb2", "__sentry-breadcrumb2", message(t, m{"timestamp": "2026-11-24T03:00:01Z"})},
			{"sentry", "", `{"breadcrumbs":{"values":[{"timestamp":"2026-11-24T02:00:00Z"}]}}`},
		}, "", `{"breadcrumbs":[{"timestamp":"2026-11-24T02:00:00Z"},{"timestamp":"2026-11-24T03:00:01Z"},{"timestamp":"2026-11-24T03:00:03Z"},{"timestamp":"2026-11-24T03:00:04Z"}],"level":"fatal","platform":"native"}`},
		{"an empty file of breadcrumbs", []piece{{"__sentry-breadcrumb1", "__sentry-breadcrumb1", ""}}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			ct, body := form(t, append([]piece{d}, c.pieces...)...)
			b, err := decode(t, ct, body)
			if err != nil {
				t.Fatal(err)
			}
			if c.id != "" && b.EventID != c.id {
				t.Errorf("id %q", b.EventID)
			}
			if c.want == "" {
				if len(b.Items) != 1 {
					t.Errorf("%d items", len(b.Items))
				}
				return
			}
			if len(b.Items) != 2 || b.Items[0].Header.Type != "event" {
				t.Fatalf("items %+v", b.Items)
			}
			got := content(t, b.Items[0])
			if diff := cmp.Diff(without(t, c.want, ""), without(t, got, b.EventID)); diff != "" {
				t.Errorf("%s\n%s", got, diff)
			}
		})
	}
}

func chunked(s string, n int) []piece {
	var pieces []piece
	for i := range n {
		part := s
		if i < n-1 {
			part = s[:len(s)/(n-i)]
		}
		s = s[len(part):]
		pieces = append([]piece{{fmt.Sprintf("sentry__%d", i+1), "", part}}, pieces...)
	}
	return pieces
}

// without reads an event and takes its id out.
func without(t testing.TB, s, id string) map[string]any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		t.Fatal(err)
	}
	if id != "" && m["event_id"] != id {
		t.Errorf("event_id %v, want %s", m["event_id"], id)
	}
	delete(m, "event_id")
	return m
}

// Files beside the dump, and what becomes of those that cannot be taken.
func TestFiles(t *testing.T) {
	pieces := []piece{
		{"log", "C:\\logs\\shop.log", "hello"},
		{dumpField, "a.dmp", dump},
		{"v", "view-hierarchy.json", "{}"},
		{dumpField, "second.dmp", dump},
		{"__sentry-event", "__sentry-event", "\xc1 not MessagePack"},
		{"__sentry-breadcrumb1", "", "\x92\x01"},
	}
	ct, body := form(t, pieces...)
	b, err := decode(t, ct, body)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, it := range b.Items {
		got = append(got, fmt.Sprintf("%s %s %s %d", it.Header.AttachmentType(), it.Header.Filename(), it.Header.ContentType(), it.Payload.Size()))
	}
	want := []string{
		"event.attachment C:\\logs\\shop.log text/plain 5", "event.minidump a.dmp application/x-dmp " + fmt.Sprint(len(dump)), "event.view_hierarchy view-hierarchy.json text/plain 2",
		"event.attachment second.dmp text/plain " + fmt.Sprint(len(dump)), "event.payload __sentry-event text/plain 17", "event.breadcrumbs __sentry-breadcrumb1  2",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	t.Run("bounds", func(t *testing.T) {
		pieces := []piece{{"big", "big.bin", strings.Repeat("b", 800<<10)}, {dumpField, "a.dmp", dump}, {"big", "big2.bin", strings.Repeat("b", 800<<10)}}
		for i := range 30 {
			pieces = append(pieces, piece{"f", fmt.Sprintf("f%d", i), "x"})
		}
		ct, body := form(t, pieces...)
		r := request(ct)
		*r.Settings() = ingest.DefaultConfig()
		r.Settings().AttachmentSize = 1 << 20
		b, err := (&Protocol{}).Decode(t.Context(), r, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		ends := map[string]int{}
		for _, it := range b.Items {
			ends[string(it.Outcome)+" "+it.Reason]++
		}
		if diff := cmp.Diff(map[string]int{" ": 1 + 1 + 28, "invalid too_large:attachment": 1, "invalid too_many:attachment": 2}, ends); diff != "" {
			t.Error(diff)
		}
	})
}

// A dump that expands without end is given up early.
func TestBombs(t *testing.T) {
	zeros := "MDMP" + strings.Repeat("\x00", 16<<20)
	for _, tool := range []string{"gzip", "zstd", "xz", "bzip2"} {
		t.Run(tool, func(t *testing.T) {
			bomb := packed(t, tool, zeros)
			_, err := decode(t, "", bomb)
			if rej := ingest.AsRejection(err); rej.Status != 413 {
				t.Errorf("%d KiB were answered %v", len(bomb)>>10, err)
			}
			if len(seats) != 0 {
				t.Error("a seat was not given back")
			}
		})
	}
}

func TestReading(t *testing.T) {
	ct, body := form(t, piece{"a", "", "b"}, piece{dumpField, "a.dmp", dump}, piece{"c", "c.txt", "d"})
	broken := errors.New("connection reset")
	for n := range len(body) {
		_, err := (&Protocol{}).Decode(t.Context(), request(ct), io.MultiReader(strings.NewReader(body[:n]), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Fatalf("cut off at %d: %v", n, err)
		}
		if n > 0 && n < len(body)-4 { // the last boundary needs no end
			if _, err := decode(t, ct, body[:n]); err == nil {
				t.Fatalf("ended at %d, taken", n)
			}
		}
	}
	if _, err := (&Protocol{}).Decode(t.Context(), request(ct), iotest.OneByteReader(strings.NewReader(body))); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	ct, body := form(f, piece{"sentry", "", `{"event_id":"` + id + `"}`}, piece{"sentry[a][b]", "", "c"}, piece{dumpField, "a.dmp", dump}, piece{"c", "c.txt", "d"},
		piece{"__sentry-event", "e", message(f, map[string]any{"a": []any{1, nil, "x", 1.5}})}, piece{"sentry__1", "", "{}"})
	boundary := strings.TrimPrefix(ct, "multipart/form-data; boundary=")
	f.Add([]byte(strings.ReplaceAll(body, boundary, "X")), "multipart/form-data; boundary=X")
	f.Add([]byte(dump), "application/x-dmp")
	f.Add([]byte(packed(f, "gzip", dump)), "")
	f.Add([]byte(packed(f, "zstd", dump)), "")
	f.Add([]byte(packed(f, "xz", dump)), "")
	f.Add([]byte("--X\r\nContent-Disposition: form-data; name=upload_file_minidump\r\n\r\nMDMP\r\n--X--"), "")
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		for _, p := range []ingest.Protocol{&Protocol{}, &Attachments{}, &Unreal{}} {
			r := request(contentType)
			r.Params = []ingest.Param{{Name: "event", Value: id}}
			b, err := p.Decode(context.Background(), r, bytes.NewReader(body))
			if err != nil {
				if rej := ingest.AsRejection(err); rej.Status >= 500 {
					t.Fatal(err)
				}
				continue
			}
			if len(b.Items) == 0 || len(b.EventID) != 32 || b.Header.EventID() != b.EventID {
				t.Fatalf("%+v", b)
			}
			for _, it := range b.Items {
				if it.Header.Type == "event" && (it.Event() == nil || it.Event().EventID() != b.EventID) {
					t.Fatalf("event %s", content(t, it))
				}
				if it.Header.AttachmentType() == "event.minidump" && !isDump([]byte(content(t, it))) {
					t.Fatalf("not a dump: %q", content(t, it))
				}
			}
		}
	})
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(message(f, map[string]any{"a": []any{1, "x"}})))
	f.Add(bytes.Repeat([]byte{0x91}, 200))
	f.Add([]byte{0xdf, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := unpackMessages(raw, 100, new(int), func(int, int) error { return nil })
		if err == nil && len(list) == 0 && len(raw) > 0 {
			t.Fatal("neither values nor an error")
		}
	})
}
