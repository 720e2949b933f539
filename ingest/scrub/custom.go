package scrub

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // Sentry's :hash is HMAC-SHA1; it hides values, it signs nothing
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// customRule is a Rule made ready.
type customRule struct {
	id     ruleID
	name   string
	at     selector
	find   finder         // a built-in type; without it and re: the whole value
	re     *regexp.Regexp // an expression
	action Action
	salt   []byte
}

var typeFinders = map[string]finder{
	"@ip": findIP, "@email": findEmail, "@creditcard": findCard, "@iban": findIBAN, "@usssn": findSSN,
	"@pemkey": findPEM, "@urlauth": findURLAuth, "@userpath": findUserpath, "@bearer": findBearer,
}

var typeExpressions = map[string]*regexp.Regexp{
	"@imei": regexp.MustCompile(`\b\d{2}-?\d{6}-?\d{6}-?\d{1,2}\b`),
	"@mac":  regexp.MustCompile(`\b(?:[[:xdigit:]]{2}[:-]){5}[[:xdigit:]]{2}\b`),
	"@uuid": regexp.MustCompile(`(?i)\b[a-z0-9]{8}-?[a-z0-9]{4}-?[a-z0-9]{4}-?[a-z0-9]{4}-?[a-z0-9]{12}\b`),
}

func compileRule(r Rule, id ruleID, salt []byte) (customRule, error) {
	cr := customRule{id: id, name: r.Name, action: r.Action, salt: salt}
	switch r.Action {
	case "":
		cr.action = Replace
	case Replace, Mask, Hash, Remove:
	default:
		return cr, fmt.Errorf("action %q is none of replace, mask, hash, remove", r.Action)
	}
	var err error
	if cr.at, err = parseSelector(r.Path); err != nil {
		return cr, err
	}
	switch {
	case r.Pattern == "" || r.Pattern == "@anything":
	case typeFinders[r.Pattern] != nil:
		cr.find = typeFinders[r.Pattern]
	case typeExpressions[r.Pattern] != nil:
		cr.re = typeExpressions[r.Pattern]
	case strings.HasPrefix(r.Pattern, "@"):
		return cr, fmt.Errorf("pattern %s is not a built-in type", r.Pattern)
	default:
		if cr.re, err = regexp.Compile(r.Pattern); err != nil {
			return cr, fmt.Errorf("pattern: %w", err)
		}
	}
	return cr, nil
}

// whole tells that the rule takes values as they are, of any type.
func (c *customRule) whole() bool { return c.find == nil && c.re == nil }

// each reports every piece of s that the rule finds, in order.
func (c *customRule) each(s []byte, found func(start, end int)) {
	if c.re != nil {
		for _, loc := range c.re.FindAllIndex(s, -1) {
			if loc[1] > loc[0] {
				found(loc[0], loc[1])
			}
		}
		return
	}
	for at := 0; ; {
		start, end := c.find(s, at)
		if start < 0 {
			return
		}
		found(start, end)
		at = end
	}
}

// match says what becomes of the bytes s[start:end].
func (c *customRule) match(s []byte, start, end int) match {
	m := match{start: start, end: end, rule: c.id, id: c.name}
	switch c.action {
	case Mask:
		m.kind, m.text = kindMasked, strings.Repeat("*", utf8.RuneCount(s[start:end]))
	case Hash:
		mac := hmac.New(sha1.New, c.salt)
		mac.Write(s[start:end])
		m.kind, m.text = kindHashed, strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
	case Remove:
		m.kind = kindRemoved
	default:
		m.kind, m.text = kindSubstitute, filtered
	}
	return m
}
