package ingest

// Planner is a part of the edge that asks the fleet.
type Planner interface {
	// Plan adds steps for a batch. It must not drop or change anything: alive
	// tells which items would come to this part's own stage.
	Plan(b *Batch, q *Ballot)
}

// maxSteps bounds what one request may ask: while Redis takes its steps, some
// microseconds each, everybody waits. What is beyond it each gateway decides
// alone. A list of 100 reports, each with a storm and a quota, is within it.
const maxSteps = 256

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
	if req.Project == nil {
		return nil
	}
	if !t.Fleet.Up() {
		_, _ = t.Fleet.Ask(nil) // counts the request as one decided alone
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
	req.Rest()
	answers, ok := t.Fleet.Ask(q.steps)
	if err := req.Resume(); err != nil {
		return err
	}
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
