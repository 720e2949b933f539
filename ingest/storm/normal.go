package storm

import (
	"strings"
	"unicode/utf8"
)

// maxValue is how much of a message tells one error from another; what is
// behind it is not looked at.
const maxValue = 512

// Normal folds what differs between two occurrences of one error: URLs and
// e-mail addresses, quoted text, UUIDs, hexadecimal and decimal numbers, and
// runs of white space. What is left is at most about 512 bytes.
//
//	Cannot load "cart" of user 4711  →  Cannot load <str> of user <n>
func Normal(s string) string {
	if len(s) > maxValue {
		s = cut(s, maxValue)
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case isSpace(c):
			for i < len(s) && isSpace(s[i]) {
				i++
			}
			if b.Len() > 0 && i < len(s) {
				b.WriteByte(' ')
			}
		case c == '"' || c == '\'' || c == '`':
			if n := quoted(s[i:], i > 0 && isWord(s[i-1])); n > 0 {
				b.WriteString("<str>")
				i += n
				continue
			}
			b.WriteByte(c)
			i++
		case isWord(c):
			i += word(&b, s[i:])
		default:
			b.WriteByte(c)
			i++
		}
	}
	return b.String()
}

// word folds the word at the start of s and returns how long it was.
func word(b *strings.Builder, s string) int {
	end := 0
	for end < len(s) && isWord(s[end]) {
		end++
	}
	rest := s[end:]
	if strings.HasPrefix(rest, "://") || dataURL(s[:end], rest) {
		b.WriteString("<url>")
		return urlEnd(s, end)
	}
	if n := emailEnd(s, end); n > 0 {
		b.WriteString("<email>")
		return n
	}
	if uuidAt(s) {
		b.WriteString("<uuid>")
		return 36
	}
	if isHex(s[:end]) {
		b.WriteString("<hex>")
		return end
	}
	for i := 0; i < end; {
		if !isDigit(s[i]) {
			b.WriteByte(s[i])
			i++
			continue
		}
		i = number(s, i)
		b.WriteString("<n>")
		if i >= end {
			return i
		}
	}
	return end
}

// number is where the number at i ends: digits with . or , between them.
func number(s string, i int) int {
	for i < len(s) {
		switch {
		case isDigit(s[i]):
			i++
		case (s[i] == '.' || s[i] == ',') && i+1 < len(s) && isDigit(s[i+1]):
			i += 2
		default:
			return i
		}
	}
	return i
}

// quoted is the length of the quoted text at the start of s, 0 when the quote
// is an apostrophe or has no end on its line.
func quoted(s string, afterWord bool) int {
	if s[0] == '\'' && afterWord {
		return 0
	}
	for i := 1; i < len(s) && s[i] != '\n'; i++ {
		if s[i] != s[0] {
			continue
		}
		if s[0] == '\'' && i+1 < len(s) && isWord(s[i+1]) {
			continue // the apostrophe in 'it's'
		}
		return i + 1
	}
	return 0
}

func dataURL(scheme, rest string) bool {
	if len(scheme) != 4 || len(rest) < 2 || rest[0] != ':' || isSpace(rest[1]) {
		return false
	}
	return strings.EqualFold(scheme, "data") || strings.EqualFold(scheme, "blob")
}

func urlEnd(s string, i int) int {
	for i < len(s) && !isSpace(s[i]) && strings.IndexByte("\"'`<>)", s[i]) < 0 {
		i++
	}
	for strings.IndexByte(".,;:!?]}", s[i-1]) >= 0 { // the sentence's, not the URL's
		i--
	}
	return i
}

// emailEnd is where the e-mail address that begins with the word s[:end] ends,
// 0 when there is none.
func emailEnd(s string, end int) int {
	for end < len(s) && (isWord(s[end]) || strings.IndexByte(".+-", s[end]) >= 0) {
		end++
	}
	if end == 0 || end >= len(s) || s[end] != '@' {
		return 0
	}
	i, dot := end+1, false
	for i < len(s) && (isWord(s[i]) || s[i] == '-' || s[i] == '.') {
		dot = dot || s[i] == '.'
		i++
	}
	for i > end+1 && s[i-1] == '.' {
		i--
	}
	if !dot {
		return 0
	}
	return i
}

// uuidAt tells whether s begins with a UUID in its 36 character form.
func uuidAt(s string) bool {
	if len(s) < 36 || len(s) > 36 && isWord(s[36]) {
		return false
	}
	for i := range 36 {
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (s[i] == '-') || !dash && !isHexDigit(s[i]) {
			return false
		}
	}
	return true
}

// isHex tells whether a word is a hexadecimal number: 0x…, or eight and more
// hexadecimal digits of which one is a decimal digit and one is not.
func isHex(w string) bool {
	if len(w) > 2 && w[0] == '0' && (w[1] == 'x' || w[1] == 'X') {
		return allHex(w[2:])
	}
	if len(w) < 8 || !allHex(w) {
		return false
	}
	digits := 0
	for i := range len(w) {
		if isDigit(w[i]) {
			digits++
		}
	}
	return digits > 0 && digits < len(w)
}

func allHex(w string) bool {
	for i := range len(w) {
		if !isHexDigit(w[i]) {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHexDigit(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// isWord also takes every byte of a character beyond ASCII.
func isWord(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// cut shortens s to at most n bytes without parting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
