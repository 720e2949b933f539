package disk

import (
	"bytes"
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
	onRename func(to string) // before it happens
	locked   bool
}

type simInode struct {
	data    []byte
	synced  []byte
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

// off tells whether the power is gone.
func (s *simFS) off() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

func (s *simFS) MkdirAll(string) error { return nil }

func (s *simFS) Create(path string) (file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return nil, errPower
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
	n, ok := s.files[path]
	if !ok {
		return nil, os.ErrNotExist
	}
	return &simFile{s, n, path}, nil
}

func (s *simFS) Rename(from, to string) error {
	if s.onRename != nil {
		s.onRename(to)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
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
	if s.locked {
		return nil, spool.ErrLocked
	}
	s.locked = true
	return closer(func() { s.mu.Lock(); s.locked = false; s.mu.Unlock() }), nil
}

type closer func()

func (c closer) Close() error { c(); return nil }

func (s *simFS) Free(string) (int64, error) { return 1 << 40, nil }

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
				if op.b == nil {
					data = resize(data, op.size)
				} else {
					data = poke(data, op.off, op.b)
				}
			}
		}
		node := &simInode{data: data, synced: append([]byte(nil), data...)}
		next.files[path], next.durable[path] = node, node
	}
	return next
}

func poke(data []byte, off int64, b []byte) []byte {
	if end := off + int64(len(b)); end > int64(len(data)) {
		data = resize(data, end)
	}
	copy(data[off:], b)
	return data
}

func resize(data []byte, size int64) []byte {
	if size <= int64(len(data)) {
		return data[:size:size]
	}
	return append(data, make([]byte, size-int64(len(data)))...)
}

type simFile struct {
	s    *simFS
	n    *simInode
	path string
}

func (f *simFile) ReadAt(b []byte, off int64) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.dead {
		return 0, errPower
	}
	return bytes.NewReader(f.n.data).ReadAt(b, off)
}

func (f *simFile) WriteAt(b []byte, off int64) (int, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.dead {
		return 0, errPower
	}
	var err error
	if grow := off + int64(len(b)) - int64(len(f.n.data)); f.s.capacity > 0 && grow > 0 {
		if room := f.s.capacity - f.s.used(); room < grow {
			b, err = b[:max(int64(len(b))-(grow-max(room, 0)), 0)], syscall.ENOSPC
		}
	}
	f.n.data = poke(f.n.data, off, b)
	f.n.pending = append(f.n.pending, dataOp{off: off, b: append([]byte{}, b...)})
	if f.s.step() {
		return 0, errPower
	}
	return len(b), err
}

func (f *simFile) Truncate(size int64) error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.dead {
		return errPower
	}
	f.n.data = resize(f.n.data, size)
	f.n.pending = append(f.n.pending, dataOp{size: size})
	if f.s.step() {
		return errPower
	}
	return nil
}

func (f *simFile) Sync() error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.step() {
		return errPower
	}
	if f.s.failSync != nil {
		if err := f.s.failSync(f.path); err != nil {
			return err // what was to be synced may or may not be on disk
		}
	}
	f.n.synced = append([]byte(nil), f.n.data...)
	f.n.pending = nil
	return nil
}

func (f *simFile) Close() error { return nil }

func (f *simFile) Size() (int64, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.dead {
		return 0, errPower
	}
	return int64(len(f.n.data)), nil
}
