package scrub

import (
	"bytes"
	"unicode/utf8"

	"breakwater/schemas"
)

// str scrubs the string buf[start:end], quotes included, standing at n.
func (w *walker) str(n *node, f field, start, end int) {
	raw := w.buf[start+1 : end-1]
	if n.does == inferIP {
		w.inferIP(raw, start+1)
		return
	}
	if len(raw) == 0 {
		return
	}
	fl := n.flags | f.flags
	r := w.rules
	if fl&(fSub|fKey|fFields) == 0 && !r.reaches {
		return
	}
	tr, digits := r.scanner.scan(raw)
	special := n.does != plain && n.does != keptScalar && n.does != keptAll
	if f.rule < 0 && !special && !r.everywhere && tr&hasEscape == 0 && !r.worth(raw, tr, digits, fl) {
		return
	}
	s := raw
	escaped := tr&hasEscape != 0
	if escaped {
		w.text, w.offsets = unescape(w.text[:0], w.offsets[:0], raw)
		s = w.text
		tr, digits = r.scanner.scan(s)
	}
	if n.does == styledText && bytes.IndexByte(s, '{') >= 0 && bytes.IndexByte(s, '}') >= 0 {
		fl = fSub // a style sheet: an .auth-form in it is no secret
	}
	t := &w.t
	t.rules = r
	t.reset(fl)
	w.judge(n, f, s, tr, digits)
	if len(t.matches) == 0 {
		return
	}
	w.replace(s, start+1, escaped)
}

// judge leaves in w.t.matches what is to be replaced in s.
func (w *walker) judge(n *node, f field, s []byte, tr traits, digits int) {
	t, r := &w.t, w.rules
	if len(r.custom) > 0 && w.custom(n, s) {
		return
	}
	if n.does == knownIP && w.knownIP(s) {
		return
	}
	if f.safe || t.flags == 0 || len(r.safeAt) > 0 && w.safeAt() {
		return
	}
	if f.rule >= 0 {
		if !already(s) && !isBlank(s) {
			t.everything(s, f.rule)
		}
		return
	}
	if isBlank(s) {
		return
	}
	w.pieces(n, t, s, tr, digits)
	if len(t.matches) > 0 {
		w.settle(n, s)
	}
}

// pieces leaves in t.matches what the built-in rules find in the value itself.
func (w *walker) pieces(n *node, t *texter, s []byte, tr traits, digits int) {
	switch n.does {
	case queryString:
		t.params(s, true)
	case cookieJar:
		if bytes.IndexByte(s, '=') >= 0 {
			t.cookies(s)
		}
	case bodyText:
		if looksLikeForm(s) {
			t.params(s, true)
		}
	}
	if t.flags&fEmbed != 0 && looksLikeJSON(s) && w.embedded(n, t, s) {
		return
	}
	if len(t.masked) == 0 && tr&hasQuery != 0 && tr&hasEqual != 0 {
		t.params(s, false)
		if bytes.ContainsAny(s, " \t\r\n") {
			t.masked = t.masked[:0] // a sentence with a URL in it is judged as a whole
		}
	}
	t.builtin(s, tr, digits)
}

// isBlank are the values Sentry never replaces.
func isBlank(s []byte) bool {
	switch string(s) {
	case "", "true", "false", "null", "undefined":
		return true
	}
	return false
}

func looksLikeJSON(s []byte) bool {
	s = bytes.TrimSpace(s)
	return len(s) > 2 && (s[0] == '{' && s[len(s)-1] == '}' || s[0] == '[' && s[len(s)-1] == ']')
}

// embedded scrubs JSON inside a string by its structure; false when it is none.
func (w *walker) embedded(n *node, t *texter, s []byte) bool {
	if w.nested >= maxEmbedded || !schemas.Valid(s) {
		return false
	}
	inner := walker{path: append([]segment(nil), w.path...), pass: pass{
		rules: w.rules, ip: w.ip, buf: append([]byte(nil), s...), collect: true, nested: w.nested + 1,
		hits: w.hits, trace: w.trace, depth: w.depth + 1, budget: 4 * len(s),
	}}
	inside := free
	if n.does != bodyText {
		inside = &node{flags: fSub | fReplace | fAssign | fHome | fKey | fFields}
		inside.rest, inside.elem = inside, inside
	}
	inner.space()
	inner.value(inside, noField)
	if inner.err != nil {
		return false
	}
	if len(inner.edits) > maxEdits {
		t.everything(s, rulePassword)
		return true
	}
	// The counts come with the edits: what emit counts here is counted once.
	t.matches = append(t.matches[:0], inner.edits...)
	return true
}

// replace writes the matches of s, which begins at buf[base], into the output.
func (w *walker) replace(s []byte, base int, escaped bool) {
	w.t.sort()
	for i := range w.t.matches {
		m := w.t.matches[i]
		if m.start == 0 && m.end == len(s) && m.kind == kindRemoved && m.text == "" {
			w.emit(match{start: base - 1, end: base + w.rawOffset(m.end, escaped) + 1, text: "null", rule: m.rule, id: m.id, kind: m.kind})
			w.note(-1, m)
			return
		}
		if escaped {
			m.start, m.end = int(w.offsets[m.start]), int(w.offsets[m.end])
		}
		m.start, m.end = base+m.start, base+m.end
		m.text = escape(m.text)
		w.emit(m)
	}
	w.noteString(s)
}

