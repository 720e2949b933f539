package disk

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"syscall"

	"breakwater/relay/spool"
)

// simFS is a file system in memory that knows what is durable: a file's bytes
// by its fsync, its name by its directory's. It loses power at a chosen call,
// runs full and fails on command. After crash, what was not durable is there,
// or not, or half, as chance has it.
type simFS struct {
	mu       sync.Mutex
	files    map[string]*simInode // as the process sees them
	durable  map[string]*simInode
	ops      []nameOp // not durable yet
	steps    int      // calls that change something
	cutAt    int      // the call at which the power goes; 0: never
	dead     bool
	capacity int64 // 0: endless
	failSync func(path string) error
	calls    int                        // all of them, reading ones too
	fault    func(n int, c call) *fault // asked at the n-th call; nil for no fault
	onRename func(to string)            // before it happens
	locked   bool
}

type simInode struct {
	data    []byte
	synced  []byte // what a power cut leaves for certain
	pending []dataOp
}

type dataOp struct {
	off  int64
	b    []byte
	size int64 // of a truncate, when b is nil
}

type nameOp struct {
	dir      string
	from, to string // rename; create and remove leave one empty
	node     *simInode
}

var errPower = errors.New("power is off")

func newSimFS() *simFS { return &simFS{files: map[string]*simInode{}, durable: map[string]*simInode{}} }

// step counts a changing call and tells whether the power is (now) off.
func (s *simFS) step() bool {
	s.steps++
	if s.cutAt > 0 && s.steps >= s.cutAt {
		s.dead = true
	}
	return s.dead
}

// call is one call to the file system, as faults see it.
type call struct{ op, path string }

// fault is how one call fails.
type fault struct {
	err   error
	short bool // of a write: half of the bytes are written first
}

// failing asks whether this call is to fail. Under mu.
func (s *simFS) failing(op, path string) *fault {
	s.calls++
	if s.fault == nil {
		return nil
	}
	return s.fault(s.calls, call{op, path})
}

// off tells whether the power is gone.
func (s *simFS) off() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

// beforeRename sets what is called before a file is renamed; nil for nothing.
func (s *simFS) beforeRename(fn func(to string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.onRename = fn
}

func (s *simFS) MkdirAll(string) error { return nil }

func (s *simFS) Create(path string) (file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil, errPower
	}
	if f := s.failing("create", path); f != nil {
		return nil, f.err
	}
	if _, ok := s.files[path]; ok {
		return nil, os.ErrExist
	}
	if s.capacity > 0 && s.used() >= s.capacity {
		return nil, syscall.ENOSPC
	}
	n := &simInode{}
	s.files[path] = n
	s.ops = append(s.ops, nameOp{dir: filepath.Dir(path), to: path, node: n})
	if s.step() {
		return nil, errPower
	}
	return &simFile{s, n, path}, nil
}

func (s *simFS) Open(path string) (file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil, errPower
	}
	if f := s.failing("open", path); f != nil {
		return nil, f.err
	}
	n, ok := s.files[path]
	if !ok {
		return nil, os.ErrNotExist
	}
	return &simFile{s, n, path}, nil
}

func (s *simFS) Rename(from, to string) error {
	s.mu.Lock()
	before := s.onRename
	s.mu.Unlock()
	if before != nil {
		before(to)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.failing("rename", to); f != nil {
		return f.err
	}
	n, ok := s.files[from]
	switch {
	case s.dead:
		return errPower
	case !ok:
		return os.ErrNotExist
	}
	delete(s.files, from)
	s.files[to] = n
	s.ops = append(s.ops, nameOp{dir: filepath.Dir(to), from: from, to: to, node: n})
	if s.step() {
		return errPower
	}
	return nil
}

func (s *simFS) Remove(path string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return errPower
	}
	if f := s.failing("remove", path); f != nil {
		return f.err
	}
	if _, ok := s.files[path]; !ok {
		return os.ErrNotExist
	}
	delete(s.files, path)
	s.ops = append(s.ops, nameOp{dir: filepath.Dir(path), from: path})
	if s.step() {
		return errPower
	}
	return nil
}

func (s *simFS) ReadDir(dir string) (list []fileInfo, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil, errPower
	}
	if f := s.failing("list", dir); f != nil {
		return nil, f.err
	}
	for path, n := range s.files {
		if filepath.Dir(path) == dir {
			list = append(list, fileInfo{filepath.Base(path), int64(len(n.data))})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].name < list[j].name })
	return list, nil
}

func (s *simFS) SyncDir(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.step() {
		return errPower
	}
	if f := s.failing("syncdir", dir); f != nil {
		return f.err
	}
	if s.failSync != nil {
		if err := s.failSync(dir); err != nil {
			return err
		}
	}
	var left []nameOp
	for _, op := range s.ops {
		if op.dir == dir {
			apply(s.durable, op)
			continue
		}
		left = append(left, op)
	}
	s.ops = left
	return nil
}

// apply makes one change of names. A synced directory holds its names whatever
// became of the place a file was renamed from.
func apply(names map[string]*simInode, op nameOp) {
	if op.from != "" {
		delete(names, op.from)
	}
	if op.to != "" {
		names[op.to] = op.node
	}
}

func (s *simFS) Lock(string) (io.Closer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.failing("lock", ""); f != nil {
		return nil, f.err
	}
	if s.locked {
		return nil, spool.ErrLocked
	}
	s.locked = true
	return closer(func() { s.mu.Lock(); s.locked = false; s.mu.Unlock() }), nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

func (s *simFS) Free(dir string) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.failing("free", dir); f != nil {
		return 0, f.err
	}
	return 1 << 40, nil
}

func (s *simFS) used() (n int64) {
	for _, f := range s.files {
		n += int64(len(f.data))
	}
	return n
}

// crash is the disk as the next boot finds it.
func (s *simFS) crash(r *rand.Rand) *simFS {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = true
	next := newSimFS()
	names := map[string]*simInode{}
	for path, n := range s.durable {
		names[path] = n
	}
	// Unsynced names: a prefix of the journal, or a part of it in order.
	prefix, subset := r.IntN(len(s.ops)+1), r.IntN(2) == 0
	for i, op := range s.ops {
		if (subset && r.IntN(2) == 0) || (!subset && i < prefix) {
			apply(names, op)
		}
	}
	for path, n := range names {
		data := append([]byte(nil), n.synced...)
		for _, op := range n.pending {
			switch r.IntN(4) {
			case 0: // lost
			case 1: // torn
				if op.b != nil {
					data = poke(data, op.off, op.b[:r.IntN(len(op.b)+1)])
				}
			default:
				data = op.apply(data)
			}
		}
		node := &simInode{data: data, synced: append([]byte(nil), data...)}
		next.files[path], next.durable[path] = node, node
	}
	return next
}
