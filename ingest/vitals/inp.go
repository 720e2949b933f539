package vitals

import "math"

// step is one report of an INP: it went from one value to the next. The
// web-vitals library sends value and delta, so from = value - delta.
type step struct{ from, to float64 }

// maxSteps bounds the reports of one id that are kept to put them in order;
// beyond it arrival decides.
const maxSteps = 16

// sameValue allows for the rounding of value - delta.
func sameValue(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

func appendStep(steps []step, r *report) []step {
	if r.delta == 0 || len(steps) >= maxSteps {
		return steps
	}
	from := r.value - r.delta
	for _, s := range steps {
		if sameValue(s.to, r.value) && sameValue(s.from, from) {
			return steps // a repeat
		}
	}
	return append(steps, step{from, r.value})
}

// latest returns the value that counts after one more report of an INP. INP is
// the one vital that can fall, so neither the first nor the largest report is
// the answer. The client's send time decides when both reports have one.
// Otherwise the reports are laid end to end like dominoes: the value from
// which no report goes on is the last one. When that has no single answer (a
// report was lost or has no delta), the later arrival wins.
func (e *entry) latest(r *report) float64 {
	e.steps = appendStep(e.steps, r)
	if !e.sent.IsZero() && !r.sent.IsZero() {
		if r.sent.Before(e.sent) {
			return e.value
		}
		return r.value
	}
	if r.delta == 0 {
		return r.value
	}
	if end, ok := e.end(false); ok {
		return end
	}
	// With a gap there are several ends; the very first report is none of them.
	if end, ok := e.end(true); ok {
		return end
	}
	return r.value
}

// end is the one value that more reports reach than leave; ok is false when
// there is none or more than one. With skipFirst, reports that start from 0 are
// not taken for the last.
func (e *entry) end(skipFirst bool) (value float64, ok bool) {
	for i, s := range e.steps {
		if skipFirst && sameValue(s.from, 0) {
			continue
		}
		open, repeated := 0, false
		for j, o := range e.steps {
			if sameValue(o.to, s.to) {
				open++
				repeated = repeated || j < i
			}
			if sameValue(o.from, s.to) {
				open--
			}
		}
		if open <= 0 || repeated {
			continue
		}
		if ok {
			return 0, false
		}
		value, ok = s.to, true
	}
	return value, ok
}
