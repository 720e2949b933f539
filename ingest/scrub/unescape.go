package scrub

import (
	"unicode/utf16"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// unescape decodes the inside of a valid JSON string and keeps, for each
// decoded byte, the offset of the raw bytes it came from: a hit found in the
// decoded text is cut out of the raw one, and every escape beside it, lone
// surrogates included, stays as it was written. offsets has one entry more
// than text, for the end.
func unescape(text []byte, offsets []int32, raw []byte) ([]byte, []int32) {
	for i := 0; i < len(raw); {
		at := int32(i)
		if raw[i] != '\\' || i+1 >= len(raw) {
			text = append(text, raw[i])
			offsets = append(offsets, at)
			i++
			continue
		}
		var r rune
		switch c := raw[i+1]; c {
		case 'b':
			r = '\b'
		case 'f':
			r = '\f'
		case 'n':
			r = '\n'
		case 'r':
			r = '\r'
		case 't':
			r = '\t'
		case 'u':
			r = hex4(raw[i+2:])
			i += 4
			if utf16.IsSurrogate(r) {
				low := rune(-1)
				if i+3 < len(raw) && raw[i+2] == '\\' && raw[i+3] == 'u' {
					low = hex4(raw[i+4:])
				}
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					r = pair
					i += 6
				} else {
					r = utf8.RuneError
				}
			}
		default:
			r = rune(c)
		}
		i += 2
		n := len(text)
		text = utf8.AppendRune(text, r)
		for ; n < len(text); n++ {
			offsets = append(offsets, at)
		}
	}
	return text, append(offsets, int32(len(raw)))
}

func hex4(s []byte) (r rune) {
	if len(s) < 4 {
		return utf8.RuneError
	}
	for _, c := range s[:4] {
		r <<= 4
		switch {
		case isDigit(c):
			r |= rune(c - '0')
		default:
			r |= rune(c|0x20-'a') + 10
		}
	}
	return r
}

// escape is text as the inside of a JSON string; rules' own texts are that already.
func escape(text string) string {
	for i := 0; i < len(text); i++ {
		if text[i] < ' ' || text[i] == '"' || text[i] == '\\' || text[i] >= utf8.RuneSelf {
			return string(appendEscaped(nil, text))
		}
	}
	return text
}

// appendEscaped writes text as the inside of a JSON string.
func appendEscaped(dst []byte, text string) []byte {
	plain := true
	for i := 0; i < len(text); i++ {
		if text[i] < ' ' || text[i] == '"' || text[i] == '\\' || text[i] >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		return append(dst, text...)
	}
	n := len(dst)
	dst, _ = jsontext.AppendQuote(dst, text) // the error only tells of U+FFFD
	copy(dst[n:], dst[n+1:len(dst)-1])
	return dst[:len(dst)-2]
}
