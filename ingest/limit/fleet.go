package limit

import (
	"net/netip"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Names of the steps of a request.
const (
	stepAddress = "address"
	stepKey     = "key"
	stepVitals  = "vitals"
)

// Requests asks the fleet about the request itself: one token of its address and
// one of its key, of buckets that all gateways share. This gateway's own
// buckets, which AllowRequest asked before, stay the first line.
func (l *Limiter) Requests() ingest.Planner { return requestSteps{l} }

// Items asks the fleet about what Apply will charge.
func (l *Limiter) Items() ingest.Planner { return itemSteps{l} }

type requestSteps struct{ l *Limiter }

var _ ingest.Judge = requestSteps{}

// Plan is of ingest.Planner.
func (s requestSteps) Plan(b *ingest.Batch, q *ingest.Ballot) {
	req, st := b.Request, s.l.state.Load()
	if st.addresses != nil && req.ClientIP.IsValid() {
		q.Gate(stepAddress, ingest.Step{
			Kind: ingest.StepBucket, After: ingest.Always, Private: true, Key: network(req.ClientIP) + "/" + req.Budget,
			N: 1, Rate: st.perIP.PerSecond, Burst: int64(st.addressIn.burst),
		})
	}
	if p := st.projects[req.Project.Name]; p != nil && p.keys != nil && req.Key != nil {
		q.Gate(stepKey, ingest.Step{
			Kind: ingest.StepBucket, After: ingest.Always, Key: req.Project.Name + ":" + req.Key.Public + "/" + req.Budget,
			N: 1, Rate: p.config.PerKey.PerSecond, Burst: int64(p.perKey.burst),
		})
	}
}

// Judge refuses a request that other gateways have left no token for, in the
// words of AllowRequest.
func (s requestSteps) Judge(b *ingest.Batch, q *ingest.Ballot) *ingest.Rejection {
	req := b.Request
	if a, ok := q.Answer(ingest.StepBucket, stepAddress); ok && !a.Passed {
		return s.l.refuse(req, ReasonPerIP, s.l.subject(req.ClientIP), a.Wait)
	}
	if a, ok := q.Answer(ingest.StepBucket, stepKey); ok && !a.Passed {
		return s.l.refuse(req, ReasonPerKey, keyName(req.Key), a.Wait)
	}
	return nil
}

// network is what an address is limited by: itself, or its /64.
func network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a.String()
	}
	return p.Addr().String()
}

type itemSteps struct{ l *Limiter }

var _ ingest.Judge = itemSteps{}

// Plan is of ingest.Planner. What is refused without asking, because an upstream
// said so or a quota is known to be used up, is not asked about.
func (s itemSteps) Plan(b *ingest.Batch, q *ingest.Ballot) {
	name, now := b.Request.Project.Name, b.Request.ReceivedAt
	p := s.l.state.Load().projects[name]
	if p == nil {
		return
	}
	var upstream []schemas.RateLimit
	if s.l.opts.Upstream != nil {
		upstream = active(s.l.opts.Upstream.Limits(name, now), now)
	}
	carrier := ingest.Always // the unit that takes dependent items along
	for _, u := range unitsOf(b, q.Alive) {
		if covered(upstream, u.category, now) {
			continue
		}
		step, ok := p.step(name, u.category, max(u.quantity, 1), now)
		if !ok {
			continue
		}
		first := u.items[0]
		step.After = q.Before(first)
		if storm := q.Last(ingest.StepStorm, first); storm != ingest.Always {
			step.After = storm
		}
		switch {
		case !first.Type.Dependent || first.Type.Main || b.Many:
		case carrier != ingest.Always:
			step.After = carrier
		default: // what takes it along may be suppressed
			if main := b.Main(); main != nil {
				step.After = q.Last(ingest.StepStorm, main)
			}
		}
		i := q.Add(first, step)
		if u.carries && i >= 0 {
			carrier = i
		}
	}
	if n := b.Measurements(); n > 0 && p.vitals {
		if step, ok := p.step(name, schemas.CategoryVital, n, now); ok {
			q.Gate(stepVitals, step) // what asks who settles them stands behind it
		}
	}
}

