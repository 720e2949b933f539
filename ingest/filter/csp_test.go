package filter

import (
	"fmt"
	"strings"
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

func TestInvalidCSP(t *testing.T) {
	on := Config{CSPDisallowed: append([]string{"https://*.ads.example:8443", "*://*:9999"}, DisallowedSources...)}
	for blocked, want := range map[string]string{
		"about": "invalid-csp", "about:blank": "invalid-csp", "chrome-extension://abcdef": "invalid-csp", "chrome-extension": "invalid-csp", "moz-extension:": "invalid-csp", "chrome-extensions": "",
		"http://x.superfish.com/a.js": "invalid-csp", "http://superfish.com": "invalid-csp", "http://notsuperfish.com": "",
		"http://localhost:8000/a": "invalid-csp", "https://a.ads.example:8443/x": "invalid-csp", "https://a.ads.example/x": "", "http://a.ads.example:8443/x": "",
		"https://any.example:9999": "invalid-csp", "https://cdn.example/a.js": "", "inline": "", "": "",
	} {
		for _, payload := range []string{
			fmt.Sprintf(`{"csp-report":{"blocked-uri":%q,"document-uri":"https://shop.example/"}}`, blocked),
			fmt.Sprintf(`{"csp-report":{"blocked-uri":"inline","source-file":%q}}`, blocked),
			fmt.Sprintf(`{"type":"csp-violation","body":{"blockedURL":%q}}`, blocked),
		} {
			if got := run(t, on, request(), "raw_security", payload); got != want {
				t.Errorf("%s: %q, want %q", payload, got, want)
			}
		}
		if got := run(t, on, request(), "security", fmt.Sprintf(`{"type":"csp","csp":{"document_uri":%q}}`, blocked)); got != want {
			t.Errorf("security event of %q: %q, want %q", blocked, got, want)
		}
	}
}

// What nobody can do anything about goes where errors of extensions go, with no
// list of the project's; only in what browsers sent.
func TestReportNoise(t *testing.T) {
	on := Config{BrowserExtensions: true, Localhost: true}
	for blocked, want := range map[string]string{
		"chrome-extension": InvalidCSP, "moz-extension": InvalidCSP, "safari-web-extension": InvalidCSP, "chrome-extension://abc/x.js": InvalidCSP,
		"webviewprogressproxy:///complete": InvalidCSP, "gateway.zscalertwo.net": InvalidCSP, "https://injections.adguard.com/": InvalidCSP,
		"https://gc.kaspersky-labs.com/x": InvalidCSP, "about": InvalidCSP, "mxaddon-pkg": InvalidCSP,
		"inline": "", "eval": "", "data": "", "blob": "", "self": "", "wasm-eval": "", "trusted-types-sink": "", "https://cdn.example/": "", "": "",
		"http://localhost:3000/x.js": "", // blocked on a real page: that is a finding
	} {
		for _, payload := range []string{
			fmt.Sprintf(`{"csp-report":{"blocked-uri":%q,"document-uri":"https://shop.example/"}}`, blocked),
			fmt.Sprintf(`{"type":"csp-violation","body":{"blockedURL":"inline","sourceFile":%q}}`, blocked),
		} {
			if got := run(t, on, request(), "raw_security", payload); got != want {
				t.Errorf("%s: %q, want %q", payload, got, want)
			}
			if got := run(t, Config{}, request(), "raw_security", payload); got != "" {
				t.Errorf("off, but %s: %q", payload, got)
			}
		}
		if got := run(t, on, request(), "event", fmt.Sprintf(`{"csp":{"blocked_uri":%q},"body":{"blockedURL":%q}}`, blocked, blocked)); got != "" {
			t.Errorf("an error of %q: %q", blocked, got)
		}
	}
	if got := run(t, on, request(), "raw_security", `{"csp-report":{"blocked-uri":"inline","document-uri":"http://localhost:3000/checkout"}}`); got != Localhost {
		t.Errorf("a developer's page: %q", got)
	}
	if got := run(t, Config{WebCrawlers: true}, &ingest.Request{Project: &ingest.Project{Name: "shop"}, UserAgent: "Googlebot/2.1"}, "nel", `[]`); got != WebCrawlers {
		t.Errorf("a crawler's network: %q", got)
	}
}

// Of a container of browsers' reports the noise goes alone, and is counted.
func TestReportLogs(t *testing.T) {
	const entry = `{"body":"x","attributes":{"code.file.path":{"value":"%s","type":"string"}}}`
	f := New()
	if err := f.Configure(map[string]Config{"shop": {BrowserExtensions: true}}); err != nil {
		t.Fatal(err)
	}
	apply := func(budget string, files ...string) *ingest.Batch {
		var entries []string
		for _, file := range files {
			entries = append(entries, fmt.Sprintf(entry, file))
		}
		req := request()
		req.Budget = budget
		it := ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("log"), Payload: schemas.Bytes(`{"version":2,"items":[` + strings.Join(entries, ",") + `]}`)})
		it.Quantity, it.Category = len(files), schemas.CategorySecurity
		b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader(), Items: []*ingest.Item{it}}
		if err := f.Apply(b); err != nil {
			t.Fatal(err)
		}
		return b
	}
	b := apply(ingest.BudgetReports, "https://shop.example/a.js", "chrome-extension://abc/x.js", "", "moz-extension")
	raw, _ := b.Items[0].InMemory()
	count, _ := b.Items[0].Header.ItemCount()
	if len(b.Items) != 2 || b.Items[0].Quantity != 2 || count != 2 || strings.Contains(string(raw), "extension") || !strings.HasPrefix(string(raw), `{"version":2,`) {
		t.Errorf("kept %d %d %s", b.Items[0].Quantity, count, raw)
	}
	if gone := b.Items[1]; gone.Quantity != 2 || gone.Outcome != schemas.Filtered || gone.Reason != BrowserExtensions || gone.Category != schemas.CategorySecurity {
		t.Errorf("gone: %+v", gone)
	}
	if b := apply(ingest.BudgetReports, "chrome-extension"); len(b.Items) != 1 || b.Items[0].Reason != BrowserExtensions {
		t.Errorf("all noise: %+v", b.Items[0])
	}
	if b := apply("", "chrome-extension"); len(b.Items) != 1 || !b.Items[0].Alive() {
		t.Error("an application's own logs are none of this")
	}
}
