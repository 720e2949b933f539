package backlog_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/backlog"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/schemas"
)

func openSpool(t *testing.T, dir string) *disk.Spool {
	t.Helper()
	s, err := disk.Open(disk.Config{Dir: dir, MaxSize: 1 << 30, MinFree: -1, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func apiOf(t *testing.T, s *disk.Spool, notes string) *backlog.API {
	t.Helper()
	if notes == "" {
		notes = filepath.Join(t.TempDir(), "imported.log")
	}
	return &backlog.API{Source: s, Log: zerolog.Nop(), Importer: &backlog.Importer{
		Spool: s, Notes: notes, Project: func(name string) (uint64, []string, bool) { return 7, []string{"up", "elk"}, name == "shop" },
	}}
}

func call(t *testing.T, a *backlog.API, method, path string, body io.Reader) (int, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, httptest.NewRequest(method, path, body))
	return w.Code, w.Body.Bytes()
}

// record is an error, a session and, when large, an attachment in a file.
func record(dests []string, attachment int) *schemas.Record {
	rec := relaytest.SampleRecord()
	rec.Meta.Destinations = dests
	if attachment > 0 {
		b := make([]byte, attachment)
		_, _ = rand.Read(b)
		rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{Header: schemas.NewItemHeader("attachment", "filename", "core.dmp"), Payload: schemas.Bytes(b)})
		rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: schemas.CategoryAttachment, Quantity: 1})
	}
	return rec
}

func add(t *testing.T, s *disk.Spool, rec *schemas.Record) string {
	t.Helper()
	if err := s.Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	return rec.Meta.ID
}

func envelopeOf(t *testing.T, s *disk.Spool, id string) string {
	t.Helper()
	rec, err := s.Open(id)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := rec.Envelope.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func entries(t *testing.T, s *disk.Spool, dead bool) (list []spool.Entry) {
	t.Helper()
	if err := s.List(spool.Query{Dead: dead}, func(e spool.Entry) bool { list = append(list, e); return true }); err != nil {
		t.Fatal(err)
	}
	return list
}

// What goes from one spool to another arrives byte for byte, with all that
// delivering it needs, and is ended at its source without being lost.
func TestMove(t *testing.T) {
	a, b := openSpool(t, t.TempDir()), openSpool(t, t.TempDir())
	from, to := apiOf(t, a, ""), apiOf(t, b, "")
	ids := []string{add(t, a, record([]string{"up"}, 0)), add(t, a, record([]string{"up", "elk"}, 300<<10)), add(t, a, record([]string{"elk"}, 0))}
	status, page := call(t, from, http.MethodGet, backlog.Paths[0]+"?project=shop", nil)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, page)
	}
	for _, want := range []string{`{"imported":3,"repeated":0`, `{"imported":0,"repeated":3`} { // the second time nothing is taken
		if status, answer := call(t, to, http.MethodPost, backlog.Paths[1], bytes.NewReader(page)); status != http.StatusOK || !strings.HasPrefix(string(answer), want) {
			t.Fatalf("%d %s, want %s", status, answer, want)
		}
	}
	there := entries(t, b, false)
	if len(there) != 4 {
		t.Fatalf("%d entries", len(there))
	}
	for i, n := range []int{0, 1, 3} {
		e, id := there[n], ids[i]
		if got, want := envelopeOf(t, b, e.Meta.ID), envelopeOf(t, a, id); got != want {
			t.Errorf("record %d: %d bytes, want %d", i, len(got), len(want))
		}
		src, err := a.Open(id)
		if err != nil {
			t.Fatal(err)
		}
		got, want := e.Meta, src.Meta
		got.ID, got.ProjectID, want.ID, want.ProjectID = "", 0, "", 0
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || e.Meta.ProjectID != 7 {
			t.Errorf("record %d has meta\n%+v, want\n%+v", i, got, want)
		}
	}
	var gone []backlog.Gone
	for i, dests := range [][]string{{"up"}, {"up", "elk"}, {"elk"}} {
		gone = append(gone, backlog.Gone{Record: ids[i], Project: "shop", Destinations: dests})
	}
	body, err := json.Marshal(map[string]any{"records": gone})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`{"ended":3,"gone":0}`, `{"ended":0,"gone":3}`} {
		if status, answer := call(t, from, http.MethodPost, backlog.Paths[2], bytes.NewReader(body)); status != http.StatusOK || strings.TrimSpace(string(answer)) != want {
			t.Fatalf("%d %s, want %s", status, answer, want)
		}
	}
	if left := entries(t, a, false); len(left) != 0 {
		t.Errorf("%d entries are left at the source", len(left))
	}
}

