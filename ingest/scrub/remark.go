package scrub

import (
	"bytes"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/schemas"
)

// remark is what _meta says about one changed value: which rules replaced
// which characters, and how many the value had before.
type remark struct {
	path   []segment
	pieces []piece
	length int // -1: not a string
}

type piece struct {
	id         string
	kind       byte
	start, end int // -1: the whole value
}

// finish returns the text after a run: the one given when nothing changed,
// otherwise a new one. It was put together in scratch space, so that it is as
// large as it has to be and no larger: it rests in memory until it is on disk.
func (w *walker) finish() []byte {
	if w.done == 0 && len(w.out) == 0 {
		return w.buf
	}
	out := append(w.out, w.buf[w.done:]...)
	w.done = len(w.buf)
	var small [64]byte // mostly there is one bracket behind
	switch {
	case len(w.remarks) == 0:
	case w.metaAt.end > w.metaAt.start:
		merged := mergeMeta(out[w.metaAt.start:w.metaAt.end], w.remarks, 0)
		tail := append(small[:0], out[w.metaAt.end:]...)
		out = append(append(out[:w.metaAt.start], merged...), tail...)
	default:
		if end := bytes.LastIndexByte(out, '}'); end > 0 {
			tail := append(small[:0], out[end:]...)
			out = append(out[:end], `,"_meta":`...)
			out = append(appendMeta(out, w.remarks), tail...)
		}
	}
	if cap(out) > keepOut {
		w.out = nil
		return out
	}
	w.out = out[:0]
	return append([]byte(nil), out...)
}

// appendMeta writes remarks, which come in the order of the document, as a tree.
func appendMeta(dst []byte, remarks []remark) []byte {
	dst = append(dst, '{')
	var open []segment
	for i := range remarks {
		path := remarks[i].path
		same := 0
		for same < len(open) && same < len(path) && open[same].same(&path[same]) {
			same++
		}
		for k := len(open); k > same; k-- {
			dst = append(dst, '}')
		}
		if dst[len(dst)-1] == '}' {
			dst = append(dst, ',')
		}
		for k := same; k < len(path); k++ {
			dst = path[k].appendName(dst)
			dst = append(dst, ':', '{')
		}
		dst = append(dst, `"":{"rem":[`...)
		dst = remarks[i].appendPieces(dst)
		dst = append(dst, ']')
		if remarks[i].length >= 0 {
			dst = append(dst, `,"len":`...)
			dst = strconv.AppendInt(dst, int64(remarks[i].length), 10)
		}
		dst = append(dst, '}')
		open = path
	}
	for range open {
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func (s *segment) same(o *segment) bool {
	if (s.raw == nil) != (o.raw == nil) {
		return false
	}
	return s.raw != nil && bytes.Equal(s.raw, o.raw) || s.raw == nil && s.index == o.index
}

// appendName writes the key as a JSON string; of a list entry its number.
func (s *segment) appendName(dst []byte) []byte {
	dst = append(dst, '"')
	if s.raw != nil {
		dst = append(dst, s.raw...)
	} else {
		dst = strconv.AppendInt(dst, int64(s.index), 10)
	}
	return append(dst, '"')
}

func (r *remark) appendPieces(dst []byte) []byte {
	for i, p := range r.pieces {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, '[')
		dst = append(dst, schemas.QuoteString(p.id)...)
		dst = append(dst, ',', '"', p.kind, '"')
		if p.start >= 0 {
			dst = append(dst, ',')
			dst = strconv.AppendInt(dst, int64(p.start), 10)
			dst = append(dst, ',')
			dst = strconv.AppendInt(dst, int64(p.end), 10)
		}
		dst = append(dst, ']')
	}
	return dst
}

// mergeMeta adds remarks to a tree that is there; what is there stays.
func mergeMeta(tree jsontext.Value, remarks []remark, depth int) jsontext.Value {
	o, err := schemas.ParseObject(tree)
	if err != nil {
		o, _ = schemas.ParseObject([]byte(`{}`))
	}
	for i := 0; i < len(remarks); {
		r := &remarks[i]
		if len(r.path) == depth {
			leaf, _ := o.Get("")
			o.Set("", mergeLeaf(leaf, r))
			i++
			continue
		}
		end := i + 1
		for end < len(remarks) && len(remarks[end].path) > depth && remarks[end].path[depth].same(&r.path[depth]) {
			end++
		}
		name, _ := schemas.UnquoteString(r.path[depth].appendName(nil))
		below, _ := o.Get(name)
		o.Set(name, mergeMeta(below, remarks[i:end], depth+1))
		i = end
	}
	return o.Bytes()
}

func mergeLeaf(leaf jsontext.Value, r *remark) jsontext.Value {
	o, err := schemas.ParseObject(leaf)
	if err != nil {
		o, _ = schemas.ParseObject([]byte(`{}`))
	}
	rem := []byte("[")
	if old, ok := o.Get("rem"); ok && old.Kind() == '[' {
		old = bytes.TrimSpace(old[:len(old)-1])
		rem = append([]byte(nil), old...)
		if len(bytes.TrimSpace(old)) > 1 {
			rem = append(rem, ',')
		}
	}
	o.Set("rem", append(r.appendPieces(rem), ']'))
	if _, ok := o.Get("len"); !ok && r.length >= 0 {
		o.Set("len", strconv.AppendInt(nil, int64(r.length), 10))
	}
	return o.Bytes()
}
