package vitals

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"breakwater/ingest"
)

// snapshot is what survives a graceful stop: what waits, and what was already
// observed. Keys are hashes, so the seed goes along.
type snapshot struct {
	Version int            `json:"version"`
	Seed    uint64         `json:"seed"`
	Waiting []waiting      `json:"waiting"`
	Pages   []snapshotPage `json:"pages,omitempty"`
	Seen    []byte         `json:"seen"` // little-endian hashes, oldest generation first
	// Releases are those that have a label, or had one, by project.
	Releases map[string]snapshotReleases `json:"releases,omitempty"`
}

type snapshotReleases struct {
	Values []string `json:"values"` // oldest first
	Former []string `json:"former,omitempty"`
}

type waiting struct {
	Project string    `json:"project"`
	Vital   string    `json:"vital"`
	Key     uint64    `json:"key"`
	Nav     string    `json:"nav"`
	Sentry  bool      `json:"sentry,omitempty"`
	Value   float64   `json:"value"`
	Env     string    `json:"env"`
	Release string    `json:"release,omitempty"`
	Route   string    `json:"route"`
	Device  string    `json:"device"`
	Trace   string    `json:"trace,omitempty"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Sent    time.Time `json:"sent,omitzero"`
	Steps   []float64 `json:"steps,omitempty"` // pairs
}

type snapshotPage struct {
	Project string    `json:"project"`
	Release string    `json:"release,omitempty"`
	Vital   string    `json:"vital"`
	Last    time.Time `json:"last"`
}

const snapshotVersion = 1

// Save writes what waits to settle and what was observed. Call it when no more
// requests come in; what it wrote must then not be Flushed too.
func (v *Vitals) Save(w io.Writer) error {
	v.mu.Lock()
	s := snapshot{Version: snapshotVersion, Seed: v.seed}
	for e := v.table.age.age.next; e != &v.table.age; e = e.age.next {
		o := waiting{
			Project: e.project.name, Vital: specs[e.vital].name, Key: e.key, Nav: navTypes[e.nav], Sentry: e.sentry, Value: e.value,
			Env: e.env, Release: e.release, Route: e.route, Device: e.device, Trace: e.trace, First: e.first, Last: e.last, Sent: e.sent,
		}
		for _, st := range e.steps {
			o.Steps = append(o.Steps, st.from, st.to)
		}
		s.Waiting = append(s.Waiting, o)
	}
	for p, last := range v.pages {
		s.Pages = append(s.Pages, snapshotPage{p.project.name, p.release, specs[p.vital].name, last})
	}
	for _, h := range v.table.seen.Hashes() {
		s.Seen = binary.LittleEndian.AppendUint64(s.Seen, h)
	}
	v.mu.Unlock()
	s.Releases = map[string]snapshotReleases{}
	for name, p := range *v.projects.Load() {
		p.mu.Lock()
		s.Releases[name] = snapshotReleases{p.releases.Values(), slices.Clone(p.releases.Former())}
		p.mu.Unlock()
	}
	if err := json.NewEncoder(w).Encode(&s); err != nil {
		return fmt.Errorf("writing the vitals snapshot: %w", err)
	}
	return nil
}

// Load takes a snapshot over into a recorder that has not recorded yet; call
// SetProjects before. Nothing is taken over from a snapshot that cannot be
// read.
func (v *Vitals) Load(r io.Reader) error {
	var s snapshot
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return fmt.Errorf("reading the vitals snapshot: %w", err)
	}
	if s.Version != snapshotVersion || len(s.Seen)%8 != 0 {
		return fmt.Errorf("reading the vitals snapshot: version %d is not %d, or it is cut", s.Version, snapshotVersion)
	}
	for _, o := range s.Waiting {
		if v, ok := lookup(o.Vital); !ok || len(o.Steps)%2 != 0 || o.Route == "" || !(o.Value >= 0 && o.Value <= specs[v].max/specs[v].div) {
			return fmt.Errorf("reading the vitals snapshot: an entry for %q is not valid", o.Vital)
		}
	}
	now := v.cfg.Now()
	for name, r := range s.Releases {
		p := v.project(name)
		p.mu.Lock()
		p.releases.Restore(r.Former, r.Values)
		p.mu.Unlock()
	}
	entries := make([]*entry, 0, len(s.Waiting))
	for _, o := range s.Waiting {
		k, _ := lookup(o.Vital)
		p := v.project(o.Project)
		e := &entry{key: o.Key, first: o.First, last: o.Last, sent: o.Sent, observation: observation{
			project: p, vital: k, nav: navType(o.Nav), sentry: o.Sentry, value: o.Value,
			route: o.Route, device: o.Device, trace: traceID(o.Trace),
		}}
		e.env, e.release = p.slots(o.Env, o.Release, now)
		for i := 0; i < len(o.Steps); i += 2 {
			e.steps = append(e.steps, step{o.Steps[i], o.Steps[i+1]})
		}
		entries = append(entries, e)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.table.entries) > 0 || v.table.seen.Len() > 0 {
		return errors.New("reading the vitals snapshot: this recorder has already recorded")
	}
	v.seed = s.Seed
	for _, e := range entries {
		v.table.entries[e.key] = e
		v.table.pushAge(e)
	}
	slices.SortStableFunc(entries, func(a, b *entry) int { return a.last.Compare(b.last) })
	for _, e := range entries {
		v.table.pushQuiet(e)
	}
	for i := 0; i < len(s.Seen); i += 8 {
		v.table.seen.Add(binary.LittleEndian.Uint64(s.Seen[i:]))
	}
	for _, p := range s.Pages {
		if k, ok := lookup(p.Vital); ok {
			v.note(scope{v.project(p.Project), p.Release, k}, p.Last)
		}
	}
	return nil
}

// SaveFile is Save into a file that appears whole or not at all.
func (v *Vitals) SaveFile(path string) error { return ingest.SaveState(path, v.Save) }

// LoadFile is Load from a file, which is then removed: it is good for one
// start, or what it holds would be counted twice after a crash. No file is no
// error. A file that cannot be read is put aside as path.broken and reported.
func (v *Vitals) LoadFile(path string) error { return ingest.LoadState(path, v.Load) }
