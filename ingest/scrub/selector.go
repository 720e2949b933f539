package scrub

import (
	"errors"
	"fmt"
	"strings"
)

// Selector syntax, a subset of Sentry's. A path is keys and types joined by
// dots; it matches a field when its last parts are the path's ("data.phone"
// matches every phone directly in a data, wherever that is):
//
//	email            the key, in any case
//	'my.key'         a key with dots in it
//	*                any one key or list index
//	**               any number of them
//	$string $number $boolean $array $object   what the value is
//	$user $http $request $error $exception $frame $stack $thread $breadcrumb
//	$span $log $logentry $message $context $sdk $trace_metric $session $replay
//	                 the Sentry structure at this place
//
// Alternatives are joined by ||. Not part of it: && ! ( ) $attachments $minidump.
// In a list of pairs, [["k","v"]], the pair's key counts as the key.
type selector struct {
	any []selectorPath
	// specific: every alternative names a key or structure, so that it may
	// reach kept fields.
	specific bool
}

type selectorPath []part

type part struct {
	kind byte   // 'k' key, '*', 'd' for **, 't' structure, 'v' value type
	text string // folded key
	typ  structure
	val  byte // 's' string, 'n' number, 'b' boolean, 'a' array, 'o' object
}

var structures = map[string]structure{
	"user": inUser, "http": inRequest, "request": inRequest, "error": inException, "exception": inException,
	"frame": inFrame, "stack": inStack, "stacktrace": inStack, "thread": inThread, "breadcrumb": inBreadcrumb,
	"span": inSpan, "log": inLog, "logentry": inLogentry, "message": inLogentry, "context": inContext,
	"sdk": inSDK, "trace_metric": inMetric, "session": inSession, "replay": inReplay,
}

var valueTypes = map[string]byte{"string": 's', "number": 'n', "boolean": 'b', "array": 'a', "object": 'o'}

func parseSelector(text string) (sel selector, err error) {
	if strings.TrimSpace(text) == "" {
		text = "$string"
	}
	sel.specific = true
	for _, alt := range strings.Split(text, "||") {
		path, err := parsePath(strings.TrimSpace(alt))
		if err != nil {
			return selector{}, fmt.Errorf("path %q: %w", text, err)
		}
		named := false
		for _, p := range path {
			named = named || p.kind == 'k' || p.kind == 't'
		}
		sel.specific = sel.specific && named
		sel.any = append(sel.any, path)
	}
	return sel, nil
}

func parsePath(s string) (path selectorPath, err error) {
	for s != "" {
		var word string
		quoted := s[0] == '\''
		if quoted {
			end := strings.IndexByte(s[1:], '\'')
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			word, s = s[1:1+end], s[2+end:]
			if s != "" && s[0] != '.' {
				return nil, errors.New("a dot must follow a quoted key")
			}
			s = strings.TrimPrefix(s, ".")
		} else {
			word, s, _ = strings.Cut(s, ".")
		}
		p := part{kind: 'k', text: foldASCII(word)}
		switch {
		case quoted:
		case word == "*":
			p.kind = '*'
		case word == "**":
			p.kind = 'd'
		case strings.HasPrefix(word, "$"):
			name := foldASCII(word[1:])
			if v, ok := valueTypes[name]; ok {
				p.kind, p.val = 'v', v
			} else if t, ok := structures[name]; ok {
				p.kind, p.typ = 't', t
			} else {
				return nil, fmt.Errorf("%s is not known here", word)
			}
		case word == "" || strings.ContainsAny(word, " &|!()"):
			return nil, fmt.Errorf("%q is not a key", word)
		}
		path = append(path, p)
	}
	if len(path) == 0 {
		return nil, errors.New("it is empty")
	}
	return path, nil
}

// matches asks whether the field at the end of path, holding a value of type
// val, is meant.
func (sel *selector) matches(path []segment, val byte) bool {
	for _, alt := range sel.any {
		if alt.suffixOf(path, val) {
			return true
		}
	}
	return false
}

// suffixOf compares from the end. A ** takes as little as it can; where that
// leads nowhere, the one met last takes one more, so that a path costs at most
// its length for each part, however deep a stranger nests.
func (parts selectorPath) suffixOf(path []segment, val byte) bool {
	part, at := len(parts)-1, len(path)-1
	star, from := -1, -1 // the ** met last, and up to where it takes everything
	for part >= 0 {
		switch {
		case parts[part].kind == 'd':
			star, from, val = part, at, 0
			part--
		case at >= 0 && parts[part].is(&path[at], val):
			part, at, val = part-1, at-1, 0
		case from >= 0:
			from--
			part, at = star-1, from
		default:
			return false
		}
	}
	return true
}

func (p *part) is(seg *segment, val byte) bool {
	switch p.kind {
	case '*':
		return true
	case 't':
		return seg.typ == p.typ
	case 'v':
		// Behind the first step back the value holds the path: an object or a list.
		return val == p.val || val == 0 && (p.val == 'o' || p.val == 'a')
	}
	return foldedEqual(seg.key, p.text)
}
