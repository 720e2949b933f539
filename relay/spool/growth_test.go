package spool

import (
	"testing"
	"time"
)

// The speed is that of the last quarter of an hour, and the time to full
// follows the nearer of both limits.
func TestGrowth(t *testing.T) {
	var g Growth
	now := time.Unix(1_700_000_000, 0)
	if g.Note(now, 0); g.PerSecond() != 0 {
		t.Error("one note makes no speed")
	}
	for range 200 { // flat, then 100 bytes a second
		now = now.Add(5 * time.Second)
		g.Note(now, 0)
	}
	if got := g.PerSecond(); got != 0 {
		t.Errorf("flat grows by %v", got)
	}
	used := int64(0)
	for range 400 {
		now, used = now.Add(5*time.Second), used+500
		g.Note(now, used)
	}
	if got := g.PerSecond(); got != 100 {
		t.Errorf("growth %v, want 100", got)
	}
	if len(g.notes) != growthPoints {
		t.Errorf("%d notes", len(g.notes))
	}
	now = now.Add(-time.Hour)
	if g.Note(now, used); g.PerSecond() != 0 {
		t.Error("a clock that went back makes a speed")
	}
}

func TestTimeToFull(t *testing.T) {
	for name, c := range map[string]struct {
		st   Stats
		want time.Duration
		ok   bool
	}{
		"by size":      {Stats{Capacity: 1000, Used: 400, Free: 10_000, Growth: 10}, time.Minute, true},
		"by free disk": {Stats{Capacity: 1000, Used: 400, Free: 500, MinFree: 200, Growth: 10}, 30 * time.Second, true},
		"drains":       {Stats{Capacity: 1000, Used: 400, Free: 10_000, Growth: -10}, 0, false},
		"full":         {Stats{Capacity: 1000, Used: 1000, Free: 10_000}, 0, true},
		"hardly grows": {Stats{Capacity: 1 << 50, Free: 1 << 60, Growth: 1e-6}, 0, false},
	} {
		if got, ok := c.st.Full(); got != c.want || ok != c.ok {
			t.Errorf("%s: %v %v, want %v %v", name, got, ok, c.want, c.ok)
		}
	}
}
