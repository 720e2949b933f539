package storm

const (
	chunkBits = 10
	chunkSize = 1 << chunkBits
	none      = ^uint32(0)
	// maxTitle bounds the sample title of an entry, in bytes.
	maxTitle = 80
	// maxReleases bounds how many release names a project's table holds; a
	// further one is listed as otherRelease until the table is tidied.
	maxReleases  = 1000
	otherRelease = "__other__"
	maxName      = 200
)

// entry is one fingerprint of one release.
type entry struct {
	id          ID
	key         uint64
	total       uint64
	forwarded   uint64
	windowStart int64  // nanoseconds
	inWindow    uint32 // seen in the running window
	untold      uint32 // those of them that passed and no storm has counted, nor another gateway
	since       uint32 // suppressed since the last one that was forwarded
	first, last uint32 // seconds
	prev, next  uint32 // neighbours in its segment
	release     uint16
	protected   bool
	title       string
}

// list is a segment, most recently seen first.
type list struct {
	head, tail uint32
	len        int
}

// table is a bounded set of entries in two segments. New fingerprints stand in
// probation; those seen often enough are protected. Room is made in probation
// first, so a flood of fingerprints seen once pushes out its own kind and
// never a busy one.
type table struct {
	max          int
	maxProtected int
	promoteAt    uint64
	index        map[uint64]uint32
	chunks       []*[chunkSize]entry
	used         uint32 // slots handed out so far
	free         []uint32
	probation    list
	protected    list
	releases     map[string]uint16
	names        []string
}

func newTable(maxEntries, promoteAt int) *table {
	t := &table{
		index:     map[uint64]uint32{},
		probation: list{none, none, 0}, protected: list{none, none, 0},
		releases: map[string]uint16{}, names: []string{otherRelease},
	}
	t.limit(maxEntries, promoteAt)
	return t
}

// limit sets the bounds, for new tables and after a reload; a smaller bound
// drops the entries longest not seen.
func (t *table) limit(maxEntries, promoteAt int) {
	t.max, t.maxProtected, t.promoteAt = maxEntries, maxEntries*4/5, uint64(promoteAt)
	for t.len() > t.max {
		t.evict()
	}
}

func (t *table) len() int { return len(t.index) }

func (t *table) at(i uint32) *entry { return &t.chunks[i>>chunkBits][i&(chunkSize-1)] }

// find returns the entry of a key, nil when there is none.
func (t *table) find(key uint64) *entry {
	if i, ok := t.index[key]; ok {
		return t.at(i)
	}
	return nil
}

// see counts one occurrence and returns its entry, made when fill is called to
// describe it.
func (t *table) see(key uint64, now uint32, fill func(*entry)) *entry {
	i, ok := t.index[key]
	if !ok {
		i = t.slot()
		e := t.at(i)
		*e = entry{key: key, first: now}
		fill(e)
		t.index[key] = i
		t.push(&t.probation, i)
	}
	e := t.at(i)
	e.total++
	e.last = now
	if !ok {
		return e
	}
	switch {
	case e.protected:
		t.front(&t.protected, i)
	case e.total >= t.promoteAt:
		t.remove(&t.probation, i)
		e.protected = true
		t.push(&t.protected, i)
		if t.protected.len > t.maxProtected {
			t.demote(t.protected.tail)
		}
	default:
		t.front(&t.probation, i)
	}
	return e
}

func (t *table) demote(i uint32) {
	t.remove(&t.protected, i)
	t.at(i).protected = false
	t.push(&t.probation, i)
}

// slot finds a place for a new entry.
func (t *table) slot() uint32 {
	if t.len() >= t.max {
		t.evict()
	}
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	i := t.used
	t.used++
	if int(i>>chunkBits) == len(t.chunks) {
		t.chunks = append(t.chunks, new([chunkSize]entry))
	}
	return i
}

func (t *table) evict() {
	if t.probation.len > 0 {
		t.drop(&t.probation, t.probation.tail)
		return
	}
	t.drop(&t.protected, t.protected.tail)
}

func (t *table) drop(l *list, i uint32) {
	t.remove(l, i)
	delete(t.index, t.at(i).key)
	*t.at(i) = entry{}
	t.free = append(t.free, i)
}

// expire drops what was last seen before a time, in seconds.
func (t *table) expire(before uint32) {
	for _, l := range []*list{&t.probation, &t.protected} {
		for l.len > 0 && t.at(l.tail).last < before {
			t.drop(l, l.tail)
		}
	}
}

// each calls f for every entry.
func (t *table) each(f func(*entry)) {
	for _, l := range []*list{&t.protected, &t.probation} {
		for i := l.head; i != none; i = t.at(i).next {
			f(t.at(i))
		}
	}
}

func (t *table) push(l *list, i uint32) {
	e := t.at(i)
	e.prev, e.next = none, l.head
	if l.head != none {
		t.at(l.head).prev = i
	} else {
		l.tail = i
	}
	l.head = i
	l.len++
}

func (t *table) remove(l *list, i uint32) {
	e := t.at(i)
	if e.prev != none {
		t.at(e.prev).next = e.next
	} else {
		l.head = e.next
	}
	if e.next != none {
		t.at(e.next).prev = e.prev
	} else {
		l.tail = e.prev
	}
	l.len--
}

func (t *table) front(l *list, i uint32) {
	if l.head != i {
		t.remove(l, i)
		t.push(l, i)
	}
}

// releaseIndex interns a release's name.
func (t *table) releaseIndex(name string) uint16 {
	name = cut(name, maxName)
	if i, ok := t.releases[name]; ok {
		return i
	}
	if len(t.names) > maxReleases {
		return 0
	}
	i := uint16(len(t.names))
	name = string(append([]byte(nil), name...)) // not a piece of the payload
	t.names = append(t.names, name)
	t.releases[name] = i
	return i
}

// tidyReleases forgets the names no entry has any more, once they have all
// been given out.
func (t *table) tidyReleases() {
	if len(t.names) <= maxReleases {
		return
	}
	old := t.names
	t.names, t.releases = []string{otherRelease}, map[string]uint16{}
	t.each(func(e *entry) {
		if e.release != 0 {
			e.release = t.releaseIndex(old[e.release])
		}
	})
}
