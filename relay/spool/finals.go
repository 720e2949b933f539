package spool

import "breakwater/schemas"

// Worse is the final that counts of two, as schemas.Outcome.Worse says.
func Worse(a, b schemas.Final) schemas.Final {
	if a.Outcome.Worse(b.Outcome) != a.Outcome {
		return b
	}
	return a
}

// WorstFinals is the worse of both, item by item; the shorter one counts as
// delivered where it ends, and an empty one says nothing.
func WorstFinals(a, b []schemas.Final) []schemas.Final {
	if len(b) == 0 {
		return a
	}
	if len(a) == 0 {
		return b
	}
	out := make([]schemas.Final, max(len(a), len(b)))
	for i := range out {
		switch delivered := (schemas.Final{Outcome: schemas.Delivered}); {
		case i >= len(a):
			out[i] = Worse(delivered, b[i])
		case i >= len(b):
			out[i] = Worse(delivered, a[i])
		default:
			out[i] = Worse(a[i], b[i])
		}
	}
	return out
}
