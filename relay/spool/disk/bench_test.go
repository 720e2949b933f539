package disk

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"breakwater/schemas"
)

// bareFile is the least a durable log can do: one file, appenders that share
// one write and one fdatasync. It is what the spool is measured against.
type bareFile struct {
	f       osFile
	off     int64
	mu      sync.Mutex
	waiting []*bareWrite
	wake    chan struct{}
	stop    chan struct{}
	syncs   int64
}

type bareWrite struct {
	b    []byte
	done chan error
}

func newBareFile(tb testing.TB) *bareFile {
	f, err := os.OpenFile(filepath.Join(tb.TempDir(), "bare"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	b := &bareFile{f: osFile{f}, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	go b.run()
	tb.Cleanup(func() { close(b.stop); _ = f.Close() })
	return b
}

func (b *bareFile) run() {
	var buf []byte
	for {
		select {
		case <-b.wake:
		case <-b.stop:
			return
		}
		for {
			b.mu.Lock()
			batch := b.waiting
			b.waiting = nil
			b.mu.Unlock()
			if len(batch) == 0 {
				break
			}
			buf = buf[:0]
			for _, w := range batch {
				buf = append(buf, w.b...)
			}
			_, err := b.f.WriteAt(buf, b.off)
			b.off += int64(len(buf))
			if err == nil {
				err = b.f.Sync()
			}
			b.syncs++
			for _, w := range batch {
				w.done <- err
			}
		}
	}
}

func (b *bareFile) append(w *bareWrite) error {
	b.mu.Lock()
	b.waiting = append(b.waiting, w)
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return <-w.done
}

// produce runs producers for d and returns appends per second.
func produce(tb testing.TB, producers int, d time.Duration, one func(i int) error) float64 {
	var n atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for i := range producers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for time.Since(start) < d {
				if err := one(i); err != nil {
					tb.Error(err)
					return
				}
				n.Add(1)
			}
		}()
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

func benchRecord(payload []byte) *schemas.Record {
	return &schemas.Record{
		Meta: schemas.Meta{
			ProjectID: 1, Project: "shop-web", Key: "0123456789abcdef0123456789abcdef", ReceivedAt: time.Now(),
			EventID: "9ec79c33ec9942ab8353589fcb2e04dc", Release: "shop@1.4.2", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
			Counts: []schemas.Count{{Category: "error", Quantity: 1}}, Destinations: []string{"sentry"},
		},
		Envelope: schemas.Envelope{Header: schemas.EmptyHeader(), Items: []schemas.Item{{
			Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(payload),
		}}},
	}
}

// BenchmarkAppend compares 4 KB appends with the bare file, in turns, because
// the disk is never twice the same. vs_bare is the median ratio and should be at least 0.85, and with
// 128 producers fsyncs/append at most 0.02.
//
//	go test -run '^$' -bench Append -benchtime 1x ./relay/spool/disk
func BenchmarkAppend(b *testing.B) {
	const (
		turn  = 150 * time.Millisecond
		turns = 12
	)
	for _, producers := range []int{1, 16, 128} {
		b.Run(fmt.Sprintf("4KB/p%d", producers), func(b *testing.B) {
			fs := &countingFS{fileSystem: osFS{}}
			s, err := Open(Config{Dir: b.TempDir(), MinFree: -1, ProjectShare: 1, fs: fs})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			bare := newBareFile(b)
			payload := make([]byte, 4096)
			writes := make([]*bareWrite, producers)
			records := make([]*schemas.Record, producers)
			for i := range writes {
				records[i] = benchRecord(payload)
			}
			frame := frameHeader + len(payload) + 500 // as many bytes as a record takes
			for i := range writes {
				writes[i] = &bareWrite{make([]byte, frame), make(chan error, 1)}
			}
			var ratios []float64
			var spoolRate, bareRate, appends, bareAppends float64
			before := fs.syncs.Load()
			b.ResetTimer()
			for range b.N * turns {
				base := produce(b, producers, turn, func(i int) error { return bare.append(writes[i]) })
				got := produce(b, producers, turn, func(i int) error { return s.Append(context.Background(), records[i]) })
				ratios = append(ratios, got/base)
				bareRate, bareAppends = bareRate+base, bareAppends+base*turn.Seconds()
				spoolRate, appends = spoolRate+got, appends+got*turn.Seconds()
			}
			slices.Sort(ratios)
			b.ReportMetric(ratios[len(ratios)/2], "vs_bare")
			b.ReportMetric(spoolRate/float64(turns*b.N), "appends/s")
			b.ReportMetric(bareRate/float64(turns*b.N), "bare/s")
			b.ReportMetric(float64(fs.syncs.Load()-before)/appends, "fsyncs/append")
			b.ReportMetric(float64(bare.syncs)/bareAppends, "bare_fsyncs/append")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// countingFS counts fsyncs of files and directories.
type countingFS struct {
	fileSystem
	syncs atomic.Int64
}

func (c *countingFS) Create(path string) (file, error) {
	f, err := c.fileSystem.Create(path)
	return countingFile{f, c}, err
}

func (c *countingFS) SyncDir(dir string) error {
	c.syncs.Add(1)
	return c.fileSystem.SyncDir(dir)
}

type countingFile struct {
	file
	c *countingFS
}

func (f countingFile) Sync() error {
	f.c.syncs.Add(1)
	return f.file.Sync()
}