func (w *walker) rawOffset(i int, escaped bool) int {
	if escaped {
		return int(w.offsets[i])
	}
	return i
}

// custom applies the project's own rules; true when nothing is left to others.
func (w *walker) custom(n *node, s []byte) bool {
	t := &w.t
	for i := range w.rules.custom {
		c := &w.rules.custom[i]
		if t.flags&^fNoIP == 0 && !c.at.specific || !c.at.matches(w.path, 's') {
			continue
		}
		if c.whole() {
			if already(s) || n.does == knownIP && string(s) == auto {
				continue
			}
			t.matches = append(t.matches[:0], c.match(s, 0, len(s)))
			return true
		}
		before := len(t.matches)
		c.each(s, func(start, end int) {
			for _, o := range t.matches[:before] {
				if start < o.end && o.start < end {
					return
				}
			}
			if already(s[start:end]) || len(t.matches) >= maxEdits {
				return
			}
			t.matches = append(t.matches, c.match(s, start, end))
		})
	}
	return len(t.matches) > 0 && t.flags == 0
}

// customFor is the first rule that takes a value of this kind whole.
func (w *walker) customFor(n *node, kind byte) *customRule {
	for i := range w.rules.custom {
		c := &w.rules.custom[i]
		if c.whole() && (c.at.specific || n.flags != 0) && c.at.matches(w.path, kind) {
			return c
		}
	}
	return nil
}

func (w *walker) takesWhole(n *node, first byte) bool { return w.customFor(n, valueKind(first)) != nil }

func (w *walker) customNumber(n *node, s []byte) *customRule {
	for i := range w.rules.custom {
		c := &w.rules.custom[i]
		if !c.at.specific && n.flags == 0 || !c.at.matches(w.path, 'n') {
			continue
		}
		hit := c.whole()
		if !hit {
			c.each(s, func(int, int) { hit = true })
		}
		if hit {
			return c
		}
	}
	return nil
}

func (w *walker) safeAt() bool {
	for i := range w.rules.safeAt {
		if w.rules.safeAt[i].matches(w.path, 's') {
			return true
		}
	}
	return false
}

const auto = "{{auto}}"

// knownIP settles a field that holds an address by its place: {{auto}} asks
// the server to put the client's there.
func (w *walker) knownIP(s []byte) bool {
	t := &w.t
	if w.rules.off[ruleIP] {
		return false
	}
	gone := match{0, len(s), "", ruleIP, removeID, kindRemoved}
	switch {
	case string(s) == auto && w.ip.leave && !w.ip.remove:
		return true
	case string(s) == auto && w.ip.auto != "" && !w.ip.remove:
		t.matches = append(t.matches[:0], match{0, len(s), w.ip.auto, -1, "", 0})
		return true
	case string(s) == auto, w.ip.remove:
		t.matches = append(t.matches[:0], gone)
		return true
	}
	return false
}

// inferIP turns "auto" into "never" when addresses are removed: an upstream
// must not put the gateway's, or a forwarded one, in their place.
func (w *walker) inferIP(raw []byte, at int) {
	w.infer = true
	if w.ip.remove && string(raw) != "never" && !w.rules.off[ruleIP] {
		w.emit(match{start: at, end: at + len(raw), text: "never", rule: -1})
	}
}

// remarkable tells whether a remark is due at the path. An empty key cannot be
// told from _meta's own "".
func (w *walker) remarkable() bool {
	if !w.remark || w.inMeta || w.collect || len(w.remarks) >= maxRemarks {
		return false
	}
	for i := range w.path[1:] {
		if seg := &w.path[i+1]; seg.raw != nil && len(seg.raw) == 0 {
			return false
		}
	}
	return true
}

// note remembers a remark for the value at the path; length is -1 when unknown.
func (w *walker) note(length int, ms ...match) {
	if !w.remarkable() {
		return
	}
	from := len(w.rems)
	for _, m := range ms {
		w.rems = append(w.rems, piece{id: m.id, kind: m.kind, start: -1})
	}
	w.addRemark(length, from)
}

// addRemark adds a remark for the value at the path; its pieces are those of
// rems from the one at from on.
func (w *walker) addRemark(length, from int) {
	start := len(w.steps)
	w.steps = append(w.steps, w.path[1:]...)
	w.remarks = append(w.remarks, remark{length: length, path: w.steps[start:], pieces: w.rems[from:]})
}

// noteString is note for the pieces replaced in s: their places in the new
// text and the old text's length, in characters.
func (w *walker) noteString(s []byte) {
	if !w.remarkable() {
		return
	}
	start := len(w.rems)
	at, from := 0, 0
	for _, m := range w.t.matches {
		at += utf8.RuneCount(s[from:m.start])
		n := utf8.RuneCountInString(m.text)
		if m.id != "" && len(w.rems)-start < maxRemarks {
			w.rems = append(w.rems, piece{m.id, m.kind, at, at + n})
		}
		at, from = at+n, m.end
	}
	if len(w.rems) > start {
		w.addRemark(utf8.RuneCount(s), start)
	}
}
