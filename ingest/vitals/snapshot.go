package vitals

import (
	"cmp"
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
// observed. Keys are hashes, so the seeds go along.
type snapshot struct {
	Version int            `json:"version"`
	Seed    [2]uint64      `json:"seed"`
	Waiting []waiting      `json:"waiting"`
	Pages   []snapshotPage `json:"pages,omitempty"`
	Seen    []byte         `json:"seen"` // keys, their halves little-endian, oldest generation first
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
	Key     [2]uint64 `json:"key"`
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
	Sent    int64     `json:"sent,omitempty"`  // microseconds
	Steps   []float64 `json:"steps,omitempty"` // pairs, oldest first
}

type snapshotPage struct {
	Project string    `json:"project"`
	Release string    `json:"release,omitempty"`
	Vital   string    `json:"vital"`
	Last    time.Time `json:"last"`
}

const (
	snapshotVersion = 2
	keySize         = 16 // bytes
)

// Save writes what waits to settle and what was observed. Call it when no more
// requests come in; what it wrote must then not be Flushed too.
func (v *Vitals) Save(w io.Writer) error {
	v.mu.Lock()
	s := snapshot{Version: snapshotVersion, Seed: v.seed}
	t := v.table
	for n := t.at(0).age.next; n != 0; n = t.at(n).age.next {
		e, l := t.at(n), t.labels.sets[t.at(n).labels].labels
		o := waiting{
			Project: l.project.name, Vital: specs[e.vital].name, Key: [2]uint64{e.key.high, uint64(e.key.low)}, Nav: navTypes[e.nav], Sentry: e.sentry, Value: e.value,
			Env: l.env, Release: l.release, Route: l.route, Device: l.device, Trace: e.trace.String(),
			First: t.base.Add(e.first), Last: t.base.Add(e.last), Sent: e.sent,
		}
		for _, st := range t.steps.list(e.steps, nil) {
			o.Steps = append(o.Steps, st.from, st.to)
		}
		s.Waiting = append(s.Waiting, o)
	}
	for p, last := range v.pages {
		s.Pages = append(s.Pages, snapshotPage{p.project.name, p.release, specs[p.vital].name, last})
	}
	observed := t.ids.observedKeys()
	s.Seen = make([]byte, 0, keySize*len(observed))
	for _, k := range observed {
		s.Seen = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(s.Seen, k.high), uint64(k.low))
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
	if s.Version != snapshotVersion || len(s.Seen)%keySize != 0 {
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
	v.mu.Lock()
	defer v.mu.Unlock()
	t := v.table
	if !t.ids.empty() {
		return errors.New("reading the vitals snapshot: this recorder has already recorded")
	}
	v.seed = s.Seed
	var numbers []uint32
	for _, o := range s.Waiting {
		id := key{o.Key[0], uint32(o.Key[1])}
		place := t.ids.put(id)
		if _, twice := place.waiting(); twice {
			continue
		}
		k, _ := lookup(o.Vital)
		l := labels{project: v.project(o.Project), route: o.Route, device: o.Device}
		l.env, l.release = l.project.slots(o.Env, o.Release, now)
		n := t.add(place, &entry{
			key: id, value: o.Value, first: past(o.First, now).Sub(t.base), last: past(o.Last, now).Sub(t.base), sent: o.Sent,
			trace: traceID(o.Trace), vital: k, nav: navType(o.Nav), sentry: o.Sentry,
		}, &l)
		for i := 0; i < min(len(o.Steps), 2*maxSteps); i += 2 {
			t.at(n).steps = t.steps.push(t.at(n).steps, step{o.Steps[i], o.Steps[i+1]})
		}
		t.pushAge(n)
		numbers = append(numbers, n)
	}
	slices.SortStableFunc(numbers, func(a, b uint32) int { return cmp.Compare(t.at(a).last, t.at(b).last) })
	for _, n := range numbers {
		t.pushQuiet(n)
	}
	for i := 0; i < len(s.Seen); i += keySize {
		t.first(key{binary.LittleEndian.Uint64(s.Seen[i:]), binary.LittleEndian.Uint32(s.Seen[i+8:])})
	}
	for _, p := range s.Pages {
		if k, ok := lookup(p.Vital); ok && k < webVitals {
			v.note(scope{v.project(p.Project), p.Release, k}, past(p.Last, now))
		}
	}
	return nil
}

// past is a time of a snapshot. One that lies in the future was written before
// the clock was set back: it is now, or what it belongs to would wait until then,
// and all that is reported later behind it.
func past(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// SaveFile is Save into a file that appears whole or not at all.
func (v *Vitals) SaveFile(path string) error { return ingest.SaveState(path, v.Save) }

// LoadFile is Load from a file, which is then removed: it is good for one
// start, or what it holds would be counted twice after a crash. No file is no
// error. A file that cannot be read is put aside as path.broken and reported.
func (v *Vitals) LoadFile(path string) error { return ingest.LoadState(path, v.Load) }
