package scrub

import (
	"regexp"
	"slices"
)

// flags say which rules a field gets; see the package comment.
type flags uint16

const (
	fSub     flags = 1 << iota // pieces of the value
	fReplace                   // written as [creditcard] instead of [Filtered]; e-mail by default
	fWhole                     // a password word takes the whole value
	fKey                       // the key may be sensitive by default
	fFields                    // the key may be one of Config.Fields
	fAssign                    // password=x: x only
	fPath                      // user names in paths, as Sentry does
	fHome                      // user names in paths, carefully
	fNoIP                      // versions and user agents look like addresses
	fEmbed                     // JSON inside the string is looked into
)

// texter works on one decoded string.
type texter struct {
	rules   *Rules
	flags   flags
	matches []match
	masked  []span // what the search for password words leaves out
	gaps    []span // what no match covers yet
	spare   []span
}

func (t *texter) reset(f flags) {
	t.flags, t.matches, t.masked = f, t.matches[:0], t.masked[:0]
}

func (t *texter) add(m match) { t.matches = append(t.matches, m) }

// worth tells from one scan whether any rule can hit; most strings end here.
func (r *Rules) worth(s []byte, tr traits, digits int, f flags) bool {
	const words = wordPassword | wordBearer | wordHome | wordBegin
	switch {
	case r.cfg.Defaults && tr&words != 0,
		tr&wordToken != 0 && tr&(hasColon|hasEqual) != 0,
		tr&(hasAt|hasPercent) != 0,
		tr&hasQuery != 0 && tr&hasEqual != 0,
		digits >= 14, digits >= 9 && tr&hasDash != 0,
		digits >= 2 && tr&hasUpper != 0 && len(s) >= 15:
		return true
	case r.cfg.IP && f&fNoIP == 0 && mayHoldIP(s, tr, digits):
		return true
	}
	return f&fWhole != 0 && isOTP(s)
}

// builtin applies the built-in rules to s, given what was found before by
// custom rules and by its parts (parameters, cookies). Matches end up sorted and
// never overlap.
func (t *texter) builtin(s []byte, tr traits, digits int) {
	if t.whole(s, tr) {
		return
	}
	t.openGaps(len(s))
	t.finders(s, tr, digits)
	t.sort()
}

func (t *texter) sort() {
	if len(t.matches) > 1 {
		slices.SortFunc(t.matches, func(a, b match) int { return a.start - b.start })
	}
}

// whole replaces all of s when it holds a password word outside of the
// parameters that were dealt with by name.
func (t *texter) whole(s []byte, tr traits) bool {
	if t.flags&fWhole == 0 || !t.rules.on(rulePassword) {
		return false
	}
	hit := false
	if len(t.masked) == 0 {
		hit = isPassword(s, tr)
	} else if tr&(wordPassword|wordToken) != 0 {
		at := 0
		for _, m := range append(t.masked, span{len(s), len(s)}) {
			piece := s[at:max(at, m.start)]
			tr, _ := t.rules.scanner.scan(piece)
			hit = hit || tr&(wordPassword|wordToken) != 0 && isPassword(piece, tr)
			at = m.end
		}
	}
	if hit {
		t.everything(s, rulePassword)
	}
	return hit
}

func (t *texter) everything(s []byte, rule ruleID) {
	t.matches = append(t.matches[:0], match{0, len(s), filtered, rule, filterIDs[rule], kindSubstitute})
}

func (t *texter) openGaps(n int) {
	t.gaps = t.gaps[:0]
	t.sort()
	at := 0
	for _, m := range t.matches {
		if m.start > at {
			t.gaps = append(t.gaps, span{at, m.start})
		}
		at = m.end
	}
	if at < n {
		t.gaps = append(t.gaps, span{at, n})
	}
}

// finders asks each rule the scan allows, in the order of their strength.
func (t *texter) finders(s []byte, tr traits, digits int) {
	r, f := t.rules, t.flags
	if r.cfg.Defaults && f&fSub != 0 {
		if tr&wordBegin != 0 {
			t.find(s, rulePEM, findPEM)
		}
		if tr&hasAt != 0 && tr&hasSlash != 0 {
			t.find(s, ruleURLAuth, findURLAuth)
		}
		if digits >= 14 {
			t.find(s, ruleCreditcard, findCard)
		}
		if digits >= 2 && tr&hasUpper != 0 {
			t.find(s, ruleIBAN, findIBAN)
		}
		if digits >= 9 && tr&hasDash != 0 {
			t.find(s, ruleSSN, findSSN)
		}
		if tr&wordBearer != 0 {
			t.find(s, ruleBearer, findBearer)
		}
		if f&fAssign != 0 && tr&(wordPassword|wordToken) != 0 && tr&(hasColon|hasEqual) != 0 {
			t.find(s, rulePassword, findAssigned)
		}
	}
	if tr&(hasAt|hasPercent) != 0 && f&fSub != 0 && (r.cfg.Email || r.cfg.Defaults && f&fReplace != 0) {
		t.find(s, ruleEmail, findEmail)
	}
	if r.cfg.Defaults && tr&wordHome != 0 {
		switch {
		case f&fPath != 0:
			t.find(s, ruleUserpath, findUserpath)
		case f&fHome != 0:
			t.find(s, ruleUserpath, findHomePath)
		}
	}
	if r.cfg.IP && f&fSub != 0 && f&fNoIP == 0 && mayHoldIP(s, tr, digits) {
		t.find(s, ruleIP, findIP)
	}
}

