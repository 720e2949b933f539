package scrub

import (
	"cmp"
	"maps"
	"slices"
)

// traits are what one pass over a string finds out: which bytes that matter
// it holds, and which of the words.
type traits uint32

const (
	hasAt traits = 1 << iota
	hasPercent
	hasSlash // / or \
	hasColon
	hasDash
	hasDot
	hasEscape // a backslash of the JSON text
	hasQuery  // ? or #
	hasEqual
	hasUpper

	wordPassword // the words that make a key or a value a password
	wordToken
	wordBearer
	wordHome  // users, home, settings or profiles before a slash
	wordBegin // -----begin
	wordField // one of Config.Fields
)

// passwordWords make a key sensitive, and a value that holds one. "token" is
// apart: alone it counts in keys only. otp and two-factor count when they are
// the whole key or value; see isOTP.
var passwordWords = []string{
	"password", "secret", "passwd", "api_key", "api-key", "apikey", "auth", "credentials",
	"mysql_pwd", "privatekey", "private-key", "private_key",
}

var otherWords = map[string]traits{
	"token": wordToken, "bearer": wordBearer, "-----begin": wordBegin,
	"users/": wordHome, "users\\": wordHome, "home/": wordHome, "home\\": wordHome,
	"settings/": wordHome, "settings\\": wordHome, "profiles/": wordHome, "profiles\\": wordHome,
}

// scanner finds any of many words in one pass, whatever their case. It sifts:
// a byte costs two looks into tables and no branch, and tells only whether a word
// may be there. Then the automaton of Aho and Corasick, written out as a table,
// says which.
type scanner struct {
	// bytes are the traits of a byte; the top bit marks a digit.
	bytes [256]traits
	// sieve: words are sorted into eight buckets, and matched by their last eight
	// bytes. Bit 8*k+n of sieve[c] says that c is byte k of those of a word in
	// bucket n; what stands before a shorter word may be anything.
	sieve [256]uint64
	// begin says where nothing has to stand before a word.
	begin uint64

	class [256]uint8 // 0: in no word
	// next[state*classes+class]
	next    []uint16
	ends    []traits
	classes int
}

const isDigitBit = 1 << 31

func newScanner(fields []string) *scanner {
	sc := &scanner{}
	words := map[string]traits{}
	for _, w := range passwordWords {
		words[w] |= wordPassword
	}
	for w, t := range otherWords {
		words[w] |= t
	}
	for _, f := range fields {
		words[foldASCII(f)] |= wordField
	}
	sc.classify(words)
	sc.sift(words)
	sc.build(words)
	return sc
}

func (sc *scanner) classify(words map[string]traits) {
	sc.classes = 1
	for w := range words {
		for i := 0; i < len(w); i++ {
			if sc.class[w[i]] == 0 {
				sc.class[w[i]] = uint8(sc.classes)
				sc.classes++
			}
		}
	}
	for c := 0; c < 256; c++ {
		b := byte(c)
		sc.class[c] = sc.class[lower(b)]
		sc.bytes[c] = byteTraits(b)
		if isDigit(b) {
			sc.bytes[c] |= isDigitBit
		}
	}
}

