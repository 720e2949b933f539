package schemas

import (
	"errors"
	"math"
	"net/http"
	"slices"
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
	understood := false
	if len(h["X-Sentry-Rate-Limits"]) == 0 && status != http.StatusTooManyRequests {
		return nil
	}
	for _, part := range strings.Split(strings.Join(h.Values("X-Sentry-Rate-Limits"), ","), ",") {
		l, forUs, ok := parseLimit(part, now)
		if understood = understood || ok; forUs {
			limits = append(limits, l)
		}
	}
	if understood || status != http.StatusTooManyRequests {
		return limits // maybe none of it meant us: that is not a limit on all
	}
	d := RetryAfter(h, now)
	if d <= 0 {
		d = BareLimit
	}
	return []RateLimit{{Scope: "key", Reason: "generic", Until: now.Add(d)}}
}

// parseLimit reads one limit. ok tells that it is one, forUs that it limits
// something the gateway relays.
func parseLimit(s string, now time.Time) (l RateLimit, forUs, ok bool) {
	f := strings.Split(s, ":")
	if len(f) < 2 {
		return RateLimit{}, false, false
	}
	for i := range f {
		f[i] = strings.TrimSpace(f[i])
	}
	l = RateLimit{Until: now.Add(limitSeconds(f[0])), Scope: "key"}
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
		return RateLimit{}, false, true
	}
	slices.Sort(l.Categories)
	l.Categories = slices.Compact(l.Categories)
	if len(f) > 2 && (f[2] == "organization" || f[2] == "project") {
		l.Scope = f[2]
	}
	if len(f) > 3 {
		l.Reason = reasonWord(f[3])
	}
	if len(f) > 4 && f[4] != "" && !slices.Contains(strings.Split(f[4], ";"), "custom") {
		// Of metric buckets a client sends only the custom namespace.
		l.Categories = slices.DeleteFunc(l.Categories, func(c Category) bool { return c == CategoryMetricBucket })
		if named && len(l.Categories) == 0 {
			return RateLimit{}, false, true
		}
	}
	return l, true, true
}

// limitSeconds rounds up; what is no number is a minute, as in the SDKs;
// negative and infinite ones are over, very long ones are cut at three years.
func limitSeconds(s string) time.Duration {
	secs, err := strconv.ParseFloat(s, 64)
	switch {
	case err != nil && !errors.Is(err, strconv.ErrRange):
		return BareLimit
	case math.IsNaN(secs) || math.IsInf(secs, 0) || secs < 0:
		return 0
	}
	return time.Duration(math.Ceil(min(secs, 1e8))) * time.Second
}

// reasonWord makes a reason safe for a header: what is not of [a-z0-9_]
// becomes an underscore, 64 bytes at most.
func reasonWord(s string) string {
	b := []byte(strings.ToLower(s[:min(len(s), 64)]))
	for i, c := range b {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '_') {
			b[i] = '_'
		}
	}
	return string(b)
}

// maxWait bounds what a server may ask for, about three years: enough for any
// quota, and far from the end of time.Duration.
const maxWait = 1e8 * time.Second

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
		return min(max(at.Sub(now), 0), maxWait) // a date may lie thousands of years ahead
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
			b.WriteString(reasonWord(l.Reason))
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
