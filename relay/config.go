package relay

import (
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// Config is what all destinations share. Zero fields take the default named
// beside them.
type Config struct {
	// BackoffBase and BackoffCap bound a record's wait after its n-th failed
	// attempt: a random time in [0, min(cap, base·2ⁿ⁻¹)]. 1 s, 5 min.
	BackoffBase, BackoffCap time.Duration
	// BoundedAttempts is how often a record is tried in all when the upstream
	// fails at it (class Bounded). 5.
	BoundedAttempts int
	// CircuitAfter is how many failures in a row make a destination pause. 5.
	CircuitAfter int
	// CircuitBase and CircuitCap bound the time between two probes of a paused
	// destination; half of it is jitter. 1 s, 60 s.
	CircuitBase, CircuitCap time.Duration
	// RetryAfterCap bounds how long an upstream's Retry-After is believed. 1 h.
	RetryAfterCap time.Duration
	// HoldLimit is the longest upstream limit records wait for; items under
	// longer ones end as rate_limited. 5 min.
	HoldLimit time.Duration
	// MinThroughput, in bytes per second, extends the time of an attempt with
	// a large body. 256 KiB/s.
	MinThroughput int64
	// ShutdownTimeout is how long Run lets attempts finish after its context
	// ended. 10 s.
	ShutdownTimeout time.Duration

	Log        zerolog.Logger
	Registerer prometheus.Registerer // nil: no metrics are registered
	Now        func() time.Time      // time.Now
	Rand       func() float64        // a number in [0,1), from any goroutine; math/rand/v2
	// Pending tells how many records a destination has in the spool, for the
	// log line of a recovery. Optional.
	Pending func(spool.Destination) int64
	// Tap is told of every attempt. Optional.
	Tap Tap
	// Quieted is told when an upstream without limits of its own asked for quiet,
	// and until when; see Relay.Quiet. It must be quick. Optional.
	Quieted func(dst spool.Destination, until time.Time)
}

// Tap watches attempts, for a live view. It is called from the workers and
// must not block; the meta is shared, so it must not be changed or kept.
type Tap interface {
	// Attempt tells that one ended: result is one of Results.
	Attempt(dst spool.Destination, m *schemas.Meta, result string, took time.Duration)
}

// DestinationConfig is one queue and where it goes.
type DestinationConfig struct {
	spool.Destination
	// Key names this configuration. Apply leaves a destination alone whose Key
	// did not change; with another Key, or with none, it is replaced.
	Key string
	// Upstream delivers. nil holds the queue: its records wait in the spool
	// and nobody works on them.
	Upstream Destination
	// Target shows where it goes, for people, without secrets.
	Target string
	// Concurrency is the number of attempts at the same time. 8.
	Concurrency int
	// Timeout is the time of one attempt with a small body. 10 s.
	Timeout time.Duration
	// MaxAttempts makes a record a dead letter after so many failed attempts
	// of any kind; 0 is no limit but the spool's age and BoundedAttempts.
	MaxAttempts int
}

func (c Config) withDefaults() Config {
	orDuration(&c.BackoffBase, time.Second)
	orDuration(&c.BackoffCap, 5*time.Minute)
	orDuration(&c.CircuitBase, time.Second)
	orDuration(&c.CircuitCap, time.Minute)
	orDuration(&c.RetryAfterCap, time.Hour)
	orDuration(&c.HoldLimit, 5*time.Minute)
	orDuration(&c.ShutdownTimeout, 10*time.Second)
	if c.BoundedAttempts <= 0 {
		c.BoundedAttempts = 5
	}
	if c.CircuitAfter <= 0 {
		c.CircuitAfter = 5
	}
	if c.MinThroughput <= 0 {
		c.MinThroughput = 256 << 10
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c
}

func (c DestinationConfig) withDefaults() DestinationConfig {
	orDuration(&c.Timeout, 10*time.Second)
	if c.Concurrency <= 0 {
		c.Concurrency = 8
	}
	return c
}

func orDuration(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

// AttemptTimeout is how long one attempt may take: base, and the time the
// payloads need at minThroughput bytes per second, so that a crash dump of
// 100 MiB can pass where an error gets 10 s.
func AttemptTimeout(base time.Duration, env *schemas.Envelope, minThroughput int64) time.Duration {
	var size int64
	for i := range env.Items {
		size += env.Items[i].Payload.Size()
	}
	if minThroughput <= 0 {
		return base
	}
	return base + time.Duration(float64(size)/float64(minThroughput)*float64(time.Second))
}
