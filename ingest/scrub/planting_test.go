package scrub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"testing"

	"github.com/klauspost/compress/zlib"
)

// plantable are the items that are looked into, recordings inflated, with the
// envelope and item headers as items of their own.
// An item whose every field was in one before it is left out.
func plantable(tb testing.TB) (list []sample) {
	seen := map[string]bool{}
	defer func() {
		all := list
		list = nil
		for _, s := range all {
			dec := json.NewDecoder(bytes.NewReader(s.payload))
			dec.UseNumber()
			if err := dec.Decode(&s.doc); err != nil {
				tb.Fatalf("%s %s: %v", s.name, s.typ, err)
			}
			fresh := false
			walkStrings(s.doc, "", func(path, _ string) {
				if key := s.typ + " " + path; !seen[key] {
					seen[key], fresh = true, true
				}
			})
			if fresh {
				s.doc = thin(s.doc, "", map[string]bool{})
				list = append(list, s)
			}
		}
	}()
	for _, s := range fixtures(tb) {
		if s.header.Object != nil {
			list = append(list, sample{name: s.name, typ: "(item)", payload: s.header.Bytes()})
		}
		switch {
		case opaqueTypes[s.typ] || len(s.payload) == 0:
			continue
		case s.typ == "replay_recording":
			s.payload = inflated(tb, s.payload)
		}
		list = append(list, s)
	}
	return list
}

// thin leaves out list entries whose fields stand in entries before them.
func thin(doc any, path string, seen map[string]bool) any {
	switch v := doc.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = thin(e, path+"."+k, seen)
		}
	case []any:
		if len(v) <= 2 {
			break
		}
		var kept []any
		for i, e := range v {
			fresh := i < 3
			walkStrings(e, path, func(p, _ string) {
				if !seen[p] {
					seen[p], fresh = true, true
				}
			})
			if fresh {
				kept = append(kept, thin(e, path, seen))
			}
		}
		return kept
	}
	return doc
}

func inflated(tb testing.TB, payload []byte) []byte {
	_, body, ok := bytes.Cut(payload, []byte("\n"))
	if !ok {
		tb.Fatal("a recording without its first line")
	}
	if body[0] == '[' {
		return body
	}
	zr, err := zlib.NewReader(bytes.NewReader(body))
	if err != nil {
		tb.Fatal(err)
	}
	plain, err := io.ReadAll(zr)
	if err != nil {
		tb.Fatal(err)
	}
	return plain
}

// plant scrubs each sample with the canary everywhere and tells where it stays.
func plant(tb testing.TB, r *Rules, c canary, samples []sample) []string {
	if c.secret == "" {
		c.secret = c.planted
	}
	leaks := map[string]bool{}
	for _, s := range samples {
		for _, how := range []string{"%[1]s", "%[2]s %[1]s"} {
			planted := marshal(tb, planting(s.doc, c, how))
			out := scrubSample(tb, r, s, planted)
			var after any
			dec := json.NewDecoder(bytes.NewReader(out))
			dec.UseNumber()
			if err := dec.Decode(&after); err != nil {
				tb.Fatalf("%s %s: scrubbed to no JSON: %v\n%s", s.name, s.typ, err, out)
			}
			walkStrings(after, "", func(path, text string) {
				if strings.Contains(text, c.secret) && !c.exempt(s, path) {
					leaks[fmt.Sprintf("%s %s (%s)", s.typ, path, how)] = true
				}
			})
			if c.member != "" {
				break
			}
		}
	}
	list := make([]string, 0, len(leaks))
	for l := range leaks {
		list = append(list, l)
	}
	sort.Strings(list)
	return list
}

func scrubSample(tb testing.TB, r *Rules, s sample, payload []byte) []byte {
	root, typ := (*node)(nil), s.typ
	switch typ {
	case "(header)":
		root = envelopeHeader
	case "(item)":
		root = itemHeader
	case "replay_recording":
		root = recording
	}
	hits := make([]int, len(r.names))
	ip := addresses{remove: r.cfg.IP}
	var out []byte
	var err error
	if root != nil {
		out, err = r.json(root, payload, ip, hits, nil, false)
	} else {
		out, err = r.scrub(typ, payload, ip, hits, nil)
	}
	if err != nil {
		tb.Fatalf("%s %s: %v", s.name, s.typ, err)
	}
	return out
}

// planting is a copy of doc with the canary in every string, or the member in
// every object.
func planting(doc any, c canary, how string) any {
	switch v := doc.(type) {
	case map[string]any:
		m := make(map[string]any, len(v)+1)
		for k, e := range v {
			m[k] = planting(e, c, how)
		}
		if c.member != "" {
			var extra map[string]any
			dec := json.NewDecoder(strings.NewReader("{" + c.member + "}"))
			dec.UseNumber()
			if err := dec.Decode(&extra); err != nil {
				panic(err)
			}
			for k, e := range extra {
				m[k] = e
			}
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = planting(e, c, how)
		}
		return l
	case string:
		if c.member == "" {
			return fmt.Sprintf(how, c.planted, v)
		}
	}
	return doc
}

func marshal(tb testing.TB, doc any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(doc); err != nil {
		tb.Fatal(err)
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// walkStrings visits every string, number and key; list positions are left out of paths.
func walkStrings(doc any, path string, visit func(path, text string)) {
	switch v := doc.(type) {
	case map[string]any:
		for k, e := range v {
			p := k
			if path != "" {
				p = path + "." + k
			}
			visit(p, k)
			walkStrings(e, p, visit)
		}
	case []any:
		for _, e := range v {
			walkStrings(e, path, visit)
		}
	case string:
		visit(path, v)
	case json.Number:
		visit(path, v.String())
	}
}
