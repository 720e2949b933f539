package relaytest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

func TestBulkIsStrict(t *testing.T) {
	const doc = `{"@timestamp":"2026-01-02T03:04:05Z"}`
	action := `{"create":{"_index":"errors","_id":"1"}}` + "\n"
	kind := func(ct string) func(http.Header) { return func(h http.Header) { h.Set("Content-Type", ct) } }
	nd := kind("application/x-ndjson")
	for name, tc := range map[string]struct {
		path, body string
		edit       func(http.Header)
		status     int
		answer     string
	}{
		"as it should be":           {"/_bulk", action + doc + "\n", nd, 200, `{"errors":false,"items":[{"create":{"_index":"errors","_id":"1","status":201}}]}`},
		"an own path":               {"/es/_bulk", action + doc + "\n", nd, 200, "201"},
		"filtered":                  {"/_bulk?filter_path=errors,items.*.status", action + doc + "\n", nd, 200, `[{"create":{"status":201}}]`},
		"the same twice":            {"/_bulk", action + doc + "\n" + action + doc + "\n", nd, 200, "version_conflict_engine_exception"},
		"index into a data stream":  {"/_bulk", strings.Replace(action, "create", "index", 1) + doc + "\n", nd, 200, "illegal_argument_exception"},
		"no @timestamp":             {"/_bulk", action + "{}\n", nd, 200, "document_parsing_exception"},
		"a name twice":              {"/_bulk", action + `{"@timestamp":"x","@timestamp":"x"}` + "\n", nd, 200, "document_parsing_exception"},
		"a document that is none":   {"/_bulk", action + "[1]\n", nd, 200, "document_parsing_exception"},
		"an index in capitals":      {"/_bulk", strings.Replace(action, "errors", "Errors", 1) + doc + "\n", nd, 200, "invalid_index_name_exception"},
		"too many fields":           {"/_bulk", action + `{"@timestamp":"x"` + manyFields() + "}\n", nd, 200, "Limit of total fields"},
		"no line break at the end":  {"/_bulk", action + doc, nd, 400, "terminated by a newline"},
		"nothing":                   {"/_bulk", "", nd, 400, "body is required"},
		"an action without source":  {"/_bulk", action, nd, 400, "no source"},
		"an action nobody knows":    {"/_bulk", `{"make":{}}` + "\n" + doc + "\n", nd, 400, "but found [make]"},
		"an action that is no JSON": {"/_bulk", "create\n" + doc + "\n", nd, 400, "malformed action"},
		"an unknown parameter":      {"/_bulk", `{"create":{"_index":"a","_typo":"b"}}` + "\n" + doc + "\n", nd, 400, "unknown parameter [_typo]"},
		"no index":                  {"/_bulk", `{"create":{"_id":"b"}}` + "\n" + doc + "\n", nd, 400, "index is missing"},
		"a long id":                 {"/_bulk", `{"create":{"_index":"a","_id":"` + strings.Repeat("x", 513) + `"}}` + "\n" + doc + "\n", nd, 400, "too long"},
		"another content type":      {"/_bulk", action + doc + "\n", kind("text/plain"), 406, "not supported"},
		"another path":              {"/errors/_doc", action + doc + "\n", nd, 404, ""},
		"too large":                 {"/_bulk", action + `{"@timestamp":"` + strings.Repeat("x", 5000) + "\"}\n", nd, 413, ""},
		"no credentials":            {"/_bulk", action + doc + "\n", func(h http.Header) { nd(h); h.Set("Authorization", "ApiKey other") }, 401, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bulk := &relaytest.Bulk{Authorization: "ApiKey abc", DataStream: true, MaxContent: 20000}
			if name == "too large" {
				bulk.MaxContent = 4096
			}
			up := relaytest.StartUpstream(t, bulk.Options())
			status, body, err := post(t, up, tc.path, tc.body, func(h http.Header) { h.Set("Authorization", "ApiKey abc"); tc.edit(h) })
			if err != nil || status != tc.status || !strings.Contains(body, tc.answer) {
				t.Errorf("status %d, error %v, body %s; want %d %s", status, err, body, tc.status, tc.answer)
			}
		})
	}
}

func manyFields() string {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `,"f%d":1`, i)
	}
	return b.String()
}

func TestPushIsStrict(t *testing.T) {
	now := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	body := func(at time.Time, line string) string {
		return fmt.Sprintf(`{"streams":[{"stream":{"a":"b"},"values":[["%d",%q]]}]}`, at.UnixNano(), line)
	}
	js := func(h http.Header) { h.Set("Content-Type", "application/json"); h.Set("X-Scope-OrgID", "shop") }
	for name, tc := range map[string]struct {
		body   string
		edit   func(http.Header)
		status int
		answer string
		stored int
	}{
		"as it should be":    {body(now, "x"), js, 200, "", 1},
		"too old":            {body(now.Add(-8*24*time.Hour), "x"), js, 400, "timestamp too old", 0},
		"too new":            {body(now.Add(time.Hour), "x"), js, 400, "timestamp too new", 0},
		"too long":           {body(now, strings.Repeat("x", 300<<10)), js, 400, "max entry size", 0},
		"good and bad":       {strings.Replace(body(now, "x"), `"]]`, fmt.Sprintf(`"],["%d","y"]]`, now.Add(-2*time.Hour).UnixNano()), 1), js, 400, "too far behind", 1},
		"the same twice":     {strings.Replace(body(now, "x"), `"]]`, fmt.Sprintf(`"],["%d","x"]]`, now.UnixNano()), 1), js, 200, "", 1},
		"no labels":          {strings.Replace(body(now, "x"), `"a":"b"`, "", 1), js, 400, "at least one label", 0},
		"a label with a dot": {strings.Replace(body(now, "x"), `"a":`, `"a.b":`, 1), js, 400, "parsing labels", 0},
		"a time as a number": {strings.ReplaceAll(body(now, "x"), fmt.Sprintf("%q", fmt.Sprint(now.UnixNano())), "1"), js, 400, "parse push request", 0},
		"no JSON":            {"hello", js, 400, "parse push request", 0},
		"nothing":            {`{"streams":[]}`, js, 400, "no entries", 0},
		"no tenant":          {body(now, "x"), func(h http.Header) { h.Set("Content-Type", "application/json") }, 401, "no org id", 0},
		"another type":       {body(now, "x"), func(h http.Header) { js(h); h.Set("Content-Type", "text/plain") }, 415, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			p := &relaytest.Push{Tenant: "shop", Now: func() time.Time { return now }}
			up := relaytest.StartUpstream(t, p.Options())
			status, text, err := post(t, up, "/loki/api/v1/push", tc.body, tc.edit)
			if err != nil || status != tc.status || !strings.Contains(text, tc.answer) {
				t.Errorf("status %d, error %v, body %s; want %d %s", status, err, text, tc.status, tc.answer)
			}
			if entries, _ := p.Entries(); len(entries) != tc.stored {
				t.Errorf("%d entries stored, want %d", len(entries), tc.stored)
			}
		})
	}
}
