package release

import (
	"strconv"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Reasons of the outcome invalid.
const (
	ReasonRequired = "release_required"
	ReasonInvalid  = "invalid_release"
)

// Tags that every relayed error carries: the configured name of its project,
// and the gateway's clock when it came in (RFC 3339, UTC, milliseconds).
const (
	TagProject    = "gateway.project"
	TagReceivedAt = "gateway.received_at"
)

const receivedAt = "2006-01-02T15:04:05.000Z"

// Stage is the decision; make it with New. It keeps no state and is safe for
// concurrent use. It follows the ReleaseRule of the request's project, so a
// reload needs no word to it.
type Stage struct{ now func() time.Time }

var _ ingest.Stage = (*Stage)(nil)

// New makes the stage. now is the clock for requests that do not say when they
// were received; nil means time.Now.
func New(now func() time.Time) *Stage {
	if now == nil {
		now = time.Now
	}
	return &Stage{now: now}
}

// Name is "release".
func (*Stage) Name() string { return "release" }

// Apply checks and completes every item that is alive. It never fails.
func (s *Stage) Apply(b *ingest.Batch) error {
	rule, project := ingest.ReleaseRule{}, ingest.UnknownProject
	if p := b.Request.Project; p != nil {
		rule, project = p.Release, p.Name
	}
	for _, it := range b.Items {
		if !it.Alive() {
			continue
		}
		switch it.Header.Type {
		case "event":
			s.event(b, it, rule, project)
		case "raw_security":
			security(it, rule)
		case "transaction", "feedback", "replay_event", "check_in":
			if ev := it.Event(); ev != nil {
				strip(ev)
			}
		case "session", "sessions":
			session(b, it, rule)
		}
	}
	return nil
}

func (s *Stage) event(b *ingest.Batch, it *ingest.Item, rule ingest.ReleaseRule, project string) {
	ev := it.Event()
	if !hasRelease(ev) {
		switch {
		case rule.Default != "" && ev != nil:
			ev.DeleteDist() // of a release that is not this one
			ev.SetRelease(rule.Default)
		case rule.Required && !hasDump(b):
			b.Drop(it, schemas.Invalid, ReasonRequired)
			if b.Refusal == nil {
				b.Refusal = ingest.RejectRelease
			}
			return
		}
	}
	if ev == nil {
		return // not JSON in memory: nothing that could be edited
	}
	if rule.Environment != "" && !schemas.ValidEnvironment(ev.Environment()) {
		// A tag of that name is moved up by the server when the field is unset.
		if tag, _ := ev.Tag("environment"); ev.Environment() != "" || !schemas.ValidEnvironment(tag) {
			ev.SetEnvironment(rule.Environment)
		}
	}
	strip(ev)
	at := b.Request.ReceivedAt
	if at.IsZero() {
		at = s.now()
	}
	if !has(ev.Object, "timestamp") {
		// A server dates such an event by its own clock, which after an outage is
		// hours too late.
		ev.Set("timestamp", strconv.AppendFloat(nil, float64(at.UnixMilli())/1e3, 'f', 3, 64))
	}
	ev.AddTags(TagProject, project, TagReceivedAt, at.UTC().Format(receivedAt))
}

// hasDump tells whether the batch is a native crash, which may name its release
// inside the dump, where it cannot be read.
func hasDump(b *ingest.Batch) bool {
	for _, it := range b.Items {
		if it.Alive() && it.Header.Type == "attachment" && it.Header.AttachmentType() == "event.minidump" {
			return true
		}
	}
	return false
}

func hasRelease(ev *schemas.Event) bool { return ev != nil && schemas.ValidRelease(ev.Release()) }

// strip removes the names that a server would refuse. Absent and null ones
// stay as they are.
func strip(ev *schemas.Event) {
	switch {
	case hasRelease(ev):
		if has(ev.Object, "dist") && !schemas.ValidDist(ev.Dist()) {
			ev.DeleteDist()
		}
	case has(ev.Object, "release") || has(ev.Object, "dist"):
		ev.DeleteRelease()
	}
	if has(ev.Object, "environment") && !schemas.ValidEnvironment(ev.Environment()) {
		ev.DeleteEnvironment()
	}
}

// has tells whether a member is there and not null.
func has(o *schemas.Object, name string) bool {
	v, ok := o.Get(name)
	return ok && v.Kind() != 'n'
}

// security completes the item's header: a browser's report has no place for a
// release, the address it is posted to may name one.
func security(it *ingest.Item, rule ingest.ReleaseRule) {
	h := it.Header
	complete := func(name, fallback string, valid func(string) bool) {
		if s, _ := h.String(name); valid(s) {
			return
		}
		if fallback != "" {
			h.SetString(name, fallback)
		} else {
			h.Delete(name)
		}
	}
	complete("sentry_release", rule.Default, schemas.ValidRelease)
	complete("sentry_environment", rule.Environment, schemas.ValidEnvironment)
}

// session checks attrs.release and attrs.environment, of one session or of
// aggregates.
func session(b *ingest.Batch, it *ingest.Item, rule ingest.ReleaseRule) {
	ev := it.Event()
	if ev == nil {
		return
	}
	attrs, ok := ev.Object.Object("attrs")
	if !ok {
		attrs = schemas.EmptyHeader().Object
	}
	release, _ := attrs.String("release")
	switch {
	case schemas.ValidRelease(release):
	case release == "" && rule.Default != "":
		attrs.SetString("release", rule.Default)
	default:
		b.Drop(it, schemas.Invalid, ReasonInvalid)
		return
	}
	if env, _ := attrs.String("environment"); has(attrs, "environment") && !schemas.ValidEnvironment(env) {
		attrs.Delete("environment")
	}
	if attrs.Edited() {
		ev.Set("attrs", attrs.Bytes())
	}
}
