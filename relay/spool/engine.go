package spool

import (
	"context"
	"time"

	"breakwater/schemas"
)

// Engine is a spool as a gateway runs one: it can be told of destinations and
// limits while it is in use, and says whether it could take something now.
type Engine interface {
	Spool
	// Expect makes the queues of configured destinations known before they get
	// a record, so that Stats shows them empty.
	Expect(dsts ...Destination)
	// SetLimits changes the limits of a spool in use; zero values get the
	// defaults. What is stored stays, also where it is now too much.
	SetLimits(l Limits)
	// Ready is nil when something could be stored now, else why not. It answers
	// from what is known and waits for nobody.
	Ready() error
}

// Adopter is a spool that takes over records of another one.
type Adopter interface {
	// Adopt stores a record that lay in another spool, as Append would: durable
	// when it returns nil, with an id of its own in rec.Meta.ID. A dead letter
	// stays one, for all of rec.Meta.Destinations; the observer is not told of
	// it, because its items were counted when it was buried there.
	//
	// A spool that can tell a repeat, by where the record comes from, returns nil
	// for it, stores nothing and leaves rec.Meta.ID empty. How long it can is for
	// it to say.
	Adopt(ctx context.Context, rec *schemas.Record, from Origin) error
}

// Origin is where a record comes from that another spool held.
type Origin struct {
	ID     string // its id there
	Dead   bool   // it was a dead letter
	Reason string // why
}

// Limits are what can change while a spool is in use. Zero values get the
// default in brackets.
type Limits struct {
	// MaxSize bounds what the spool takes, in bytes [10 GiB].
	MaxSize int64
	// MinFree is what must stay free on the file system, in bytes [512 MiB;
	// negative: 0]. Only a spool with files of its own has a use for it.
	MinFree int64
	// MaxAge is how long after ReceivedAt a record still waits, before it ends
	// as expired [720 h; negative: for ever]. Dead letters do not expire.
	MaxAge time.Duration
	// ProjectShare is the part of MaxSize one project may hold, 0 to 1 [0.5]:
	// its records, each once, and what is being received for it.
	ProjectShare float64
	// DeadLetterSize bounds the dead letters, in bytes [a tenth of MaxSize];
	// beyond it the oldest are dropped.
	DeadLetterSize int64
}

// WithDefaults are the limits with every zero value replaced.
func (l Limits) WithDefaults() Limits {
	if l.MaxSize <= 0 {
		l.MaxSize = 10 << 30
	}
	switch {
	case l.MinFree == 0:
		l.MinFree = 512 << 20
	case l.MinFree < 0:
		l.MinFree = 0
	}
	if l.MaxAge == 0 {
		l.MaxAge = 720 * time.Hour
	}
	if l.ProjectShare <= 0 || l.ProjectShare > 1 {
		l.ProjectShare = 0.5
	}
	if l.DeadLetterSize <= 0 {
		l.DeadLetterSize = l.MaxSize / 10
	}
	return l
}
