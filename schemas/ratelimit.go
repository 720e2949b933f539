package schemas

import (
	"math"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"time"
)

// RateLimit is one limit as servers announce it in X-Sentry-Rate-Limits
// (protocol §3.1): until when which categories are not wanted.
type RateLimit struct {
	// Categories is sorted; empty means all categories.
	Categories []Category
	// Scope is organization, project or key.
	Scope string
	// Reason is an opaque word of [a-z0-9_].
	Reason string
	Until  time.Time
}

// Covers tells whether the limit holds for a category at a time. Client
// reports are never limited (protocol §3.4).
func (l RateLimit) Covers(c Category, now time.Time) bool {
	if c == CategoryInternal || !now.Before(l.Until) {
		return false
	}
	if len(l.Categories) == 0 {
		return true
	}
	for _, have := range l.Categories {
		if have == c {
			return true
		}
	}
	return false
}

// BareLimit is how long an upstream that answers 429 without saying more is
// left alone; the SDKs use the same (protocol §3.3).
const BareLimit = 60 * time.Second

// ParseRateLimits reads an upstream's answer: X-Sentry-Rate-Limits on any
// status; else, on a 429, Retry-After; else, on a 429, 60 s over all
// categories. Entries that cannot be read are skipped; a list of only unknown
// categories is no limit, not a limit on all.
func ParseRateLimits(status int, h http.Header, now time.Time) []RateLimit {
	var limits []RateLimit
	for _, part := range strings.Split(strings.Join(h.Values("X-Sentry-Rate-Limits"), ","), ",") {
		if l, ok := parseLimit(part, now); ok {
			limits = append(limits, l)
		}
	}
	if len(limits) > 0 || status != http.StatusTooManyRequests {
		return limits
	}
	if h.Get("X-Sentry-Rate-Limits") != "" {
		return nil // there was a list, none of it meant us
	}
	d := RetryAfter(h, now)
	if d <= 0 {
		d = BareLimit
	}
	return []RateLimit{{Scope: "key", Reason: "generic", Until: now.Add(d)}}
}

func parseLimit(s string, now time.Time) (RateLimit, bool) {
	f := strings.Split(strings.TrimSpace(s), ":")
	if len(f) < 2 {
		return RateLimit{}, false
	}
	secs, err := strconv.ParseFloat(strings.TrimSpace(f[0]), 64)
	switch {
	case err != nil:
		secs = BareLimit.Seconds()
	case math.IsNaN(secs) || math.IsInf(secs, 0) || secs < 0:
		secs = 0
	case secs > 1e8:
		secs = 1e8
	}
	l := RateLimit{Until: now.Add(time.Duration(math.Ceil(secs)) * time.Second), Scope: "key"}
	named := false
	for _, name := range strings.Split(f[1], ";") {
		if strings.TrimSpace(name) == "" {
			continue
		}
		named = true
		if c, ok := ParseCategory(name); ok {
			l.Categories = append(l.Categories, c)
		}
	}
	if named && len(l.Categories) == 0 {
		return RateLimit{}, false
	}
	sort.Slice(l.Categories, func(i, j int) bool { return l.Categories[i] < l.Categories[j] })
	if len(f) > 2 && (f[2] == "organization" || f[2] == "project") {
		l.Scope = f[2]
	}
	if len(f) > 3 {
		l.Reason = f[3]
	}
	return l, true
}

// RetryAfter reads the Retry-After header: seconds or an HTTP date. 0 when
// absent; 60 s when it cannot be read.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if secs, err := strconv.ParseFloat(v, 64); err == nil && secs >= 0 && secs < 1e8 {
		return time.Duration(math.Ceil(secs)) * time.Second
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}
	return BareLimit
}

// FormatRateLimits writes limits for a client: the header's value ("" for
// none) and the longest wait in whole seconds, for Retry-After. Each category
// stands under every name SDKs look it up by.
func FormatRateLimits(limits []RateLimit, now time.Time) (header string, retryAfter int) {
	var b strings.Builder
	for _, l := range limits {
		left := int(math.Ceil(l.Until.Sub(now).Seconds()))
		if left <= 0 {
			continue
		}
		retryAfter = max(retryAfter, left)
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(strconv.Itoa(left))
		b.WriteByte(':')
		for i, c := range l.Categories {
			if i > 0 {
				b.WriteByte(';')
			}
			b.WriteString(strings.Join(c.WireNames(), ";"))
		}
		b.WriteByte(':')
		b.WriteString(l.Scope)
		if l.Reason != "" {
			b.WriteByte(':')
			b.WriteString(l.Reason)
		}
	}
	return b.String(), retryAfter
}

// MergeRateLimits joins two lists; of the same categories and scope the later
// end stays, a limit is never shortened (protocol §3.4). Ended ones go.
func MergeRateLimits(a, b []RateLimit, now time.Time) []RateLimit {
	byKey := map[string]RateLimit{}
	var order []string
	for _, l := range append(append([]RateLimit(nil), a...), b...) {
		if !now.Before(l.Until) {
			continue
		}
		var k strings.Builder
		for _, c := range l.Categories {
			k.WriteString(string(c))
			k.WriteByte(';')
		}
		k.WriteString(l.Scope)
		have, ok := byKey[k.String()]
		if !ok {
			order = append(order, k.String())
		}
		if !ok || l.Until.After(have.Until) {
			byKey[k.String()] = l
		}
	}
	merged := make([]RateLimit, 0, len(order))
	for _, k := range order {
		merged = append(merged, byKey[k])
	}
	return merged
}