// sift fills the sieve. Words of about one length share a bucket, because a
// short one opens its places to everything.
func (sc *scanner) sift(words map[string]traits) {
	list := slices.SortedFunc(maps.Keys(words), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	for i, w := range list {
		bucket := uint64(1) << (i * 8 / len(list))
		w = w[max(0, len(w)-8):]
		open := 8 - len(w)
		for k := range open {
			sc.begin |= bucket << (8 * k)
			for c := range sc.sieve {
				sc.sieve[c] |= bucket << (8 * k)
			}
		}
		for k := range len(w) {
			at := bucket << (8 * (open + k))
			sc.sieve[w[k]] |= at
			sc.sieve[upper(w[k])] |= at
		}
	}
}

func byteTraits(b byte) traits {
	switch b {
	case '@':
		return hasAt
	case '%':
		return hasPercent
	case '/':
		return hasSlash
	case '\\':
		return hasSlash | hasEscape
	case ':':
		return hasColon
	case '-':
		return hasDash
	case '.':
		return hasDot
	case '?', '#':
		return hasQuery
	case '=':
		return hasEqual
	}
	if b >= 'A' && b <= 'Z' {
		return hasUpper
	}
	return 0
}

func (sc *scanner) build(words map[string]traits) {
	grow := func() int {
		sc.next = append(sc.next, make([]uint16, sc.classes)...)
		sc.ends = append(sc.ends, 0)
		return len(sc.ends) - 1
	}
	grow()
	for w, t := range words {
		at := 0
		for i := 0; i < len(w); i++ {
			c := int(sc.class[w[i]])
			to := int(sc.next[at*sc.classes+c])
			if to == 0 {
				to = grow()
				sc.next[at*sc.classes+c] = uint16(to)
			}
			at = to
		}
		sc.ends[at] |= t
	}
	// Breadth first: where a word breaks off, go on in its longest suffix.
	fail := make([]int, len(sc.ends))
	var queue []int
	for c := 0; c < sc.classes; c++ {
		if to := int(sc.next[c]); to != 0 {
			queue = append(queue, to)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		sc.ends[at] |= sc.ends[fail[at]]
		for c := 0; c < sc.classes; c++ {
			cell := &sc.next[at*sc.classes+c]
			suffix := sc.next[fail[at]*sc.classes+c]
			if *cell == 0 {
				*cell = suffix
				continue
			}
			fail[*cell] = int(suffix)
			queue = append(queue, int(*cell))
		}
	}
}

// scan reads s once; digits is the number of its decimal digits.
func (sc *scanner) scan(s []byte) (t traits, digits int) {
	var seen uint64
	words := sc.begin
	for _, b := range s {
		v := sc.bytes[b]
		t |= v
		digits += int(v >> 31)
		words = (words<<8 | 0xff) & sc.sieve[b]
		seen |= words
	}
	t &^= isDigitBit
	if seen>>56 != 0 {
		t |= sc.words(s)
	}
	return t, digits
}

// words says which words s holds.
func (sc *scanner) words(s []byte) (t traits) {
	state := 0
	for _, b := range s {
		state = int(sc.next[state*sc.classes+int(sc.class[b])])
		t |= sc.ends[state]
	}
	return t
}

// isPassword tells whether a value that is no key is to go as a whole:
// Sentry's pattern password|secret|passwd|api[-_]key|apikey|auth|credentials|
// mysql_pwd|privatekey|private[-_]key|token[^\s]*[:=]|^otp$|^two[-_]factor$.
func isPassword(s []byte, t traits) bool {
	if t&wordPassword != 0 || isOTP(s) {
		return true
	}
	return t&wordToken != 0 && t&(hasColon|hasEqual) != 0 && tokenAssigned(s)
}

// tokenAssigned finds token[^\s]*[:=].
func tokenAssigned(s []byte) bool {
	for i := 0; i+5 <= len(s); i++ {
		if !foldedPrefix(s[i:], "token") {
			continue
		}
		for i += 5; i < len(s) && !isSpace(s[i]); i++ {
			if s[i] == ':' || s[i] == '=' {
				return true
			}
		}
	}
	return false
}

// isOTP matches ^otp$ and ^two[-_]factor$.
func isOTP(s []byte) bool {
	switch len(s) {
	case 3:
		return foldedPrefix(s, "otp")
	case 10:
		return foldedPrefix(s, "two-factor") || foldedPrefix(s, "two_factor")
	}
	return false
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

func upper(b byte) byte {
	if b >= 'a' && b <= 'z' {
		return b - ('a' - 'A')
	}
	return b
}

func foldASCII(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lower(b[i])
	}
	return string(b)
}

// foldedPrefix tells whether s begins with the lower-case word, in any case.
func foldedPrefix(s []byte, word string) bool {
	if len(s) < len(word) {
		return false
	}
	for i := 0; i < len(word); i++ {
		if lower(s[i]) != word[i] {
			return false
		}
	}
	return true
}

// endsFolded tells whether s ends in the lower-case word, in any case.
func endsFolded(s []byte, word string) bool {
	k := len(s) - len(word)
	return k >= 0 && lower(s[len(s)-1]) == word[len(word)-1] && foldedPrefix(s[k:], word)
}

func foldedEqual(s []byte, word string) bool { return len(s) == len(word) && foldedPrefix(s, word) }

func isSpace(b byte) bool { return b == ' ' || b >= '\t' && b <= '\r' }
func isDigit(b byte) bool { return b >= '0' && b <= '9' }
func isAlpha(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' }
func isAlnum(b byte) bool { return isDigit(b) || isAlpha(b) }
func isWord(b byte) bool  { return isAlnum(b) || b == '_' }
func isHex(b byte) bool   { return isDigit(b) || b|0x20 >= 'a' && b|0x20 <= 'f' }

// wordBefore and wordAfter are the two halves of a regular expression's \b.
func wordBefore(s []byte, i int) bool { return i > 0 && isWord(s[i-1]) }
func wordAfter(s []byte, i int) bool  { return i < len(s) && isWord(s[i]) }
