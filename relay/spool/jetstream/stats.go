package jetstream

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// walked bounds what Stats counts record by record: the first messages of the
// stream. Beyond it, it multiplies the servers' counts of messages.
const (
	walkedMessages = 2048
	walkedBytes    = 4 << 20
)

// statistics is the last look at the streams.
type statistics struct {
	bytes atomic.Int64 // in all streams: at the last look, and what was added since

	mu      sync.Mutex // held while somebody looks
	at      time.Time
	took    time.Duration
	failed  bool // servers did not answer
	changes int64
	known   map[spool.Destination]*spool.Queue
	records int64
	waiting int64 // of records, those that are not only dead letters
	growth  spool.Growth
}

func (st *statistics) used() int64 { return st.bytes.Load() }
func (st *statistics) add(n int64) { st.bytes.Add(n) }

// usedLocked is what the spool takes: in the streams, or before it was
// compressed, whichever is more, and in files. Under mu.
func (s *Spool) usedLocked() int64 {
	var plain int64
	for _, p := range s.projects {
		plain += p.bytes + p.since
	}
	return max(s.stats.used(), plain) + s.spilled
}

// addition is a message stored here that no look has seen.
type addition struct {
	seq     uint64
	project string
	bytes   int64 // of the message
	size    int64 // with its objects
}

// added notes a message stored here, so that room is counted between looks.
func (s *Spool) added(a addition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.project(a.project).since += a.size
	s.stats.add(a.bytes)
	s.adds = append(s.adds, a)
	s.changes++
}

// touch notes that the books moved.
func (s *Spool) touch() {
	s.mu.Lock()
	s.changes++
	s.mu.Unlock()
}

// pause is how long after a look the next one may begin. Looking may take a
// twentieth of the time; one that failed took long because nobody answered, and
// what it did not see is asked for again soon.
func (st *statistics) pause(age time.Duration) time.Duration {
	if st.failed {
		return 5 * age
	}
	return max(age, min(20*st.took, 30*age))
}

