package scrub

import (
	"strings"
	"testing"
)

// plainSuffix is suffixOf as its meaning reads: every length of every ** is tried.
func plainSuffix(parts selectorPath, path []segment, val byte) bool {
	if len(parts) == 0 {
		return true
	}
	last, rest := parts[len(parts)-1], parts[:len(parts)-1]
	if last.kind == 'd' {
		for n := range len(path) + 1 {
			if plainSuffix(rest, path[:n], 0) {
				return true
			}
		}
		return false
	}
	return len(path) > 0 && last.is(&path[len(path)-1], val) && plainSuffix(rest, path[:len(path)-1], 0)
}

// FuzzSelector: no text of a configuration makes the parser panic, what it
// takes means what plainSuffix says, and keys match in any case.
func FuzzSelector(f *testing.F) {
	for _, s := range []string{
		"email", "data.phone", "'my.key'", "'it''s'", "'open", "*", "**", "extra.**", "**.a.**.b", "$user.*", "$string || a.$number", "$nothing", "$http.headers.'x-token'",
		"a..b", "a b", "!a", "", " ", ".", "**.**.**.a", "$object.**.$array", "*.*.a || ** || 'a'.b", "\xff", "''",
	} {
		f.Add(s, "user.data.Phone.0", byte(3))
		f.Add(s, "a.b.a.b", byte(0))
	}
	f.Fuzz(func(t *testing.T, text, keys string, pick byte) {
		sel, err := parseSelector(text)
		if err != nil {
			return
		}
		if len(sel.any) == 0 {
			t.Fatalf("%q: a selector of nothing", text)
		}
		path := []segment{{typ: structure(pick % 16)}} // the root
		for i, key := range strings.SplitN(keys, ".", 8) {
			path = append(path, segment{key: []byte(key), raw: []byte(key), index: i, typ: structure((int(pick) + i) % 16)})
		}
		for _, val := range []byte{'s', 'n', 'b', 'a', 'o'} {
			want, tried := false, true
			for _, alt := range sel.any {
				if tried = tried && strings.Count(text, "**") <= 3 && len(alt) <= 12; tried {
					want = want || plainSuffix(alt, path, val)
				}
			}
			got := sel.matches(path, val)
			if tried && got != want {
				t.Fatalf("%q at %q (%c): %v, want %v", text, keys, val, got, want)
			}
			shouted := append([]segment(nil), path...)
			for i := range shouted {
				shouted[i].key = []byte(foldUpper(string(shouted[i].key)))
			}
			if sel.matches(shouted, val) != got {
				t.Fatalf("%q at %q: another answer in upper case", text, keys)
			}
		}
	})
}

func foldUpper(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = upper(b[i])
	}
	return string(b)
}

// TestSelectorTakesNoTimeForDepth: a path as deep as a payload can be, held
// against a selector that would try each of its places for each **.
func TestSelectorTakesNoTimeForDepth(t *testing.T) {
	sel, err := parseSelector(strings.Repeat("**.a.", 30) + "b")
	if err != nil {
		t.Fatal(err)
	}
	path := make([]segment, maxDepth)
	for i := range path {
		path[i].key = []byte("a")
	}
	path[len(path)-1].key = []byte("b")
	if !sel.matches(path, 's') {
		t.Error("thirty of many are there")
	}
	path[len(path)-1].key = []byte("c")
	if sel.matches(path, 's') {
		t.Error("the last key is another one")
	}
	sel, err = parseSelector("z." + strings.Repeat("**.a.", 30) + "b")
	if err != nil {
		t.Fatal(err)
	}
	path[len(path)-1].key = []byte("b")
	if sel.matches(path, 's') { // by trial this would not end
		t.Error("no z is there")
	}
}
