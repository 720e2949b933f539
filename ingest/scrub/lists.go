package scrub

import "bytes"

// list scrubs the entries of the list at pos.
func (w *walker) list(n *node, f field) {
	entry := n.elem
	if entry == nil {
		if entry = free; n.pairs || n.does != plain || n.flags != 0 && n.flags&fWhole == 0 {
			entry = n
		}
	}
	w.pos++
	paired, second := w.pairAhead(n)
	for i := 0; ; {
		w.space()
		switch w.buf[w.pos] {
		case ']':
			w.pos++
			return
		case ',':
			w.pos++
			continue
		}
		seg := segment{index: i, typ: entry.typ}
		node, ef := entry, field{rule: -1, flags: f.flags}
		if paired {
			if i == 0 {
				if w.keyLike(second) {
					node = typed
				}
			} else {
				key := w.decoded(second)
				seg.key = key
				node, ef = w.pair(n, key)
			}
		}
		w.path = append(w.path, seg)
		w.value(node, ef)
		w.path = w.path[:len(w.path)-1]
		if w.err != nil {
			return
		}
		i++
	}
}

// pairAhead tells whether the list whose entries begin at pos is a pair whose
// first entry names a field that matters, and where that name is. Sentry
// treats every list of two that begins with a string as a pair.
func (w *walker) pairAhead(n *node) (bool, span) {
	if n.flags&fKey == 0 {
		return false, span{}
	}
	pos := w.pos
	defer func() {
		w.budget -= w.pos - pos
		w.pos = pos
	}()
	w.space()
	if w.buf[w.pos] != '"' {
		return false, span{}
	}
	name := span{w.pos, w.stringEnd(w.pos) - 1}
	if !n.pairs {
		key := w.decoded(name)
		tr, _ := w.rules.scanner.scan(key)
		if child, f := w.resolve(n, key, tr); f.rule < 0 && f.flags == 0 && !f.safe && child == free && len(w.rules.custom) == 0 {
			return false, span{}
		}
	}
	w.pos = name.end + 1
	w.space()
	if w.buf[w.pos] != ',' {
		return false, span{}
	}
	if w.budget <= 0 {
		return true, name
	}
	w.pos++
	w.skip()
	w.space()
	return w.buf[w.pos] == ']', name
}

// keyLike tells whether the string at s can be a name. A name is no value: a
// tag named password stays; a sentence that holds the word does not.
func (w *walker) keyLike(s span) bool {
	return isName(w.buf[s.start+1 : s.end])
}

func isName(s []byte) bool {
	if len(s) > 100 {
		return false
	}
	for _, c := range s {
		if !isWord(c) && c != '-' && c != '.' && c != '$' && c != '[' && c != ']' {
			return false
		}
	}
	return true
}

// pair is resolve for the value of [key, value] or {"key": key, "value": value}.
func (w *walker) pair(n *node, key []byte) (*node, field) {
	tr, _ := w.rules.scanner.scan(key)
	if n.does == keptScalar {
		n = free
	}
	return w.resolve(n, key, tr)
}

// ahead looks behind the value at pos for a member of one of two names, and
// says where its value is; of "key" and "name" only strings count. The zero span
// means that there is none.
func (w *walker) ahead(a, b string) (found span) {
	pos := w.pos
	if w.budget <= 0 {
		return span{}
	}
	w.skip()
	for {
		w.space()
		if w.buf[w.pos] != ',' {
			break
		}
		w.pos++
		w.space()
		_, key := w.name()
		if s := string(key); (s == a || s == b) && (a == "value" || w.buf[w.pos] == '"') {
			found = span{w.pos, w.pos + 1}
			if w.buf[w.pos] == '"' {
				found.end = w.stringEnd(w.pos) - 1
			}
			break
		}
		w.skip()
	}
	w.budget -= w.pos - pos
	w.pos = pos
	return found
}

// decoded is the text of the string between the quotes at s.start and s.end.
func (w *walker) decoded(s span) []byte {
	raw := w.buf[s.start+1 : s.end]
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	text, _ := unescape(nil, nil, raw)
	return text
}

// metaField is what the key of the field says whose original value _meta quotes.
func (w *walker) metaField() field {
	if len(w.path) < 2 {
		return noField
	}
	key := w.path[len(w.path)-2].key
	tr, _ := w.rules.scanner.scan(key)
	return field{rule: w.rules.keyRule(key, tr, freeFlags)}
}

// keyText is what settle takes a key for.
var keyText = &node{}

// key replaces what rules find in a key itself, an e-mail address for one. It
// returns the key as it is written afterwards.
func (w *walker) key(n *node, key, raw []byte, tr traits, digits, rawStart int) []byte {
	f := n.flags &^ (fWhole | fAssign)
	if !w.rules.worth(key, tr, digits, f) {
		return raw
	}
	w.t.rules = w.rules
	w.t.reset(f)
	w.t.builtin(key, tr, digits)
	if len(w.t.matches) == 0 {
		return raw
	}
	w.settle(keyText, key)
	text := splice(nil, key, w.t.matches)
	name := appendEscaped(nil, string(text))
	for i := range w.t.matches {
		m := w.t.matches[i]
		w.hits[m.rule]++
		if w.trace != nil {
			w.trace(append(w.path, segment{key: text, raw: name}), m.rule)
		}
	}
	w.emit(match{start: rawStart, end: rawStart + len(raw), text: string(name), rule: -1})
	return name
}
