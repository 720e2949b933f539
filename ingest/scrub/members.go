package scrub

import (
	"encoding/binary"

	"breakwater/schemas"
)

// object scrubs the members of the object at pos.
func (w *walker) object(n *node, f field) {
	w.pos++
	loose := n.flags&fKey != 0 && (n.kids == nil || n.rest == n)
	var pair keyValue
	for {
		w.space()
		switch w.buf[w.pos] {
		case '}':
			w.pos++
			return
		case ',':
			w.pos++
			continue
		}
		start := w.pos
		raw, key := w.name()
		child, cf := n.known(key), noField
		if child != nil && w.keeps(child) {
			w.skip()
			continue
		}
		seg := segment{key: key, raw: raw}
		if child == nil || w.rules.named {
			tr, digits := w.rules.scanner.scan(key)
			if n.flags&fKey != 0 && child == nil {
				seg.raw = w.key(n, key, raw, tr, digits, start+1)
			}
			child, cf = w.judgeKey(n, child, key, tr)
		} else if child.does == cookieAll && w.rules.on(ruleCookies) {
			cf.rule = ruleCookies
		}
		if n.does == metaLeaf && string(key) == "val" {
			cf = w.metaField()
		}
		if loose {
			child, cf = w.keyValue(&pair, n, key, child, cf)
		}
		seg.typ = child.typ
		w.path = append(w.path, seg)
		if n.does == attributes || w.remark && len(w.path) == 2 {
			w.member(n, child, cf)
		} else {
			w.value(child, cf)
		}
		w.path = w.path[:len(w.path)-1]
		if w.err != nil {
			return
		}
	}
}

// keeps tells whether the value at pos passes unread.
func (w *walker) keeps(n *node) bool {
	if w.rules.reaches {
		return false
	}
	c := w.buf[w.pos]
	return n.does == keptAll || n.does == keptScalar && c != '{' && c != '['
}

// name reads the member name at pos and moves to the member's value.
func (w *walker) name() (raw, key []byte) {
	start := w.pos
	end, escaped := schemas.SkipString(w.buf, start)
	raw = w.buf[start+1 : end-1]
	key = raw
	if escaped {
		key, _ = unescape(nil, nil, raw)
	}
	w.pos = end
	w.space()
	w.pos++ // the colon
	w.space()
	return raw, key
}

// member scrubs the value of an attribute or of an event's own member; _meta is
// a tree of its own.
func (w *walker) member(n, child *node, f field) {
	root := w.remark && len(w.path) == 2 && string(w.path[1].key) == "_meta"
	if root {
		w.inMeta = true
		w.metaAt.start = w.at(w.pos)
	}
	if n.does == attributes && w.buf[w.pos] == '{' {
		w.attribute(child, f)
	} else {
		w.value(child, f)
	}
	if root {
		w.inMeta = false
		w.metaAt.end = w.at(w.pos)
	}
}

// keyValue is what is known of an object that may be {"key": …, "value": …}.
type keyValue struct {
	name      span // of the string at "key" or "name"
	named     bool
	haveValue bool
}

// keyValue gives the value of {"key": k, "value": v} what the key k says, in
// either order of the two; "name" counts as "key".
func (w *walker) keyValue(p *keyValue, n *node, key []byte, child *node, f field) (*node, field) {
	switch string(key) {
	case "key", "name":
		if w.buf[w.pos] != '"' {
			break
		}
		p.name, p.named = span{w.pos, w.stringEnd(w.pos) - 1}, true
		tr, _ := w.rules.scanner.scan(w.decoded(p.name))
		if tr&(wordPassword|wordToken) != 0 && w.keyLike(p.name) && (p.haveValue || w.ahead("value", "value").end > 0) {
			return typed, f // a key is no value
		}
	case "value":
		p.haveValue = true
		if !p.named {
			p.name = w.ahead("key", "name")
			p.named = p.name.end > 0
		}
		if p.named {
			return w.pair(n, w.decoded(p.name))
		}
	}
	return child, f
}

