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
	// by what it knows itself. Answers stand in the order of the steps.
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
	// counted alone since: neither is lost with the store.
	Known, New int64
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

// Planner is a part of the edge that asks the fleet.
type Planner interface {
	// Plan adds steps for a batch. It must not drop or change anything: alive
	// tells which items would come to this part's own stage.
	Plan(b *Batch, q *Ballot)
}

// maxSteps bounds what one request may ask; what is beyond it each gateway
// decides alone. No SDK comes near.
const maxSteps = 1000

// Ballot is what one request asks of the fleet, and the answers.
type Ballot struct {
	steps   []Step
	who     []any
	what    []any
	answers []Answer
	gone    map[*Item]bool
	need    map[*Item]int // the step that an item's own steps depend on
	last    int           // what every step of the items depends on
}

// Add adds a step for somebody, who finds the answer by the same value. An
// After of Always is turned into the steps of the whole request, when there
// are some: who is refused has nothing charged.
func (q *Ballot) Add(who any, s Step) int {
	if len(q.steps) >= maxSteps {
		return Always
	}
	if s.After == Always {
		s.After = q.last
	}
	q.steps, q.who, q.what = append(q.steps, s), append(q.who, who), append(q.what, nil)
	return len(q.steps) - 1
}

// Gate adds a step that all later ones depend on.
func (q *Ballot) Gate(who any, s Step) { q.last = q.Add(who, s) }

// needs lets an item's steps depend on another one.
func (q *Ballot) needs(it *Item, step int) {
	if q.need == nil {
		q.need = map[*Item]int{}
	}
	q.need[it] = step
}

// Before is the step that an item's first own step depends on.
func (q *Ballot) Before(it *Item) int {
	if step, ok := q.need[it]; ok {
		return step
	}
	return Always
}

// Alive tells whether an item will still be on its way after sampling.
func (q *Ballot) Alive(it *Item) bool { return it.Alive() && !q.gone[it] }

// Last is the index of the last step of a kind for somebody, Always when there
// is none.
func (q *Ballot) Last(kind StepKind, who any) int {
	for i := len(q.steps) - 1; i >= 0; i-- {
		if q.steps[i].Kind == kind && q.who[i] == who {
			return i
		}
	}
	return Always
}

// Answer is the fleet's answer to somebody's step. ok is false without one:
// then it is for each gateway to decide alone.
func (q *Ballot) Answer(kind StepKind, who any) (a Answer, ok bool) {
	if q == nil || q.answers == nil {
		return Answer{}, false
	}
	i := q.Last(kind, who)
	if i < 0 || !q.answers[i].Taken {
		return Answer{}, false
	}
	return q.answers[i], true
}

// Step is what was asked for somebody.
func (q *Ballot) Step(kind StepKind, who any) (s Step, ok bool) {
	if q == nil {
		return s, false
	}
	if i := q.Last(kind, who); i >= 0 {
		return q.steps[i], true
	}
	return s, false
}

// Remember keeps what was read for a step, for the stage that decides later.
func (q *Ballot) Remember(step int, what any) {
	if step >= 0 {
		q.what[step] = what
	}
}

// Subject is what Remember kept, nil for nothing.
func (q *Ballot) Subject(kind StepKind, who any) any {
	if q == nil {
		return nil
	}
	if i := q.Last(kind, who); i >= 0 {
		return q.what[i]
	}
	return nil
}

// Ballot is what the request asked of the fleet; nil without a fleet.
func (r *Request) Ballot() *Ballot {
	if r == nil {
		return nil
	}
	return r.ballot
}

// Together is the stage that asks the fleet, once for a request, what its
// planners want to know. It stands before everything that measures or thins
// out, so that what another gateway has taken already counts nowhere.
type Together struct {
	Fleet Fleet
	// Sampled tells whether an item will not be in the sample.
	Sampled func(b *Batch, it *Item) bool
	// Planners are asked in their order. Each may also be a Judge.
	Planners []Planner
}

// Judge reads answers that concern more than one stage.
type Judge interface {
	// Judge is called once after the fleet was asked, also when it did not answer.
	// It may drop items. A rejection refuses the request.
	Judge(b *Batch, q *Ballot) *Rejection
}

// Name is "together".
func (t *Together) Name() string { return "together" }

// Apply asks. Without an answer nothing has changed, and the stages behind it
// decide alone. The error is a rejection of the whole request.
func (t *Together) Apply(b *Batch) error {
	req := b.Request
	if req.Project == nil || !t.Fleet.Up() {
		return nil
	}
	q := &Ballot{last: Always}
	if t.Sampled != nil && !req.Canary {
		q.gone = b.without(func(it *Item) bool { return t.Sampled(b, it) })
	}
	for _, p := range t.Planners {
		p.Plan(b, q)
	}
	if len(q.steps) == 0 {
		return nil
	}
	answers, ok := t.Fleet.Ask(q.steps)
	if ok {
		q.answers = answers
	}
	req.ballot = q
	var refused *Rejection
	for _, p := range t.Planners {
		if j, is := p.(Judge); is {
			if rej := j.Judge(b, q); rej != nil && refused == nil {
				refused = rej
			}
		}
	}
	if refused != nil {
		return refused
	}
	return nil
}

// without is what would end with the items that are dropped; nil for none.
func (b *Batch) without(dropped func(*Item) bool) map[*Item]bool {
	var gone map[*Item]bool
	var drop func(it *Item)
	drop = func(it *Item) {
		if gone[it] {
			return
		}
		if gone == nil {
			gone = map[*Item]bool{}
		}
		gone[it] = true
		for _, other := range b.Items {
			if other.Alive() && falls(it, other) {
				drop(other)
			}
		}
	}
	for _, it := range b.Items {
		if it.Alive() && dropped(it) {
			drop(it)
		}
	}
	return gone
}
