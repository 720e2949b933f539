package vitals

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Placeholders of folded segments.
const (
	anyID     = ":id"
	anyDate   = ":date"
	anyLocale = ":locale"
	anyHash   = ":hash"
)

// foldSegments turns the segments of a concrete path into a template: what
// looks like an id, a date, a locale or a hash becomes a placeholder. It is
// built for paths nobody configured; it rather folds too much than too little,
// because a route too many costs a series for good.
func foldSegments(segments []string) string {
	if len(segments) == 0 {
		return "/"
	}
	var b strings.Builder
	for i, s := range segments {
		if i == maxSegments {
			b.WriteString("/*")
			break
		}
		b.WriteByte('/')
		if i == 0 && isLocale(s) {
			b.WriteString(anyLocale)
			continue
		}
		b.WriteString(foldSegment(s))
	}
	return finish(b.String())
}

// foldName folds what is not a path: the name of a screen or transaction. Only
// its long numbers and ids go; names are few by nature.
func foldName(name string) string {
	segments := split(name, nil)
	for i, s := range segments {
		words := strings.Fields(s)
		for j, w := range words {
			words[j] = foldSegment(w)
		}
		segments[i] = strings.Join(words, " ")
	}
	if len(segments) > maxSegments {
		segments = append(segments[:maxSegments], "*")
	}
	s := strings.TrimLeft(strings.Join(segments, "/"), "/")
	return strings.Clone(finish(s)) // one segment is still a piece of the body it came in
}

// foldSegment folds one segment.
func foldSegment(s string) string {
	if i := strings.IndexByte(s, ';'); i >= 0 {
		s = s[:i] // path parameters such as ;jsessionid=
		if s == "" {
			return anyID
		}
	}
	if isParam(s) || s == "*" {
		return s
	}
	if strings.IndexByte(s, '%') >= 0 {
		plain, err := url.PathUnescape(s)
		if err != nil || !utf8.ValidString(plain) || strings.ContainsAny(plain, "/%?#:;\\") || hasControl(plain) || plain == "" {
			return anyID
		}
		if s = strings.TrimSpace(plain); s == "" {
			return anyID
		}
	}
	if len(s) > maxSegment || strings.IndexByte(s, '@') > 0 || !utf8.ValidString(s) || hasControl(s) {
		return anyID
	}
	if isPlainWord(s) {
		return s
	}
	if isDate(s) {
		return anyDate
	}
	if isID(s) {
		return anyID
	}
	if i := strings.LastIndexByte(s, '.'); i > 0 {
		return foldFile(s)
	}
	return foldParts(s)
}

// foldFile folds a file name: main.4f3a2b1c.js is main.:hash.js.
func foldFile(s string) string {
	parts := strings.Split(s, ".")
	for i, p := range parts {
		switch {
		case i > 0 && len(p) >= 6 && isHash(p):
			parts[i] = anyHash
		case i == 0 && isID(p):
			parts[i] = anyID
		case i < len(parts)-1:
			parts[i] = foldParts(p)
		}
	}
	return strings.Join(parts, ".")
}

// foldParts folds numbers and ids between the hyphens and underscores of a
// segment, and long numbers at the end of a word: order-12345 is order-:id.
func foldParts(s string) string {
	var b strings.Builder
	changed := false
	for len(s) > 0 {
		i := strings.IndexAny(s, "-_")
		part, sep := s, ""
		if i >= 0 {
			part, sep = s[:i], s[i:i+1]
			s = s[i+1:]
		} else {
			s = ""
		}
		if folded := foldPart(part); folded != part {
			part, changed = folded, true
		}
		b.WriteString(part)
		b.WriteString(sep)
	}
	out := b.String()
	if changed && strings.Count(out, anyID) > 1 {
		return anyID // mostly ids: one is enough
	}
	return out
}

func foldPart(p string) string {
	if len(p) >= 3 && isNumber(p) || isID(p) && !isNumber(p) {
		return anyID
	}
	digits := 0
	for digits < len(p) && isDigit(p[len(p)-1-digits]) {
		digits++
	}
	if digits >= 3 && digits < len(p) && isLetter(p[len(p)-1-digits]) {
		return p[:len(p)-digits] + anyID
	}
	return p
}

