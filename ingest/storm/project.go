package storm

import (
	"encoding/binary"
	"encoding/hex"
	"hash/maphash"
	"sync"
	"time"

	"breakwater/ingest"
)

// ID is a fingerprint: the same bug has the same in every release.
type ID [16]byte

// String is the ID as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

const (
	// idleAfter is how long a fingerprint is remembered after it was last seen, and
	// at least for two windows.
	idleAfter = 24 * time.Hour
	// maxStorms bounds the storms of a project that can end with a summary.
	maxStorms = 10_000
)

// project is one project's state, guarded by mu.
type project struct {
	name string

	mu      sync.Mutex
	cfg     Config
	window  int64
	table   *table
	clients *clients
	storms  map[uint64]*storm
	samples *samples
	ended   []*storm
	// last is who sends now: the summary goes out in its name.
	last *ingest.Project
	key  *ingest.Key
}

// storm is a fingerprint under suppression: from the first error suppressed
// until none was for the length of a window. Of one that all gateways count
// together it holds what this gateway has decided alone meanwhile: they know of
// the rest, and one of them sums it up.
type storm struct {
	id                         ID
	key                        uint64
	title, release, env, level string
	start, lastSuppressed      int64
	seen, forwarded            uint64
	project                    *ingest.Project
	publicKey                  *ingest.Key
	eventID                    string
}

func newProject(name string, cfg Config) *project {
	return &project{
		name: name, cfg: cfg, window: int64(cfg.Window),
		table:   newTable(cfg.MaxFingerprints, cfg.First),
		clients: newClients(), storms: map[uint64]*storm{}, samples: newSamples(),
	}
}

func (p *project) configure(cfg Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg, p.window = cfg, int64(cfg.Window)
	p.table.limit(cfg.MaxFingerprints, cfg.First)
}

// occurrence is one error as the decision needs it.
type occurrence struct {
	id                  ID
	release, env, level string
	client              clientID
	project             *ingest.Project
	publicKey           *ingest.Key
	title               string
	clean               bool // the title has been scrubbed
}

// public is the key that sent it, "" without one.
func (o *occurrence) public() string {
	if o.publicKey == nil {
		return ""
	}
	return o.publicKey.Public
}

// verdict is the decision on one error.
type verdict struct {
	forward bool
	// oneIn is how many errors this one stands for: 1 outside a storm and for
	// the first of a window.
	oneIn int
	// since is how many were suppressed since the last that was forwarded.
	since uint64
	// fresh says that the fingerprint has no title yet.
	fresh bool
	// stop says that the client should send no errors for a while.
	stop bool
}

var releaseSeed = maphash.MakeSeed()

// key joins fingerprint and release to what is counted on its own.
func (o *occurrence) key() uint64 {
	return binary.LittleEndian.Uint64(o.id[:8]) ^ maphash.String(releaseSeed, o.release)
}

// decide counts an occurrence and says what becomes of it. shared is what all
// gateways together say; without it this one decides, as one of share.
func (p *project) decide(o *occurrence, now time.Time, share int, shared *ingest.Answer) verdict {
	at := now.UnixNano()
	key := o.key()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.key = o.project, o.publicKey

	v := verdict{oneIn: 1}
	e := p.table.see(key, uint32(now.Unix()), func(e *entry) {
		v.fresh = true
		e.id, e.windowStart = o.id, at
		e.release = p.table.releaseIndex(o.release)
	})
	if at-e.windowStart >= p.window || at < e.windowStart-p.window {
		e.windowStart, e.inWindow, e.untold = at, 0, 0
	}
	e.inWindow++
	st := p.storms[key]
	if st != nil && at-st.lastSuppressed >= p.window {
		p.finish(st)
		st = nil
	}
	over := int64(e.inWindow) - int64(max(1, p.cfg.First/share))
	if shared != nil {
		over = shared.Count - int64(p.cfg.First)
		v.forward = shared.Passed
	} else {
		v.forward = over <= 0 || over%int64(p.cfg.ThenOneIn) == 0
	}
	if v.forward {
		if over > 0 {
			v.oneIn = p.cfg.ThenOneIn
		}
		v.since, e.since = uint64(e.since), 0
		if shared != nil {
			v.since += uint64(shared.Since)
		}
		e.forwarded++
	} else {
		if shared == nil { // otherwise all count them together
			e.since++
		}
		if st == nil {
			st = p.begin(e, o, at)
		}
		st.lastSuppressed = at
	}
	switch {
	case shared != nil: // the others know of it
	case st == nil:
		e.untold++
	default:
		st.seen++
		if v.forward {
			st.forwarded++
		}
	}
	if o.client.addr.IsValid() {
		cl := p.clients.get(o.client)
		cl.saw(key, at, p.window)
		if !v.forward {
			cl.wasSuppressed(at, p.window)
			v.stop = cl.onlyStorms(at, p.window, func(k uint64) bool { return p.storming(k, at) })
		}
	}
	return v
}

// unknown notes an error of a client that has no fingerprint.
func (p *project) unknown(id clientID, now time.Time) {
	if !id.addr.IsValid() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients.get(id).sawOther(now.UnixNano())
}

func (p *project) storming(key uint64, at int64) bool {
	st := p.storms[key]
	return st != nil && at-st.lastSuppressed < p.window
}

// begin opens a storm at the first suppressed error; those of the same window
// that passed before it belong to it.
func (p *project) begin(e *entry, o *occurrence, at int64) *storm {
	st := &storm{
		id: o.id, key: e.key, title: e.title,
		release: own(o.release), env: own(o.env), level: own(o.level),
		start: e.windowStart, lastSuppressed: at,
		seen: uint64(e.untold), forwarded: uint64(e.untold),
		project: o.project, publicKey: o.publicKey,
	}
	e.untold = 0
	if len(p.storms) < maxStorms {
		p.storms[e.key] = st
	}
	return st
}

// finish ends a storm; its summary waits for the next sweep. There is none when
// all gateways have decided on everything together.
func (p *project) finish(st *storm) {
	delete(p.storms, st.key)
	if st.seen == 0 {
		return
	}
	if e := p.table.find(st.key); e != nil && st.title == "" {
		st.title = e.title
	}
	st.eventID = newEventID()
	p.queue(st)
}

func (p *project) queue(st *storm) {
	if len(p.ended) < maxStorms {
		p.ended = append(p.ended, st)
	}
}

// describe gives a fresh fingerprint its title.
func (p *project) describe(key uint64, title string) {
	title = own(cut(title, maxTitle))
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.table.find(key); e != nil {
		e.title = title
	}
}

// sweep ends the storms that are over, all of them when asked to, forgets what
// is idle and hands out the storms that ended.
func (p *project) sweep(now time.Time, all bool) []*storm {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := now.UnixNano()
	for _, st := range p.storms {
		if all || at-st.lastSuppressed >= p.window {
			p.finish(st)
		}
	}
	idle := max(idleAfter, 2*p.cfg.Window)
	p.table.expire(uint32(max(now.Add(-idle).Unix(), 0)))
	p.table.tidyReleases()
	ended := p.ended
	p.ended = nil
	return ended
}

// giveBack keeps a storm whose summary could not be stored for the next sweep.
func (p *project) giveBack(st *storm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue(st)
}

// own copies a short string out of a payload, so that it does not keep it.
func own(s string) string { return string(append([]byte(nil), cut(s, maxName)...)) }
