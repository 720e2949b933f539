package health

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"
	"time"

	"github.com/axiomhq/hyperloglog"

	"breakwater/ingest"
)

// snapshot is what survives an orderly stop: what was counted, as hashes with
// their seed; the sketches of the day with their salt; which releases had the
// places, so that the newest are still the newest.
type snapshot struct {
	Version  int               `json:"version"`
	Seed     uint64            `json:"seed"`
	Salt     uint64            `json:"salt"`
	Day      int64             `json:"day"`
	Seen     []byte            `json:"seen"` // little-endian hashes, oldest generation first
	Projects []snapshotProject `json:"projects"`
}

type snapshotProject struct {
	Name     string            `json:"name"`
	Releases []snapshotRelease `json:"releases"` // oldest first
	Former   []string          `json:"former"`   // releases that lost their place
	Users    []snapshotUsers   `json:"users"`
}

type snapshotRelease struct {
	Name      string    `json:"name"`
	FirstSeen time.Time `json:"first_seen"`
}

type snapshotUsers struct {
	Environment string `json:"environment"`
	Release     string `json:"release"`
	Users       []byte `json:"users,omitempty"`
	Crashed     []byte `json:"crashed,omitempty"`
}

const snapshotVersion = 1

// Save writes the snapshot. Call it when no more requests come in.
func (h *Health) Save(w io.Writer) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turnDay(h.cfg.Now())
	s := snapshot{Version: snapshotVersion, Seed: h.seed, Salt: h.salt, Day: h.day}
	for _, x := range h.seen.Hashes() {
		s.Seen = binary.LittleEndian.AppendUint64(s.Seen, x)
	}
	for name, p := range h.projects {
		sp := snapshotProject{Name: name, Former: p.releases.Former()}
		for _, r := range p.releases.Values() {
			sp.Releases = append(sp.Releases, snapshotRelease{r, p.firstSeen[r]})
		}
		for k, one := range p.series {
			u := snapshotUsers{Environment: k.environment, Release: k.release}
			var err error
			if u.Users, err = packed(one.users); err != nil {
				return err
			}
			if u.Crashed, err = packed(one.crashedUsers); err != nil {
				return err
			}
			sp.Users = append(sp.Users, u)
		}
		sort.Slice(sp.Users, func(i, j int) bool {
			a, b := sp.Users[i], sp.Users[j]
			return a.Environment < b.Environment || a.Environment == b.Environment && a.Release < b.Release
		})
		s.Projects = append(s.Projects, sp)
	}
	if err := json.NewEncoder(w).Encode(&s); err != nil {
		return fmt.Errorf("writing the health snapshot: %w", err)
	}
	return nil
}

func packed(sk *hyperloglog.Sketch) ([]byte, error) {
	if sk == nil {
		return nil, nil
	}
	b, err := sk.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("writing a sketch of users: %w", err)
	}
	return b, nil
}

func unpacked(b []byte) (sk *hyperloglog.Sketch, err error) {
	if len(b) == 0 {
		return nil, nil
	}
	defer func() {
		if p := recover(); p != nil { // the library trusts what it reads
			sk, err = nil, fmt.Errorf("reading a sketch of users: %v", p)
		}
	}()
	sk = &hyperloglog.Sketch{}
	if err := sk.UnmarshalBinary(b); err != nil {
		return nil, fmt.Errorf("reading a sketch of users: %w", err)
	}
	return sk, nil
}

// merged is a sketch of the users of both; nil is none. Sketches of another
// precision than ours, which no snapshot holds, are left out.
func merged(a, b *hyperloglog.Sketch) *hyperloglog.Sketch {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	_ = a.Merge(b)
	return a
}

// Load takes a snapshot over into a stage that has not counted yet. Sketches of
// another day than today are left. Nothing is taken over from a snapshot that
// cannot be read.
func (h *Health) Load(r io.Reader) error {
	var s snapshot
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return fmt.Errorf("reading the health snapshot: %w", err)
	}
	if s.Version != snapshotVersion || len(s.Seen)%8 != 0 {
		return fmt.Errorf("reading the health snapshot: version %d is not %d, or it is cut", s.Version, snapshotVersion)
	}
	sketches := map[*snapshotUsers][2]*hyperloglog.Sketch{}
	for i := range s.Projects {
		for j := range s.Projects[i].Users {
			u := &s.Projects[i].Users[j]
			users, err := unpacked(u.Users)
			if err != nil {
				return err
			}
			crashed, err := unpacked(u.Crashed)
			if err != nil {
				return err
			}
			sketches[u] = [2]*hyperloglog.Sketch{users, crashed}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seen.Len() > 0 {
		return errors.New("reading the health snapshot: this stage has already counted")
	}
	now := h.cfg.Now()
	h.turnDay(now)
	today := s.Day == h.day
	if today {
		h.salt = s.Salt
	}
	h.seed = s.Seed
	for i := 0; i < len(s.Seen); i += 8 {
		h.seen.Add(binary.LittleEndian.Uint64(s.Seen[i:]))
	}
	for i := range s.Projects {
		sp := &s.Projects[i]
		p := h.project(sp.Name)
		names := make([]string, len(sp.Releases))
		for j, r := range sp.Releases {
			names[j] = ingest.CleanLabel(r.Name, maxRelease)
		}
		p.releases.Restore(sp.Former, names)
		for j, r := range sp.Releases {
			if !r.FirstSeen.IsZero() && p.releases.Current(names[j]) {
				p.firstSeen[names[j]] = r.FirstSeen
			}
		}
		for j := range sp.Users {
			u := &sp.Users[j]
			_, one := h.series(sp.Name, ingest.CleanLabel(u.Environment, maxEnvironment), ingest.CleanLabel(u.Release, maxRelease), now)
			if today { // several releases are one when places have become fewer
				one.users, one.crashedUsers = merged(one.users, sketches[u][0]), merged(one.crashedUsers, sketches[u][1])
			}
		}
	}
	return nil
}

// SaveFile is Save into a file that appears whole or not at all.
func (h *Health) SaveFile(path string) error { return ingest.SaveState(path, h.Save) }

// LoadFile is Load from such a file, which is then removed. No file is no
// error; one that cannot be read is put aside as path.broken and reported.
func (h *Health) LoadFile(path string) error { return ingest.LoadState(path, h.Load) }