// known is the node the schema has for a key, nil for one it does not name.
func (n *node) known(key []byte) *node {
	if len(key) >= len(n.index) {
		return nil
	}
	same := n.index[len(key)]
	if len(same) == 0 {
		return nil
	}
	head := headOf(key)
	for i := range same {
		if k := &same[i]; k.head == head && (len(key) <= 8 || k.name == string(key)) || n.fold && foldedEqual(key, k.name) {
			return k.node
		}
	}
	return nil
}

// headOf are the first eight bytes of a key as a number. Of keys equally long
// that tells up to eight bytes whether they are the same.
func headOf(key []byte) (head uint64) {
	if len(key) >= 8 {
		return binary.LittleEndian.Uint64(key)
	}
	for i := len(key) - 1; i >= 0; i-- {
		head = head<<8 | uint64(key[i])
	}
	return head
}

// resolve finds the node of a member and what its key says.
func (w *walker) resolve(n *node, key []byte, tr traits) (*node, field) {
	return w.judgeKey(n, n.known(key), key, tr)
}

// judgeKey is resolve for a key that the schema has child for, nil if it has none.
func (w *walker) judgeKey(n, child *node, key []byte, tr traits) (*node, field) {
	f := noField
	if child == nil {
		if child = n.rest; child == nil {
			child = free
		}
		switch len(key) {
		case 6, 7, 10:
			if child.flags&fKey == 0 {
				break
			}
			if foldedEqual(key, "cookie") || foldedEqual(key, "cookies") || foldedEqual(key, "set-cookie") {
				child = jar
			}
		}
	}
	if (endsFolded(key, "version") || isAgent(key)) && isName(key) {
		f.flags = fNoIP
	}
	f.rule = w.rules.keyRule(key, tr, child.flags)
	if f.rule < 0 && child.flags&fKey != 0 && w.rules.on(ruleCookies) {
		if n.does == cookieJar && isSessionCookie(key) || child.does == cookieAll || isCookieAttribute(key) {
			f.rule = ruleCookies
		}
	}
	if len(w.rules.safe) > 0 && w.rules.isSafe(key) {
		f.rule, f.safe = -1, true
	}
	return child, f
}

// isAgent: user_agent, user-agent, userAgent, http.user_agent.
func isAgent(key []byte) bool {
	return endsFolded(key, "agent") && (endsFolded(key, "user_agent") || endsFolded(key, "user-agent") || endsFolded(key, "useragent"))
}

// isCookieAttribute: http.request.header.cookie.<name of a session cookie>.
func isCookieAttribute(key []byte) bool {
	const prefix = "http.request.header.cookie."
	return len(key) > len(prefix) && foldedPrefix(key, prefix) && isSessionCookie(key[len(prefix):])
}

// attribute scrubs {"value": …, "type": …}: the attribute's own key counts for the value.
func (w *walker) attribute(child *node, f field) {
	w.pos++
	for {
		w.space()
		switch w.buf[w.pos] {
		case '}':
			w.pos++
			return
		case ',':
			w.pos++
			continue
		}
		start := w.pos
		raw, key := w.name()
		n, nf := child, f
		switch string(key) {
		case "value":
		case "type", "unit":
			n, nf = kept, noField
		default:
			tr, digits := w.rules.scanner.scan(key)
			raw = w.key(free, key, raw, tr, digits, start+1)
			if child.does == cookieJar {
				n = child
			} else {
				n = free
			}
			if n, nf = w.resolve(n, key, tr); f.rule >= 0 {
				n, nf = free, f
			}
		}
		w.path = append(w.path, segment{key: key, raw: raw, typ: n.typ})
		w.value(n, nf)
		w.path = w.path[:len(w.path)-1]
		if w.err != nil {
			return
		}
	}
}
