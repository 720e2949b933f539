package jetstream

import (
	"time"

	"github.com/rs/zerolog"
)

// tellEvery is how often a start that waits says so.
const tellEvery = 10 * time.Second

// waits tells the log what a start waits for. The servers of a cluster that was
// just started take some seconds to agree, and whoever starts a gateway must
// not have to guess why nothing happens. One goroutine uses it.
type waits struct {
	log   zerolog.Logger
	now   func() time.Time
	since time.Time
	told  time.Time
}

// tell says once in tellEvery that err makes a start wait; of nil it does nothing.
func (w *waits) tell(err error) {
	if w == nil {
		return
	}
	now := w.now()
	if !w.told.IsZero() && now.Sub(w.told) < tellEvery {
		return
	}
	w.told = now
	w.log.Warn().Err(err).Dur("waited", now.Sub(w.since)).Msg("waiting for the servers of the stream")
}
