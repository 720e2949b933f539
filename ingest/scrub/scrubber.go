package scrub

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"breakwater/ingest"
	"breakwater/schemas"
)

// ReasonOpaque is the outcome reason (with outcome filtered) of an item dropped
// by Config.Opaque: drop.
const ReasonOpaque = "scrub_opaque"

// MaxSpilled is how large a spilled JSON payload or recording may be to be
// scrubbed, in bytes; larger ones are opaque. One is in memory at a time.
const MaxSpilled = 64 << 20

// Scrubber is the stage that scrubs every batch by its project's rules. It may
// be configured while it works.
type Scrubber struct {
	table   atomic.Pointer[table]
	spiller ingest.Spiller
	metrics *metrics
	large   sync.Mutex // held while a spilled payload is in memory
}

type table struct {
	projects map[string]*Rules
	fallback *Rules
}

var _ ingest.Stage = (*Scrubber)(nil)

// New makes a scrubber that applies DefaultConfig to every project until it is
// configured. spiller takes payloads that were spilled and had to be changed;
// nil keeps those in memory.
func New(reg prometheus.Registerer, spiller ingest.Spiller) *Scrubber {
	s := &Scrubber{spiller: spiller, metrics: newMetrics(reg)}
	fallback, err := Compile(DefaultConfig())
	if err != nil {
		panic(err) // a constant
	}
	s.table.Store(&table{fallback: fallback})
	return s
}

