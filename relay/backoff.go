package relay

import "time"

// backoff is the wait after the n-th failure in a row (n ≥ 1) with full
// jitter: any time from 0 to min(limit, base·2ⁿ⁻¹), equally likely. Full
// jitter spreads the records of an outage best, at the price that a single
// one may come back at once.
func backoff(n int, base, limit time.Duration, rand func() float64) time.Duration {
	return time.Duration(rand() * float64(ceiling(n, base, limit)))
}

// ceiling is min(limit, base·2ⁿ⁻¹) without overflow.
func ceiling(n int, base, limit time.Duration) time.Duration {
	for d := base; ; d *= 2 {
		if d >= limit || d <= 0 {
			return limit
		}
		if n--; n < 1 {
			return d
		}
	}
}
