package scrub

import "bytes"

// A finder looks for the first piece at or after from; start is -1 without one.
// The finders are Sentry's patterns (Relay's rules @creditcard, @iban, …)
// written by hand: they are asked only when the scan of the string allows it,
// and still cost too much as regular expressions.
type finder func(s []byte, from int) (start, end int)

// findCard finds card numbers: amex 3[47], visa 4, mastercard 51-55 and
// discover 6011 and 65 without a checksum, as Sentry does. Newer mastercards
// (2221-2720), JCB and Diners must pass Luhn's. A hyphen or a space may stand
// between any two digits after the prefix.
func findCard(s []byte, from int) (int, int) {
	for i := from; i < len(s); i++ {
		if !isDigit(s[i]) || wordBefore(s, i) {
			continue
		}
		prefix, total, luhn := cardBrand(s[i:])
		if prefix == 0 {
			continue
		}
		end, left := i+prefix, total-prefix
		for left > 0 && end < len(s) {
			if (s[end] == '-' || isSpace(s[end])) && end+1 < len(s) {
				end++
			}
			if !isDigit(s[end]) {
				break
			}
			end++
			left--
		}
		if left == 0 && !wordAfter(s, end) && (!luhn || luhnOK(s[i:end])) {
			return i, end
		}
	}
	return -1, -1
}

// cardBrand reads the digits a card number begins with: how many of them
// belong together, how many there are in all, whether a checksum is asked for.
func cardBrand(s []byte) (prefix, total int, luhn bool) {
	if len(s) < 4 || !isDigit(s[1]) || !isDigit(s[2]) {
		return 0, 0, false
	}
	if s[0] == '3' && (s[1] == '4' || s[1] == '7') {
		return 3, 15, false
	}
	if !isDigit(s[3]) {
		return 0, 0, false
	}
	n := int(s[0]-'0')*1000 + int(s[1]-'0')*100 + int(s[2]-'0')*10 + int(s[3]-'0')
	switch {
	case s[0] == '4', n >= 5100 && n <= 5599, n == 6011, n >= 6500 && n <= 6599:
		return 4, 16, false
	case n >= 2221 && n <= 2720, n >= 3528 && n <= 3589:
		return 4, 16, true
	case n >= 3000 && n <= 3059, s[0] == '3' && (s[1] == '6' || s[1] == '8'):
		return 4, 14, true
	}
	return 0, 0, false
}

func luhnOK(s []byte) bool {
	sum, double := 0, false
	for i := len(s) - 1; i >= 0; i-- {
		if !isDigit(s[i]) {
			continue
		}
		d := int(s[i] - '0')
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum, double = sum+d, !double
	}
	return sum%10 == 0
}

// ibanCountries are the codes Sentry knows, by their two letters.
var ibanCountries = func() (set [26 * 26]bool) {
	const codes = "ATADAEALAZBABEBGBHBRBYCHCRCYCZDEDKDOEEEGESFIFOFRGBGEGIGLGRGTHRHUIEILIQISITJOKWKZLBLCLILTLULVLYMCMDMEMKMRMTMUNLNOPKPLPSPTQARORURSSASCSESISKSMSTSVTLTNTRUAVAVGXK" +
		"DZAOBJBFBICVCMCFTDKMCGCIDJGQGAGWHNIRMGMLMAMZNINESNTG"
	for i := 0; i < len(codes); i += 2 {
		set[int(codes[i]-'A')*26+int(codes[i+1]-'A')] = true
	}
	return set
}()

// findIBAN finds a country code, two digits and 11 to 29 letters or digits in
// one word. The printed form, in groups of four, must pass the checksum.
func findIBAN(s []byte, from int) (int, int) {
	for i := from; i+15 <= len(s); i++ {
		if !isDigit(s[i+3]) { // then none begins at the next byte either
			i++
			continue
		}
		a, b := s[i]-'A', s[i+1]-'A'
		if a > 25 || b > 25 || !isDigit(s[i+2]) || wordBefore(s, i) || !ibanCountries[int(a)*26+int(b)] {
			continue
		}
		end := i + 4
		for end < len(s) && isAlnum(s[end]) {
			end++
		}
		if n := end - i - 4; n >= 11 && n <= 29 && !wordAfter(s, end) {
			return i, end
		}
		if end == i+4 {
			if end = printedIBAN(s, i); end > 0 {
				return i, end
			}
		}
	}
	return -1, -1
}

