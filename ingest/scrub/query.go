package scrub

import (
	"bytes"
	"net/url"
)

// span is a stretch of a string.
type span struct{ start, end int }

// params finds the parameters of every query and fragment in s: what follows a
// ? or # up to white space, a quote or an angle bracket. With whole, s itself
// is a query (a form body, request.query_string).
func (t *texter) params(s []byte, whole bool) {
	i := 0
	if whole && len(s) > 0 && (s[0] == '?' || s[0] == '#') {
		i = 1
	}
	for i < len(s) {
		if !whole {
			k := bytes.IndexAny(s[i:], "?#")
			if k < 0 {
				return
			}
			i += k + 1
		}
		for i < len(s) {
			name := i
			for i < len(s) && s[i] != '=' && !endsParam(s[i]) {
				i++
			}
			nameEnd, value := i, i
			if i < len(s) && s[i] == '=' {
				i++
				value = i
				for i < len(s) && !endsParam(s[i]) {
					i++
				}
			}
			t.param(s, span{name, nameEnd}, span{value, i})
			if i >= len(s) || s[i] != '&' && s[i] != ';' {
				break
			}
			i++
		}
		if whole {
			return
		}
	}
}

func endsParam(c byte) bool {
	switch c {
	case '&', ';', '"', '\'', '<', '>', '#', '?', '`':
		return true
	}
	return c <= ' '
}

// param judges one parameter: by its name, and by its value once the percent
// signs are decoded.
func (t *texter) param(s []byte, name, value span) {
	if value.start == value.end {
		return
	}
	if rule := t.rules.sensitiveName(percentDecoded(s[name.start:name.end]), t.flags, false); rule >= 0 {
		t.masked = append(t.masked, span{name.start, value.end})
		if v := s[value.start:value.end]; !already(v) && !bytes.EqualFold(v, []byte("%5BFiltered%5D")) {
			t.add(match{value.start, value.end, filtered, rule, filterIDs[rule], kindSubstitute})
		}
		return
	}
	v := s[value.start:value.end]
	if bytes.IndexByte(v, '%') < 0 && bytes.IndexByte(v, '+') < 0 {
		return // the plain rules see it
	}
	plain := percentDecoded(v)
	if m, ok := t.first(plain); ok {
		t.add(match{value.start, value.end, m.text, m.rule, m.id, m.kind})
	}
}

func percentDecoded(s []byte) []byte {
	if bytes.IndexByte(s, '%') < 0 && bytes.IndexByte(s, '+') < 0 {
		return s
	}
	plain, err := url.QueryUnescape(string(s))
	if err != nil {
		return s
	}
	return []byte(plain)
}

// cookies judges "name=value; name2=value2", a Cookie or Set-Cookie header.
func (t *texter) cookies(s []byte) {
	for i := 0; i < len(s); {
		for i < len(s) && (isSpace(s[i]) || s[i] == ';' || s[i] == ',') {
			i++
		}
		end := i
		for end < len(s) && s[end] != ';' {
			end++
		}
		if eq := bytes.IndexByte(s[i:end], '='); eq > 0 {
			name := bytes.TrimSpace(s[i : i+eq])
			value := span{i + eq + 1, end}
			rule := t.rules.sensitiveName(name, t.flags, true)
			if rule >= 0 && value.start < value.end {
				t.masked = append(t.masked, span{i, end})
				if !already(s[value.start:value.end]) {
					t.add(match{value.start, value.end, filtered, rule, filterIDs[rule], kindSubstitute})
				}
			}
		}
		i = end + 1
	}
}

// looksLikeForm tells whether s is name=value&name=value and nothing else.
func looksLikeForm(s []byte) bool {
	eq := bytes.IndexByte(s, '=')
	if eq <= 0 {
		return false
	}
	for _, c := range s {
		if c <= ' ' || c == '"' || c == '<' || c == '{' {
			return false
		}
	}
	return true
}
