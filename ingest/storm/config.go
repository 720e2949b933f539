package storm

import (
	"errors"
	"fmt"
	"time"
)

// The defaults of Config.
const (
	DefaultWindow          = time.Minute
	DefaultFirst           = 50
	DefaultThenOneIn       = 100
	DefaultMaxFingerprints = 100_000
)

// Config is one project's storm control. Zero fields mean the defaults.
type Config struct {
	// Off passes everything uncounted.
	Off bool
	// Window is how long First lasts, and how long a fingerprint must stay
	// below it for its storm to end.
	Window time.Duration
	// First is how many errors of one fingerprint pass in a window.
	First int
	// ThenOneIn is how many further ones there are to each that passes.
	ThenOneIn int
	// MaxFingerprints bounds what is remembered, at most about 225 bytes each.
	MaxFingerprints int
}

func (c Config) withDefaults() Config {
	if c.Window == 0 {
		c.Window = DefaultWindow
	}
	if c.First == 0 {
		c.First = DefaultFirst
	}
	if c.ThenOneIn == 0 {
		c.ThenOneIn = DefaultThenOneIn
	}
	if c.MaxFingerprints == 0 {
		c.MaxFingerprints = DefaultMaxFingerprints
	}
	return c
}

// Validate reports the first field out of its bounds.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Window < time.Second || c.Window > 24*time.Hour:
		return fmt.Errorf("window: %s is not between 1s and 24h", c.Window)
	case c.First < 1:
		return errors.New("first: must be at least 1")
	case c.ThenOneIn < 1:
		return errors.New("then_one_in: must be at least 1")
	case c.MaxFingerprints < 100 || c.MaxFingerprints > 10_000_000:
		return fmt.Errorf("max_fingerprints: %d is not between 100 and 10000000", c.MaxFingerprints)
	}
	return nil
}
