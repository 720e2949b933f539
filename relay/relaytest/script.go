package relaytest

import (
	"net/http"
	"sync"
	"time"
)

// Step is how the upstream treats one request. The zero Step takes it and
// answers 200.
type Step struct {
	Status int         // 0: 200
	Header http.Header // of the answer
	Body   string      // of the answer; "": what Options.Answer says
	Delay  time.Duration
	Fault  Fault
	// ReadRate slows the reading of the request, in bytes per second.
	ReadRate int
	// Size is the size of a HugeHeader or HugeBody. 64 MiB.
	Size int64
}

// Fault is something worse than a status.
type Fault string

// The faults. With ResetAfter, Truncated, SlowBody, HugeBody and HugeHeader
// the upstream has taken the request, whatever its client makes of the answer.
const (
	ResetBefore Fault = "reset_before" // cut the connection before reading the body
	ResetAfter  Fault = "reset_after"  // read everything, then cut: the answer is lost
	Hang        Fault = "hang"         // read everything, never answer
	Garbage     Fault = "garbage"      // answer with something that is not HTTP
	// Refuse cuts the connection; who owns the port refuses new ones for
	// Step.Delay. An Upstream only cuts.
	Refuse     Fault = "refuse"
	Truncated  Fault = "truncated"   // promise a longer body than is sent
	SlowBody   Fault = "slow_body"   // the status at once, the body a byte at a time, forever
	HugeBody   Fault = "huge_body"   // a body of Size bytes
	HugeHeader Fault = "huge_header" // a header of Size bytes
)

// Taken tells whether a request with this end was stored by the upstream.
func (s Step) Taken() bool {
	switch s.Fault {
	case ResetBefore, Hang, Garbage, Refuse:
		return false
	case ResetAfter:
		return true
	}
	return s.status() >= 200 && s.status() < 300
}

func (s Step) status() int {
	if s.Status == 0 {
		return http.StatusOK
	}
	return s.Status
}

// Status is a step that answers a status with headers, given as name, value
// pairs.
func Status(code int, header ...string) Step {
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return Step{Status: code, Header: h}
}

// Times repeats a step.
func Times(n int, s Step) []Step {
	steps := make([]Step, n)
	for i := range steps {
		steps[i] = s
	}
	return steps
}

// Plan says how the next requests are treated. The zero value takes them
// all; safe for concurrent use.
type Plan struct {
	mu     sync.Mutex
	steps  []Step
	always *Step
}

// Script appends steps for the next requests, one each, in the order they come.
func (p *Plan) Script(steps ...Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.steps = append(p.steps, steps...)
}

// Always is the step of every request from now on: it replaces the script,
// and Options.Decide.
func (p *Plan) Always(step Step) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always, p.steps = &step, nil
}

// Relent ends Always and the script.
func (p *Plan) Relent() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.always, p.steps = nil, nil
}

// Next is the step for a request that has just come in; scripted is false
// when nothing was said about it.
func (p *Plan) Next() (step Step, scripted bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(p.steps) > 0:
		step, p.steps = p.steps[0], p.steps[1:]
		return step, true
	case p.always != nil:
		return *p.always, true
	}
	return Step{}, false
}
