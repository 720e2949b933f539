package storm

import (
	"fmt"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

func cspReport(directive, blocked string) string {
	return fmt.Sprintf(`{"csp-report":{"document-uri":"https://shop.example/","effective-directive":%q,"blocked-uri":%q}}`, directive, blocked)
}

// Two reports are one finding when directive and blocked host agree, in
// whichever form they come.
func TestReadSecurity(t *testing.T) {
	read := func(s string) Fingerprint {
		ev, err := schemas.ParseEvent([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return ReadSecurity(ev)
	}
	base := read(cspReport("img-src", "https://ads.example/a.gif?u=1"))
	for s, same := range map[string]bool{
		cspReport("img-src", "http://ads.example:8080/other/b.gif"):                                             true,
		cspReport("script-src", "https://ads.example/a.gif"):                                                    false,
		cspReport("img-src", "https://cdn.example/a.gif"):                                                       false,
		cspReport("img-src", "inline"):                                                                          false,
		`{"csp-report":{"violated-directive":"img-src 'self' https:","blocked-uri":"https://ads.example"}}`:     true,
		`{"type":"csp-violation","body":{"effectiveDirective":"img-src","blockedURL":"https://ads.example/x"}}`: true,
		`{"expect-ct-report":{"hostname":"ads.example"}}`:                                                       false,
		`{"expect-staple-report":{"hostname":"ads.example"}}`:                                                   false,
		`{"known-pins":[]}`: false, `{}`: false,
	} {
		if got := read(s); (got.ID == base.ID) != same {
			t.Errorf("%s: the same finding: %v, want %v", s, got.ID == base.ID, same)
		}
	}
	if base.Title == "" || base.Level != "info" {
		t.Errorf("%+v", base)
	}
}

// A policy that every page violates is thinned out and summed up; another
// finding, and the errors of the same client, pass all the while.
func TestStormOfReports(t *testing.T) {
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	var summaries []string
	c := control(t, Options{Emit: func(b *ingest.Batch) error {
		summaries = append(summaries, b.Items[0].Event().Message())
		return nil
	}}, Config{Window: time.Minute, First: 5, ThenOneIn: 10})
	security := func(payload string) *ingest.Batch {
		b := batch(now, payload)
		b.Items[0] = ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("raw_security"), Payload: schemas.Bytes(payload)})
		return b
	}
	passed := 0
	for range 100 {
		b := security(cspReport("img-src", "https://ads.example/a.gif"))
		if apply(t, c, b) {
			passed++
		}
		if len(b.Limits) > 0 {
			t.Fatal("a browser was told a limit")
		}
		if it := b.Items[0]; !it.Alive() && (it.Outcome != schemas.Suppressed || it.Reason != Reason) {
			t.Fatalf("%s %s", it.Outcome, it.Reason)
		}
	}
	if passed < 5 || passed > 16 {
		t.Errorf("%d of 100 passed, want the first 5 and one in ten", passed)
	}
	if !apply(t, c, security(cspReport("img-src", "https://new.example/"))) {
		t.Error("another finding was held back")
	}
	if b := batch(now, failure("TypeError", "1")); !apply(t, c, b) || len(b.Limits) > 0 {
		t.Error("an error was held back")
	}
	c.Sweep(now.Add(3 * time.Minute))
	if len(summaries) != 1 || summaries[0] != fmt.Sprintf("Storm of csp-report img-src ads.example: 100 events, %d forwarded", passed) {
		t.Errorf("summaries %q", summaries)
	}
}