// One destination of a record and its dead letters are moved alone.
func TestMovePart(t *testing.T) {
	a, b := openSpool(t, t.TempDir()), openSpool(t, t.TempDir())
	from, to := apiOf(t, a, ""), apiOf(t, b, "")
	id := add(t, a, record([]string{"up", "elk"}, 0))
	c, err := a.Claim(t.Context(), spool.Destination{Project: "shop", Name: "up"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Bury("http_400"); err != nil {
		t.Fatal(err)
	}
	_, waiting := call(t, from, http.MethodGet, backlog.Paths[0], nil)
	_, dead := call(t, from, http.MethodGet, backlog.Paths[0]+"?dead=true", nil)
	if !bytes.Contains(waiting, []byte(`"destinations":["elk"]`)) || !bytes.Contains(dead, []byte(`"destinations":["up"],"dead":true,"reason":"http_400"`)) {
		t.Fatalf("waiting %s\ndead %s", waiting, dead)
	}
	for _, page := range [][]byte{waiting, dead, waiting, dead} {
		if status, answer := call(t, to, http.MethodPost, backlog.Paths[1], bytes.NewReader(page)); status != http.StatusOK {
			t.Fatalf("%d %s", status, answer)
		}
	}
	if got := entries(t, b, false); len(got) != 2 {
		t.Errorf("%d entries", len(got))
	}
	body := fmt.Sprintf(`{"records":[{"record":%q,"project":"shop","destinations":["up"],"dead":true}]}`, id)
	if status, answer := call(t, from, http.MethodPost, backlog.Paths[2], strings.NewReader(body)); status != http.StatusOK || !strings.HasPrefix(string(answer), `{"ended":1`) {
		t.Fatalf("%d %s", status, answer)
	}
	if w, d := entries(t, a, false), entries(t, a, true); len(w) != 1 || len(d) != 0 {
		t.Errorf("%d waiting, %d dead", len(w), len(d))
	}
}

// Pages go on behind each other, also over records that were delivered
// meanwhile.
func TestPages(t *testing.T) {
	a := openSpool(t, t.TempDir())
	api := apiOf(t, a, "")
	var want []string
	for range 25 {
		want = append(want, add(t, a, record([]string{"up"}, 0)))
	}
	var got []string
	after := ""
	for {
		w := httptest.NewRecorder()
		api.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, backlog.Paths[0]+"?limit=10&after="+after, nil))
		r := backlog.NewReader(w.Body)
		n := 0
		for ; ; n++ {
			h, _, _, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, h.Record)
		}
		if n == 0 {
			break
		}
		if after = w.Header().Get(backlog.LastListed); after != got[len(got)-1] {
			t.Errorf("last listed %q, last sent %s", after, got[len(got)-1])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
	for _, bad := range []string{"?limit=0", "?limit=501", "?limit=x", "?after=nonsense"} {
		if status, _ := call(t, api, http.MethodGet, backlog.Paths[0]+bad, nil); status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, status)
		}
	}
}

