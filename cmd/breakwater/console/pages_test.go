package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// inline finds what the policy would refuse: scripts and styles in the page.
var inline = regexp.MustCompile(`(?i)<script(>| [^>]*>[^<])|<style|\sstyle=|\son[a-z]+=|javascript:`)

// Every page renders, names itself, and holds nothing inline.
func TestPages(t *testing.T) {
	f := newFake(60)
	h := on(f)
	paths := []string{"/errors/shop/" + fakePrint, "/records/" + f.dead[0].Meta.ID, "/act/drop?all=true", "/act/pause?project=shop&destination=sentry", "/errors?order=new&project=shop", "/ledger?project=shop", "/signin"}
	for _, n := range navigation {
		paths = append(paths, n.Href)
	}
	for _, path := range paths {
		w := call(h, http.MethodGet, path, "", html)
		if w.Code != 200 && path != "/signin" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
			continue
		}
		page := w.Body.String()
		if m := inline.FindString(page); m != "" {
			t.Errorf("%s holds %q", path, m)
		}
		if w.Code == 200 && (strings.Count(page, "<h1>") != 1 || !strings.Contains(page, `lang="en"`)) {
			t.Errorf("%s has no single heading", path)
		}
	}
	for path, want := range map[string]int{"/nothing": 404, "/errors/shop/00": 404, "/records/nothing": 404, "/errors?project=nobody": 404, "/help/alerts/Nobody": 404, "/act/explode?all=true": 400, "/act/drop": 400, "/act/pause?project=a&destination=b": 400, "/live?page=nothing": 404, "/live?page=errors:sideways": 404} {
		w := call(h, http.MethodGet, path, "", html)
		if w.Code != want || !strings.Contains(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", path, w.Code, w.Header().Get("Content-Type"))
		}
	}
}

// The overview says what is the matter, and since when.
func TestOverview(t *testing.T) {
	w := call(on(newFake(60)), http.MethodGet, "/", "", html)
	contains(t, w.Body.String(), "Something is broken", "shop/sentry is down for 1 min", "Last answer: timeout", "Next try in 20 s",
		"60 dead letters of shop/sentry", "Storm in shop: TypeError: x is undefined", "since release shop@1.4.2", "Release shop@1.4.2 of shop crashes", "95.0 %",
		"95.0 % of its quota of errors", "1 accepted item not delivered")
}

// The books that do not close are said so only when the difference stays.
func TestUnaccounted(t *testing.T) {
	f := newFake(0)
	s := newSource(Options{State: f, Now: f.clock}.withDefaults())
	if b := s.books(""); b.Unaccounted != 0 {
		t.Errorf("after one reading: %v", b.Unaccounted)
	}
	f.now.Add(5) // 10 + 2 came in, 2 filtered, 6 delivered, 1 dead, 3 wait: 0
	if b := s.books(""); b.Unaccounted != 0 {
		t.Errorf("books that close: %v", b.Unaccounted)
	}
	s.last = 4 // the time before
	f.now.Add(5)
	if b := s.books(""); b.Unaccounted != 0 {
		t.Errorf("a difference that went: %v", b.Unaccounted)
	}
}

// What strangers wrote is shown as text: escaped, cut, without characters
// that turn the direction of writing or hide.
func TestHostileText(t *testing.T) {
	evil := `</title><script>alert(1)</script><img src=x onerror=alert(1)>` + "\u202etxt.exe\u2066\u200b\x00\x1b[31m" + `" style="x" onfocus="alert(1)`
	value, err := json.Marshal(evil + strings.Repeat("A", 1<<20))
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(2)
	f.event = `{"` + "\u202e" + `<b>key</b>":` + string(value) + `,"exception":{"values":[{"type":"<i>Type</i>","value":` + string(value) + `}]}}`
	for i := range f.dead {
		f.dead[i].Meta.Release, f.dead[i].Meta.EventID, f.dead[i].Reason = evil, evil, evil
	}
	h := on(f)
	for _, path := range []string{"/dead-letters", "/records/" + f.dead[0].Meta.ID, "/dead-letters?destination=" + url.QueryEscape(evil), "/errors?project=" + url.QueryEscape(evil), "/act/drop?event_id=" + url.QueryEscape(evil)} {
		w := call(h, http.MethodGet, path, "", html)
		page := w.Body.String()
		if strings.Contains(page, "<script>a") || strings.Contains(page, "<img") || strings.Contains(page, "<i>Type") || strings.Contains(page, "<b>key") || strings.Contains(page, `onfocus="`) {
			t.Errorf("%s: markup came through", path)
		}
		if len(page) > 100_000 {
			t.Errorf("%s has %d bytes", path, len(page))
		}
		for _, r := range page {
			if hidden(r) && r != '\n' && r != '\t' && !strings.Contains(path, "?") { // fields keep what was typed
				t.Errorf("%s shows U+%04X", path, r)
				break
			}
		}
	}
	var page Page
	if err := json.Unmarshal(call(h, http.MethodGet, "/api/v1/dead-letters", "").Body.Bytes(), &page); err != nil || len(page.Records[0].Title) > 300 {
		t.Errorf("%v %d", err, len(page.Records[0].Title))
	}
}

