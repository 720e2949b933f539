package ingest

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"breakwater/schemas"
)

// CanaryParam is the query parameter by which a request names the canary it is
// part of. It is in the query because proxies change headers far more often.
// With CanaryKeep after the id, what the request brings is stored and relayed;
// else it ends at the door, with the outcome filtered and the reason canary.
const (
	CanaryParam = "breakwater_canary"
	CanaryKeep  = ".keep"
)

// reasonCanary is the reason of what a canary brought only to be looked at.
const reasonCanary = "canary"

// Bounds of what canaries hold.
const (
	maxCanaries  = 32
	maxSightings = 64
	maxSightName = 256 // bytes of a text that came from outside
	canaryLife   = 15 * time.Minute
)

// Canaries are probes that an operator sends through the whole path: what the
// gateway saw of each request is kept, so that the sender can tell what lies
// between them changed. Only ids that Issue gave out are looked at, so nobody
// else can make the gateway remember anything. At most 32 ids live, 15 minutes
// each, with 64 requests each. The zero value is of no use; see NewCanaries.
type Canaries struct {
	now  func() time.Time
	live atomic.Int32

	mu    sync.Mutex
	byID  map[string]*canary
	order []string
}

type canary struct {
	issued time.Time
	CanaryView
}

// CanaryView is what is known of one canary.
type CanaryView struct {
	// Sightings are its requests at the door.
	Sightings []Sighting `json:"sightings"`
	// Attempts are deliveries of its events.
	Attempts []CanaryAttempt `json:"attempts"`
}

// CanaryAttempt is one delivery of a canary's event.
type CanaryAttempt struct {
	EventID     string `json:"event_id"`
	Destination string `json:"destination"` // project/upstream
	Result      string `json:"result"`      // delivered, or why not
}

// canaryPrefix is how much of its canary's id an event's id begins with.
const canaryPrefix = 16

// CanaryEventID is the id of a canary's n-th event: it begins as the canary's
// does, so that its deliveries are known by it.
func CanaryEventID(id string, n int) string {
	if len(id) < canaryPrefix {
		return ""
	}
	return fmt.Sprintf("%s%016x", id[:canaryPrefix], uint64(n)+1)
}

// NewCanaries keeps none yet.
func NewCanaries(now func() time.Time) *Canaries {
	return &Canaries{now: now, byID: map[string]*canary{}}
}

// Sighting is one request of a canary as it reached the gateway, and what
// became of it.
type Sighting struct {
	Endpoint string `json:"endpoint"` // none when no route fits
	Method   string `json:"method"`
	Host     string `json:"host"`
	Path     string `json:"path"`
	// Peer is the connection's other end, ClientIP whom the gateway takes for
	// the client, Forwarded what X-Forwarded-For said.
	Peer      string   `json:"peer"`
	ClientIP  string   `json:"client_ip"`
	Forwarded []string `json:"forwarded,omitempty"`
	// Headers are the names of those that arrived, in lower case.
	Headers         []string   `json:"headers"`
	ContentType     string     `json:"content_type,omitempty"`
	ContentEncoding string     `json:"content_encoding,omitempty"`
	Origin          string     `json:"origin,omitempty"`
	Bytes           int64      `json:"bytes"` // of the body, on the wire
	Status          int        `json:"status"`
	Reason          string     `json:"reason,omitempty"` // of a refusal
	EventID         string     `json:"event_id,omitempty"`
	Items           []SeenItem `json:"items,omitempty"`
}

// SeenItem is an item as it was decoded, and its outcome at the door.
type SeenItem struct {
	Type    string          `json:"type"`
	Size    int64           `json:"size"`
	SHA256  string          `json:"sha256"` // of the payload as it arrived
	Outcome schemas.Outcome `json:"outcome"`
	Reason  string          `json:"reason,omitempty"`
}

// Issue gives out an id.
func (c *Canaries) Issue() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails on the systems Go supports
	id := hex.EncodeToString(raw[:])
	c.keep(id)
	return id
}

// Join takes part in a canary that another gateway gave out: behind one
// balancer nobody knows which of them a request reaches. It is false for what
// is no id.
func (c *Canaries) Join(id string) bool {
	if raw, err := hex.DecodeString(id); err != nil || len(raw) != 16 || hex.EncodeToString(raw) != id {
		return false
	}
	c.keep(id)
	return true
}

// keep makes an id known.
func (c *Canaries) keep(id string) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.order) > 0 && (len(c.order) >= maxCanaries || now.Sub(c.byID[c.order[0]].issued) > canaryLife) {
		delete(c.byID, c.order[0])
		c.order = c.order[1:]
	}
	if c.byID[id] != nil {
		return
	}
	c.byID[id] = &canary{issued: now}
	c.order = append(c.order, id)
	c.live.Store(int32(len(c.order)))
}

// View is what is known of an id so far; ok is false for one that was never
// issued or is forgotten.
func (c *Canaries) View(id string) (v CanaryView, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.byID[id]
	if k == nil || c.now().Sub(k.issued) > canaryLife {
		return v, false
	}
	return CanaryView{append([]Sighting{}, k.Sightings...), append([]CanaryAttempt{}, k.Attempts...)}, true
}