// archive is a whole archive of n small records.
func archive(t testing.TB, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := backlog.WriteHeader(&b, backlog.Header{ID: "01K", CreatedAt: time.Unix(0, 0).UTC()}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		rec := relaytest.MustRecord(fmt.Sprintf("{\"event_id\":\"%032x\"}\n{\"type\":\"event\"}\n{}", i))
		rec.Meta.ReceivedAt = time.Unix(1767323045, 0).UTC()
		h := backlog.Head{Record: fmt.Sprintf("01JGZZZZZZZZZZZZZZZZZZZZ%02d", i), Project: "shop", Destinations: []string{"up"}}
		if err := backlog.WriteRecord(&b, h, rec); err != nil {
			t.Fatal(err)
		}
	}
	r := backlog.NewReader(bytes.NewReader(b.Bytes()))
	if _, err := r.Header(); err != nil {
		t.Fatal(err)
	}
	for {
		if _, _, _, err := r.Next(); err != nil {
			break
		}
	}
	if err := backlog.WriteEnd(&b, n, r.Sum()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// whole reads an archive and tells whether all of it is there and right.
func whole(b []byte) (n int, err error) {
	r := backlog.NewReader(bytes.NewReader(b))
	if _, err := r.Header(); err != nil {
		return 0, err
	}
	for {
		_, envelope, end, err := r.Next()
		if end != nil {
			return n, nil
		}
		if err == nil {
			_, err = io.Copy(io.Discard, envelope)
		}
		if err != nil {
			return n, err
		}
		n++
	}
}

// Every change of any byte and every cut is noticed.
func TestEveryDamageIsNoticed(t *testing.T) {
	good := archive(t, 3)
	if n, err := whole(good); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	for i := range good {
		if _, err := whole(good[:i]); err == nil {
			t.Fatalf("cut at %d of %d it counts as whole", i, len(good))
		}
		bad := bytes.Clone(good)
		bad[i] ^= 0x20
		if _, err := whole(bad); err == nil && !bytes.Equal(bytes.ToLower(bad), bytes.ToLower(good)) {
			t.Fatalf("changed at byte %d of %d it counts as whole: %q", i, len(good), bad[max(0, i-20):min(len(bad), i+20)])
		}
	}
}

// failing is a spool that fails at its n-th append.
type failing struct {
	*disk.Spool
	left int
}

func (f *failing) Append(ctx context.Context, rec *schemas.Record) error {
	if f.left--; f.left < 0 {
		return &spool.FullError{Why: "max_size"}
	}
	return f.Spool.Append(ctx, rec)
}

// An import that breaks off, for want of room or by a damaged record, has
// taken what was before; again, it goes on behind that, also after a restart.
func TestImportGoesOn(t *testing.T) {
	s := openSpool(t, t.TempDir())
	notes := filepath.Join(t.TempDir(), "imported.log")
	data := archive(t, 10)
	run := func(target backlog.Target, b []byte) (backlog.Result, error) {
		im := &backlog.Importer{Spool: target, Notes: notes, Project: func(string) (uint64, []string, bool) { return 1, []string{"up"}, true }}
		r := backlog.NewReader(bytes.NewReader(b))
		if _, err := r.Header(); err != nil {
			t.Fatal(err)
		}
		return im.Import(t.Context(), r)
	}
	res, err := run(&failing{s, 4}, data)
	var full *spool.FullError
	if res.Imported != 4 || !errors.As(err, &full) {
		t.Fatalf("%+v %v", res, err)
	}
	damaged := bytes.Replace(data, []byte(`{"event_id":"00000000000000000000000000000006"}`), []byte(`{"event_id":"00000000000000000000000000000066"}`), 1)
	if res, err = run(s, damaged); err == nil || res.Imported != 2 || res.Repeated != 4 || !strings.Contains(err.Error(), "checksum") {
		t.Fatalf("%+v %v", res, err)
	}
	f, err := os.OpenFile(notes, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("17673") // torn by a power cut
	_ = f.Close()
	if res, err = run(s, data); err != nil || res.Imported != 4 || res.Repeated != 6 {
		t.Fatalf("%+v %v", res, err)
	}
	if n := len(entries(t, s, false)); n != 10 {
		t.Errorf("%d records, want 10", n)
	}
}

func TestWhatIsNotTaken(t *testing.T) {
	s := openSpool(t, t.TempDir())
	api := apiOf(t, s, "")
	good := string(archive(t, 1))
	_, good, _ = strings.Cut(good, "\n") // without the first line
	good = good[:strings.LastIndex(strings.TrimSpace(good), "\n")+1]
	for name, tc := range map[string]struct {
		body   string
		status int
		says   string
	}{
		"good":                {good, 200, `"imported":1`},
		"another project":     {strings.Replace(good, `"project":"shop","dest`, `"project":"other","dest`, 1), 422, "does not have"},
		"another destination": {strings.Replace(good, `["up"]`, `["nowhere"]`, 1), 422, "shop/nowhere"},
		"no JSON":             {"hello\n", 400, "not that of a record"},
		"half a line":         {`{"record":"x"`, 400, "not whole"},
		"half an envelope":    {good[:len(good)-10], 400, "not whole"},
		"a long line":         {strings.Repeat("x", 2<<20), 400, "too long"},
		"no time":             {strings.Replace(good, `"received_at":"2026-01-02T03:04:05Z"`, `"received_at":"0001-01-01T00:00:00Z"`, 1), 400, "when it was received"},
		"a strange count":     {strings.Replace(good, `{"c":"error","n":1}`, `{"c":"error","n":-1}`, 1), 400, "cannot be"},
		"counts missing":      {strings.Replace(good, `[{"c":"error","n":1}]`, `[]`, 1), 400, "1 items, 0 counts"},
	} {
		t.Run(name, func(t *testing.T) {
			body := tc.body
			if name != "good" {
				body = strings.ReplaceAll(body, "01JGZZZZZZZZZZZZZZZZZZZZ00", "01JGZZZZZZZZZZZZZZZZZZZZ99")
			}
			status, answer := call(t, api, http.MethodPost, backlog.Paths[1], strings.NewReader(body))
			if status != tc.status || !strings.Contains(string(answer), tc.says) {
				t.Errorf("%d %s, want %d %s", status, answer, tc.status, tc.says)
			}
		})
	}
	if n := len(entries(t, s, false)); n != 1 {
		t.Errorf("%d records, want the good one", n)
	}
}
