package health

import (
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Ages at which Sentry drops session updates.
const (
	maxAge    = 5 * 24 * time.Hour
	maxFuture = time.Minute
	// minDrift is the difference of clocks from which on the client's is taken
	// to be wrong, and corrected.
	minDrift = 55 * time.Minute
)

// anonymous is the session id of updates that belong to no session.
const anonymous = "00000000000000000000000000000000"

// session counts one update of one session.
func (h *Health) session(b *ingest.Batch, it *ingest.Item) {
	raw, ok := it.InMemory()
	if !ok {
		return
	}
	p, now := b.Request.Project, h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	o, err := schemas.ParseObject(raw)
	if err != nil {
		h.ignore(p.Name, "invalid")
		return
	}
	str := func(name string) string { s, _ := o.String(name); return s }
	sid := sessionID(str("sid"))
	start, _ := o.Get("started")
	begun, ok := schemas.ParseTimestamp(start)
	if sid == "" || !ok {
		h.ignore(p.Name, "invalid")
		return
	}
	shift := drift(b, now)
	last := now
	if v, ok := o.Get("timestamp"); ok {
		if t, ok := schemas.ParseTimestamp(v); ok {
			last = t.Add(shift)
		}
	}
	env, release, why := attributes(o, p)
	if why == "" {
		why = age(begun.Add(shift), last, now)
	}
	if why != "" {
		h.ignore(p.Name, why)
		return
	}

	_, s := h.series(p.Name, env, release, now)
	count := func(what string) {
		if sid == anonymous || h.fresh(p.Name, sid, what) {
			s.count(what, 1, now)
		}
	}
	if init, _ := o.Get("init"); init.Kind() == 't' {
		count(started)
	}
	status := str("status")
	errs, _ := o.Get("errors")
	if n := number(errs); n > 0 || status == errored || status == "unhandled" || status == crashed || status == abnormal {
		count(errored)
	}
	switch status {
	case crashed, abnormal:
		// One bad end per session; remembering the exit too keeps it from being
		// counted after the crash.
		if sid == anonymous || h.fresh(p.Name, sid, "bad end") {
			s.count(status, 1, now)
			h.seen.Add(hash(h.seed, p.Name, sid, exited))
		}
	case exited:
		count(exited)
	}
	h.sawUser(s, str("did"), status == crashed, now)
}

// attributes reads the release and environment a session belongs to.
func attributes(o *schemas.Object, p *ingest.Project) (env, release, why string) {
	attrs, _ := o.Get("attrs")
	text := func(name string) string {
		v, ok := schemas.Lookup(attrs, name)
		if !ok {
			return ""
		}
		s, _ := schemas.UnquoteString(v)
		return s
	}
	release = text("release")
	if !schemas.ValidRelease(release) {
		return "", "", "release"
	}
	return environment(text("environment"), p), ingest.CleanLabel(release, maxRelease), ""
}

func age(begun, last, now time.Time) string {
	switch {
	case begun.After(now.Add(maxFuture)) || last.After(now.Add(maxFuture)):
		return "in_future"
	case now.Sub(begun) > maxAge || now.Sub(last) > maxAge:
		return "too_old"
	}
	return ""
}

// drift is how much the client's clock must be moved: nothing, unless it is
// off by 55 minutes and more at the time of sending.
func drift(b *ingest.Batch, now time.Time) time.Duration {
	sent, err := time.Parse(time.RFC3339Nano, sentAt(b))
	if err != nil {
		return 0
	}
	received := b.Request.ReceivedAt
	if received.IsZero() {
		received = now
	}
	if d := received.Sub(sent); d >= minDrift || d <= -minDrift {
		return d
	}
	return 0
}

func sentAt(b *ingest.Batch) string {
	if b.Header.Object == nil {
		return ""
	}
	return b.Header.SentAt()
}

func (h *Health) ignore(project, reason string) {
	h.project(project)
	h.m.ignored.WithLabelValues(project, reason).Inc()
}

// maxAggregates bounds the entries of one sessions item that are read, maxCount
// what one of them may claim.
const (
	maxAggregates = 1000
	maxCount      = 10_000_000
)

// aggregates adds the numbers of a server's sessions.
func (h *Health) aggregates(b *ingest.Batch, it *ingest.Item) {
	raw, ok := it.InMemory()
	if !ok {
		return
	}
	p, now := b.Request.Project, h.cfg.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	o, err := schemas.ParseObject(raw)
	if err != nil {
		h.ignore(p.Name, "invalid")
		return
	}
	env, release, why := attributes(o, p)
	if why != "" {
		h.ignore(p.Name, why)
		return
	}
	// Numbers have no id of their own. A retry repeats the whole envelope, its
	// time of sending included; two servers do not agree on that.
	if sent := sentAt(b); sent != "" && !h.fresh(p.Name, sent, string(raw)) {
		return
	}
	shift := drift(b, now)
	list, _ := o.Get("aggregates")
	read := 0
	for el := range schemas.Elements(list) {
		if read++; read <= maxAggregates {
			h.aggregate(p.Name, env, release, el, shift, now)
		}
	}
	if over := read - maxAggregates; over > 0 {
		h.m.ignored.WithLabelValues(p.Name, "invalid").Add(float64(over))
	}
}

func (h *Health) aggregate(project, env, release string, el jsontext.Value, shift time.Duration, now time.Time) {
	field := func(name string) float64 {
		v, _ := schemas.Lookup(el, name)
		return number(v)
	}
	start, _ := schemas.Lookup(el, "started")
	begun, ok := schemas.ParseTimestamp(start)
	if !ok {
		h.ignore(project, "invalid")
		return
	}
	// The start is rounded to the minute, so it may lie a little ahead.
	if why := age(begun.Add(shift-maxFuture), now, now); why != "" {
		h.ignore(project, why)
		return
	}
	fine, bad, hard, hung, open := field(exited), field(errored), field(crashed), field(abnormal), field("unhandled")
	_, s := h.series(project, env, release, now)
	s.count(started, fine+bad+hard+hung+open, now)
	s.count(exited, fine, now)
	s.count(errored, bad+hard+hung+open, now)
	s.count(crashed, hard, now)
	s.count(abnormal, hung, now)
	if v, ok := schemas.Lookup(el, "did"); ok {
		user, _ := schemas.UnquoteString(v)
		h.sawUser(s, user, hard > 0, now)
	}
}

// number reads a count: a whole number from 0 to maxCount, 0 for all else.
func number(v jsontext.Value) float64 {
	if v.Kind() != '0' {
		return 0
	}
	n, err := strconv.ParseFloat(string(v), 64)
	if err != nil || n < 0 || n > maxCount || n != math.Trunc(n) {
		return 0
	}
	return n
}
