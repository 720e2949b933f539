package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// decoder fills a Config from a syntax tree. Unlike the YAML library's own it
// goes on after a mistake, so that all are reported at once, and remembers
// where every key stands.
type decoder struct {
	file     string
	env      Lookup
	problems Problems
	// places holds the place of every key that the file sets.
	places map[string]place
	// vars names the environment variables that went into a value, so that it
	// is not quoted in a message.
	vars    map[string][]string
	anchors map[string]ast.Node
	nodes   int
	scrub   *Scrub // general scrubbing: where that of a project begins
}

func newDecoder(file string, env Lookup) *decoder {
	return &decoder{
		file: file, env: env,
		places: map[string]place{}, vars: map[string][]string{}, anchors: map[string]ast.Node{},
	}
}

func (d *decoder) add(at place, key, reason, fix string) {
	d.problems = append(d.problems, Problem{File: d.file, Line: at.line, Column: at.column, Key: key, Reason: reason, Fix: fix})
}

// Visit collects anchors before decoding, which does not follow the file's order.
func (d *decoder) Visit(n ast.Node) ast.Visitor {
	if a, ok := n.(*ast.AnchorNode); ok && a.Name != nil && a.Name.GetToken() != nil {
		name := a.Name.GetToken().Value
		if _, twice := d.anchors[name]; twice {
			d.add(nodePlace(n), "", fmt.Sprintf("anchor &%s is defined twice", name), "rename one of them")
		}
		d.anchors[name] = a.Value
	}
	return d
}

// root decodes a whole document.
func (d *decoder) root(n ast.Node, c *Config) {
	if n == nil {
		return
	}
	ast.Walk(d, n)
	d.scrub = &c.Scrub
	d.value(n, "", reflect.ValueOf(c).Elem(), 0)
}

// spend counts a node against the bound that stops aliases of aliases from
// growing without end.
func (d *decoder) spend(at place) bool {
	d.nodes++
	if d.nodes == maxNodes {
		d.add(at, "", fmt.Sprintf("file holds more than %d values once its aliases are followed", maxNodes), "use fewer aliases")
	}
	return d.nodes < maxNodes
}

// resolve follows anchors and aliases to the node that holds the value.
func (d *decoder) resolve(n ast.Node, key string) (ast.Node, bool) {
	for range maxDepth {
		switch t := n.(type) {
		case *ast.AnchorNode:
			n = t.Value
		case *ast.AliasNode:
			name := ""
			if t.Value != nil && t.Value.GetToken() != nil {
				name = t.Value.GetToken().Value
			}
			target, ok := d.anchors[name]
			if !ok {
				d.add(nodePlace(n), key, fmt.Sprintf("alias *%s has no anchor", name), fmt.Sprintf("define &%s, or put the text into quotes", name))
				return nil, false
			}
			n = target
		case *ast.TagNode:
			d.add(nodePlace(n), key, "YAML tags are not supported", "remove the word that begins with !")
			return nil, false
		default:
			return n, true
		}
	}
	d.add(nodePlace(n), key, "alias leads back to itself", "write the value out")
	return nil, false
}

// value decodes one node into one value of any type of this package.
func (d *decoder) value(n ast.Node, key string, v reflect.Value, depth int) {
	at := nodePlace(n)
	if !d.spend(at) {
		return
	}
	if depth > maxDepth {
		d.add(at, key, "is nested too deeply", "compare the file with the example in the README")
		return
	}
	n, ok := d.resolve(n, key)
	if !ok {
		return
	}
	if n == nil || n.Type() == ast.NullType {
		return // "key:" without a value leaves the default
	}
	if isScalar(v) {
		d.scalar(n, key, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, key, v, depth)
	case reflect.Map:
		d.mapping(n, key, v, depth)
	case reflect.Slice:
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.add(at, key, "must be a list, not "+kindOf(n), "write [ … ], or one line beginning with - for each entry")
			return
		}
		list := reflect.MakeSlice(v.Type(), 0, len(seq.Values))
		for i, item := range seq.Values {
			itemKey := fmt.Sprintf("%s[%d]", key, i)
			d.places[itemKey] = nodePlace(item)
			if !d.spend(at) {
				return
			}
			list = reflect.Append(list, d.element(item, itemKey, v.Type().Elem(), depth))
		}
		v.Set(list)
	default:
		panic("config: no decoder for " + v.Type().String())
	}
}

