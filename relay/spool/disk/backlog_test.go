package disk

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

var backlogRecords = flag.Int("spool.records", 50_000, "records of BenchmarkBacklog")

// rss is the process's resident memory in MiB, 0 where the system does not say.
func rss() float64 {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// BenchmarkBacklog fills a spool with 4 KB records, reopens it as after a
// kill (without Close) and drains it. With a million records resident memory
// should stay below 150 MiB, the reopening below 3 s, and at most 2 % of the
// disk be in use after the drain.
//
//	go test -run '^$' -bench Backlog -benchtime 1x ./relay/spool/disk -spool.records 1000000
func BenchmarkBacklog(b *testing.B) {
	ctx := context.Background()
	dst := spool.Destination{Project: "shop-web", Name: "sentry"}
	for range b.N {
		cfg := Config{Dir: b.TempDir(), MinFree: -1, ProjectShare: 1, MaxSize: 20 << 30}
		s, err := Open(cfg)
		if err != nil {
			b.Fatal(err)
		}
		n := *backlogRecords
		start := time.Now()
		var wg sync.WaitGroup
		const producers = 64
		for p := range producers {
			wg.Add(1)
			go func() {
				defer wg.Done()
				rec := benchRecord(make([]byte, 4096))
				for i := p; i < n; i += producers {
					if err := s.Append(ctx, rec); err != nil {
						b.Error(err)
						return
					}
				}
			}()
		}
		wg.Wait()
		b.ReportMetric(float64(n)/time.Since(start).Seconds(), "fill/s")
		b.ReportMetric(rss(), "MiB_filled")
		full := s.Stats().Used
		// A kill: the lock goes, the active segment stays as it is.
		_ = s.lock.Close()
		s.abandon()
		s = nil
		runtime.GC()

		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SPOOL_TEST_HOLD="+cfg.Dir)
		out, err := cmd.CombinedOutput()
		if err != nil {
			b.Fatalf("reopening: %v: %s", err, out)
		}
		var seconds, mib float64
		if _, err := fmt.Sscanf(string(out), "%f\nopen %f", &seconds, &mib); err != nil {
			b.Fatalf("reopening said %q", out)
		}
		b.ReportMetric(seconds, "s_reopen")
		b.ReportMetric(mib, "MiB_reopened")
		again, err := Open(cfg)
		if err != nil {
			b.Fatal(err)
		}

		start = time.Now()
		for range n {
			c, err := again.Claim(ctx, dst)
			if err != nil {
				b.Fatal(err)
			}
			if err := c.Settle([]schemas.Final{{Outcome: schemas.Delivered}}); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(n)/time.Since(start).Seconds(), "drain/s")
		again.Tick()
		b.ReportMetric(100*float64(diskUsage(b, cfg.Dir))/float64(full), "%_left")
		if err := again.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(0, "ns/op")
	}
}

// abandon stops a spool's goroutines and leaves the disk alone.
func (s *Spool) abandon() {
	s.mu.Lock()
	s.closed = true
	s.dirty, s.unsynced = nil, map[*segment]struct{}{}
	close(s.done)
	s.mu.Unlock()
	kick(s.wakeWriter)
	<-s.writerDone
	close(s.quit)
	s.wg.Wait()
}

var deadLetters = flag.Int("spool.dead", 100_000, "dead letters of BenchmarkDeadLetters")

// BenchmarkDeadLetters makes many dead letters of a little over 1 KB and does
// with them what operators do: look at one page, read all page by page, search
// for an event, open one, and try all again. The time per record of reading all by
// pages should not grow with their number.
//
//	go test -run '^$' -bench DeadLetters -benchtime 1x ./relay/spool/disk -spool.dead 100000
func BenchmarkDeadLetters(b *testing.B) {
	ctx := context.Background()
	for range b.N {
		s, err := Open(Config{Dir: b.TempDir(), MinFree: -1, ProjectShare: 1, MaxSize: 20 << 30})
		if err != nil {
			b.Fatal(err)
		}
		n := *deadLetters
		const workers = 64
		each := func(one func() error) {
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := w; i < n; i += workers {
						if err := one(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		}
		start := time.Now()
		lap := func(unit string, per int) {
			b.ReportMetric(float64(time.Since(start).Microseconds())/float64(per), unit)
			start = time.Now()
		}
		payload := make([]byte, 1024)
		each(func() error { return s.Append(ctx, benchRecord(payload)) })
		start = time.Now()
		each(func() error {
			c, err := s.Claim(ctx, spool.Destination{Project: "shop-web", Name: "sentry"})
			if err != nil {
				return err
			}
			return c.Bury("unauthorized")
		})
		lap("µs/burial", n)
		page := spool.Query{Dead: true, Limit: 100}
		read := func() (got int, last string) {
			err := s.List(page, func(e spool.Entry) bool { got, last = got+1, e.Meta.ID; return true })
			if err != nil {
				b.Fatal(err)
			}
			return got, last
		}
		read()
		lap("µs/first_page", 1)
		total := 0
		for {
			var got int
			if got, page.After = read(); got == 0 {
				break
			}
			total += got
		}
		if total != n {
			b.Fatalf("pages showed %d of %d", total, n)
		}
		lap("µs/record_by_pages", n)
		total = 0
		_ = s.List(spool.Query{Dead: true}, func(spool.Entry) bool { total++; return true })
		lap("µs/record_at_once", total)
		_ = s.List(spool.Query{Dead: true, EventID: "ffffffffffffffffffffffffffffffff"}, func(spool.Entry) bool { return true })
		lap("µs/search", 1)
		if got, err := s.Retry(spool.Query{}); err != nil || got != n {
			b.Fatalf("retried %d, %v", got, err)
		}
		lap("µs/retry", n)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(0, "ns/op")
	}
}