// find looks into the gaps only: what is found before stands.
func (t *texter) find(s []byte, rule ruleID, find finder) {
	if t.rules.off[rule] {
		return
	}
	text, id := filterTexts[rule], filterIDs[rule]
	if t.flags&fReplace != 0 {
		text, id = replaceTexts[rule], replaceIDs[rule]
	}
	left := t.spare[:0]
	found := false
	for _, g := range t.gaps {
		piece := s[g.start:g.end]
		at := 0
		for from := 0; ; {
			start, end := find(piece, from)
			if start < 0 {
				break
			}
			found = true
			t.add(match{g.start + start, g.start + end, text, rule, id, kindSubstitute})
			if start > at {
				left = append(left, span{g.start + at, g.start + start})
			}
			at, from = end, end
		}
		if at < len(piece) {
			left = append(left, span{g.start + at, g.end})
		}
	}
	if found {
		t.spare, t.gaps = t.gaps, left
	} else {
		t.spare = left
	}
}

// first is the first piece of a decoded parameter that a rule of this field hits.
func (t *texter) first(s []byte) (match, bool) {
	sub := texter{rules: t.rules, flags: t.flags &^ fWhole}
	tr, digits := t.rules.scanner.scan(s)
	if !t.rules.worth(s, tr, digits, sub.flags) {
		return match{}, false
	}
	sub.builtin(s, tr, digits)
	if len(sub.matches) == 0 {
		return match{}, false
	}
	return sub.matches[0], true
}

var assigned = regexp.MustCompile(`(?i)(?:pass(?:word|wd)|secret|api[-_]?key|credentials|mysql_pwd|private[-_]?key|authorization|auth[-_]?token|(token))` +
	`["']?[ \t]*[:=][ \t]*["']?(?:basic +)?([^\s"',;&<>]+)`)

// findAssigned finds the value in password=value, "secret": "value", token:
// value; for the bare word token it must look like one.
func findAssigned(s []byte, from int) (int, int) {
	for from < len(s) {
		loc := assigned.FindSubmatchIndex(s[from:])
		if loc == nil {
			return -1, -1
		}
		start, end := from+loc[4], from+loc[5]
		value := s[start:end]
		short := loc[2] >= 0 && len(value) < 8
		if !short && value[0] != '[' && !foldedEqual(value, "bearer") {
			return start, end
		}
		from = end
	}
	return -1, -1
}

// splice writes s with the matches, sorted, in place.
func splice(dst, s []byte, matches []match) []byte {
	at := 0
	for i := range matches {
		dst = append(dst, s[at:matches[i].start]...)
		dst = append(dst, matches[i].text...)
		at = matches[i].end
	}
	return append(dst, s[at:]...)
}

func (r *Rules) on(rule ruleID) bool { return r.cfg.Defaults && !r.off[rule] }

// sensitiveName is the rule by which a key, parameter or cookie of this name
// loses its value, -1 when none does.
func (r *Rules) sensitiveName(name []byte, f flags, cookie bool) ruleID {
	tr, _ := r.scanner.scan(name)
	rule := r.keyRule(name, tr, f|fKey|fFields)
	if rule < 0 && cookie && r.on(ruleCookies) && isSessionCookie(name) {
		rule = ruleCookies
	}
	if rule >= 0 && r.isSafe(name) {
		return -1
	}
	return rule
}

// keyRule is sensitiveName for a key already scanned, safe fields left to the caller.
func (r *Rules) keyRule(key []byte, tr traits, f flags) ruleID {
	if f&fKey != 0 && r.on(rulePassword) && (tr&wordPassword != 0 || tr&wordToken != 0 && namesToken(key) || isOTP(key)) {
		return rulePassword
	}
	if f&fFields != 0 && tr&wordField != 0 && !r.off[ruleFields] {
		return ruleFields
	}
	return -1
}

// namesToken finds a "token" that is not the one of a replaced "Bearer [token]".
func namesToken(key []byte) bool {
	for at := 0; ; {
		k := indexFold(key[at:], "token")
		if k < 0 {
			return false
		}
		at += k
		if at == 0 || key[at-1] != '[' || at+5 >= len(key) || key[at+5] != ']' {
			return true
		}
		at += 5
	}
}

func (r *Rules) isSafe(key []byte) bool {
	for _, s := range r.safe {
		if foldedEqual(key, s) {
			return true
		}
	}
	return false
}

// sessionCookies are the names Sentry filters, lower case.
var sessionCookies = []string{
	"sentrysid", "sudo", "su", "session", "__session", "sessionid", "user_session", "symfony", "phpsessid",
	"fasthttpsessionid", "mysession", "irissessionid", "_vercel_jwt", "csrf", "xsrf", "_xsrf", "_csrf",
	"csrf-token", "csrf_token", "xsrf-token", "xsrf_token", "fastcsrf", "_iris_csrf",
}

func isSessionCookie(name []byte) bool {
	for _, c := range sessionCookies {
		if foldedEqual(name, c) {
			return true
		}
	}
	return false
}