// step asks for n of a category; ok is false where nothing limits it, or a quota
// is known to be used up.
func (p *project) step(name string, c schemas.Category, n int, now time.Time) (step ingest.Step, ok bool) {
	quota, counted := p.quota[c]
	rate, limited := p.categories[c]
	if !counted && !limited {
		return step, false
	}
	step = ingest.Step{Kind: ingest.StepItems, After: ingest.Always, Key: name + ":" + string(c), N: int64(n)}
	if limited {
		step.Rate, step.Burst = rate.gcra.rate, int64(rate.gcra.burst)
	}
	if counted {
		o, ok := quota.counter.offer(quota.quota, now, step.N)
		if !ok {
			return step, false
		}
		step.Quota = stepQuota(name, c, quota.quota, now, o)
	}
	return step, true
}

func covered(limits []schemas.RateLimit, c schemas.Category, now time.Time) bool {
	for _, l := range limits {
		if l.Covers(c, now) {
			return true
		}
	}
	return false
}

// Judge writes down what the fleet said about quotas. It refuses nothing: Apply
// does.
func (s itemSteps) Judge(b *ingest.Batch, q *ingest.Ballot) *ingest.Rejection {
	p := s.l.state.Load().projects[b.Request.Project.Name]
	if p == nil {
		return nil
	}
	for _, it := range b.Items {
		s.learn(p, q, it, it.Category, b.Request.ReceivedAt)
	}
	if p.vitals {
		s.learn(p, q, stepVitals, schemas.CategoryVital, b.Request.ReceivedAt)
	}
	return nil
}

// learn is Judge for one step.
func (s itemSteps) learn(p *project, q *ingest.Ballot, who any, c schemas.Category, now time.Time) {
	step, ok := q.Step(ingest.StepItems, who)
	if !ok || step.Quota.Key == "" {
		return
	}
	quota, ok := p.quota[c]
	if !ok {
		return
	}
	answer, ok := q.Answer(ingest.StepItems, who)
	took := int64(0)
	if ok && answer.Passed {
		took = step.N
	}
	quota.counter.learn(quota.quota.Period, now, step.Quota.New, took, answer.Used, ok)
	s.l.quotas.touched()
}

// settleAtOnce bounds what Settle asks in one message.
const settleAtOnce = 200

// Settle tells the fleet what was counted of quotas while it was away. Call it
// when it is back, so that it does not give away what is used up already.
func (l *Limiter) Settle(now time.Time) {
	type open struct {
		quotaLimit
		step ingest.Step
	}
	var list []open
	ask := func() {
		steps := make([]ingest.Step, len(list))
		for i, o := range list {
			steps[i] = o.step
		}
		answers, ok := l.opts.Fleet.Ask(steps)
		for i, o := range list {
			used := int64(0)
			if ok {
				used = answers[i].Used
			}
			o.counter.learn(o.quota.Period, now, o.step.Quota.New, 0, used, ok)
		}
		list = list[:0]
	}
	for name, p := range l.state.Load().projects {
		for cat, q := range p.quota {
			told, _ := q.counter.offer(q.quota, now, 0)
			step := ingest.Step{Kind: ingest.StepItems, After: ingest.Always, Key: name + ":" + string(cat), Quota: stepQuota(name, cat, q.quota, now, told)}
			if list = append(list, open{q, step}); len(list) == settleAtOnce {
				ask()
			}
		}
	}
	if len(list) > 0 {
		ask()
	}
	l.quotas.touched()
}

func stepQuota(project string, c schemas.Category, q Quota, now time.Time, o offer) ingest.StepQuota {
	return ingest.StepQuota{
		Key:   project + ":" + string(c) + ":" + string(q.Period) + ":" + q.Period.start(now).Format("2006-01-02"),
		Limit: q.Limit, Known: o.known, New: o.fresh, Told: o.told, Until: q.Period.end(now),
	}
}
