package ingest

import (
	"context"
	"time"
)

// Fleet is the gateways that share limits. What one request asks of it goes
// out in one message and comes back in one: Ask waits for at most one round
// trip. The edge declares it here; who provides it is wired in cmd.
type Fleet interface {
	// Ask takes steps in their order, all of them at one moment for all
	// gateways. ok is false when no answer came in time: then each decides alone,
	// by what it knows itself. Answers stand in the order of the steps. Without
	// steps it only counts, while the fleet is away, a request decided alone.
	Ask(steps []Step) (answers []Answer, ok bool)
	// Up tells whether asking is worth while: false while the fleet is away.
	Up() bool
	// Share is the divisor of a limit that this gateway may give away alone while
	// the fleet is away: 1, or how many gateways there are.
	Share() int
	// Keep remembers for ttl that a claim was taken; Release gives a claim back.
	// Neither waits.
	Keep(key string, ttl time.Duration)
	Release(key string)
	// Ended hands out storms that are over, each to one gateway for some time;
	// Told says that its summary is stored. An error: try again later.
	Ended(ctx context.Context) ([]EndedStorm, error)
	Told(ctx context.Context, storm EndedStorm) error
	// Forward hands a measurement to the gateway that its id belongs to. It does
	// not wait.
	Forward(owner string, message []byte)
}

// StepKind is what a step decides.
type StepKind byte

// Kinds of steps.
const (
	// StepBucket takes N tokens of a bucket.
	StepBucket StepKind = iota + 1
	// StepItems charges N items to a quota, a bucket or both: all or nothing.
	StepItems
	// StepStorm counts one occurrence of a fingerprint and says whether it passes.
	StepStorm
	// StepClaim claims an id: it passes when nobody has it.
	StepClaim
	// StepOwner asks whose an id of a measurement is; it passes when it is ours,
	// and becomes ours when it was nobody's.
	StepOwner
)

// Always is the After of a step without a condition.
const Always = -1

// Step is one decision that the gateways of a fleet take together.
type Step struct {
	Kind StepKind
	// After is the index of a step that must have passed, Always for none. A
	// step whose condition failed is not taken and has not passed.
	After int
	// Key is what is counted: at most 200 bytes, no personal data (see
	// Private), different for different kinds by what the fleet adds.
	Key string
	// Private says that Key holds personal data, such as an address: it leaves
	// the gateway only as a keyed hash.
	Private bool
	N       int64
	Rate    float64 // tokens per second; 0: no bucket
	Burst   int64
	Quota   StepQuota
	Storm   StepOfStorm
}

// StepQuota is the quota of a step; the zero value is none.
type StepQuota struct {
	Key   string // with the period's name and start; "" for none
	Limit int64
	// Known is what this gateway last heard was used in all, New what it has
	// counted alone since: neither is lost with the store. Told is how much it had
	// counted alone since its start that was told and answered before: by it New is
	// counted once when it is told again because no answer came.
	Known, New, Told int64
	// Until is the end of the period.
	Until time.Time
}

// StepOfStorm is what a fingerprint's step needs beside its key.
type StepOfStorm struct {
	Window       time.Duration
	First, OneIn int64
	// Facts are for the summary when the storm is over.
	Facts EndedStorm
}

// EndedStorm is a storm over all gateways, from its first suppressed error
// until none was for a window.
type EndedStorm struct {
	// Ref is the fleet's name of it.
	Ref                                                                 string
	Project, Fingerprint, Title, Release, Environment, Level, PublicKey string
	Start, Last                                                         time.Time
	Seen, Forwarded                                                     uint64
}

// Answer is what became of a step.
type Answer struct {
	// Taken is false for a step whose condition failed.
	Taken  bool
	Passed bool
	// Wait is how long until a refused bucket has the tokens.
	Wait time.Duration
	// ByQuota says that items were refused by their quota; Used is what all
	// gateways have used of it.
	ByQuota bool
	Used    int64
	// Count is the occurrences in the running window, this one included; Since
	// how many were suppressed since the last one that passed.
	Count, Since int64
	// Pending says of a claim that another request is being decided on it now;
	// of a measurement that its owner is stopping and takes nothing more.
	Pending bool
	// Owner is whose the measurement is when it is not ours.
	Owner string
}