// element decodes an entry of a list or map, from its own defaults.
func (d *decoder) element(n ast.Node, key string, t reflect.Type, depth int) reflect.Value {
	e := reflect.New(t)
	if def, ok := e.Interface().(defaulter); ok {
		def.setDefaults()
	}
	if p, ok := e.Interface().(*Project); ok {
		p.Scrub = d.scrub.switches()
	}
	d.value(n, key, e.Elem(), depth+1)
	return e.Elem()
}

// structure decodes a mapping whose keys are known.
func (d *decoder) structure(n ast.Node, key string, v reflect.Value, depth int) {
	t := v.Type()
	entries, ok := d.entries(n, key, depth)
	if !ok {
		d.add(nodePlace(n), key, "must hold keys, not "+kindOf(n), "keys here: "+strings.Join(keysOf(t), ", "))
		return
	}
	given := map[string]ast.Node{}
	for _, e := range entries {
		path := join(key, e.key)
		if fieldOf(t, e.key) < 0 {
			d.add(e.at, path, "unknown key", suggest(e.key, keysOf(t)))
			continue
		}
		given[e.key] = e.value
		d.places[path] = e.at
		if e.value != nil && e.value.Type() != ast.NullType {
			if at := nodePlace(e.value); isScalar(v.Field(fieldOf(t, e.key))) && at.line > 0 {
				d.places[path] = at
			}
		}
	}
	for i := range t.NumField() {
		name := t.Field(i).Tag.Get("yaml")
		if node, ok := given[name]; ok {
			d.value(node, join(key, name), v.Field(i), depth+1)
		}
	}
}

// mapping decodes a mapping whose keys are free.
func (d *decoder) mapping(n ast.Node, key string, v reflect.Value, depth int) {
	entries, ok := d.entries(n, key, depth)
	if !ok {
		d.add(nodePlace(n), key, "must be a mapping, not "+kindOf(n), "write name: value pairs")
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(entries))
	for _, e := range entries {
		path := join(key, e.key)
		d.places[path] = e.at
		m.SetMapIndex(reflect.ValueOf(e.key), d.element(e.value, path, v.Type().Elem(), depth))
	}
	v.Set(m)
}

type entry struct {
	key   string
	at    place
	value ast.Node
	// merged entries give way to those written out.
	merged bool
}

// entries lists a mapping's pairs, with merge keys (<<) followed; ok is false
// when the node is no mapping.
func (d *decoder) entries(n ast.Node, key string, depth int) (list []entry, ok bool) {
	m, ok := n.(ast.MapNode)
	if !ok {
		return nil, false
	}
	index := map[string]int{}
	put := func(e entry) {
		i, seen := index[e.key]
		switch {
		case !seen:
			index[e.key] = len(list)
			list = append(list, e)
		case list[i].merged && !e.merged:
			list[i] = e
		case !e.merged:
			d.add(e.at, join(key, e.key), fmt.Sprintf("key is given twice; first on line %d", list[i].at.line), "keep one of them")
		}
	}
	for it := m.MapRange(); it.Next(); {
		k, at := it.Key(), nodePlace(it.Key())
		if !d.spend(at) {
			return list, true
		}
		if k.IsMergeKey() {
			d.merge(it.Value(), key, depth, put)
			continue
		}
		kn, found := d.resolve(k, key)
		if mk, isKey := kn.(*ast.MappingKeyNode); isKey {
			kn, found = d.resolve(mk.Value, key)
		}
		if !found {
			continue
		}
		if kn == nil || !isScalarNode(kn) {
			d.add(at, key, "key must be a word", "write name: value")
			continue
		}
		put(entry{key: textOf(kn), at: at, value: it.Value()})
	}
	return list, true
}

// merge puts the pairs of one mapping, or of a list of them.
func (d *decoder) merge(n ast.Node, key string, depth int, put func(entry)) {
	n, ok := d.resolve(n, key)
	if !ok {
		return
	}
	if depth > maxDepth {
		d.add(nodePlace(n), key, "alias leads back to itself", "write the value out")
		return
	}
	sources := []ast.Node{n}
	if seq, isSeq := n.(*ast.SequenceNode); isSeq {
		sources = seq.Values
	}
	for _, s := range sources {
		if s, ok = d.resolve(s, key); !ok {
			continue
		}
		pairs, isMap := d.entries(s, key, depth+1)
		if !isMap {
			d.add(nodePlace(n), key, "<< merges mappings, not "+kindOf(s), "name an anchor of a mapping")
			continue
		}
		for _, e := range pairs {
			e.merged = true
			put(e)
		}
	}
}
