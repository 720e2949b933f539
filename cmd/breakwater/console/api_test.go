package console

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// contract is openapi.json, read as a test reads it.
type contract struct {
	doc      map[string]any
	compiler *jsonschema.Compiler
}

func readContract(t *testing.T) *contract {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	c := &contract{doc.(map[string]any), jsonschema.NewCompiler()}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	if err := c.compiler.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return c
}

// check holds an answer to the schema of a path, method and status.
func (c *contract) check(t *testing.T, path, method, status string, body []byte) {
	t.Helper()
	pointer := "openapi.json#/paths/" + strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path) + "/" + method + "/responses/" + status + "/content/application~1json/schema"
	schema, err := c.compiler.Compile(pointer)
	if err != nil {
		t.Fatalf("%s %s %s is not documented: %v", method, path, status, err)
	}
	got, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, body)
	}
	if err := schema.Validate(got); err != nil {
		t.Errorf("%s %s %s: %v\n%s", method, path, status, err, body)
	}
}

// Every answer is what openapi.json says, good ones and faults.
func TestAnswersFollowOpenAPI(t *testing.T) {
	c := readContract(t)
	f := newFake(120)
	h := on(f)
	first, last := f.dead[0].Meta.ID, f.dead[119].Meta.ID
	for _, q := range []struct{ path, method, url, body, status string }{
		{"/api/v1/spool", "get", "", "", "200"},
		{"/api/v1/spool/records", "get", "/api/v1/spool/records?dead=true&limit=3", "", "200"},
		{"/api/v1/spool/records", "get", "/api/v1/spool/records?limit=0", "", "400"},
		{"/api/v1/spool/records", "get", "/api/v1/spool/records?dead=maybe", "", "400"},
		{"/api/v1/spool/records/{id}", "get", "/api/v1/spool/records/" + first, "", "200"},
		{"/api/v1/spool/records/{id}", "get", "/api/v1/spool/records/nothing", "", "404"},
		{"/api/v1/spool/records/{id}/raw", "get", "/api/v1/spool/records/nothing/raw", "", "404"},
		{"/api/v1/spool/records/{id}/retry", "post", "/api/v1/spool/records/" + first + "/retry", "", "200"},
		{"/api/v1/spool/records/{id}/retry", "post", "/api/v1/spool/records/" + first + "/retry", "", "404"},
		{"/api/v1/spool/records/{id}/drop", "post", "/api/v1/spool/records/" + last + "/drop", "", "200"},
		{"/api/v1/spool/records/drop", "post", "", `{"project":"shop"}`, "200"},
		{"/api/v1/spool/records/drop", "post", "", `{}`, "400"},
		{"/api/v1/dead-letters", "get", "/api/v1/dead-letters?project=shop", "", "200"},
		{"/api/v1/destinations", "get", "", "", "200"},
		{"/api/v1/destinations/{project}/{name}/pause", "post", "/api/v1/destinations/shop/sentry/pause", "", "200"},
		{"/api/v1/destinations/{project}/{name}/pause", "post", "/api/v1/destinations/shop/nothing/pause", "", "404"},
		{"/api/v1/destinations/{project}/{name}/resume", "post", "/api/v1/destinations/shop/sentry/resume", "", "200"},
		{"/api/v1/fingerprints", "get", "", "", "200"},
		{"/api/v1/fingerprints", "get", "/api/v1/fingerprints?order=backwards", "", "400"},
		{"/api/v1/fingerprints/{project}/{fingerprint}", "get", "/api/v1/fingerprints/shop/" + fakePrint, "", "200"},
		{"/api/v1/fingerprints/{project}/{fingerprint}", "get", "/api/v1/fingerprints/shop/00", "", "404"},
		{"/api/v1/releases", "get", "", "", "200"},
		{"/api/v1/vitals", "get", "", "", "200"},
		{"/api/v1/outcomes", "get", "", "", "200"},
		{"/api/v1/limits", "get", "", "", "200"},
		{"/api/v1/config", "get", "", "", "200"},
		{"/api/v1/audit", "get", "/api/v1/audit?limit=2", "", "200"},
		{"/api/v1/status", "get", "", "", "200"},
		{"/api/v1/tail", "get", "/api/v1/tail?category=nonsense", "", "400"},
		{"/api/v1/dead-letters/retry", "post", "", `{"all":true,"limit":1}`, "200"},
		{"/api/v1/dead-letters/retry", "post", "", `{"everything":true}`, "400"},
		{"/api/v1/dead-letters/drop", "post", "", `{"project":"shop","destination":"sentry"}`, "200"},
	} {
		url := q.url
		if url == "" {
			url = q.path
		}
		w := call(h, strings.ToUpper(q.method), url, q.body)
		if got := http.StatusText(w.Code); got != http.StatusText(atoi(q.status)) {
			t.Errorf("%s %s: %d, want %s: %s", q.method, url, w.Code, q.status, w.Body)
			continue
		}
		c.check(t, q.path, q.method, q.status, w.Body.Bytes())
	}
	w := call(handler(Options{}), http.MethodGet, "/api/v1/spool", "")
	c.check(t, "/api/v1/spool", "get", "401", w.Body.Bytes())
}

func atoi(s string) (n int) { _ = json.Unmarshal([]byte(s), &n); return n }

// A long list is read page by page, each bounded, none torn or repeated.
func TestDeadLetterPages(t *testing.T) {
	h := on(newFake(430))
	seen, after, pages := map[string]bool{}, "", 0
	for {
		w := call(h, http.MethodGet, "/api/v1/dead-letters?limit=200&after="+after, "")
		var page Page
		if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || w.Code != 200 {
			t.Fatal(w.Code, err, w.Body)
		}
		for _, r := range page.Records {
			if seen[r.ID] {
				t.Errorf("%s came twice", r.ID)
			}
			seen[r.ID] = true
		}
		pages++
		if after = page.Next; after == "" {
			break
		}
	}
	if len(seen) != 430 || pages != 3 {
		t.Errorf("%d records on %d pages", len(seen), pages)
	}
	w := call(h, http.MethodGet, "/dead-letters", "", html)
	if n := strings.Count(w.Body.String(), `name="ids"`); n != pageDefault {
		t.Errorf("the page has %d rows", n)
	}
	contains(t, w.Body.String(), "430 in all", "Next page")
}

// The raw envelope is a download with every byte; the view leaves out what
// scrubbing could not read.
func TestRawAndView(t *testing.T) {
	f := newFake(1)
	h := on(f)
	id := f.dead[0].Meta.ID
	w := call(h, http.MethodGet, "/api/v1/spool/records/"+id+"/raw", "")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/x-sentry-envelope" || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	contains(t, w.Body.String(), "unscrubbed bytes", f.event)
	for _, path := range []string{"/api/v1/spool/records/" + id, "/records/" + id} {
		w = call(h, http.MethodGet, path, "")
		if w.Code != 200 || strings.Contains(w.Body.String(), "unscrubbed bytes") {
			t.Errorf("%s: %d shows an opaque payload", path, w.Code)
		}
		contains(t, w.Body.String(), "x is undefined", "secret.bin")
	}
}

// checkSchema holds a value to a named schema.
func (c *contract) checkSchema(t *testing.T, name string, raw []byte) {
	t.Helper()
	schema, err := c.compiler.Compile("openapi.json#/components/schemas/" + name)
	if err != nil {
		t.Fatal(err)
	}
	got, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	if err := schema.Validate(got); err != nil {
		t.Errorf("%s: %v in %s", name, err, raw)
	}
}
