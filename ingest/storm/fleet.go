package storm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"breakwater/ingest"
)

var _ ingest.Planner = (*Control)(nil)

// Plan asks the fleet about every error of the batch: how many all gateways have
// seen of its fingerprint and release in the running window.
func (c *Control) Plan(b *ingest.Batch, q *ingest.Ballot) {
	p := c.projects()[b.Request.Project.Name]
	if p == nil || b.Request.Canary || p.off() {
		return
	}
	for _, it := range b.Items {
		if !q.Alive(it) {
			continue
		}
		var o occurrence
		ok := false
		switch it.Header.Type {
		case "event":
			o, ok = c.occurrence(b, it)
		case "raw_security":
			o, ok = c.finding(b, it)
		}
		if ok {
			c.ask(p, q, it, &o)
		}
	}
}

func (c *Control) ask(p *project, q *ingest.Ballot, it *ingest.Item, o *occurrence) {
	cfg, title := p.known(o.key())
	if title == "" {
		title = cut(c.scrubbed(o), maxTitle)
	}
	i := q.Add(it, ingest.Step{
		Kind: ingest.StepStorm, After: q.Before(it), Key: sharedKey(p.name, o),
		Storm: ingest.StepOfStorm{
			Window: cfg.Window, First: int64(cfg.First), OneIn: int64(cfg.ThenOneIn),
			Facts: ingest.EndedStorm{
				Project: p.name, Fingerprint: o.id.String(), Title: title, Release: cut(o.release, maxName),
				Environment: cut(o.env, maxName), Level: cut(o.level, maxName), PublicKey: o.public(),
			},
		},
	})
	q.Remember(i, o)
}

// sharedKey is what is counted on its own, the same on every gateway.
func sharedKey(project string, o *occurrence) string {
	h := sha256.New()
	h.Write([]byte(project))
	h.Write([]byte{0})
	h.Write(o.id[:])
	h.Write([]byte(o.release))
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// known is the configuration and a fingerprint's title, "" when it has none yet.
func (p *project) known(key uint64) (Config, string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.table.find(key); e != nil {
		return p.cfg, e.title
	}
	return p.cfg, ""
}

// sweepTime bounds what a sweep waits for the fleet.
const sweepTime = 2 * time.Second

// sumUpShared stores the summaries of storms over all gateways that this one
// was given. One that cannot be stored goes to whoever asks next.
func (c *Control) sumUpShared(now time.Time) {
	if c.opts.Fleet == nil || c.opts.Emit == nil || c.opts.Project == nil || !c.opts.Fleet.Up() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
	defer cancel()
	list, err := c.opts.Fleet.Ended(ctx)
	if err != nil {
		return // the fleet says itself that it is away
	}
	for _, ended := range list {
		project := c.opts.Project(ended.Project)
		if project == nil {
			continue // a gateway that knows it will
		}
		b, err := stormOf(ended, project).batch(now)
		if err == nil {
			err = c.opts.Emit(b)
		}
		if err != nil {
			c.opts.Log.Warn().Err(err).Str("project", ended.Project).Msg("storm summary not stored, another gateway will try")
			continue
		}
		c.metrics.summaries.WithLabelValues(ended.Project).Inc()
		if err := c.told(ended); err != nil {
			c.opts.Log.Warn().Err(err).Str("project", ended.Project).Msg("storm summary may be stored twice")
		}
	}
}

// told says that a summary is stored. Storing may have taken long, so it has a
// time of its own: what is not said in time is stored once more by another gateway.
func (c *Control) told(ended ingest.EndedStorm) error {
	ctx, cancel := context.WithTimeout(context.Background(), sweepTime)
	defer cancel()
	return c.opts.Fleet.Told(ctx, ended)
}

// stormOf is a storm of the fleet in this package's words. Whoever sums it
// up gives the event the same id, so that a second summary is the first again.
func stormOf(e ingest.EndedStorm, project *ingest.Project) *storm {
	st := &storm{
		title: e.Title, release: e.Release, env: e.Environment, level: e.Level,
		start: e.Start.UnixNano(), lastSuppressed: e.Last.UnixNano(), seen: e.Seen, forwarded: e.Forwarded, project: project,
	}
	if raw, err := hex.DecodeString(e.Fingerprint); err == nil && len(raw) == len(st.id) {
		st.id = ID(raw)
	}
	for i := range project.Keys {
		if project.Keys[i].Public == e.PublicKey {
			st.publicKey = &project.Keys[i]
		}
	}
	sum := sha256.Sum256([]byte(e.Ref))
	sum[6], sum[8] = sum[6]&0x0f|0x40, sum[8]&0x3f|0x80
	st.eventID = hex.EncodeToString(sum[:16])
	return st
}