// printedIBAN reads groups of four, the last one shorter; 0 when it is none.
func printedIBAN(s []byte, i int) int {
	var plain [36]byte
	n, best := copy(plain[:], s[i:i+4]), 0
	for at := i + 4; at < len(s) && (s[at] == ' ' || s[at] == '-'); {
		group := at + 1
		for group < len(s) && group-at <= 4 && isAlnum(s[group]) {
			group++
		}
		size := group - at - 1
		if size == 0 || n+size > 34 || wordAfter(s, group) {
			break
		}
		n += copy(plain[n:], s[at+1:group])
		if n >= 15 && mod97(plain[:n]) == 1 {
			best = group
		}
		if size < 4 {
			break
		}
		at = group
	}
	return best
}

// mod97 is ISO 13616's checksum; a valid number leaves 1.
func mod97(s []byte) int {
	rest := 0
	for i := range s {
		c := s[(i+4)%len(s)]
		if isDigit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(lower(c)-'a') + 10) % 97
		}
	}
	return rest
}

// findSSN finds ddd-dd-dddd.
func findSSN(s []byte, from int) (int, int) {
	for i := max(from, 0); i+11 <= len(s); i++ {
		if s[i+3] != '-' || s[i+6] != '-' || wordBefore(s, i) || wordAfter(s, i+11) {
			continue
		}
		ok := true
		for k := 0; k < 11 && ok; k++ {
			ok = k == 3 || k == 6 || isDigit(s[i+k])
		}
		if ok {
			return i, i + 11
		}
	}
	return -1, -1
}

// findPEM finds the body of a PEM private or public key. Where the end line was
// cut off, everything up to the end of the string counts as body.
func findPEM(s []byte, from int) (int, int) {
	for i := from; ; {
		k := indexFold(s[i:], "-----begin")
		if k < 0 {
			return -1, -1
		}
		head := i + k
		i = head + 10
		stop := bytes.Index(s[i:], []byte("-----"))
		if stop < 0 || !pemLabel(s[i:i+stop]) {
			continue
		}
		body := i + stop + 5
		for body < len(s) && isSpace(s[body]) {
			body++
		}
		end := len(s)
		if k := indexFold(s[body:], "-----end"); k >= 0 {
			end = body + k
		}
		next := end
		for end > body && isSpace(s[end-1]) {
			end--
		}
		if body < end && !already(s[body:end]) {
			return body, end
		}
		if i = next; i >= len(s) {
			return -1, -1
		}
	}
}

// pemLabel reads " RSA PRIVATE KEY", with " BLOCK" behind it for PGP.
func pemLabel(s []byte) bool {
	for _, c := range s {
		if c != ' ' && (c < 'A' || c > 'Z') {
			return false
		}
	}
	s = bytes.TrimSuffix(s, []byte(" BLOCK"))
	return bytes.HasSuffix(s, []byte(" PRIVATE KEY")) || bytes.HasSuffix(s, []byte(" PUBLIC KEY"))
}

// findBearer finds "Bearer" and the token behind it.
func findBearer(s []byte, from int) (int, int) {
	for i := from; ; {
		k := indexFold(s[i:], "bearer")
		if k < 0 {
			return -1, -1
		}
		start := i + k
		i = start + 6
		token := i
		for token < len(s) && isSpace(s[token]) {
			token++
		}
		if token == i || wordBefore(s, start) {
			continue
		}
		end := token
		for end < len(s) && !isSpace(s[end]) {
			end++
		}
		if end > token && !bytes.HasPrefix(s[token:end], []byte("[token]")) && !bytes.HasPrefix(s[token:end], []byte(filtered)) {
			return start, end
		}
	}
}

// findURLAuth finds the password in //user:password@; the user may be empty.
func findURLAuth(s []byte, from int) (int, int) {
	for i := from; ; {
		k := bytes.Index(s[i:], []byte("//"))
		if k < 0 {
			return -1, -1
		}
		i += k + 2
		colon := i
		for colon < len(s) && inUserinfo(s[colon]) && s[colon] != ':' {
			colon++
		}
		if colon == len(s) || s[colon] != ':' {
			continue
		}
		end := colon + 1
		for end < len(s) && inUserinfo(s[end]) {
			end++
		}
		if end > colon+1 && end < len(s) && s[end] == '@' {
			return colon + 1, end
		}
	}
}

// inUserinfo is wider than Sentry's [a-zA-Z0-9%_.-]: real passwords are. The
// brackets are out, so that [Filtered] is never found again.
func inUserinfo(c byte) bool {
	switch c {
	case '/', '@', '"', '\'', '<', '>', '[', ']', '`', '\\', '?', '#', '{', '}':
		return false
	}
	return c > ' '
}

// indexFold is bytes.Index for a lower-case word, in any case.
func indexFold(s []byte, word string) int {
	for i := 0; i+len(word) <= len(s); i++ {
		if lower(s[i]) == word[0] && foldedPrefix(s[i:], word) {
			return i
		}
	}
	return -1
}