// Actions by form: asked about, done, written down, and told.
func TestActions(t *testing.T) {
	f := newFake(3)
	h := on(f)
	press := func(path, values string) string {
		t.Helper()
		mark := markOf(t, call(h, http.MethodGet, path+"?"+values, "", html).Body.String())
		w := call(h, http.MethodPost, path, values+"&mark="+mark, form)
		if w.Code != http.StatusSeeOther {
			t.Fatalf("%s %s: %d %s", path, values, w.Code, w.Body)
		}
		return call(h, http.MethodGet, w.Header().Get("Location"), "", html).Body.String()
	}
	contains(t, press("/act/pause", "project=shop&destination=sentry&back=/destinations"), "Done.", "Paused shop/sentry.", "Resume")
	contains(t, press("/act/resume", "project=shop&destination=sentry&back=/destinations"), "Resumed shop/sentry.", "Pause")
	contains(t, press("/act/retry", "ids="+f.dead[0].Meta.ID+"&back=/dead-letters"), "Put back 1 (record "+"01K")
	contains(t, press("/act/drop", "project=shop&destination=sentry&back=https://evil.example"), "Dropped 2 (dead letters of shop/sentry).")
	contains(t, call(h, http.MethodGet, "/audit", "", html).Body.String(), "<strong>drop</strong>", "<strong>pause</strong>", "loopback", "192.0.2.1")
	if w := call(h, http.MethodGet, "/?done=01ARZ3NDEKTSV4RRFFQ69G5FAV", "", html); strings.Contains(w.Body.String(), "Done.") {
		t.Error("a made-up id is believed")
	}
	var got []string
	for _, line := range f.did {
		got = append(got, strings.Fields(line)[0])
	}
	if strings.Join(got, " ") != "retry drop" {
		t.Errorf("%q", f.did)
	}
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", "a\nb\tc": "a b c", "\u202eevil": "‹U+202E›evil", "\x00": "‹U+0000›", "é": "é", "日本": "日本", "\xff": "�",
		"\U000e0041": "‹U+E0041›", "a\u200bb": "a‹U+200B›b", "\u2028": "‹U+2028›", "עבר": "עבר", "0123456789": "01234567…", "日本日本": "日本日…",
	} {
		if got := Visible(in, 8); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got, want := VisibleLines("0123456789\n\tx\x1b[2J"), "0123456789\n\tx‹U+001B›[2J"; got != want {
		t.Errorf("with lines: %q, want %q", got, want)
	}
}

func TestIndent(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":[1,{"b":null}],"c":{},"d":[]}`: "{\n  \"a\": [\n    1,\n    {\n      \"b\": null\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}",
		`[]`:                                 "[]",
		`"x"`:                                `"x"`,
		`12345678901234567890`:               "12345678901234567890",
	} {
		if got, cut, ok := indent([]byte(in)); got != want || cut || !ok {
			t.Errorf("%s: %q %v %v", in, got, cut, ok)
		}
	}
	for _, bad := range []string{"", "{", "nonsense", `{"a"}`, "\x00"} {
		if _, _, ok := indent([]byte(bad)); ok {
			t.Errorf("%q is JSON", bad)
		}
	}
	if got, cut, ok := indent([]byte("[" + strings.Repeat(`"aaaaaaaa",`, 100_000) + "1]")); !ok || !cut || len(got) > previewSize+2*previewString {
		t.Errorf("%d bytes, cut %v, ok %v", len(got), cut, ok)
	}
}

// Whatever is in the spool, a preview is bounded and holds nothing hidden.
func FuzzIndent(f *testing.F) {
	for _, s := range []string{`{"a":[1,2,{"b":"\u202e"}]}`, `[[[[`, `{"a":1,"a":2}`, "\"\xff\"", strings.Repeat("[", 200)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, _, ok := indent(raw)
		if !ok {
			return
		}
		if len(text) > previewSize+16*previewString {
			t.Errorf("%d bytes", len(text))
		}
		for _, r := range text {
			if hidden(r) && r != '\n' {
				t.Errorf("U+%04X in %q", r, text)
			}
		}
	})
}