// Configure puts new configurations in force, by project name. One that is
// wrong changes nothing; the error tells every fault. Projects not named get
// DefaultConfig.
func (s *Scrubber) Configure(configs map[string]Config) error {
	t := &table{projects: make(map[string]*Rules, len(configs)), fallback: s.table.Load().fallback}
	var errs []error
	for name, c := range configs {
		r, err := Compile(c)
		if err != nil {
			errs = append(errs, fmt.Errorf("project %s: scrub: %w", name, err))
			continue
		}
		t.projects[name] = r
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for name, r := range t.projects {
		s.metrics.prepare(name, r)
	}
	s.table.Store(t)
	return nil
}

// For are the rules in force for a project.
func (s *Scrubber) For(project string) *Rules {
	t := s.table.Load()
	if r := t.projects[project]; r != nil {
		return r
	}
	return t.fallback
}

// Name is the stage's word for logs and traces.
func (s *Scrubber) Name() string { return "scrub" }

// Apply scrubs the envelope header, every item header and every payload of the
// batch, and settles the client's address: when addresses are scrubbed, or any
// part of the envelope says infer_ip: never, Request.ClientIP is cleared, so
// that it reaches neither the record's Meta nor an upstream; otherwise
// {{auto}} becomes that address if the project forwards it. Run it last: what
// is decided after it sees only what is left.
func (s *Scrubber) Apply(b *ingest.Batch) error {
	project := ingest.UnknownProject
	forward := false
	if p := b.Request.Project; p != nil {
		project, forward = p.Name, p.ForwardIP
	}
	r := s.For(project)
	never := r.cfg.IP || s.anyNever(b)
	ip := addresses{remove: r.cfg.IP}
	switch {
	case never || !forward:
	case b.Request.ClientIP.IsValid():
		ip.auto = b.Request.ClientIP.Unmap().String()
	default:
		ip.leave = true
	}
	if never {
		b.Request.ClientIP = netip.Addr{}
	}
	if len(b.Items) == 0 && b.Header.Object == nil {
		return nil // measurements only
	}
	hits := make([]int, len(r.names))
	if b.Header.Object != nil {
		if o, ok := r.header(envelopeHeader, b.Header.Object, ip, hits); ok {
			b.Header = schemas.EnvelopeHeader{Object: o}
		}
	}
	for _, it := range b.Items {
		if it.Alive() {
			s.item(b, it, r, ip, hits)
		}
	}
	s.metrics.count(project, r, hits)
	return nil
}

// header scrubs a header line; ok when it changed.
func (r *Rules) header(root *node, o *schemas.Object, ip addresses, hits []int) (*schemas.Object, bool) {
	raw := o.Bytes()
	out, err := r.walk(root, raw, ip, hits, nil, false) // a header was parsed before: it is JSON, and its lines are short
	if err != nil || sameSlice(out, raw) {
		return nil, false
	}
	return schemas.ViewObject(out)
}

func (s *Scrubber) item(b *ingest.Batch, it *ingest.Item, r *Rules, ip addresses, hits []int) {
	if o := it.Header.Object; o != nil {
		if o, ok := r.header(itemHeader, o, ip, hits); ok {
			it.Header.Object = o
		}
	}
	if typ := it.Header.Type; remarkable[typ] && ip.remove && !r.off[ruleIP] {
		// Before the edits of all stages are written: that costs a copy of the event.
		if ev := it.Event(); ev != nil && !infers(ev.Object) {
			askNever(ev.Object)
		}
	}
	payload, inMemory := it.InMemory()
	if !inMemory {
		s.spilled(b, it, r, ip, hits)
		return
	}
	var out []byte
	var err error
	if typ := it.Header.Type; it.Checked() && typ != "replay_recording" && !opaqueTypes[typ] {
		out, err = r.walk(rootOf(typ), payload, ip, hits, nil, remarkable[typ])
	} else {
		out, err = r.scrub(typ, payload, ip, hits, nil)
	}
	switch {
	case err != nil:
		s.opaque(b, it, r)
	case !sameSlice(out, payload):
		it.SetPayload(out)
	}
}

func (s *Scrubber) opaque(b *ingest.Batch, it *ingest.Item, r *Rules) {
	if r.cfg.Opaque == Drop {
		b.Drop(it, schemas.Filtered, ReasonOpaque)
	}
}

// spilled scrubs a payload that lies in a file, one at a time.
func (s *Scrubber) spilled(b *ingest.Batch, it *ingest.Item, r *Rules, ip addresses, hits []int) {
	if opaqueTypes[it.Header.Type] {
		s.opaque(b, it, r)
		return
	}
	s.large.Lock()
	defer s.large.Unlock()
	payload, err := load(it.Payload)
	if err != nil {
		s.opaque(b, it, r)
		return
	}
	out, err := r.scrub(it.Header.Type, payload, ip, hits, nil)
	switch {
	case err != nil:
		s.opaque(b, it, r)
		return
	case sameSlice(out, payload):
		return
	}
	if f, ok := it.Payload.(ingest.Spill); ok {
		f.Discard() // before the new one asks for room
	}
	if kept, err := s.spill(b.Request.Project.Name, out); err == nil {
		it.SetPayload(nil)
		it.Payload = kept
	} else {
		it.SetPayload(out) // memory for one item, rather than the unscrubbed one
	}
}

var errTooLarge = errors.New("too large to be scrubbed")

func load(body schemas.Body) ([]byte, error) {
	size := body.Size()
	if size > MaxSpilled {
		return nil, errTooLarge
	}
	rc, err := body.Open()
	if err != nil {
		return nil, fmt.Errorf("opening a spilled payload: %w", err)
	}
	defer rc.Close()
	payload := make([]byte, size)
	if _, err := io.ReadFull(rc, payload); err != nil {
		return nil, fmt.Errorf("reading a spilled payload: %w", err)
	}
	return payload, nil
}

func (s *Scrubber) spill(project string, payload []byte) (ingest.Spill, error) {
	if s.spiller == nil {
		return nil, errors.New("no place to spill to")
	}
	f, err := s.spiller.Spill(project)
	if err != nil {
		return nil, fmt.Errorf("spilling: %w", err)
	}
	if _, err = f.Write(payload); err == nil {
		err = f.Finish()
	}
	if err != nil {
		f.Discard()
		return nil, fmt.Errorf("spilling: %w", err)
	}
	return f, nil
}

// anyNever tells whether any part of the batch says infer_ip: never.
func (s *Scrubber) anyNever(b *ingest.Batch) bool {
	if b.Header.Object != nil && objectSaysNever(b.Header.Object) {
		return true
	}
	for _, it := range b.Items {
		if !it.Alive() || opaqueTypes[it.Header.Type] || it.Header.Type == "replay_recording" {
			continue
		}
		payload, ok := it.InMemory()
		if !ok {
			s.large.Lock()
			payload, _ = load(it.Payload)
			never := saysNever(payload)
			s.large.Unlock()
			if never {
				return true
			}
			continue
		}
		if saysNever(payload) {
			return true
		}
	}
	return false
}
