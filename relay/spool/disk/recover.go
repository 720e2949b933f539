package disk

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// recovery is what a start knows while it reads the directory.
type recovery struct {
	s     *Spool
	sizes map[string]int64 // of the directory's files
	blobs map[string]int64
	// moved are the sequences of merged segments, sorted; a record of the same
	// sequence in an older segment is replaced.
	moved []movedSeq
	// carry are the acknowledgements of replaced records.
	carry      map[uint64][]ack
	lastNative uint64
	records    int
	buf        []byte
}

type movedSeq struct{ seq, no uint64 }

// recover reads the directory, oldest segment first, and leaves only what is
// needed in it.
func (s *Spool) recover() error {
	rc := &recovery{s: s, sizes: map[string]int64{}, blobs: map[string]int64{}, carry: map[uint64][]ack{}}
	segments, err := rc.survey()
	if err != nil {
		return err
	}
	for _, g := range segments {
		if g.ext != extMerged {
			continue
		}
		err := rc.walk(g, false, func(f found) error {
			rc.moved = append(rc.moved, movedSeq{f.id.seq(), g.no})
			return nil
		})
		if err != nil {
			return err
		}
		g.size, g.index, g.indexSize = 0, indexBuilder{}, 0
	}
	slices.SortFunc(rc.moved, func(a, b movedSeq) int {
		if a.seq != b.seq {
			if a.seq < b.seq {
				return -1
			}
			return 1
		}
		if a.no < b.no {
			return -1
		}
		return 1
	})
	for _, g := range segments {
		if err := rc.load(g); err != nil {
			return err
		}
	}
	s.lastSeq = max(s.lastSeq, uint64(max(s.now().UnixMilli(), 0))<<20)
	rc.sweep()
	s.collect()
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	if rc.records > 0 || s.damaged.Load() > 0 {
		s.log.Info().Int("records", rc.records).Int64("damaged", s.damaged.Load()).Msg("spool opened with records waiting")
	}
	return nil
}

// survey lists the directory and removes what was never finished.
func (rc *recovery) survey() (segments []*segment, err error) {
	s := rc.s
	files, err := s.fs.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		no, salt, ext, ok := parseSegmentName(f.name)
		if !ok {
			continue
		}
		rc.sizes[f.name] = f.size
		s.lastNo = max(s.lastNo, no)
		switch ext {
		case extActive, extSealed, extMerged:
			segments = append(segments, &segment{no: no, salt: salt, ext: ext, minRecv: maxTime, lastAck: s.now().UnixMilli()})
		case extMerge:
			if err := s.fs.Remove(s.path(f.name)); err != nil {
				return nil, err
			}
		}
	}
	slices.SortFunc(segments, func(a, b *segment) int {
		if a.no < b.no {
			return -1
		}
		return 1
	})
	spills, err := s.fs.ReadDir(s.path(dirSpill))
	if err != nil {
		return nil, err
	}
	for _, f := range spills {
		if err := s.fs.Remove(s.path(dirSpill) + "/" + f.name); err != nil {
			return nil, err
		}
	}
	blobs, err := s.fs.ReadDir(s.path(dirBlobs))
	if err != nil {
		return nil, err
	}
	for _, f := range blobs {
		rc.blobs[f.name] = f.size
		s.used.Add(f.size)
	}
	aside, err := s.fs.ReadDir(s.path(dirDamaged))
	if err != nil {
		return nil, err
	}
	for _, f := range aside {
		s.used.Add(f.size)
	}
	s.damaged.Store(int64(len(aside)))
	return segments, nil
}

// walk hands out a segment's records, by its index if that is good, else by
// reading all of it; it sets g.size. keep says that this is the walk that
// counts: a new index is written and damage set aside.
func (rc *recovery) walk(g *segment, keep bool, fn func(found) error) error {
	s := rc.s
	fileSize := rc.sizes[g.name()+g.ext]
	if _, ok := rc.sizes[g.name()+extIndex]; ok {
		raw, err := readInto(rc.buf, s.fs, s.path(g.name()+extIndex))
		if err == nil {
			rc.buf = raw[:0]
			size, body, err := readIndex(raw, g.salt, fileSize)
			if err == nil {
				g.size, g.indexSize = size, int64(len(raw))
				return walkIndex(body, fn)
			}
		}
	}
	f, err := s.fs.Open(s.path(g.name() + g.ext))
	if err != nil {
		return err
	}
	defer f.Close()
	sc := scanner{f: f, size: fileSize, salt: g.salt}
	sc.record = func(fd found) error {
		g.index.add(fd.off, fd.size, fd.kind, fd.id, fd.headBytes)
		return fn(fd)
	}
	sc.damage = func(off, end int64, why string) {
		if keep {
			s.saveDamaged(g, f, off, end, why)
		}
	}
	if g.size, err = sc.run(); err != nil {
		return fmt.Errorf("reading segment %s: %w", g.name(), err)
	}
	return nil
}

