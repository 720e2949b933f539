package schemas

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// MaxNesting is how deep objects and arrays may be nested in any JSON that the
// gateway reads; limits.json_depth cannot be set higher.
const MaxNesting = 1000

// ErrNesting says that a text is nested deeper than MaxNesting.
var ErrNesting = errors.New("JSON nested too deeply")

// Valid tells whether raw is one JSON value (RFC 8259), nested no deeper than
// MaxNesting. What real SDKs send passes: lone surrogates (a cut emoji),
// invalid UTF-8 and repeated keys.
//
// Every payload is checked once, by this or by those that read it in the same
// pass: ParseObject finds an object's members, DecodeBeacon a beacon's values.
// ParseObject takes two thirds of what a jsontext decoder takes for that
// (BenchmarkParseObject), and tells how deep the text is nested besides. FuzzValid holds the answers to those of jsontext.
func Valid(raw []byte) bool {
	c := checker{text: raw}
	i := c.value(skipSpace(raw, 0))
	return i >= 0 && skipSpace(raw, i) == len(raw)
}

// checker goes through one text. Its methods take the offset where something
// begins, and return the one behind it, or -1 where there is no such thing.
type checker struct {
	text    []byte
	depth   int // of what is open now
	deepest int
	escape  int // where the latest escape stands
}

func (c *checker) value(i int) int {
	if i >= len(c.text) {
		return -1
	}
	switch b := c.text[i]; {
	case b == '"':
		return c.str(i)
	case b == '{':
		return c.object(i, nil)
	case b == '[':
		return c.array(i, nil)
	case b == '-' || b-'0' <= 9:
		return c.number(i)
	case b == 't':
		return c.word(i, "true")
	case b == 'f':
		return c.word(i, "false")
	case b == 'n':
		return c.word(i, "null")
	}
	return -1
}

func (c *checker) word(i int, word string) int {
	if end := i + len(word); end <= len(c.text) && string(c.text[i:end]) == word {
		return end
	}
	return -1
}

// enter goes one level down; false when that is too deep.
func (c *checker) enter() bool {
	c.depth++
	c.deepest = max(c.deepest, c.depth)
	return c.depth <= MaxNesting
}

// object reads the object that opens at i. Who wants to know its members gives
// read, which is told of each where its name's quotes open and close and where
// its value begins, and returns the offset behind the value, or -1.
func (c *checker) object(i int, read func(start, nameEnd, value int) (end int)) int {
	if !c.enter() {
		return -1
	}
	if i = c.space(i + 1); c.at(i) == '}' {
		c.depth--
		return i + 1
	}
	for {
		if c.at(i) != '"' {
			return -1
		}
		start := i
		if i = c.str(i); i < 0 {
			return -1
		}
		nameEnd := i
		if i = c.space(i); c.at(i) != ':' {
			return -1
		}
		if i = c.space(i + 1); read != nil {
			i = read(start, nameEnd, i)
		} else {
			i = c.value(i)
		}
		if i < 0 {
			return -1
		}
		i = c.space(i)
		switch c.at(i) {
		case ',':
			i = c.space(i + 1)
		case '}':
			c.depth--
			return i + 1
		default:
			return -1
		}
	}
}

// array is object for the elements of the array that opens at i.
func (c *checker) array(i int, read func(value int) (end int)) int {
	if !c.enter() {
		return -1
	}
	if i = c.space(i + 1); c.at(i) == ']' {
		c.depth--
		return i + 1
	}
	for {
		if read != nil {
			i = read(i)
		} else {
			i = c.value(i)
		}
		if i < 0 {
			return -1
		}
		i = c.space(i)
		switch c.at(i) {
		case ',':
			i = c.space(i + 1)
		case ']':
			c.depth--
			return i + 1
		default:
			return -1
		}
	}
}

// at is the byte at i, 0 behind the end: no JSON has a 0 where this is asked.
func (c *checker) at(i int) byte {
	if i < len(c.text) {
		return c.text[i]
	}
	return 0
}

// space skips white space, of which most texts have none.
func (c *checker) space(i int) int {
	if i < len(c.text) && c.text[i] > ' ' {
		return i
	}
	return skipSpace(c.text, i)
}

// str reads the string that opens at i, eight bytes at a time: strings are most
// of an event.
func (c *checker) str(i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	b := c.text
	for j := i + 1; ; {
		for j+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[j:])
			quotes, slashes := x^ones*'"', x^ones*'\\'
			// The lowest set bit marks the first byte that is a quote, a backslash or
			// a control character.
			found := ((quotes-ones)&^quotes | (slashes-ones)&^slashes | (x-ones*' ')&^x) & highs
			if found != 0 {
				j += bits.TrailingZeros64(found) / 8
				break
			}
			j += 8
		}
		if j >= len(b) {
			return -1
		}
		switch {
		case b[j] == '"':
			return j + 1
		case b[j] == '\\':
			if j = c.escaped(j); j < 0 {
				return -1
			}
		case b[j] < ' ':
			return -1
		default: // in the last seven bytes, which are read one by one
			j++
		}
	}
}

// escaped reads a backslash and what belongs to it.
func (c *checker) escaped(i int) int {
	c.escape = i
	switch c.at(i + 1) {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if b := c.at(j); b-'0' > 9 && b|0x20-'a' > 5 {
				return -1
			}
		}
		return i + 6
	}
	return -1
}

// number reads -? (0 | [1-9][0-9]*) ("." [0-9]+)? ([eE] [+-]? [0-9]+)?
func (c *checker) number(i int) int {
	if c.at(i) == '-' {
		i++
	}
	if c.at(i) == '0' {
		i++
	} else if i = c.digits(i); i < 0 {
		return -1
	}
	if c.at(i) == '.' {
		if i = c.digits(i + 1); i < 0 {
			return -1
		}
	}
	if c.at(i)|0x20 == 'e' {
		if i++; c.at(i) == '+' || c.at(i) == '-' {
			i++
		}
		return c.digits(i)
	}
	return i
}

// digits reads one digit or more.
func (c *checker) digits(i int) int {
	start := i
	for i < len(c.text) && c.text[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
