package disk

import (
	"bytes"
	"syscall"
)

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
	if bad := f.s.failing("read", f.path); bad != nil {
		return 0, bad.err
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
	if bad := f.s.failing("write", f.path); bad != nil {
		half := 0
		if bad.short {
			half = len(b) / 2
		}
		b, err = b[:half], bad.err
	}
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
	if bad := f.s.failing("truncate", f.path); bad != nil {
		return bad.err
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
	if bad := f.s.failing("sync", f.path); bad != nil {
		f.n.forget()
		return bad.err
	}
	if f.s.failSync != nil {
		if err := f.s.failSync(f.path); err != nil {
			f.n.forget()
			return err
		}
	}
	for _, op := range f.n.pending {
		f.n.synced = op.apply(f.n.synced)
	}
	f.n.pending = nil
	return nil
}

// forget is what Linux does when an fsync fails: the pages count as clean.
// They are still read from the cache, but whether they are on disk nobody
// knows, and the next fsync, which succeeds, does not write them.
func (n *simInode) forget() {
	for i, op := range n.pending {
		if i%2 == 1 {
			n.synced = op.apply(n.synced)
		}
	}
	n.pending = nil
}

func (op dataOp) apply(data []byte) []byte {
	if op.b == nil {
		return resize(data, op.size)
	}
	return poke(data, op.off, op.b)
}

func (f *simFile) Close() error {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if bad := f.s.failing("close", f.path); bad != nil {
		return bad.err
	}
	return nil
}

func (f *simFile) Size() (int64, error) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	if f.s.dead {
		return 0, errPower
	}
	if bad := f.s.failing("size", f.path); bad != nil {
		return 0, bad.err
	}
	return int64(len(f.n.data)), nil
}
