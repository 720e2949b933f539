package scrub

import (
	"bytes"
	"errors"
	"slices"

	"breakwater/schemas"
)

// Bounds of one payload.
const (
	// maxDepth is how deep JSON may nest before it counts as unreadable.
	maxDepth = 256
	// maxEmbedded is how many layers of JSON in strings of JSON are looked into.
	maxEmbedded = 2
	// maxRemarks bounds the remarks added to _meta; what goes beyond is
	// replaced without one.
	maxRemarks = 256
	// maxEdits bounds what is replaced piece by piece in one embedded text; one
	// with more is replaced whole.
	maxEdits = 4096
)

var (
	errNotJSON = errors.New("not JSON")
	errDepth   = errors.New("nested too deeply")
)

// segment is one step of the path to a value.
type segment struct {
	key   []byte // decoded; for an entry of a pair the pair's key; nil in other lists
	raw   []byte // as written, for _meta; nil in lists
	index int
	typ   structure
}

// field is what a value's key says about it.
type field struct {
	rule  ruleID // the rule by which the key takes the value, or -1
	flags flags  // flags in addition (fNoIP)
	safe  bool
}

var noField = field{rule: -1}

// addresses says what happens to an address at a place known to hold one.
type addresses struct {
	remove bool   // whatever it is
	auto   string // what {{auto}} becomes; "" removes it
	leave  bool   // {{auto}} stays: nothing is known about the client
}

// walker goes through one valid JSON text once and copies it, with the edits,
// to out; without an edit nothing is copied. It is used again for further
// texts, with the space it has.
type walker struct {
	pass

	path    []segment
	out     []byte // see finish
	t       texter
	again   texter // settle's
	after   []byte // settle's
	text    []byte
	offsets []int32
	remarks []remark
	steps   []segment // the remarks' paths, one behind the other
	rems    []piece   // the remarks' pieces
}

// pass is what a walker knows of one text.
type pass struct {
	rules *Rules
	ip    addresses
	buf   []byte
	pos   int
	depth int // of objects and lists that are open
	err   error
	done  int // how much of buf is in out
	// edits collects instead of writing, for JSON inside a string.
	collect bool
	edits   []match
	nested  int // how many texts this one is inside of

	// budget is how many bytes may still be looked at twice, to see what comes
	// behind a value; nesting could make that quadratic.
	budget int

	hits   []int
	trace  func(path []segment, rule ruleID)
	remark bool // the payload carries _meta
	inMeta bool
	metaAt span // of _meta's value, in out
	infer  bool // an infer_ip was seen
}

// run scrubs a text that is valid JSON.
func (w *walker) run(root *node) error {
	w.budget = 4*len(w.buf) + 64<<10
	w.path = append(w.path, segment{typ: root.typ})
	w.space()
	w.value(root, noField)
	w.path = w.path[:len(w.path)-1]
	return w.err
}

func (w *walker) space() {
	for w.pos < len(w.buf) && w.buf[w.pos] <= ' ' {
		w.pos++
	}
}

// stringEnd is the offset behind the string that opens at i, its closing
// quote included.
func (w *walker) stringEnd(i int) int {
	end, _ := schemas.SkipString(w.buf, i)
	return end
}