// load brings one segment into memory and makes it a sealed one.
func (rc *recovery) load(g *segment) error {
	s := rc.s
	acks, err := rc.loadAcks(g)
	if err != nil {
		return err
	}
	s.segments = append(s.segments, g) // they come in order
	if err := rc.walk(g, true, func(f found) error { return rc.add(g, f, acks) }); err != nil {
		return err
	}
	if rc.sizes[g.name()+g.ext] > g.size {
		if err := rc.truncate(g); err != nil {
			return err
		}
	}
	if g.ext == extActive {
		rc.settle(g)
	}
	if g.index.count > 0 {
		n, err := s.writeIndex(g.name(), &g.index, g.size, g.salt, false)
		if err != nil {
			s.log.Warn().Err(err).Str("segment", g.name()).Msg("segment has no index; the next start will read all of it")
		}
		g.indexSize = n
	}
	g.index = indexBuilder{}
	if g.ext == extActive {
		if err := s.fs.Rename(s.path(g.name()+extActive), s.path(g.name()+extSealed)); err != nil {
			return err
		}
		g.ext = extSealed
	}
	g.sealed = true
	g.entries = slices.Clip(g.entries)
	for _, sq := range g.sqs {
		sq.idx, sq.st = slices.Clip(sq.idx), slices.Clip(sq.st)
	}
	s.used.Add(g.size + g.indexSize + g.ackSize)
	return nil
}

func (rc *recovery) truncate(g *segment) error {
	f, err := rc.s.fs.Open(rc.s.path(g.name() + g.ext))
	if err != nil {
		return err
	}
	err = f.Truncate(g.size)
	return errors.Join(err, f.Close())
}

// settle makes the end of a segment durable that a kill left to the page cache:
// from now on its records are in the books. One that cannot be synced was never
// acknowledged to anybody.
func (rc *recovery) settle(g *segment) {
	f, err := rc.s.fs.Open(rc.s.path(g.name() + g.ext))
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	if err != nil {
		rc.s.log.Warn().Err(err).Str("segment", g.name()).Msg("segment found at the start could not be synced")
	}
}

// replaced tells whether a newer segment holds the record.
func (rc *recovery) replaced(seq, no uint64) bool {
	i := sort.Search(len(rc.moved), func(i int) bool {
		m := rc.moved[i]
		return m.seq > seq || (m.seq == seq && m.no > no)
	})
	return i < len(rc.moved) && rc.moved[i].seq == seq
}

// add brings one record into memory.
func (rc *recovery) add(g *segment, f found, acks []ack) error {
	s := rc.s
	h, err := parseHead(f.headBytes)
	if err != nil {
		return nil // an index of an unknown kind; the record stays where it is
	}
	routeID, err := s.routeOf(h.route)
	if err != nil {
		return nil
	}
	seq := f.id.seq()
	s.lastSeq = max(s.lastSeq, seq)
	s.lastMs = max(s.lastMs, f.id.ms())
	own := acksOf(acks, f.off)
	var before []ack
	for d := (spool.Decoder{B: h.state}); len(d.B) > 0; {
		a, ok := decodeAck(&d)
		if !ok {
			break
		}
		before = append(before, a)
	}
	if rc.replaced(seq, g.no) {
		rc.carry[seq] = append(append(rc.carry[seq], before...), own...)
		return nil
	}
	st := stFresh
	switch {
	case f.kind == kindMoved:
		st = stReady
	case seq <= rc.lastNative: // the same batch, written again after a failed fsync
		return nil
	default:
		rc.lastNative = seq
	}
	for _, b := range h.blobs {
		if size, ok := rc.blobs[b.file()]; !ok || size != b.size {
			if !rc.finished(routeID, before, own) {
				rc.missingBlob(g, f)
			}
			return nil
		}
	}
	counts := parseCounts(h.counts)
	m := &schemas.Meta{
		ID: f.id.String(), ProjectID: s.routes[routeID].projectID, Project: s.routes[routeID].proj.name,
		ReceivedAt: fromMillis(h.recv), Counts: counts, Destinations: s.routes[routeID].dests,
	}
	idx := s.addEntry(g, entry{
		seq: seq, recv: h.recv, off: f.off, size: f.size, qty: uint32(m.Items()), route: routeID, filed: len(h.blobs) > 0,
	}, h.blobs, st)
	for _, list := range [][]ack{before, rc.carry[seq], own} {
		for _, a := range list {
			s.apply(g, idx, a)
		}
	}
	if carried, ok := rc.carry[seq]; ok { // from now on it stands in our own file
		for _, a := range carried {
			a.off = f.off
			s.record(g, a)
		}
		delete(rc.carry, seq)
	}
	if g.entries[idx].pending > 0 {
		rc.records++
		s.observer.Recovered(m)
	}
	return nil
}

func (rc *recovery) missingBlob(g *segment, fd found) {
	f, err := rc.s.fs.Open(rc.s.path(g.name() + g.ext))
	if err != nil {
		return
	}
	defer f.Close()
	rc.s.saveDamaged(g, f, int64(fd.off), int64(fd.off)+int64(fd.size), "payload file is missing")
}

// sweep removes files that belong to nothing.
func (rc *recovery) sweep() {
	s := rc.s
	used := map[string]bool{}
	names := map[string]bool{}
	for _, g := range s.segments {
		names[g.name()] = true
		for _, list := range g.blobs {
			for _, b := range list {
				used[b.file()] = true
			}
		}
	}
	for name, size := range rc.blobs {
		if used[name] {
			continue
		}
		if err := s.fs.Remove(s.path(dirBlobs) + "/" + name); err == nil || errors.Is(err, os.ErrNotExist) {
			s.used.Add(-size)
		}
	}
	s.trash = nil // they were among the unused
	for name := range rc.sizes {
		no, salt, ext, _ := parseSegmentName(name)
		g := segment{no: no, salt: salt}
		if (ext == extAcks || ext == extIndex) && !names[g.name()] {
			_ = s.fs.Remove(s.path(name))
		}
	}
}