// Stats describes the spool: what all gateways together have stored. Up to
// 2,048 messages it is exact, as of the last second, while the servers answer; beyond that the records
// of a queue are the servers' count of its messages times what messages hold
// on average. InFlight is this gateway's.
func (s *Spool) Stats() spool.Stats {
	s.mu.Lock()
	changes, closed := s.changes, s.closed
	s.mu.Unlock()
	s.stats.mu.Lock()
	stale := s.stats.changes != changes || time.Since(s.stats.at) > 5*time.Second
	if stale && !closed && time.Since(s.stats.at) >= s.stats.pause(s.cfg.times.statsAge) {
		ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
		_ = s.look(ctx) // the old figures stand
		cancel()
	}
	known := make(map[spool.Destination]spool.Queue, len(s.stats.known))
	for d, q := range s.stats.known {
		known[d] = *q
	}
	st := spool.Stats{Records: s.stats.records, Growth: s.stats.growth.PerSecond(), Projects: []spool.ProjectUse{}}
	s.stats.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	st.Capacity, st.Used, st.Damaged = s.limits.MaxSize, s.usedLocked(), s.damaged
	st.Free = max(st.Capacity-st.Used, 0)
	for _, p := range s.projects {
		st.Projects = append(st.Projects, spool.ProjectUse{
			Project: p.name, Bytes: p.bytes + p.since + p.queued, Limit: int64(s.limits.ProjectShare * float64(s.limits.MaxSize)),
		})
	}
	slices.SortFunc(st.Projects, func(a, b spool.ProjectUse) int { return strings.Compare(a.Project, b.Project) })
	for d, q := range s.queues {
		k := known[d]
		k.Destination, k.InFlight = d, q.inFlight
		st.Queues = append(st.Queues, k)
		delete(known, d)
	}
	for d, k := range known {
		k.Destination = d
		st.Queues = append(st.Queues, k)
	}
	slices.SortFunc(st.Queues, func(a, b spool.Queue) int {
		if c := strings.Compare(a.Project, b.Project); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return st
}

// refresh looks at the streams now.
func (s *Spool) refresh(ctx context.Context) error {
	s.stats.mu.Lock()
	defer s.stats.mu.Unlock()
	return s.look(ctx)
}

// look reads sizes and counts. Under stats.mu.
func (s *Spool) look(ctx context.Context) (err error) {
	s.stats.at = time.Now()
	defer func() { s.stats.took, s.stats.failed = time.Since(s.stats.at), err != nil }()
	s.mu.Lock()
	changes := s.changes
	s.mu.Unlock()
	var sum int64
	var info *jetstream.StreamInfo
	for _, name := range s.names.all() {
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			s.suspectIf(err)
			return err
		}
		i := stream.CachedInfo()
		sum += int64(i.State.Bytes)
		if info == nil {
			info = i
		}
	}
	c, err := s.count(ctx, info.State.LastSeq)
	if err != nil {
		return err
	}
	if c.cut {
		if err := s.scale(ctx, c, info); err != nil {
			return err
		}
	}
	s.stats.changes, s.stats.known, s.stats.records, s.stats.waiting = changes, c.queues, c.records, c.waiting
	s.stats.growth.Note(s.now(), sum)
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range c.projects {
		s.project(name)
	}
	for name, p := range s.projects {
		p.bytes = 0
		if t := c.projects[name]; t != nil {
			p.bytes = t.bytes
		}
		p.since = 0
	}
	s.adds = slices.DeleteFunc(s.adds, func(a addition) bool { return a.seq <= info.State.LastSeq })
	for _, a := range s.adds {
		s.project(a.project).since += a.size
		sum += a.bytes
	}
	s.stats.bytes.Store(sum)
	return nil
}

// tally counts what a project has in the part of the stream that was walked.
type tally struct {
	messages, records, items, bytes int64
}

type counts struct {
	queues   map[spool.Destination]*spool.Queue
	projects map[string]*tally
	messages int64
	records  int64
	waiting  int64
	cut      bool // there is more than was walked
}

func (c *counts) queue(d spool.Destination) *spool.Queue {
	q := c.queues[d]
	if q == nil {
		q = &spool.Queue{Destination: d}
		c.queues[d] = q
	}
	return q
}

// count walks the beginnings of the records and of the dead letters. What
// projects hold is counted up to a sequence: what came later is known otherwise.
func (s *Spool) count(ctx context.Context, upTo uint64) (*counts, error) {
	c := &counts{queues: map[spool.Destination]*spool.Queue{}, projects: map[string]*tally{}}
	var bytes int64
	waiting := map[string]bool{}
	type of struct {
		seq uint64
		i   int
	}
	last, messages := of{}, uint64(0)
	err := s.walk(ctx, spool.Query{}, func(e entry) (bool, error) {
		t := c.projects[e.dst.Project]
		if t == nil {
			t = &tally{}
			c.projects[e.dst.Project] = t
		}
		if e.seq != messages {
			if c.messages >= walkedMessages || bytes >= walkedBytes {
				c.cut = true
				return false, nil
			}
			messages = e.seq
			c.messages++
			t.messages++
		}
		if at := (of{e.seq, e.i}); at != last {
			last = at
			bytes += e.r.size
			t.records++
			t.items += e.r.items
			if e.seq <= upTo {
				t.bytes += e.r.size
			}
			c.records++
			waiting[e.r.id] = true
		}
		q := c.queue(e.dst)
		q.Records++
		q.Items += e.r.items
		q.Bytes += e.r.size
		if at := e.r.received(); q.Oldest.IsZero() || at.Before(q.Oldest) {
			q.Oldest = at
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	c.waiting = c.records
	var dead int64
	err = s.walkDead(ctx, spool.Query{}, func(l *letter, _ *schemas.Meta) (bool, error) {
		q := c.queue(l.dst)
		q.Dead++
		q.DeadSize += l.size
		dead += l.size
		if !waiting[l.id] {
			waiting[l.id] = true
			c.records++
		}
		return dead < walkedBytes, nil
	})
	return c, err
}

// scale completes the counts of a stream that is too long to walk.
func (s *Spool) scale(ctx context.Context, c *counts, info *jetstream.StreamInfo) error {
	stream, err := s.js.Stream(ctx, s.names.records())
	if err != nil {
		return err
	}
	full, err := stream.Info(ctx, jetstream.WithSubjectFilter(s.names.prefix+".records.*"))
	if err != nil {
		return err
	}
	per := &tally{}
	for _, t := range c.projects {
		per.messages, per.records, per.items, per.bytes = per.messages+t.messages, per.records+t.records, per.items+t.items, per.bytes+t.bytes
	}
	c.records = int64(info.State.Msgs) * per.records / max(per.messages, 1)
	c.waiting = c.records
	for name, t := range c.projects {
		if n := int64(full.State.Subjects[s.names.packOf(name)]); n > t.messages {
			t.bytes = n * t.bytes / max(t.messages, 1)
		}
	}
	s.mu.Lock()
	dsts := make([]spool.Destination, 0, len(s.queues))
	for d := range s.queues {
		dsts = append(dsts, d)
	}
	s.mu.Unlock()
	for _, d := range dsts {
		consumer, err := s.js.Consumer(ctx, s.names.records(), s.names.consumer(d))
		if err != nil {
			continue // nobody claimed for it yet: what was walked stands
		}
		ci := consumer.CachedInfo()
		avg := c.projects[d.Project]
		if avg == nil || avg.messages == 0 {
			avg = per
		}
		n, q := int64(ci.NumPending)+int64(ci.NumAckPending), c.queue(d)
		q.Records = max(n*avg.records/max(avg.messages, 1), q.Records)
		q.Items = max(n*avg.items/max(avg.messages, 1), q.Items)
		q.Bytes = max(n*avg.bytes/max(avg.messages, 1), q.Bytes)
		if q.Oldest.IsZero() && n > 0 {
			q.Oldest = s.oldest(ctx, d, ci.AckFloor.Stream+1)
		}
	}
	return nil
}

// oldest is when the first record of a message was received.
func (s *Spool) oldest(ctx context.Context, d spool.Destination, seq uint64) time.Time {
	list, err := s.fetch(ctx, s.names.records(), get{Next: s.names.packOf(d.Project), Seq: seq, Batch: 1})
	if err != nil || len(list) == 0 {
		return time.Time{}
	}
	p, err := decodePack(list[0].data)
	if err != nil || len(p.records) == 0 {
		return list[0].at
	}
	return p.records[0].received()
}