// Attempted is told of every delivery, and keeps those of canaries.
func (c *Canaries) Attempted(eventID, destination, result string) {
	if c.live.Load() == 0 || len(eventID) < canaryPrefix {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, k := range c.byID {
		if id[:canaryPrefix] == eventID[:canaryPrefix] && len(k.Attempts) < maxSightings {
			k.Attempts = append(k.Attempts, CanaryAttempt{eventID, destination, result})
		}
	}
}

// named returns the id a request names, "" when it names none that lives. It
// costs a request that is no canary one look at a counter.
func (c *Canaries) named(r *http.Request) string {
	if c == nil || c.live.Load() == 0 || !strings.Contains(r.URL.RawQuery, CanaryParam+"=") {
		return ""
	}
	q, _ := url.ParseQuery(r.URL.RawQuery)
	id, _ := strings.CutSuffix(q.Get(CanaryParam), CanaryKeep)
	if _, ok := c.View(id); !ok {
		return ""
	}
	return id
}

func (c *Canaries) saw(id string, s Sighting) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.byID[id]; k != nil && len(k.Sightings) < maxSightings {
		k.Sightings = append(k.Sightings, s)
	}
}

// sight begins the account of a canary's request; nil for every other.
func (d *door) sight(r *http.Request) (string, *Sighting) {
	id := d.opts.Canaries.named(r)
	if id == "" {
		return "", nil
	}
	s := &Sighting{
		Method: r.Method, Host: short(r.Host), Path: short(r.URL.Path), Peer: peerAddr(r.RemoteAddr).String(),
		ClientIP:    clientAddr(senderUnder(r.Context()), r, d.settings.Config.TrustedProxies).String(),
		ContentType: short(r.Header.Get("Content-Type")), ContentEncoding: short(r.Header.Get("Content-Encoding")), Origin: short(r.Header.Get("Origin")),
	}
	for _, line := range r.Header["X-Forwarded-For"] {
		if len(s.Forwarded) < 8 {
			s.Forwarded = append(s.Forwarded, short(line))
		}
	}
	for name := range r.Header {
		if len(s.Headers) < 64 {
			s.Headers = append(s.Headers, short(strings.ToLower(name)))
		}
	}
	return id, s
}

// decoded notes the items as they arrived, before a stage touches them.
func (s *Sighting) decoded(b *Batch) {
	if s == nil {
		return
	}
	s.EventID = b.EventID
	for _, it := range b.Items {
		seen := SeenItem{Type: short(it.Header.Type), Size: it.Payload.Size()}
		if r, err := it.Payload.Open(); err == nil {
			sum := sha256.New()
			if _, err := io.Copy(sum, r); err == nil {
				seen.SHA256 = hex.EncodeToString(sum.Sum(nil))
			}
			_ = r.Close()
		}
		s.Items = append(s.Items, seen)
	}
}

// judged notes what became of the items.
func (s *Sighting) judged(b *Batch) {
	if s == nil {
		return
	}
	for i, it := range b.Items {
		if i >= len(s.Items) { // a stage that adds items adds them last
			return
		}
		s.Items[i].Outcome, s.Items[i].Reason = it.Outcome, it.Reason
		if it.Alive() {
			s.Items[i].Outcome = schemas.Accepted
		}
	}
}

// sighted hands the account over.
func (d *door) sighted(v *visit, status int) {
	if v.sighting == nil {
		return
	}
	v.sighting.Endpoint, v.sighting.Status, v.sighting.Bytes = v.endpoint, status, v.bytes
	if v.refused != nil {
		v.sighting.Reason = v.refused.Reason
	}
	d.opts.Canaries.saw(v.canary, *v.sighting)
	v.sighting = nil
}

// short bounds a text that came from outside.
func short(s string) string {
	if len(s) > maxSightName {
		return s[:maxSightName]
	}
	return s
}

// canaryHeaders announces a limit that no SDK looks at, so that a canary's
// sender can tell whether such headers reach it.
func canaryHeaders(h http.Header) {
	h["X-Sentry-Rate-Limits"] = []string{"1:canary:key:canary"}
	h["Retry-After"] = []string{"1"}
}

// canaryEnd ends what a canary brought only to be looked at.
func canaryEnd(b *Batch) {
	if !b.Request.Canary {
		return
	}
	for _, v := range b.Request.Query[CanaryParam] {
		if strings.HasSuffix(v, CanaryKeep) {
			return
		}
	}
	b.dropAll(schemas.Filtered, reasonCanary)
}

// ForUsers is a stage that lets canaries by: they are the operator's, and must
// not count as somebody's error, session or page view.
func ForUsers(s Stage) Stage { return forUsers{s} }

type forUsers struct{ Stage }

// Apply skips canaries.
func (f forUsers) Apply(b *Batch) error {
	if b.Request != nil && b.Request.Canary {
		return nil
	}
	return f.Stage.Apply(b)
}
