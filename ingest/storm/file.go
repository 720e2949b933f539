package storm

import "strings"

// File reduces a frame's filename to what stays the same from one build and
// one host to the next: no scheme, host, query or fragment, and no content
// hash in the name.
//
//	https://cdn.example/assets/index-BxT3k9aQ.js?v=2  →  /assets/index.js
func File(name string) string { return string(appendFile(nil, name)) }

func appendFile(b []byte, name string) []byte {
	if i := strings.IndexAny(name, "?#"); i >= 0 {
		name = name[:i]
	}
	if _, rest, ok := strings.Cut(name, "://"); ok {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			name = rest[i:]
		} else {
			name = "/"
		}
	}
	name = cut(name, maxName)
	base := name[strings.LastIndexByte(name, '/')+1:]
	if !strings.ContainsAny(base, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return append(b, name...)
	}
	return appendUnhashed(append(b, name[:len(name)-len(base)]...), base)
}

// appendUnhashed takes content hashes out of a file's name: parts after a '.',
// '-' or '_' that stand before the extension and look made by a machine.
func appendUnhashed(b []byte, base string) []byte {
	ext := strings.LastIndexByte(base, '.')
	if ext < 0 {
		return append(b, base...)
	}
	if i := ext - 9; i > 0 && base[i] == '-' && urlHashed(base[i+1:ext]) {
		return append(append(b, base[:i]...), base[ext:]...)
	}
	start := 0
	for i := 0; i <= ext; i++ {
		if i < ext && strings.IndexByte(".-_", base[i]) < 0 {
			continue
		}
		part := base[start:i]
		if start == 0 || !looksHashed(strings.TrimLeft(part, ".-_")) {
			b = append(b, part...)
		}
		start = i
	}
	return append(b, base[ext:]...)
}

// urlHashed recognises the eight characters of base64url that Vite and Rollup
// put before the extension, where they hold a '-' or '_' of their own.
func urlHashed(part string) bool {
	var digits, upper, lower, marks int
	for i := range len(part) {
		switch c := part[i]; {
		case isDigit(c):
			digits++
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		case c == '-' || c == '_':
			marks++
		default:
			return false
		}
	}
	return marks > 0 && digits > 0 && upper > 0 && lower > 0
}

// looksHashed tells a build tool's content hash from a word: eight to forty
// letters and digits, mixed as no word is.
func looksHashed(part string) bool {
	if len(part) < 8 || len(part) > 40 {
		return false
	}
	var digits, upper, lower, turns int
	for i := range len(part) {
		c := part[i]
		switch {
		case isDigit(c):
			digits++
		case c >= 'A' && c <= 'Z':
			upper++
			if i > 0 && part[i-1] >= 'a' && part[i-1] <= 'z' {
				turns++
			}
		case c >= 'a' && c <= 'z':
			lower++
		default:
			return false
		}
	}
	switch {
	case digits > 0 && digits < len(part) && (allHex(part) || upper > 0 && lower > 0):
		return true
	case digits >= 2 && digits < len(part):
		return true
	case digits == len(part):
		return true // a build number or a time
	}
	// Mixed case without digits: camelCase turns seldom, a hash all the time.
	return len(part) == 8 && upper >= 2 && lower >= 2 && turns >= 2
}
