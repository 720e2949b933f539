package beacon

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

func request(query string) *ingest.Request {
	req := &ingest.Request{Project: &ingest.Project{Name: "shop"}, Header: http.Header{}, Query: map[string][]string{}, ReceivedAt: time.Unix(1_795_470_000, 0)}
	for _, kv := range strings.Split(query, "&") {
		if k, v, ok := strings.Cut(kv, "="); ok {
			req.Query[k] = []string{v}
		}
	}
	return req
}

func TestDecode(t *testing.T) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, c := range []struct {
		name, body string
		entries    int
		reject     *ingest.Rejection
	}{
		{"one object", `{"name":"LCP","value":1,"id":"a"}`, 1, nil},
		{"an array", `[{"name":"LCP","value":1},{"name":"CLS","value":0}]`, 2, nil},
		{"wrapped", `{"route":"/p","vitals":[{"name":"LCP","value":1}]}`, 1, nil},
		{"a form", `name=LCP&value=1&id=a`, 1, nil},
		{"a bad entry beside a good one", `[{"name":"LCP","value":1},7,{"value":3}]`, 3, nil},
		{"only bad entries are kept to be counted", `[7]`, 1, nil},
		{"empty", ``, 0, ingest.RejectEmpty},
		{"an empty array", `[]`, 0, ingest.RejectNothingUsable},
		{"no JSON", `{"name":`, 0, ingest.RejectJSON},
		{"text", `hello`, 0, ingest.RejectJSON},
		{"too deep", deep, 0, ingest.RejectDepth},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := (&Protocol{}).Decode(t.Context(), request(""), strings.NewReader(c.body))
			if c.reject != nil {
				var r *ingest.Rejection
				if !errors.As(err, &r) || r.Reason != c.reject.Reason || r.Status != 400 {
					t.Fatalf("error %v, want %s", err, c.reject.Reason)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(b.Beacons) != 1 || len(b.Beacons[0].Vitals) != c.entries || b.Beacons[0].Source != "beacon" || len(b.Items) != 0 {
				t.Errorf("got %d beacons, %+v, %d items", len(b.Beacons), b.Beacons[0], len(b.Items))
			}
		})
	}
}

