package schemas

import (
	"github.com/go-json-experiment/json/jsontext"
)

// SetRelease sets the release.
func (e *Event) SetRelease(release string) { e.SetString("release", release) }

// DeleteRelease removes the release, and with it the distribution, which
// means nothing without one.
func (e *Event) DeleteRelease() { e.Delete("release"); e.Delete("dist") }

// SetDist sets the distribution.
func (e *Event) SetDist(dist string) { e.SetString("dist", dist) }

// DeleteDist removes the distribution.
func (e *Event) DeleteDist() { e.Delete("dist") }

// SetEnvironment sets the environment.
func (e *Event) SetEnvironment(environment string) { e.SetString("environment", environment) }

// DeleteEnvironment removes the environment.
func (e *Event) DeleteEnvironment() { e.Delete("environment") }

// Tag is one tag's value: text, or a number or boolean as it stands. Tags may
// be an object, an array of pairs or an array of {"key","value"}; of
// duplicates the first counts, as in Sentry, except in an object, where it is
// the last.
func (e *Event) Tag(key string) (value string, ok bool) {
	tags, found := e.Get("tags")
	if !found {
		return "", false
	}
	if v, found := Lookup(tags, key); found {
		s := scalar(v)
		return s, s != ""
	}
	for el := range Elements(tags) {
		if k, v := pair(el); k == key {
			s := scalar(v)
			return s, s != ""
		}
	}
	return "", false
}

// AddTags sets tags, given as key, value, key, value, …; what was there under
// the same keys goes, all other tags keep their bytes. Tags given as an object
// stay an object, an array stays an array of the same form; absent, null or
// of any other kind they become an object.
func (e *Event) AddTags(pairs ...string) {
	tags, _ := e.Get("tags")
	switch tags.Kind() {
	case '[':
		e.Set("tags", addToArray(tags, pairs))
		return
	case '{':
	default:
		e.Set("tags", newTags(pairs))
		return
	}
	o, ok := ViewObject(tags)
	if !ok {
		o = emptyObject()
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		o.SetString(pairs[i], pairs[i+1])
	}
	e.Set("tags", o.Bytes())
}

// newTags is an object of tags that had none before.
func newTags(pairs []string) jsontext.Value {
	out := append(make([]byte, 0, 32*len(pairs)), '{')
	for i := 0; i+1 < len(pairs); i += 2 {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendQuote(out, pairs[i])
		out = append(out, ':')
		out = appendQuote(out, pairs[i+1])
	}
	return append(out, '}')
}

func addToArray(tags jsontext.Value, pairs []string) jsontext.Value {
	out := append(make([]byte, 0, len(tags)+len(pairs)*32), '[')
	next := func() {
		if len(out) > 1 {
			out = append(out, ',')
		}
	}
	objects := false
	for el := range Elements(tags) {
		if key, v := pair(el); v != nil && contains(pairs, key) {
			continue
		}
		objects = el.Kind() == '{'
		next()
		out = append(out, el...)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		next()
		key, value := QuoteString(pairs[i]), QuoteString(pairs[i+1])
		open, middle, end := "[", ",", "]"
		if objects {
			open, middle, end = `{"key":`, `,"value":`, "}"
		}
		out = append(out, open...)
		out = append(out, key...)
		out = append(out, middle...)
		out = append(out, value...)
		out = append(out, end...)
	}
	return append(out, ']')
}

func contains(pairs []string, key string) bool {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i] == key {
			return true
		}
	}
	return false
}

// pair reads ["key", value] or {"key": …, "value": …}; value is nil for all else.
func pair(v jsontext.Value) (key string, value jsontext.Value) {
	if v.Kind() == '{' {
		k, _ := Lookup(v, "key")
		value, _ = Lookup(v, "value")
		return scalar(k), value
	}
	i := 0
	for el := range Elements(v) {
		switch i {
		case 0:
			key = scalar(el)
		case 1:
			value = el
		}
		i++
	}
	return key, value
}
