package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// bareLog is the least that group commit can be: producers hand over bytes,
// one writer writes what waits, syncs once, wakes them. No checksum, no index,
// no deletion: the floor that the spool is measured against.
type bareLog struct {
	f       *os.File
	mu      sync.Mutex
	wake    *sync.Cond
	pending []byte
	group   *commit
	closed  bool
}

type commit struct {
	done chan struct{}
	err  error
}

func openBareLog(dir string) (*bareLog, error) {
	f, err := os.Create(filepath.Join(dir, "bare.log"))
	if err != nil {
		return nil, err
	}
	l := &bareLog{f: f, group: &commit{done: make(chan struct{})}}
	l.wake = sync.NewCond(&l.mu)
	go l.writer()
	return l, nil
}

func (l *bareLog) append(b []byte) error {
	l.mu.Lock()
	l.pending = append(l.pending, b...)
	g := l.group
	l.wake.Signal()
	l.mu.Unlock()
	<-g.done
	return g.err
}

func (l *bareLog) writer() {
	var buf []byte
	for {
		l.mu.Lock()
		for len(l.pending) == 0 && !l.closed {
			l.wake.Wait()
		}
		if l.closed {
			l.mu.Unlock()
			return
		}
		buf, l.pending = l.pending, buf[:0]
		g := l.group
		l.group = &commit{done: make(chan struct{})}
		l.mu.Unlock()
		if _, g.err = l.f.Write(buf); g.err == nil {
			g.err = unix.Fdatasync(int(l.f.Fd()))
		}
		close(g.done)
	}
}

func (l *bareLog) close() {
	l.mu.Lock()
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
	_ = l.f.Close()
}

// bareRate is appends per second of size bytes by n producers for a while.
func bareRate(dir string, n, size int, d time.Duration) (float64, error) {
	l, err := openBareLog(dir)
	if err != nil {
		return 0, err
	}
	defer l.close()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var done atomic.Int64
	var wg sync.WaitGroup
	begin := time.Now()
	for range n {
		wg.Go(func() {
			b := make([]byte, size)
			for ctx.Err() == nil {
				if l.append(b) != nil {
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	return float64(done.Load()) / time.Since(begin).Seconds(), nil
}
