package scrub

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/schemas"
)

// ErrOpaque says that a payload cannot be looked into: it is no JSON, nests
// too deeply, or expands too far. It then passes or falls by Config.Opaque.
var ErrOpaque = errors.New("payload cannot be scrubbed")

// Count is how often a rule hit.
type Count struct {
	Rule string
	N    int
}

// Hit is one piece that a rule took.
type Hit struct {
	// Path is where: keys and list positions joined by dots, after the scrubbing.
	Path string `json:"path"`
	Rule string `json:"rule"`
}

// opaqueTypes are the item types whose payload is a file, or no JSON.
var opaqueTypes = map[string]bool{"attachment": true, "unreal_report": true, "replay_video": true, "statsd": true}

// Item scrubs one payload of an item type; unknown types count as free JSON.
// Without a hit the same slice comes back and nothing is allocated; payload is
// never written to. {{auto}} addresses stay unless Config.IP removes them:
// only Apply knows the client's. The error is ErrOpaque or wraps it; then the
// payload comes back as it was.
func (r *Rules) Item(typ string, payload []byte) ([]byte, []Count, error) {
	hits := make([]int, len(r.names))
	out, err := r.scrub(typ, payload, addresses{remove: r.cfg.IP, leave: true}, hits, nil)
	return out, r.counts(hits), err
}

// Explain is Item with the place of every hit, in order; at most 10000.
func (r *Rules) Explain(typ string, payload []byte) (after []byte, hits []Hit, err error) {
	after, err = r.scrub(typ, payload, addresses{remove: r.cfg.IP, leave: true}, make([]int, len(r.names)), r.noting(&hits))
	return after, hits, err
}

// ExplainHeader is Explain for the header line of an envelope, or of one of its
// items.
func (r *Rules) ExplainHeader(line []byte, item bool) (after []byte, hits []Hit, err error) {
	root := envelopeHeader
	if item {
		root = itemHeader
	}
	after, err = r.json(root, line, addresses{remove: r.cfg.IP, leave: true}, make([]int, len(r.names)), r.noting(&hits), false)
	return after, hits, err
}

// noting writes down where rules hit.
func (r *Rules) noting(hits *[]Hit) func([]segment, ruleID) {
	return func(path []segment, rule ruleID) {
		if len(*hits) < 10000 {
			*hits = append(*hits, Hit{Path: pathString(path), Rule: r.names[rule]})
		}
	}
}

func pathString(path []segment) string {
	var b []byte
	for i := range path {
		if i == 0 {
			continue // the root
		}
		if i > 1 {
			b = append(b, '.')
		}
		if seg := &path[i]; seg.raw != nil {
			key := seg.key
			if string(seg.raw) != string(key) {
				if s, ok := schemas.UnquoteString(seg.appendName(nil)); ok {
					key = []byte(s)
				}
			}
			b = append(b, key...)
		} else {
			b = strconv.AppendInt(b, int64(seg.index), 10)
		}
	}
	return string(b)
}

func (r *Rules) counts(hits []int) (list []Count) {
	for rule, n := range hits {
		if n > 0 {
			list = append(list, Count{r.names[rule], n})
		}
	}
	return list
}

// scrub is Item with all that a batch knows; hits are added to.
func (r *Rules) scrub(typ string, payload []byte, ip addresses, hits []int, trace func([]segment, ruleID)) ([]byte, error) {
	switch {
	case len(payload) == 0:
		return payload, nil
	case typ == "replay_recording":
		return r.recording(payload, ip, hits, trace)
	case opaqueTypes[typ]:
		return payload, ErrOpaque
	}
	return r.json(rootOf(typ), payload, ip, hits, trace, remarkable[typ])
}

// rootOf describes the payload of an item type; one that is not known may hold
// anything anywhere.
func rootOf(typ string) *node {
	if root := roots[typ]; root != nil {
		return root
	}
	return free
}

var walkers = sync.Pool{New: func() any { return &walker{} }}

// json scrubs one JSON text.
func (r *Rules) json(root *node, payload []byte, ip addresses, hits []int, trace func([]segment, ruleID), remarks bool) ([]byte, error) {
	if !schemas.Valid(payload) {
		return payload, fmt.Errorf("%w: %w", ErrOpaque, errNotJSON)
	}
	return r.walk(root, payload, ip, hits, trace, remarks)
}

