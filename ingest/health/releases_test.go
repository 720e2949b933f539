package health

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Sessions of the last day make crash-free rates and adoption, per environment.
func TestReleases(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	h := New(Config{Now: func() time.Time { return now }}, prometheus.NewRegistry())
	see := func(env, release string, begun, bad int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		_, s := h.series("shop", env, release, now)
		s.count(started, float64(begun), now)
		s.count(crashed, float64(bad), now)
		for i := range begun {
			h.sawUser(s, string(rune('a'+i)), i < bad, now)
		}
	}
	see("production", "shop@1", 9, 1)
	now = now.Add(time.Minute)
	see("production", "shop@2", 3, 3)
	see("staging", "shop@2", 5, 0)
	list := h.Releases()
	if len(list) != 3 || list[0].Release != "shop@2" || list[0].Environment != "production" || list[1].Release != "shop@1" || list[2].Environment != "staging" {
		t.Fatalf("%+v", list)
	}
	if r := list[0]; r.Sessions != 3 || r.Crashed != 3 || r.Adoption != 0.25 || r.Users != 3 || r.CrashedUsers != 3 {
		t.Errorf("%+v", r)
	}
	if r := list[2]; r.Adoption != 1 || r.CrashedUsers != 0 {
		t.Errorf("%+v", r)
	}
	now = now.Add(24 * time.Hour)
	if r := h.Releases()[0]; r.Sessions != 0 || r.Users != 0 {
		t.Errorf("a day later: %+v", r)
	}
}
