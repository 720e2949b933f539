package sentry

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// jsonInline is up to where a JSON payload is kept in memory, in bytes, so
// that filters and scrubbing can look inside. Profiles may be larger; they are
// then opaque.
func jsonInline(typ string) int64 {
	if typ == "profile" || typ == "profile_chunk" {
		return 4 << 20
	}
	return 12 << 20
}

// check looks at a payload that should be JSON. It returns the reason, and
// what the client is told should nothing else be left, or no rejection.
func check(it *ingest.Item, depth int) (reason string, rej *ingest.Rejection) {
	raw, inMemory := it.InMemory()
	if !it.Type.JSON || !inMemory {
		return "", nil
	}
	typ := it.Header.Type
	if typ == "profile" || typ == "profile_chunk" { // may be compressed, or JSON with binary behind it
		return "", nil
	}
	switch typ {
	case "form_data", "raw_security", "security", "nel", "metric_buckets", "metric_meta":
		switch {
		case schemas.TooDeep(raw, depth):
			return "json_depth", ingest.RejectDepth
		case !schemas.Valid(raw):
			return "invalid_json", ingest.RejectJSON
		}
		return "", nil
	}
	ev := it.Event()
	switch {
	case ev == nil && !schemas.TooDeep(raw, depth):
		return "invalid_json", ingest.RejectJSON
	case ev == nil, ev.Nesting() > depth:
		return "json_depth", ingest.RejectDepth
	}
	if it.Header.IsContainer() {
		return checkContainer(it, ev)
	}
	return "", nil
}

// checkContainer compares the header's item_count with the members; it becomes
// the item's quantity.
func checkContainer(it *ingest.Item, ev *schemas.Event) (reason string, rej *ingest.Rejection) {
	declared := -1
	if v, ok := it.Header.Get("item_count"); ok {
		if n, err := strconv.ParseUint(string(v), 10, 31); err == nil {
			declared = int(n)
		}
	}
	items, ok := ev.Get("items")
	if !ok || items.Kind() != '[' {
		return "invalid_container", ingest.RejectEnvelope.Because("container without items")
	}
	n := members(items)
	it.Quantity = max(n, 1)
	if n != declared {
		return "item_count", ingest.RejectEnvelope.Because("item_count does not equal the number of items")
	}
	return "", nil
}

// members counts the values of a JSON array.
func members(array jsontext.Value) int {
	dec := jsontext.NewDecoder(bytes.NewReader(array), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return 0
	}
	n := 0
	for dec.PeekKind() != ']' {
		if err := dec.SkipValue(); err != nil {
			return n
		}
		n++
	}
	return n
}
