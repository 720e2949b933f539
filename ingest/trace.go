package ingest

import (
	"context"
	"time"

	"github.com/getsentry/sentry-go"
)

// step is one part of a request's time, as our own traces show it.
type step int

const (
	stepRead   step = iota // authenticate, receive, decompress, decode
	stepDecide             // stages, measurements
	stepAppend             // until the fsync has returned
	stepCount
)

// stepOps name the steps in traces.
var stepOps = [stepCount]string{"ingest.read", "ingest.decide", "spool.append"}

const (
	// tracesPerSecond and tracesAtOnce bound what we send of ourselves, whatever
	// the sample rate makes of a flood.
	tracesPerSecond = 10
	tracesAtOnce    = 50
)

// mark ends a step. Without somebody to tell it costs a comparison.
func (d *door) mark(v *visit, s step) {
	if d.opts.Hub != nil {
		v.marks[s] = d.opts.Now()
	}
}

// trace reports a sampled share of our own requests. It is made when all is
// known, from words of ours alone: nothing that a client sent is in it, nor is
// a client's trace continued.
func (d *door) trace(v *visit, method string, status int, took time.Duration) {
	if d.opts.Hub == nil || v.endpoint == "none" || v.endpoint == "health" {
		return
	}
	hub := d.opts.Hub.Clone()
	t := sentry.StartTransaction(sentry.SetHubOnContext(context.Background(), hub), methodLabel(method)+" "+v.endpoint,
		sentry.WithOpName("http.server"), sentry.WithTransactionSource(sentry.SourceRoute))
	defer t.Finish()
	if t.Sampled != sentry.SampledTrue {
		return
	}
	if !d.traces.AllowN(v.start, 1) {
		t.Sampled = sentry.SampledFalse
		return
	}
	t.StartTime, t.EndTime, t.Status = v.start, v.start.Add(took), sentry.HTTPtoSpanStatus(status)
	t.SetTag("request_id", v.id.String())
	t.SetTag("project", v.project)
	t.SetTag("outcome", string(v.outcome))
	t.SetData("http.response.status_code", status)
	from := v.start
	for s, at := range v.marks {
		if at.IsZero() {
			break
		}
		child := t.StartChild(stepOps[s])
		child.StartTime, child.EndTime = from, at
		child.Finish()
		from = at
	}
}
