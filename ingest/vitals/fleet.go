package vitals

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"breakwater/ingest"
)

// With a fleet, an id belongs to the gateway that saw it first: that one settles
// and observes it, and the others send it what they get. So updates of one page
// view count once, wherever a balancer sends them.

var _ ingest.Planner = (*Vitals)(nil)

// Plan asks the fleet whose the ids of the batch's measurements are; what this
// gateway settles already it need not ask about.
func (v *Vitals) Plan(b *ingest.Batch, q *ingest.Ballot) {
	req := b.Request
	if req.Canary || len(b.Beacons) == 0 {
		return
	}
	p := v.project(req.Project.Name)
	for _, bc := range b.Beacons {
		if bc.Source == SourceSentry {
			continue
		}
		for i := range bc.Vitals {
			e := &bc.Vitals[i]
			k, known := lookup(e.Name)
			if !known || e.ID == "" || v.ours(&report{observation: observation{labels: labels{project: p}, vital: k}}, e.ID) {
				continue
			}
			q.Add(e, ingest.Step{Kind: ingest.StepOwner, After: ingest.Always, Key: ownerKey(p.name, k, e.ID)})
		}
	}
}

// ours tells whether this gateway has or had an id.
func (v *Vitals) ours(r *report, id string) bool {
	key := v.key(r, id)
	v.mu.Lock()
	defer v.mu.Unlock()
	known := v.table.ids.get(key)
	return known != nil && v.table.ids.held(known)
}

// ownerKey is an id's name for all gateways.
func ownerKey(project string, k vital, id string) string {
	h := sha256.New()
	h.Write([]byte(project))
	h.Write([]byte{0, byte(k)})
	h.Write([]byte(id))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// elsewhere sends a report to the gateway its id belongs to; false: it is ours.
// One whose owner is stopping comes late. What is final in the first report was
// counted there.
func (v *Vitals) elsewhere(req *ingest.Request, r *report, e any, id string, now time.Time) bool {
	a, ok := req.Ballot().Answer(ingest.StepOwner, e)
	if !ok || a.Passed {
		return false
	}
	if r.vital < webVitals {
		v.mu.Lock()
		v.note(scope{r.project, r.release, r.vital}, now)
		v.mu.Unlock()
	}
	switch {
	case r.vital >= webVitals:
	case a.Pending:
		r.project.late[r.vital].Inc()
	default:
		v.cfg.Fleet.Forward(a.Owner, encodeMessage(r, id))
	}
	return true
}

// message is a report on its way to another gateway.
type message struct {
	Project string  `json:"project"`
	Vital   string  `json:"vital"`
	ID      string  `json:"id"`
	Nav     uint8   `json:"nav"`
	Value   float64 `json:"value"` // in the metric's unit
	Delta   float64 `json:"delta,omitempty"`
	Env     string  `json:"env"`
	Release string  `json:"release,omitempty"`
	Route   string  `json:"route"`
	Device  string  `json:"device"`
	Trace   string  `json:"trace,omitempty"`
	Sent    int64   `json:"sent_us,omitempty"` // as entry.sent
}

func encodeMessage(r *report, id string) []byte {
	m := message{
		Project: r.project.name, Vital: specs[r.vital].name, ID: id, Nav: r.nav, Value: r.value, Delta: r.delta,
		Env: r.env, Release: r.release, Route: r.route, Device: r.device, Trace: r.trace.String(), Sent: r.sent,
	}
	raw, _ := json.Marshal(m) // finite numbers and texts: cannot fail
	return raw
}

// Take takes a report that another gateway sent here, because its id is ours.
// What cannot be read is left out.
func (v *Vitals) Take(raw []byte) {
	var m message
	if json.Unmarshal(raw, &m) != nil || m.ID == "" || len(m.Route) > maxRoute || len(m.Device) > maxEnvironment {
		return
	}
	k, known := lookup(m.Vital)
	p := (*v.projects.Load())[m.Project]
	if !known || p == nil || k >= webVitals || k.check(m.Value*specs[k].div) != "" {
		return
	}
	now := v.cfg.Now()
	r := report{delta: m.Delta, sent: m.Sent, observation: observation{
		labels: labels{project: p, route: m.Route, device: m.Device}, vital: k, nav: m.Nav, value: m.Value, trace: traceID(m.Trace),
	}}
	r.nav = min(r.nav, uint8(len(navTypes)-1))
	r.env, r.release = p.slots(ingest.CleanLabel(m.Env, maxEnvironment), ingest.CleanLabel(m.Release, maxRelease), now)
	observeAll(v.settle(&r, m.ID, now, nil), now)
}