// skip moves past the value at pos.
func (w *walker) skip() {
	b, i := w.buf, w.pos
	switch b[i] {
	case '"':
		w.pos = w.stringEnd(i)
		return
	case '{', '[':
	default:
		for i < len(b) && !endsScalar(b[i]) {
			i++
		}
		w.pos = i
		return
	}
	for depth := 0; i < len(b); {
		switch b[i] {
		case '"':
			i = w.stringEnd(i)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if i++; depth == 0 {
			break
		}
	}
	w.pos = i
}

func endsScalar(c byte) bool { return c == ',' || c == '}' || c == ']' || c == ':' || c <= ' ' }

// value scrubs the value at pos, standing at a place described by n.
func (w *walker) value(n *node, f field) {
	if w.depth >= maxDepth {
		w.err = errDepth
		return
	}
	c := w.buf[w.pos]
	if f.rule >= 0 && len(w.rules.safeAt) > 0 && w.safeAt() {
		f.rule = -1
	}
	if n.does == keptAll && !w.rules.reaches {
		w.skip()
		return
	}
	switch c {
	case '"':
		start := w.pos
		w.pos = w.stringEnd(start)
		w.str(n, f, start, w.pos)
	case '{', '[':
		if f.rule >= 0 || len(w.rules.custom) > 0 && w.takesWhole(n, c) {
			w.null(n, f)
			return
		}
		if n.does == keptScalar && n.kids == nil || c == '{' && n.does == plain && n.kids == nil && n.rest == nil {
			n = free // an object where a plain value belongs
		}
		w.depth++
		if c == '{' {
			w.object(n, f)
		} else {
			w.list(n, f)
		}
		w.depth--
	case 't', 'f', 'n':
		w.skip()
	default:
		w.number(n, f)
	}
}

// null replaces the value at pos by null: what stands behind a sensitive key
// and is no string.
func (w *walker) null(n *node, f field) {
	start := w.pos
	w.skip()
	m := match{start: start, end: w.pos, text: "null", rule: f.rule, kind: kindRemoved}
	if f.rule >= 0 {
		m.id = filterIDs[f.rule]
	} else if c := w.customFor(n, valueKind(w.buf[start])); c != nil {
		m.rule, m.id = c.id, c.name
	}
	w.emit(m)
	w.note(-1, m)
}

// emit replaces buf[m.start:m.end] by m.text, which is JSON text already.
func (w *walker) emit(m match) {
	if m.rule >= 0 && !w.collect { // what is collected is emitted again, further out
		w.hits[m.rule]++
		if w.trace != nil {
			w.trace(w.path, m.rule)
		}
	}
	if w.collect {
		w.edits = append(w.edits, m)
		return
	}
	if len(w.out) == 0 {
		w.out = slices.Grow(w.out, len(w.buf)+len(w.buf)/8+512)
	}
	w.out = append(w.out, w.buf[w.done:m.start]...)
	w.out = append(w.out, m.text...)
	w.done = m.end
}

// at is where buf[i] is, or will be, in out.
func (w *walker) at(i int) int { return len(w.out) + i - w.done }

// number scrubs a number: behind a sensitive key it goes; a card number goes too.
func (w *walker) number(n *node, f field) {
	start := w.pos
	w.skip()
	s := w.buf[start:w.pos]
	switch {
	case f.rule >= 0:
		if f.rule == rulePassword && countsTokens(w.path[len(w.path)-1].key) {
			return
		}
	case n.flags&fSub != 0 && w.rules.on(ruleCreditcard) && (len(s) == 15 || len(s) == 16) && isCardNumber(s):
		f.rule = ruleCreditcard
	case len(w.rules.custom) > 0:
		c := w.customNumber(n, s)
		if c == nil {
			return
		}
		w.pos = start
		m := match{start: start, text: "null", rule: c.id, id: c.name, kind: kindRemoved}
		w.skip()
		m.end = w.pos
		w.emit(m)
		w.note(-1, m)
		return
	default:
		return
	}
	w.pos = start
	w.null(n, f)
}

// isCardNumber asks a checksum of bare numbers: identifiers and microseconds
// have as many digits.
func isCardNumber(s []byte) bool {
	start, end := findCard(s, 0)
	return start == 0 && end == len(s) && luhnOK(s)
}

// countsTokens: gen_ai.usage.input_tokens and max_tokens count, they hold no token.
func countsTokens(key []byte) bool {
	k := indexFold(key, "tokens")
	return k >= 0 && !bytes.ContainsAny(key[k+6:], "-_") && indexFold(key, "password") < 0 && indexFold(key, "secret") < 0
}

func valueKind(c byte) byte {
	switch c {
	case '"':
		return 's'
	case '{':
		return 'o'
	case '[':
		return 'a'
	case 't', 'f':
		return 'b'
	}
	return 'n'
}
