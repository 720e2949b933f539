package ingest

import (
	"net/netip"

	"breakwater/schemas"
)

// noAddr is the address of nobody.
var noAddr netip.Addr

// noLedger counts nothing.
type noLedger struct{}

// Received counts nothing.
func (noLedger) Received(string, schemas.Category, int) {}

// Outcome counts nothing.
func (noLedger) Outcome(string, schemas.Category, schemas.Outcome, string, int) {}

// Measured counts nothing.
func (noLedger) Measured(string, int) {}

// vitals is how many measurements came in, and how many the recorder used.
type vitals struct{ total, used int }

// refuse counts a request whose items are not known as one of category unknown.
func (d *door) refuse(req *Request, rej *Rejection) {
	project := projectLabel(req)
	d.opts.Ledger.Received(project, categoryOfRefusal, 1)
	d.opts.Ledger.Outcome(project, categoryOfRefusal, rej.Outcome, rej.Reason, 1)
	if w := d.opts.Watcher; w != nil && w.Watching() {
		d.look(func() { w.Refused(req, rej) })
	}
}

// look keeps a fault of an onlooker away from the request.
func (d *door) look(f func()) {
	defer func() {
		if p := recover(); p != nil {
			_ = d.panicked(p)
		}
	}()
	f()
}

// account counts every item of a batch with its one outcome, and every
// measurement: used ones are delivered, their histogram is where they go.
func (d *door) account(req *Request, b *Batch, v vitals) {
	if w := d.opts.Watcher; w != nil && w.Watching() {
		d.look(func() { w.Decided(b) })
	}
	l, project := d.opts.Ledger, projectLabel(req)
	for _, it := range b.Items {
		l.Received(project, it.Category, it.Quantity)
		if it.Alive() {
			l.Outcome(project, it.Category, schemas.Accepted, "", it.Quantity)
		} else {
			l.Outcome(project, it.Category, it.Outcome, it.Reason, it.Quantity)
		}
	}
	if v.used > 0 {
		l.Measured(project, v.used)
	}
	if lost := v.total - v.used; lost > 0 {
		l.Received(project, schemas.CategoryVital, lost)
		outcome, reason := schemas.Invalid, "unusable"
		switch {
		case b.refused != nil:
			outcome, reason = b.refused.Outcome, b.refused.Reason
		case b.unmeasured.Outcome != "":
			outcome, reason = b.unmeasured.Outcome, b.unmeasured.Reason
		}
		l.Outcome(project, schemas.CategoryVital, outcome, reason, lost)
	}
}

func projectLabel(req *Request) string {
	if req.Project == nil {
		return UnknownProject
	}
	return req.Project.Name
}

// record hands the measurements over and says how many were used.
func (d *door) record(req *Request, b *Batch) (used int, err error) {
	defer func() {
		if p := recover(); p != nil {
			used, err = 0, d.panicked(p)
			b.dropAll(schemas.Invalid, RejectInternal.Reason)
		}
	}()
	if d.opts.Recorder == nil {
		return 0, nil
	}
	for _, bc := range b.Beacons {
		if b.unmeasured.Outcome != "" && bc.Source != SourceSentry {
			continue
		}
		sent := len(bc.Vitals)
		if n := d.opts.Recorder.Record(req, bc); bc.Source != SourceSentry {
			used += min(n, sent)
		}
	}
	return used, nil
}

// dropAll ends every item that is alive.
func (b *Batch) dropAll(o schemas.Outcome, reason string) {
	for _, it := range b.Items {
		b.Drop(it, o, reason)
	}
}

// dropFrom ends what the n-th and later records of the batch were to hold: all
// of it for the first, else the n-th event and those after it (the first
// record keeps everything that is not a further event; see Record.Split). spans
// says that before those there was one record of OTLP spans.
func (b *Batch) dropFrom(n int, spans bool, o schemas.Outcome, reason string) {
	if n == 0 {
		b.dropAll(o, reason)
		return
	}
	if spans {
		if n--; n == 0 {
			for _, it := range b.Items {
				if it.Header.Type != schemas.OTLPSpans {
					b.Drop(it, o, reason)
				}
			}
			return
		}
	}
	mains := 0
	for _, it := range b.Items {
		if !it.Alive() || !it.Type.Main {
			continue
		}
		if mains >= n {
			it.Outcome, it.Reason = o, reason // not Drop: what hangs on an event is in the first record
		}
		mains++
	}
}

func (b *Batch) anyAlive() bool {
	for _, it := range b.Items {
		if it.Alive() {
			return true
		}
	}
	return false
}

// measured tells whether the request was a measurement and nothing else.
func (b *Batch) measured() bool {
	for _, bc := range b.Beacons {
		if bc.Source != "beacon" {
			return false
		}
	}
	return len(b.Beacons) > 0
}

// outcome is the word for the whole batch in logs and traces: accepted when
// anything was kept or measured, else what became of its first item.
func (b *Batch) outcome(v vitals) schemas.Outcome {
	if v.used > 0 || b.anyAlive() {
		return schemas.Accepted
	}
	if len(b.Items) > 0 {
		return b.Items[0].Outcome
	}
	return b.unmeasured.Outcome
}
