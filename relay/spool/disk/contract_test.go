package disk

import (
	"math/rand/v2"
	"syscall"
	"testing"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
)

// contractConfig is what the suite asks for.
func contractConfig(o spooltest.Options) Config {
	return Config{
		MaxSize: o.MaxSize, MinFree: -1, MaxAge: o.MaxAge, ProjectShare: o.ProjectShare,
		DeadLetterSize: o.DeadLetterSize, Now: o.Now, Observer: o.Observer,
	}
}

func contractOpen(t testing.TB, cfg Config) spool.Spool {
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tick(s spool.Spool) { s.(*Spool).Tick() }

// The suite on a real directory.
func TestContract(t *testing.T) {
	spooltest.Run(t, func(t *testing.T) spooltest.Harness {
		dir := t.TempDir()
		return spooltest.Harness{
			Open: func(t testing.TB, o spooltest.Options) spool.Spool {
				cfg := contractConfig(o)
				cfg.Dir = dir
				return contractOpen(t, cfg)
			},
			Tick: tick,
		}
	})
}

// The suite on a disk that loses power, and whose every call fails for a while.
func TestContractOnABadDisk(t *testing.T) {
	spooltest.Run(t, func(*testing.T) spooltest.Harness {
		fs := newSimFS()
		rnd := rand.New(rand.NewPCG(3, 4))
		return spooltest.Harness{
			Open: func(t testing.TB, o spooltest.Options) spool.Spool {
				cfg := contractConfig(o)
				cfg.Dir, cfg.fs, cfg.SegmentSize = "spool", fs, 4<<10
				return contractOpen(t, cfg)
			},
			Tick: tick,
			Crash: func(_ testing.TB, s spool.Spool) {
				next := fs.crash(rnd)
				_ = s.Close() // into the void
				fs = next
			},
			Away: func(_ testing.TB, away bool) {
				fs.mu.Lock()
				defer fs.mu.Unlock()
				fs.fault = nil
				if away {
					fs.fault = func(int, call) *fault { return &fault{err: syscall.EIO} }
				}
			},
		}
	})
}
