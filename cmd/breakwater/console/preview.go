package console

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/schemas"
)

// What a preview shows of one payload.
const (
	previewString = 1000     // bytes of one text in it
	previewSize   = 64 << 10 // bytes in all
	previewRead   = 4 << 20  // of a payload, to look at
	titleRead     = previewRead
	titleBudget   = 16 << 20 // bytes read for the titles of one page
)

// Detail is a stored record to look at: after scrubbing, with long texts cut
// and opaque payloads left out.
type Detail struct {
	Record
	// Elsewhere is the record's state at its other destinations.
	Destinations []Record `json:"destinations"`
	Header       string   `json:"header"`
	ItemList     []Item   `json:"items"`
}

// Item is one item of a stored envelope.
type Item struct {
	Type        string           `json:"type"`
	Category    schemas.Category `json:"category"`
	Size        int64            `json:"size_bytes"`
	ContentType string           `json:"content_type,omitempty"`
	Filename    string           `json:"filename,omitempty"`
	// Preview is the payload as indented JSON, "" where it is not JSON.
	Preview string `json:"preview,omitempty"`
	// Shown says whether the preview is the whole, cut, or nothing (opaque).
	Shown string `json:"shown"`
}

// Words of Item.Shown.
const (
	shownWhole  = "whole"
	shownCut    = "cut"
	shownOpaque = "opaque"
)

func itemsOf(rec *schemas.Record) []Item {
	list := make([]Item, 0, len(rec.Envelope.Items))
	for i := range rec.Envelope.Items {
		it := &rec.Envelope.Items[i]
		t, _ := schemas.LookupItemType(it.Header.Type)
		out := Item{
			Type: Visible(it.Header.Type, 100), Category: t.Category, Size: it.Payload.Size(), Shown: shownOpaque,
			ContentType: Visible(it.Header.ContentType(), 100), Filename: Visible(it.Header.Filename(), 200),
		}
		if i < len(rec.Meta.Counts) {
			out.Category = rec.Meta.Counts[i].Category
		}
		// Only what scrubbing could read is shown.
		if raw, ok := read(it.Payload, previewRead); ok && t.JSON {
			var cut bool
			if out.Preview, cut, ok = indent(raw); ok {
				out.Shown = shownWhole
				if cut {
					out.Shown = shownCut
				}
			}
		}
		list = append(list, out)
	}
	return list
}

// read takes a payload into memory when it is small enough.
func read(p schemas.Body, limit int64) ([]byte, bool) {
	if p.Size() > limit {
		return nil, false
	}
	if b, ok := p.(schemas.Bytes); ok {
		return b, true
	}
	r, err := p.Open()
	if err != nil {
		return nil, false
	}
	defer r.Close()
	raw, err := io.ReadAll(io.LimitReader(r, limit+1))
	return raw, err == nil && int64(len(raw)) <= limit
}

// indent writes JSON on lines, each text cut to previewString and the whole to
// previewSize. ok is false when it is not JSON.
func indent(raw []byte) (text string, cut, ok bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	var b strings.Builder
	first := []bool{true} // of each open object and array
	depth := func() int { return len(first) - 1 }
	newline := func() { b.WriteString("\n" + strings.Repeat("  ", min(depth(), 40))) }
	for b.Len() < previewSize {
		name := false
		if k, n := dec.StackIndex(dec.StackDepth()); k == '{' && n%2 == 0 {
			name = true
		}
		value := !name && depth() > 0 && func() bool { k, _ := dec.StackIndex(dec.StackDepth()); return k == '{' }()
		tok, err := dec.ReadToken()
		if err == io.EOF { //nolint:errorlint // the decoder's own word for the end
			return b.String(), cut, b.Len() > 0
		}
		if err != nil {
			return "", false, false
		}
		kind := tok.Kind()
		closing := kind == '}' || kind == ']'
		switch {
		case closing:
			empty := first[depth()]
			first = first[:depth()]
			if !empty {
				newline()
			}
		case !value:
			if !first[depth()] {
				b.WriteByte(',')
			}
			first[depth()] = false
			if depth() > 0 {
				newline()
			}
		}
		switch kind {
		case '"':
			s := tok.String()
			short := visible(s, previewString, false)
			if len(s) > previewString {
				cut = true
				short += " (" + size(int64(len(s))) + ")"
			}
			b.WriteString(`"` + short + `"`)
			if name {
				b.WriteString(": ")
			}
		case '{', '[':
			b.WriteString(tok.String())
			first = append(first, true)
		default:
			b.WriteString(tok.String())
		}
	}
	return b.String() + "\n…", true, true
}

// title is a record's error in one line; "" when it holds none, or is too
// large to look at for a list.
func title(rec *schemas.Record) string {
	for i := range rec.Envelope.Items {
		it := &rec.Envelope.Items[i]
		raw, ok := read(it.Payload, titleRead)
		if !ok {
			continue
		}
		if t := Title(it.Header.Type, raw); t != "" {
			return t
		}
	}
	return ""
}

// Title is the one line for an item's payload: an error's type and value, a
// message, the name of a transaction, what a browser's report is about, the
// first log of a container, a monitor and its status. It is cut and harmless to
// print, and no more scrubbed than the payload is.
func Title(typ string, payload []byte) string {
	switch typ {
	case "event", "transaction", "feedback":
	case "log", "nel", "raw_security", "check_in", "user_report":
		return briefly(typ, payload)
	default:
		return ""
	}
	ev, err := schemas.ParseEvent(payload)
	if err != nil {
		return ""
	}
	if typ == "transaction" {
		return Visible(ev.Transaction(), 200)
	}
	list := ev.Exceptions()
	if len(list) == 0 {
		return Visible(ev.Message(), 200)
	}
	x := list[len(list)-1]
	switch {
	case x.Type == "":
		return Visible(x.Value, 200)
	case x.Value == "":
		return Visible(x.Type, 200)
	}
	return Visible(Visible(x.Type, 80)+": "+x.Value, 200)
}

// briefly is Title for payloads that are no events.
func briefly(typ string, payload []byte) string {
	text := func(path ...string) string {
		v, _ := schemas.Lookup(payload, path...)
		s, _ := schemas.UnquoteString(v)
		return s
	}
	join := func(sep string, parts ...string) string {
		parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
		return Visible(strings.Join(parts, sep), 200)
	}
	switch typ {
	case "log":
		list, _ := schemas.Lookup(payload, "items")
		for el := range schemas.Elements(list) {
			payload = el
			return join("", text("body"))
		}
	case "nel":
		return join(" ", text("body", "type"), text("url"))
	case "raw_security":
		if old, ok := schemas.Lookup(payload, "csp-report"); ok { // the form of report-uri
			payload = old
			return join(" ", cmp.Or(text("effective-directive"), text("violated-directive")), text("blocked-uri"))
		}
		return join(" ", cmp.Or(text("body", "effectiveDirective"), text("type")), cmp.Or(text("body", "blockedURL"), text("url")))
	case "check_in":
		return join(" ", text("monitor_slug"), text("status"))
	case "user_report":
		return join("", text("comments"))
	}
	return ""
}
