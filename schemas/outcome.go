package schemas

// Outcome is the one end of an item. At the door it is one of the refusals or
// Accepted; an accepted item ends later in one of the terminal ones. The
// ledger counts them: received = outcomes + in the spool.
type Outcome string

// The outcomes (design: promise 3).
const (
	Accepted     Outcome = "accepted"
	RateLimited  Outcome = "rate_limited" // at the door, or by an upstream's long limit
	Filtered     Outcome = "filtered"     // at the door, or by a destination that keeps no such items
	Suppressed   Outcome = "suppressed"   // storm control, sampling
	Invalid      Outcome = "invalid"
	Unauthorized Outcome = "unauthorized"

	Delivered  Outcome = "delivered"
	Expired    Outcome = "expired"
	DeadLetter Outcome = "dead_letter"
)

// Outcomes is the closed list, in the order metrics show it.
var Outcomes = []Outcome{Accepted, RateLimited, Filtered, Suppressed, Invalid, Unauthorized, Delivered, Expired, DeadLetter}

// Worse returns the outcome that counts when an item went to several
// destinations: dead letter over expired over rate limited over delivered. What
// one destination keeps and another does not (filtered) is delivered.
func (o Outcome) Worse(other Outcome) Outcome {
	if rank(other) > rank(o) {
		return other
	}
	return o
}

func rank(o Outcome) int {
	switch o {
	case DeadLetter:
		return 4
	case Expired:
		return 3
	case RateLimited:
		return 2
	case Delivered:
		return 1
	}
	return 0
}