// walk is json for a text that was checked before.
func (r *Rules) walk(root *node, payload []byte, ip addresses, hits []int, trace func([]segment, ruleID), remarks bool) ([]byte, error) {
	remarks = remarks && bytes.TrimLeft(payload, " \t\r\n")[0] == '{'
	w := walkers.Get().(*walker)
	defer w.release()
	w.rules, w.ip, w.hits, w.trace, w.remark = r, ip, hits, trace, remarks
	w.buf = payload
	if err := w.run(root); err != nil {
		return payload, fmt.Errorf("%w: %w", ErrOpaque, err)
	}
	out := w.finish()
	if remarks && ip.remove && !w.infer && !r.off[ruleIP] {
		out = neverInfer(out)
	}
	return out, nil
}

// What a walker keeps for the next run is bounded: keepOut in bytes, keep in
// bytes of texts and keepSteps in segments of remarks' paths.
const (
	keepOut   = 256 << 10
	keep      = 64 << 10
	keepSteps = 2 << 10
)

// release gives the walker back with its scratch space, unless that has grown.
// The pool keeps no payload alive.
func (w *walker) release() {
	clear(w.path[:cap(w.path)])
	clear(w.remarks)
	clear(w.steps)
	clear(w.rems)
	w.pass, w.t.rules, w.again.rules = pass{}, nil, nil
	w.path, w.out, w.after, w.text, w.offsets = w.path[:0], w.out[:0], w.after[:0], w.text[:0], w.offsets[:0]
	w.remarks, w.steps, w.rems = w.remarks[:0], w.steps[:0], w.rems[:0]
	if cap(w.text) > keep || cap(w.after) > keep || cap(w.t.matches) > keep/32 || cap(w.t.gaps) > keep/16 {
		w.text, w.offsets, w.t, w.again, w.after = nil, nil, texter{}, texter{}, nil
	}
	if cap(w.steps) > keepSteps || cap(w.rems) > keepSteps {
		w.steps, w.rems = nil, nil
	}
	if cap(w.out) > keepOut {
		w.out = nil
	}
	walkers.Put(w)
}

// neverInfer is askNever for a payload, which is JSON.
func neverInfer(payload []byte) []byte {
	o, ok := schemas.ViewObject(payload)
	if !ok {
		return payload
	}
	askNever(o)
	return o.Bytes()
}

// askNever writes sdk.settings.infer_ip: "never" into an event whose platform
// makes Sentry fill a missing address with the connection's: that would be the
// gateway's own.
func askNever(o *schemas.Object) {
	switch p, _ := o.String("platform"); p {
	case "javascript", "cocoa", "objc":
	default:
		return
	}
	sdk, ok := o.Object("sdk")
	if !ok {
		o.Set("sdk", jsontext.Value(`{"settings":{"infer_ip":"never"}}`))
		return
	}
	if settings, ok := sdk.Object("settings"); ok {
		settings.Set("infer_ip", jsontext.Value(`"never"`))
		sdk.Set("settings", settings.Bytes())
	} else {
		sdk.Set("settings", jsontext.Value(`{"infer_ip":"never"}`))
	}
	o.Set("sdk", sdk.Bytes())
}

// infers tells whether an event says by itself what to do about its address;
// walking over it settles that.
func infers(o *schemas.Object) bool {
	for _, at := range [][]string{{"ingest_settings", "infer_ip"}, {"sdk", "settings", "infer_ip"}} {
		if v, ok := o.Path(at[0], at[1:]...); ok && v.Kind() == '"' {
			return true
		}
	}
	return false
}

// saysNever tells whether an event or container asks that no address be inferred.
func saysNever(payload []byte) bool {
	if !bytes.Contains(payload, []byte("never")) {
		return false
	}
	o, err := schemas.ParseObject(payload)
	return err == nil && objectSaysNever(o)
}

func objectSaysNever(o *schemas.Object) bool {
	settings, ok := o.Object("ingest_settings")
	if !ok {
		if sdk, has := o.Object("sdk"); has {
			settings, ok = sdk.Object("settings")
		}
	}
	if !ok {
		return false
	}
	v, _ := settings.String("infer_ip")
	return v == "never"
}
