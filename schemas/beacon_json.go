package schemas

import (
	"encoding/binary"
	"math/bits"

	"github.com/go-json-experiment/json/jsontext"
)

// This file reads a beacon's JSON in the same pass that checks its syntax. The
// methods take the offset where a value begins and return, last, the one behind
// it, or -1 where there is no JSON value. What was noted by then is for nobody.

// json reads a whole text: entries, or one object, which is a wrapper when it
// has "vitals" and else a metric. Where "vitals" stands twice the last one counts.
// It is false for what is no JSON.
func (d *beaconDecoder) json(body []byte) bool {
	d.text = body
	end := 0
	if body[0] == '[' {
		end = d.entries(0)
	} else {
		end = d.lone(0)
	}
	return end >= 0 && skipSpace(body, end) == len(body)
}

// lone reads an object that is a wrapper or a metric with a wrapper's fields
// beside its own.
func (d *beaconDecoder) lone(at int) (end int) {
	var m Vital
	wrapper := false
	end = d.object(at, func(open, shut, at int) (end int) {
		name := d.name(open, shut)
		if string(name) != "vitals" {
			if field := fieldNamed(name); field != "" {
				return d.field(field, at)
			}
			return d.member(&m, &noVital, name, at)
		}
		wrapper = true
		d.b.Vitals, d.rejected = nil, nil
		if d.at(at) == '[' {
			return d.entries(at)
		}
		return d.entry(at)
	})
	if !wrapper {
		d.add(m)
	}
	return end
}

// entries reads an array of entries.
func (d *beaconDecoder) entries(at int) (end int) {
	d.b.Vitals = d.room
	i := 0
	return d.array(at, func(at int) (end int) {
		if i++; i <= MaxBeaconEntries {
			return d.entry(at)
		}
		if end = d.value(at); end >= 0 {
			name, _ := Lookup(d.text[at:end], "name")
			d.reject(vitalName(name), RejectedTooMany)
		}
		return end
	})
}

var noVital Vital

// entry reads one entry.
func (d *beaconDecoder) entry(at int) (end int) {
	if d.at(at) != '{' {
		d.reject("", RejectedNotObject)
		return d.value(at)
	}
	var m Vital
	last := &noVital
	if n := len(d.b.Vitals); n > 0 {
		last = &d.b.Vitals[n-1]
	}
	end = d.object(at, func(open, shut, at int) (end int) {
		return d.member(&m, last, d.name(open, shut), at)
	})
	d.add(m)
	return end
}

// name is the name between two quotes that were just read.
func (d *beaconDecoder) name(open, shut int) []byte {
	if d.escape < open {
		return d.text[open+1 : shut-1]
	}
	plain, _ := jsontext.AppendUnquote(nil, d.text[open:shut])
	return plain
}

// member reads one member of a metric; last is the entry before it.
func (d *beaconDecoder) member(m, last *Vital, name []byte, at int) (end int) {
	switch string(name) {
	case "name":
		m.Name, end = d.word(at, VitalNames)
		if end-at > maxWord+2 {
			m.Name = vitalName(d.text[at:end])
		}
	case "value":
		m.Value, m.HasValue, end = d.float(at)
	case "delta":
		m.Delta, _, end = d.float(at)
	case "id":
		m.ID, end = d.scalar(at, last.ID)
	case "rating":
		m.Rating, end = d.word(at, ratings)
	case "navigationType":
		m.NavigationType, end = d.word(at, navigationTypes)
	case "navigationId":
		m.NavigationID, end = d.scalar(at, last.NavigationID)
	case "navigationURL":
		m.NavigationURL, end = d.scalar(at, last.NavigationURL)
	case "navigationStartTime":
		m.NavigationStartTime, _, end = d.float(at)
	case "attribution":
		m.Attribution = ""
		if end = d.value(at); end >= 0 && d.text[at] == '{' {
			m.Attribution = d.keep(d.text[at:end])
		}
	default:
		end = d.value(at)
	}
	return end
}

// scalar reads a value as text: a string, or a number or boolean as it stands;
// "" for all else. Where it is the same as last it uses that, not a copy.
func (d *beaconDecoder) scalar(at int, last string) (s string, end int) {
	text := d.text
	inside, end := d.plain(at)
	if end < 0 {
		if end = d.value(at); end < 0 {
			return "", end
		}
		switch text[at] {
		case '"':
			s, _ = UnquoteString(text[at:end])
			return s, end
		case '{', '[', 'n':
			return "", end
		}
		inside = text[at:end]
	}
	if string(inside) == last {
		return last, end
	}
	return d.keep(inside), end
}

// word reads a string, which needs no copy when it is a known one; "" for
// what is not a string or longer than any word.
func (d *beaconDecoder) word(at int, known []string) (s string, end int) {
	inside, end := d.plain(at)
	if end < 0 {
		if end = d.value(at); end >= 0 {
			s = anyWord(d.text[at:end], known)
		}
		return s, end
	}
	for _, k := range known {
		if string(inside) == k {
			return k, end
		}
	}
	if len(inside) > maxWord {
		return "", end
	}
	return d.keep(inside), end
}

// float reads a number; ok is false for what is none.
func (d *beaconDecoder) float(at int) (f float64, ok bool, end int) {
	if end = d.value(at); end >= 0 {
		f, ok = number(d.text[at:end])
	}
	return f, ok, end
}

// plain reads a string that is the text as it is: ASCII without escapes. For
// all else end is -1.
func (d *beaconDecoder) plain(at int) (inside []byte, end int) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	text := d.text
	if at >= len(text) || text[at] != '"' {
		return nil, -1
	}
	i := at + 1
	for ; i+8 <= len(text); i += 8 {
		x := binary.LittleEndian.Uint64(text[i:])
		quotes, slashes := x^ones*'"', x^ones*'\\'
		// As in checker.str, and the lowest set bit marks a byte that is not ASCII, too.
		if found := ((quotes - ones) | (slashes - ones) | (x - ones*' ') | x) & highs; found != 0 {
			i += bits.TrailingZeros64(found) / 8
			break
		}
	}
	for ; i < len(text); i++ {
		switch b := text[i]; {
		case b == '"':
			return text[at+1 : i], i + 1
		case b == '\\', b < ' ', b >= 0x80:
			return nil, -1
		}
	}
	return nil, -1
}

// textRoom is for the texts of a usual beacon, two URLs and a few names, which
// are about a third of it.
const textRoom = 256

// keep copies a text out of the body, which is the caller's. Most texts of a
// beacon share one allocation; long ones have their own.
func (d *beaconDecoder) keep(text []byte) string {
	if d.kept.Cap()-d.kept.Len() < len(text) {
		if len(text) > textRoom/2 {
			return string(text)
		}
		d.kept.Reset() // what is in there stays with the strings that are made of it
		d.kept.Grow(max(len(text), min(len(d.text)/2, textRoom)))
	}
	start := d.kept.Len()
	d.kept.Write(text)
	return d.kept.String()[start:]
}
