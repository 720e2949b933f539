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
