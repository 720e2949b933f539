package limit

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/schemas"
)

var errorQuota = Config{Quota: map[schemas.Category]Quota{"error": {Limit: 100, Period: Month}}}

func used(t *testing.T, l *Limiter, now time.Time) int64 {
	t.Helper()
	q := l.Quotas(now)
	if len(q) != 1 {
		t.Fatalf("%d quotas, want 1", len(q))
	}
	return q[0].Used
}

func TestQuotaIsExactUnder64Callers(t *testing.T) {
	l := limiter(t, Options{}, errorQuota)
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepted := 0
	for range 64 {
		wg.Go(func() {
			for range 10 {
				b := batch(t0, "event")
				if err := l.Apply(b); err != nil {
					t.Error(err)
				}
				if b.Items[0].Alive() {
					mu.Lock()
					accepted++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if accepted != 100 || used(t, l, t0) != 100 {
		t.Errorf("accepted %d, counted %d, want 100", accepted, used(t, l, t0))
	}
}

func TestQuotaBeginsAnewWithTheMonth(t *testing.T) {
	l := limiter(t, Options{}, Config{Quota: map[schemas.Category]Quota{"error": {Limit: 1, Period: Month}}})
	last := time.Date(2026, 3, 31, 23, 59, 59, 0, time.UTC)
	step := func(now time.Time, want bool) {
		t.Helper()
		b := batch(now, "event")
		apply(t, l, b)
		if b.Items[0].Alive() != want {
			t.Errorf("%s: accepted %v, want %v", now.Format(time.RFC3339), !want, want)
		}
	}
	step(last, true)
	step(last, false)
	step(last.Add(time.Second), true)
	step(last.Add(time.Second), false)
	step(last, false) // a clock that goes back opens nothing
	// The month is UTC's, wherever the server stands.
	east := time.FixedZone("east", 14*3600)
	step(time.Date(2026, 5, 1, 5, 0, 0, 0, east), false) // still April in UTC
}

func TestQuotaSurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "quota.json")
	l := limiter(t, Options{QuotaFile: path}, errorQuota)
	for range 7 {
		apply(t, l, batch(t0, "event"))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = limiter(t, Options{QuotaFile: path}, errorQuota)
	if got := used(t, l, t0); got != 7 {
		t.Errorf("used %d after a restart, want 7", got)
	}
	// Counts of a quota taken out of the configuration are kept as well.
	l = limiter(t, Options{QuotaFile: path}, Config{Quota: map[schemas.Category]Quota{"replay": {Limit: 1, Period: Day}}})
	apply(t, l, batch(t0, "replay_video"))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = limiter(t, Options{QuotaFile: path}, errorQuota)
	if got := used(t, l, t0); got != 7 {
		t.Errorf("used %d after the quota came back, want 7", got)
	}
	if got := used(t, l, t0.AddDate(0, 1, 0)); got != 0 {
		t.Errorf("used %d in the next month, want 0", got)
	}
}

func TestCrashForgetsAtMostSaveEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "quota.json")
		l := limiter(t, Options{QuotaFile: path, SaveEvery: 5 * time.Second}, errorQuota)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		time.Sleep(500 * time.Millisecond) // between the saves
		for range 30 {                     // one a second for half a minute
			apply(t, l, batch(t0, "event"))
			time.Sleep(time.Second)
		}
		// At 30.5 s now; the counts were saved at 30 s, and are again at 35 s.
		for range 5 {
			apply(t, l, batch(t0, "event"))
		}
		synctest.Wait()
		after := limiter(t, Options{QuotaFile: path}, errorQuota) // as if killed here
		if got := used(t, after, t0); got != 30 {
			t.Errorf("%d remembered after a crash, want the 30 of before the last save", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		after = limiter(t, Options{QuotaFile: path}, errorQuota)
		if got := used(t, after, t0); got != 35 {
			t.Errorf("%d of 35 remembered after an orderly stop", got)
		}
	})
}

func TestDamagedQuotaFileIsSetAside(t *testing.T) {
	for name, content := range map[string]string{
		"torn":           `{"version":1,"counters":[{"proj`,
		"empty":          "",
		"another format": `{"version":99,"counters":[]}`,
		"not ours":       `[1,2,3]`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "quota.json")
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			l := limiter(t, Options{QuotaFile: path}, errorQuota)
			if got := used(t, l, t0); got != 0 {
				t.Errorf("used %d", got)
			}
			if got, err := os.ReadFile(path + ".bad"); err != nil || string(got) != content {
				t.Errorf("the damaged file was not kept: %q, %v", got, err)
			}
			apply(t, l, batch(t0, "event"))
			if err := l.Close(); err != nil {
				t.Errorf("a new file could not be written: %v", err)
			}
		})
	}
}

func TestUnwritableQuotaFileIsReportedAndTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	l := limiter(t, Options{QuotaFile: filepath.Join(dir, "quota.json")}, errorQuota)
	apply(t, l, batch(t0, "event"))
	if err := l.Save(); err == nil {
		t.Fatal("no error though the folder is missing")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Save(); err != nil {
		t.Fatalf("not tried again: %v", err)
	}
	if got := used(t, limiter(t, Options{QuotaFile: filepath.Join(dir, "quota.json")}, errorQuota), t0); got != 1 {
		t.Errorf("used %d, want 1", got)
	}
}
