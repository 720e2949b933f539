package scrub

import (
	"bytes"
	"net/netip"
)

// findEmail finds e-mail addresses by Sentry's pattern; "%40" is an @, too.
// In a URL the local part ends at the last /, ? or & and at the = behind it, so
// that "?email=a@b.example" keeps the parameter's name.
func findEmail(s []byte, from int) (int, int) {
	for i := from; i < len(s); i++ {
		at := 0
		switch {
		case s[i] == '@':
			at = 1
		case s[i] == '%' && bytes.HasPrefix(s[i:], []byte("%40")):
			at = 3
		default:
			continue
		}
		end := emailDomain(s, i+at)
		if end == 0 {
			continue
		}
		start := i
		for start > from && i-start < maxLocal && emailLocal(s[start-1]) {
			start--
		}
		start = cutURL(s, start, i)
		for start < i && !isWord(s[start]) { // \b
			start++
		}
		if start < i {
			return start, end
		}
	}
	return -1, -1
}

// maxLocal bounds how far back from an @ is looked: mail servers allow 64.
const maxLocal = 256

func emailLocal(c byte) bool {
	if isWord(c) {
		return true
	}
	switch c {
	case '.', '!', '#', '$', '%', '&', '\'', '*', '+', '/', '=', '?', '^', '`', '{', '|', '}', '~', '-':
		return true
	}
	return false
}

// cutURL moves the start of a local part behind what is a URL's, not its.
func cutURL(s []byte, start, end int) int {
	cut := bytes.LastIndexAny(s[start:end], "/?&#")
	if cut < 0 {
		return start
	}
	sign := s[start+cut]
	start += cut + 1
	if sign != '/' {
		if eq := bytes.IndexByte(s[start:end], '='); eq >= 0 {
			start += eq + 1
		}
	}
	return start
}

// emailDomain reads labels and a top level of two letters or more; it returns
// the longest domain's end, 0 without one.
func emailDomain(s []byte, i int) int {
	good := 0
	for label := i; ; {
		end := label
		letters := true
		for end < len(s) && (isAlnum(s[end]) || s[end] == '-') {
			letters = letters && isAlpha(s[end])
			end++
		}
		if end == label {
			return good
		}
		if label > i {
			// The top level may be followed by anything but a word character;
			// a hyphen or a digit behind its letters is no part of it.
			top := label
			for top < end && isAlpha(s[top]) {
				top++
			}
			if top-label >= 2 && !wordAfter(s, top) {
				good = top
			}
		}
		if end >= len(s) || s[end] != '.' {
			return good
		}
		label = end + 1
	}
}

var dot, colon, colons = []byte("."), []byte(":"), []byte("::")

// mayHoldIP tells from a scan whether findIP can find anything: an IPv4 address
// has three dots, an IPv6 one two colons in a row or six.
func mayHoldIP(s []byte, tr traits, digits int) bool {
	if digits >= 4 && tr&hasDot != 0 && bytes.Count(s, dot) >= 3 {
		return true
	}
	if tr&hasColon == 0 {
		return false
	}
	n := bytes.Count(s, colon)
	return n >= 6 || n >= 2 && bytes.Contains(s, colons)
}

// findIP finds IPv4 and IPv6 addresses. An IPv6 one must be a whole address to
// the standard library, and not the bare "::" that many languages write.
func findIP(s []byte, from int) (int, int) {
	for i := from; i < len(s); i++ {
		c := s[i]
		if c != ':' && !isHex(c) || wordBefore(s, i) {
			continue
		}
		if end := ipv6At(s, i); end > 0 {
			return i, end
		}
		if isDigit(c) {
			if end := ipv4At(s, i); end > 0 {
				return i, end
			}
		}
	}
	return -1, -1
}

func ipv4At(s []byte, i int) int {
	for part := 0; ; part++ {
		n, k := 0, i
		for k < len(s) && k-i < 3 && isDigit(s[k]) {
			n = n*10 + int(s[k]-'0')
			k++
		}
		if k == i || n > 255 || k < len(s) && isDigit(s[k]) {
			return 0
		}
		if part == 3 {
			if wordAfter(s, k) {
				return 0
			}
			return k
		}
		if k >= len(s) || s[k] != '.' {
			return 0
		}
		i = k + 1
	}
}

func ipv6At(s []byte, i int) int {
	end, parts, digits := i, 0, 0
	for end < len(s) && end-i < 45 && (s[end] == ':' || s[end] == '.' || isHex(s[end])) {
		if s[end] == ':' {
			parts++
		} else if isDigit(s[end]) {
			digits++
		}
		end++
	}
	if parts < 6 && !bytes.Contains(s[i:end], colons) {
		return 0 // a time of day
	}
	if i > 0 && s[i-1] == ':' && digits == 0 {
		return 0 // std::ab::cd
	}
	// Punctuation of the sentence is no part of it.
	for end > i && (s[end-1] == '.' || s[end-1] == ':' && !bytes.HasSuffix(s[i:end], colons)) {
		end--
	}
	if end-i < 3 || wordAfter(s, end) {
		return 0
	}
	addr, err := netip.ParseAddr(string(s[i:end]))
	if err != nil || !addr.Is6() {
		return 0
	}
	if end < len(s) && s[end] == '%' { // the zone of a link-local address
		zone := end + 1
		for zone < len(s) && isAlnum(s[zone]) {
			zone++
		}
		if zone > end+1 {
			end = zone
		}
	}
	return end
}
