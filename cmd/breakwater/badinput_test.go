package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// badRow is one way to get a request wrong: what the client is told and what
// is counted. Each protocol has a table of them.
type badRow struct {
	name, path, body string
	headers          []string // name, value, …
	method           string   // POST when empty
	status           int
	detail           string // how the error begins; "" for success
	books            string // "category outcome:reason" of every item counted, sorted
}

// runBadRows sends the rows to a whole gateway, and holds each answer to the
// same manners: the status, an error in JSON that the X-Sentry-Error header
// repeats, CORS headers that let a page read it, every item counted once.
func runBadRows(t *testing.T, a *app, rows []badRow) {
	t.Helper()
	if len(rows) < 15 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			before := books(t, a)
			if row.method == "" {
				row.method = http.MethodPost
			}
			r := httptest.NewRequest(row.method, row.path, strings.NewReader(row.body))
			r.Header.Set("Origin", "https://shop.example")
			for i := 0; i+1 < len(row.headers); i += 2 {
				r.Header.Set(row.headers[i], row.headers[i+1])
			}
			w := httptest.NewRecorder()
			a.edge.ServeHTTP(w, r)
			if w.Code != row.status {
				t.Errorf("status %d, want %d: %s", w.Code, row.status, w.Body)
			}
			checkManners(t, w, row.detail)
			if got := booksSince(before, books(t, a)); got != row.books {
				t.Errorf("counted: %s\n    want: %s", got, row.books)
			}
		})
	}
}

func checkManners(t *testing.T, w *httptest.ResponseRecorder, detail string) {
	t.Helper()
	h := w.Header()
	if origin := h.Get("Access-Control-Allow-Origin"); origin != "*" && origin != "https://shop.example" ||
		h.Get("Cross-Origin-Resource-Policy") != "cross-origin" || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "x-sentry-error") {
		t.Errorf("a page cannot read this answer: %v", h)
	}
	if w.Code < 400 {
		if h.Get("X-Sentry-Error") != "" {
			t.Error("success with X-Sentry-Error")
		}
		return
	}
	var answer struct {
		Detail  string
		Causes  []string
		Code    int // of OTLP's own form
		Message string
	}
	dec := json.NewDecoder(w.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&answer); err != nil {
		t.Fatalf("error answer: %v", err)
	}
	if detail == "" || !strings.HasPrefix(answer.Detail, detail) {
		t.Errorf("detail %q %q, want %q", answer.Detail, answer.Causes, detail)
	}
	if h.Get("X-Sentry-Error") != answer.Detail || h.Get("Content-Type") != "application/json" {
		t.Errorf("X-Sentry-Error %q, content type %q", h.Get("X-Sentry-Error"), h.Get("Content-Type"))
	}
}

// books are the outcomes of the ledger.
func books(t *testing.T, a *app) map[string]float64 {
	t.Helper()
	families, err := a.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, f := range families {
		switch f.GetName() {
		case "breakwater_items_outcome_total":
		case "breakwater_items_received_total":
			for _, m := range f.GetMetric() {
				sums["received"] += m.GetCounter().GetValue()
			}
			continue
		default:
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			key := labels["category"] + " " + labels["outcome"]
			if labels["reason"] != "" {
				key += ":" + labels["reason"]
			}
			sums[key] += m.GetCounter().GetValue()
		}
	}
	return sums
}

// booksSince lists what was added, as "2× security accepted".
func booksSince(before, after map[string]float64) string {
	var list []string
	ends := 0.0
	for key, n := range after {
		n -= before[key]
		switch {
		case n == 0 || key == "received":
			continue
		case n == 1:
			list = append(list, key)
		default:
			list = append(list, fmt.Sprintf("%v× %s", n, key))
		}
		if !strings.Contains(key, " delivered") { // the second end of a vital that was accepted
			ends += n
		}
	}
	slices.Sort(list)
	if received := after["received"] - before["received"]; received != ends {
		list = append(list, fmt.Sprintf("OFF: %v received, %v ends", received, ends))
	}
	return strings.Join(list, ", ")
}
