package minidump

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/tinylib/msgp/msgp"
)

var errMessages = errors.New("not MessagePack that can be said in JSON")

// unpackMessages reads a stream of MessagePack values, nested at most depth
// deep, as the values JSON has for them. values is how many were made so
// far; beyond maxValues nothing is read. charge is asked before values, and
// their text, are made.
func unpackMessages(raw []byte, depth int, values *int, charge func(values, text int) error) ([]any, error) {
	var list []any
	for len(raw) > 0 {
		before := *values
		size, err := sizeOf(raw, depth, values)
		if err == nil {
			err = charge(*values-before, 2*size)
		}
		if err != nil {
			return nil, err
		}
		var text bytes.Buffer
		if _, err := msgp.UnmarshalAsJSON(&text, raw[:size]); err != nil {
			return nil, err
		}
		dec := json.NewDecoder(&text)
		dec.UseNumber()
		var v any
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		list = append(list, v)
		raw = raw[size:]
	}
	return list, nil
}

// sizeOf is how many bytes the first value has. The library would recurse as
// deep as a stranger likes, and make a hundred bytes of one; here nesting and
// values are counted.
func sizeOf(raw []byte, depth int, values *int) (int, error) {
	rest := raw
	open := []uint64{1} // values still to come, at each level
	for len(open) > 0 {
		last := len(open) - 1
		if open[last] == 0 {
			open = open[:last]
			continue
		}
		open[last]--
		if *values++; *values > maxValues {
			return 0, errMessages
		}
		var n uint32
		var err error
		inner := uint64(0)
		switch msgp.NextType(rest) {
		case msgp.MapType:
			n, rest, err = msgp.ReadMapHeaderBytes(rest)
			inner = 2 * uint64(n)
		case msgp.ArrayType:
			n, rest, err = msgp.ReadArrayHeaderBytes(rest)
			inner = uint64(n)
		case msgp.InvalidType:
			return 0, errMessages
		default:
			rest, err = msgp.Skip(rest)
		}
		if err != nil {
			return 0, err
		}
		if inner > 0 {
			if len(open) > depth || inner > uint64(len(rest)) {
				return 0, errMessages
			}
			open = append(open, inner)
		}
	}
	return len(raw) - len(rest), nil
}
