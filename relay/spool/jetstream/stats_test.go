package jetstream

import (
	"context"
	"testing"
	"time"

	"breakwater/relay/spool/jetstream/natstest"
)

// A look that failed does not count as one that was long: what it did not see
// would be told for half a minute after the servers are back.
func TestLooksThatFailedAreRepeatedSoon(t *testing.T) {
	for _, tt := range []struct {
		st   *statistics
		want time.Duration
	}{
		{&statistics{}, time.Second},
		{&statistics{took: 10 * time.Millisecond}, time.Second},
		{&statistics{took: 200 * time.Millisecond}, 4 * time.Second},
		{&statistics{took: 3 * time.Second}, 30 * time.Second},
		{&statistics{took: 3 * time.Second, failed: true}, 5 * time.Second},
	} {
		if got := tt.st.pause(time.Second); got != tt.want {
			t.Errorf("after a look of %v, failed %v, the next one waits %v, want %v", tt.st.took, tt.st.failed, got, tt.want)
		}
	}
	s := solo(t, natstest.Start(t, natstest.Options{}), newPlace(), nil)
	none, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.refresh(none); err == nil || !s.stats.failed {
		t.Errorf("a look without an answer: %v, failed %v", err, s.stats.failed)
	}
	if err := s.refresh(t.Context()); err != nil || s.stats.failed {
		t.Errorf("a look with answers: %v, failed %v", err, s.stats.failed)
	}
}