func TestUnreadableEntriesAreBounded(t *testing.T) {
	body := "[" + strings.Repeat("7,", 30_000) + `{"name":"LCP","value":1}]`
	b, err := (&Protocol{}).Decode(t.Context(), request(""), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(b.Beacons[0].Vitals); n > maxRejected+schemas.MaxBeaconEntries {
		t.Errorf("%d entries kept", n)
	}
}

func TestEveryCapturedBeaconIsRead(t *testing.T) {
	bodies, err := filepath.Glob("../../schemas/testdata/fixtures/web-vitals/*/*/body.bin")
	if err != nil || len(bodies) < 40 {
		t.Fatalf("%d captured beacons: %v", len(bodies), err)
	}
	for _, path := range bodies {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(body) == 0 {
			continue // a preflight
		}
		b, err := (&Protocol{}).Decode(t.Context(), request("route=/x&release=shop@1"), bytes.NewReader(body))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		for _, v := range b.Beacons[0].Vitals {
			if !v.HasValue || v.ID == "" || !schemas.KnownVital(v.Name) {
				t.Errorf("%s: %+v", path, v)
			}
		}
		if b.Beacons[0].Route != "/x" || b.Beacons[0].Release != "shop@1" {
			t.Errorf("%s: the query is lost: %+v", path, b.Beacons[0])
		}
	}
}

func TestToSentry(t *testing.T) {
	p := &Protocol{ToSentry: func(project string) bool { return project == "shop" }}
	body := `{"route":"/p/:id","release":"shop@1","trace_id":"0123456789abcdef0123456789abcdef","vitals":[` +
		`{"name":"LCP","value":1800,"id":"v6-1"},{"name":"CLS","value":0.04,"id":"v6-2"},{"name":"ttid","value":3},{"name":"INP","value":-1}]}`
	var ids [2]string
	for round := range ids {
		b, err := p.Decode(t.Context(), request(""), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Items) != 2 {
			t.Fatalf("%d items, want LCP and CLS", len(b.Items))
		}
		if b.Items[0].Category != schemas.CategorySpan || b.Items[0].Header.IsContainer() {
			t.Error("not a standalone span")
		}
		var lcp, cls standalone
		for i, into := range []*standalone{&lcp, &cls} {
			raw, _ := b.Items[i].InMemory()
			if err := json.Unmarshal(raw, into); err != nil {
				t.Fatal(err)
			}
		}
		if lcp.Op != "ui.webvital.lcp" || lcp.Measurements["lcp"] != (measurement{1800, "millisecond"}) || lcp.Data["transaction"] != "/p/:id" ||
			lcp.TraceID != "0123456789abcdef0123456789abcdef" || len(lcp.SpanID) != 16 || lcp.Timestamp-lcp.Start < 1.79 || lcp.Data["environment"] != "production" {
			t.Errorf("LCP span %+v", lcp)
		}
		if cls.Measurements["cls"] != (measurement{0.04, ""}) {
			t.Errorf("CLS span %+v", cls)
		}
		if b.Header.SentAt() == "" {
			t.Error("the envelope does not say when it was sent")
		}
		ids[round] = lcp.SpanID
	}
	if ids[0] != ids[1] {
		t.Error("a repeat has another span id")
	}
	if b, err := (&Protocol{}).Decode(t.Context(), request(""), strings.NewReader(body)); err != nil || len(b.Items) != 0 {
		t.Errorf("without ToSentry %d items go out: %v", len(b.Items), err)
	}
}

// What the histograms refuse, or count apart, is no span either.
func TestOnlyPageLoadsThatCanBeReachSentry(t *testing.T) {
	p := &Protocol{ToSentry: func(string) bool { return true }}
	for _, c := range []struct {
		entry string
		want  int
	}{
		{`"name":"LCP","value":60000`, 1},
		{`"name":"LCP","value":60000.1`, 0},
		{`"name":"LCP","value":0`, 0},
		{`"name":"LCP","value":900,"navigationType":"soft-navigation"`, 0},
		{`"name":"LCP","value":900,"navigationType":"back-forward-cache"`, 1},
		{`"name":"FCP"`, 0},
		{`"name":"TTFB","value":0`, 1},
		{`"name":"TTFB","value":0,"navigationType":"soft-navigation"`, 0},
		{`"name":"CLS","value":0`, 1},
		{`"name":"CLS","value":10`, 1},
		{`"name":"CLS","value":10.5`, 0},
		{`"name":"INP","value":1e999`, 0},
	} {
		b, err := p.Decode(t.Context(), request(""), strings.NewReader("{"+c.entry+`,"id":"a"}`))
		if err != nil || len(b.Items) != c.want || len(b.Beacons) != 1 || len(b.Beacons[0].Vitals) != 1 {
			t.Errorf("%s: %v, %d spans, want %d", c.entry, err, len(b.Items), c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	bodies, _ := filepath.Glob("../../schemas/testdata/fixtures/web-vitals/*/001/body.bin")
	for _, path := range bodies {
		if body, err := os.ReadFile(path); err == nil {
			f.Add(body)
		}
	}
	f.Add([]byte(`[{"name":"LCP","value":1e400},7]`))
	p := &Protocol{ToSentry: func(string) bool { return true }}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := p.Decode(t.Context(), request(""), bytes.NewReader(body))
		if err != nil {
			return
		}
		if len(b.Beacons) != 1 || len(b.Beacons[0].Vitals) == 0 {
			t.Fatal("neither an error nor a beacon with entries")
		}
		for _, it := range b.Items {
			if raw, ok := it.InMemory(); !ok || !json.Valid(raw) {
				t.Fatalf("span is not JSON: %s", raw)
			}
		}
	})
}

// BenchmarkDecode reads a beacon with one metric, beside which BenchmarkDecodeBeacon
// of schemas does the same from memory.
func BenchmarkDecode(b *testing.B) {
	body := []byte(`{"route":"/product/:id","release":"shop@1.4.2","environment":"production","device":"mobile","vitals":[{"name":"LCP","value":1834.2,"id":"v6-00000000","delta":1834.2,"rating":"good","navigationType":"navigate","navigationURL":"https://shop.example/product/42"}]}`)
	req := request("")
	req.Header.Set("Content-Type", "text/plain;charset=UTF-8")
	r := bytes.NewReader(nil)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(body)
		if _, err := (&Protocol{}).Decode(b.Context(), req, r); err != nil {
			b.Fatal(err)
		}
	}
}
