package ingest

import "bytes"

// JSONDepth is how deep the brackets of a JSON text are nested. It looks at no
// more than brackets and quotes, so the text need not be valid.
func JSONDepth(raw []byte) int {
	depth, deepest := 0, 0
	for i := 0; i < len(raw); i++ {
		switch raw[i] {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		case '"':
			i = endOfString(raw, i)
		}
	}
	return deepest
}

// endOfString is where the string that opens at i closes, or the text ends.
func endOfString(raw []byte, i int) int {
	for {
		next := bytes.IndexByte(raw[i+1:], '"')
		if next < 0 {
			return len(raw)
		}
		i += 1 + next
		escapes := 0
		for raw[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}