// isPlainWord is the quick way out: short words of lower-case letters.
func isPlainWord(s string) bool {
	if len(s) > 20 {
		return false
	}
	hexOnly := true
	for i := range len(s) {
		if s[i] < 'a' || s[i] > 'z' {
			if s[i] != '-' && s[i] != '_' {
				return false
			}
			hexOnly = false
		} else if s[i] > 'f' {
			hexOnly = false
		}
	}
	return !hexOnly || len(s) < 12
}

// isID tells whether a segment is an identifier: a number, a UUID, a ULID, hex
// of 8 and more, or letters and digits mixed as random ids are.
func isID(s string) bool {
	if isNumber(s) {
		return true
	}
	var lower, upper, digits, dashes, hexes, turns int
	var last byte
	for i := range len(s) {
		c, kind := s[i], byte(0)
		switch {
		case isDigit(c):
			digits++
			hexes++
			kind = 'd'
		case c >= 'a' && c <= 'z':
			lower++
			kind = 'l'
		case c >= 'A' && c <= 'Z':
			upper++
			kind = 'u'
		case c == '-' || c == '_':
			dashes++
			kind = last
		case c == '=' || c == '+' || c == '~':
			kind = last
		default:
			return false
		}
		if c|0x20 >= 'a' && c|0x20 <= 'f' {
			hexes++
		}
		if last != 0 && kind != last && !(last == 'u' && kind == 'l') {
			turns++ // a capital and its small letters are one word
		}
		last = kind
	}
	n := len(s) - dashes
	switch {
	case hexes == n && (n >= 8 && digits > 0 || n >= 12):
		return true // UUIDs too
	case dashes == 0 && n == 26 && lower == 0 && digits > 0:
		return true // ULID
	case n >= 10 && digits > 0 && lower > 0 && upper > 0 && turns >= 3:
		return true // base64-like
	case dashes == 0 && n >= 16 && digits == 0 && lower > 0 && upper > 0 && turns >= n/3:
		return true
	case dashes == 0 && n >= 8 && digits >= 3 && turns >= 3:
		return true // order codes
	case dashes == 0 && n >= 8 && digits >= 3 && lower == 0 && upper > 0:
		return true
	}
	return false
}

// isHash tells whether part of a file name is a content hash.
func isHash(s string) bool {
	digits := 0
	for i := range len(s) {
		if isDigit(s[i]) {
			digits++
		} else if !isLetter(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return digits > 0
}

func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// isDate knows 2026-11-23, 2026-11, 2026_11_23 and the same with a time behind.
func isDate(s string) bool {
	if len(s) < 7 || !isNumber(s[:4]) || s[0] != '1' && s[0] != '2' || s[4] != '-' && s[4] != '_' || !isNumber(s[5:7]) {
		return false
	}
	rest := s[7:]
	if rest == "" {
		return true
	}
	return len(rest) >= 3 && rest[0] == s[4] && isNumber(rest[1:3]) && (len(rest) == 3 || !isDigit(rest[3]))
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }

// languages are the common locale prefixes. Codes that are likelier a word of
// a path (my, me, us, id, is, in, to, go, so, as, am, or) count only with a
// region behind them.
var languages = func() map[string]bool {
	m := map[string]bool{}
	for _, l := range strings.Fields("ar bg bn bs ca cs cy da de el en eo es et eu fa fi fr ga gl he hi hr hu hy it ja ka kk km ko lt lv mk ml mn mr ms mt nb nl nn pl pt ro ru sk sl sq sr sv sw ta te th tr uk ur uz vi zh") {
		m[l] = true
	}
	return m
}()

var likelyWords = map[string]bool{"my": true, "id": true, "is": true, "no": true, "am": true, "af": true, "az": true, "be": true, "si": true, "to": true}

// isLocale knows de, de-AT, de_at, zh-Hans, zh-Hant-TW as the first segment.
func isLocale(s string) bool {
	if len(s) == 2 {
		return languages[strings.ToLower(s)]
	}
	if len(s) < 5 || len(s) > 10 || s[2] != '-' && s[2] != '_' {
		return false
	}
	lang := strings.ToLower(s[:2])
	if !languages[lang] && !likelyWords[lang] {
		return false
	}
	for _, part := range strings.FieldsFunc(s[3:], func(r rune) bool { return r == '-' || r == '_' }) {
		if len(part) != 2 && len(part) != 4 {
			return false
		}
		for i := range len(part) {
			if !isLetter(part[i]) {
				return false
			}
		}
	}
	return true
}
