package ingest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"breakwater/schemas"
)

const fixtures = "../schemas/testdata/fixtures"

// captured is one recorded request of a stock SDK.
type captured struct {
	Method   string
	Path     string
	Headers  [][2]string
	BodyFile string
	name     string
	body     []byte
}

func (c *captured) request() *http.Request {
	r := httptest.NewRequest(c.Method, c.Path, bytes.NewReader(c.body))
	for _, h := range c.Headers {
		if h[0] != "Content-Length" && h[0] != "Host" {
			r.Header.Add(h[0], h[1])
		}
	}
	return r
}

func loadFixtures(t testing.TB, sdk string) []*captured {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fixtures, sdk, "*", "*", "request.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures of %s: %v", sdk, err)
	}
	var list []*captured
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c := &captured{name: strings.TrimPrefix(filepath.Dir(f), fixtures+"/")}
		if err := json.Unmarshal(raw, c); err != nil {
			t.Fatal(f, err)
		}
		if c.BodyFile != "" {
			if c.body, err = os.ReadFile(filepath.Join(filepath.Dir(f), c.BodyFile)); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, c)
	}
	return list
}

// split parts an envelope with the reader of the schemas package alone.
func split(t testing.TB, body []byte) (schemas.EnvelopeHeader, []stored) {
	t.Helper()
	r := schemas.NewReader(bytes.NewReader(body))
	h, err := r.Header()
	if err != nil {
		t.Fatal(err)
	}
	var items []stored
	for {
		ih, p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return h, items
		}
		if err != nil {
			t.Fatal(err)
		}
		payload, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, stored{string(ih.Bytes()), string(payload), ih.Type})
	}
}

// Everything stock SDKs sent arrives at the sink byte for byte.
func TestReplayStockSDKs(t *testing.T) {
	for _, sdk := range []struct{ name, project string }{{"sentry-browser", "web"}, {"sentry-react-native", "app"}} {
		count := 0
		for _, c := range loadFixtures(t, sdk.name) {
			if c.Method == http.MethodOptions {
				continue
			}
			t.Run(c.name, func(t *testing.T) {
				e := newEdge(t)
				if strings.Contains(c.name, "/tunnel/") {
					c.Path = "/t"
				}
				r := c.request()
				if sdk.name == "sentry-react-native" {
					r.Header.Set("X-Sentry-Auth", "Sentry sentry_version=7,sentry_client=sentry.cocoa/9.1,sentry_key="+appKey)
					r.URL.RawQuery = ""
				}
				w := e.do(r)
				if w.Code != http.StatusOK {
					t.Fatalf("status %d: %s", w.Code, w.Body)
				}
				header, want := split(t, c.body)
				if len(e.sink.items) != len(want) {
					t.Fatalf("%d items at the sink (%s), want %d", len(e.sink.items), e.sink.types(), len(want))
				}
				for i, it := range e.sink.items {
					if it != want[i] {
						t.Errorf("item %d differs:\n got %.300s %.300s\nwant %.300s %.300s", i, it.header, it.payload, want[i].header, want[i].payload)
					}
				}
				if got := string(e.sink.records[0].Envelope.Header.Bytes()); got != string(header.Bytes()) {
					t.Errorf("envelope header %s, want %s", got, header.Bytes())
				}
				wantBody := "{}"
				if id := header.EventID(); id != "" {
					wantBody = `{"id":"` + id + `"}`
				}
				if w.Body.String() != wantBody {
					t.Errorf("answer %s, want %s", w.Body, wantBody)
				}
				if got := e.sink.records[0].Meta.Project; got != sdk.project {
					t.Errorf("project %s", got)
				}
				e.ledger.balanced(t)
			})
			count++
		}
		if count < 20 {
			t.Errorf("only %d requests of %s", count, sdk.name)
		}
	}
}
