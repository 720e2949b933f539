package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"breakwater/cmd/breakwater/console"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// inside asks the private listener of a gateway in this process.
func inside(a *app, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:8081"+path, strings.NewReader(body))
	r.Header.Set("Accept", "text/html")
	w := httptest.NewRecorder()
	a.inside.ServeHTTP(w, r)
	return w
}

// bury fills a gateway's spool with dead letters of an error each.
func bury(t testing.TB, a *app, n int) {
	t.Helper()
	payload := schemas.Bytes(`{"exception":{"values":[{"type":"TypeError","value":"x is undefined"}]},"release":"shop@1.4.2"}`)
	const workers = 64
	each := func(one func(i int) error) {
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for i := w; i < n; i += workers {
					if err := one(i); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	}
	each(func(i int) error {
		rec := &schemas.Record{
			Meta: schemas.Meta{
				ProjectID: 1, Project: "shop", ReceivedAt: a.now(), EventID: fmt.Sprintf("%032x", i+1), Release: "shop@1.4.2", Destinations: []string{"sentry"},
				Counts: []schemas.Count{{Category: schemas.CategoryError, Quantity: 1}},
			},
			Envelope: schemas.Envelope{Header: schemas.EmptyHeader(), Items: []schemas.Item{{Header: schemas.NewItemHeader("event"), Payload: payload}}},
		}
		a.ledger.Received("shop", schemas.CategoryError, 1)
		a.ledger.Outcome("shop", schemas.CategoryError, schemas.Accepted, "", 1)
		return a.spool.Append(context.Background(), rec)
	})
	each(func(int) error {
		c, err := a.spool.Claim(context.Background(), spool.Destination{Project: "shop", Name: "sentry"})
		if err != nil {
			return err
		}
		return c.Bury("http_400")
	})
}

// A hundred thousand dead letters stay usable: every page is as small and
// about as quick as the first, a filter finds one of them, and one action
// takes them all.
func TestManyDeadLetters(t *testing.T) {
	const n = 100_000
	a, _ := inProcess(t, oneProject)
	began := time.Now()
	bury(t, a, n)
	t.Logf("%d dead letters made in %v", n, time.Since(began))

	read := func(path string) (page console.Page, took time.Duration) {
		t.Helper()
		start := time.Now()
		w := inside(a, http.MethodGet, path, "")
		took = time.Since(start)
		if w.Code != http.StatusOK || w.Body.Len() > 100_000 {
			t.Fatalf("%s: %d, %d bytes", path, w.Code, w.Body.Len())
		}
		if strings.HasPrefix(path, "/api/") {
			if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil {
				t.Fatal(err)
			}
		}
		return page, took
	}
	const front = "/api/v1/dead-letters?limit=100"
	first, quick := read(front)
	if len(first.Records) != 100 || first.Next == "" || first.Records[0].Title != "TypeError: x is undefined" {
		t.Fatalf("%d records, next %q, %+v", len(first.Records), first.Next, first.Records[0])
	}
	deep := first
	for range 900 { // nine tenths of the way
		w := inside(a, http.MethodGet, "/api/v1/dead-letters?limit=100&after="+deep.Next, "")
		deep = console.Page{}
		if err := json.Unmarshal(w.Body.Bytes(), &deep); err != nil {
			t.Fatal(err)
		}
	}
	far, slow := read("/api/v1/dead-letters?limit=100&after=" + deep.Next)
	if len(far.Records) != 100 || far.Records[0].ID <= first.Records[99].ID {
		t.Errorf("deep page: %d records from %s", len(far.Records), far.Records[0].ID)
	}
	_, html := read("/dead-letters?after=" + deep.Next)
	found, search := read("/api/v1/dead-letters?event_id=" + fmt.Sprintf("%032x", n-7))
	t.Logf("a page of 100: the first %v, the 902nd %v; as HTML %v; one event among all %v", quick, slow, html, search)
	// The quickest of up to a hundred, so that a busy machine does not count: what has
	// to walk there is never quick.
	for i := 0; i < 100 && (i < 3 || slow > 20*quick); i++ {
		_, took := read(front)
		quick = min(quick, took)
		_, took = read("/api/v1/dead-letters?limit=100&after=" + deep.Next)
		slow = min(slow, took)
	}
	if slow > 20*quick {
		t.Errorf("page 902 takes %v, the first %v", slow, quick)
	}
	if len(found.Records) != 1 {
		t.Errorf("one event: %d records", len(found.Records))
	}
	if w := inside(a, http.MethodGet, "/", ""); !strings.Contains(w.Body.String(), "100,000 dead letters of shop/sentry") {
		t.Errorf("the overview does not count them: %d", w.Code)
	}
	start := time.Now()
	w := inside(a, http.MethodPost, "/api/v1/dead-letters/drop", `{"project":"shop"}`)
	t.Logf("all dropped in %v", time.Since(start))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"affected":100000`) {
		t.Errorf("drop: %d %s", w.Code, w.Body)
	}
	if w = inside(a, http.MethodGet, "/ledger", ""); !strings.Contains(w.Body.String(), "the books close") {
		t.Error("the books do not close")
	}
}

// What the API serves is documented, and what is documented is served.
func TestOpenAPIIsComplete(t *testing.T) {
	a, _ := inProcess(t, oneProject)
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(inside(a, http.MethodGet, "/api/v1/openapi.json", "").Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			documented[strings.ToUpper(method)+" "+path] = true
		}
	}
	further := a.backlogAPI() // take any method, and refuse the wrong ones themselves
	for _, r := range a.inside.(*echo.Echo).Routes() {
		if !strings.HasPrefix(r.Path, "/api/") || r.Path == "/api/v1/openapi.json" || strings.HasSuffix(r.Path, "*") || r.Method == "echo_route_not_found" {
			continue
		}
		var path []string
		for part := range strings.SplitSeq(r.Path, "/") {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				part = "{" + name + "}"
			}
			path = append(path, part)
		}
		key := r.Method + " " + strings.Join(path, "/")
		if !documented[key] && (further[r.Path] == nil || doc.Paths[r.Path] == nil) {
			t.Errorf("%s is served and not documented", key)
		}
		delete(documented, key)
	}
	for key := range documented {
		t.Errorf("%s is documented and not served", key)
	}
}

// What the item stream and the pages show was scrubbed, what was dropped
// before it came to scrubbing, too; and nothing is made while nobody listens.
func TestTailIsScrubbed(t *testing.T) {
	a, _ := inProcess(t, strings.Replace(oneProject, "    vitals:", "    filters: {error_messages: [\"*unwanted*\"]}\n    vitals:", 1))
	srv := httptest.NewServer(a.inside)
	defer srv.Close()
	send := func(message string) {
		t.Helper()
		body := `{"event_id":"` + strings.Repeat("ab", 16) + "\"}\n{\"type\":\"event\"}\n" + `{"message":"` + message + `","level":"error","release":"shop@1.4.2"}`
		r := httptest.NewRequest(http.MethodPost, "/api/1/envelope/?sentry_key="+testKey, strings.NewReader(body))
		w := httptest.NewRecorder()
		a.edge.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Fatal(w.Code, w.Body)
		}
	}
	send("nobody listens 4111 1111 1111 1111")
	resp, err := http.Get(srv.URL + "/api/v1/tail")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	eventually(t, 10*time.Second, func() error {
		if !a.watcher.Watching() {
			return fmt.Errorf("nobody listens")
		}
		return nil
	})
	send("paid with 4111 1111 1111 1111")
	send("unwanted card 4111 1111 1111 1111")
	lines := bufio.NewScanner(resp.Body)
	var got []console.Line
	for len(got) < 2 && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			if strings.Contains(text, "4111") {
				t.Errorf("a card number is in %s", text)
			}
			var line console.Line
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			got = append(got, line)
		}
	}
	if len(got) != 2 || got[0].Outcome != schemas.Accepted || got[1].Outcome != schemas.Filtered || !strings.HasPrefix(got[0].Summary, "paid with") || !strings.HasPrefix(got[1].Summary, "unwanted card") || got[0].EventID == "" {
		t.Errorf("%+v", got)
	}
	for _, path := range []string{"/errors", "/api/v1/fingerprints", "/api/v1/spool/records"} {
		if w := inside(a, http.MethodGet, path, ""); w.Code != 200 || strings.Contains(w.Body.String(), "4111") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
