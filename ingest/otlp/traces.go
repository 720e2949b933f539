package otlp

import (
	"errors"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"breakwater/schemas"
)

// span keeps a span for an OTLP upstream, and makes an event of each exception
// that it recorded. An error is one of reading it.
func (d *decoder) span(rec *schemas.OTLPRecord) error {
	span := &tracepb.Span{}
	if err := rec.Decode(span); err != nil {
		return err
	}
	before := d.spans.Len()
	if before+len(rec.Bytes()) > maxSpans {
		return errSpent
	}
	if err := d.spans.Add(rec, span); err != nil {
		return err
	}
	if err := d.spend(d.spans.Len() - before); err != nil {
		return err
	}
	spent := false
	for i, ev := range span.GetEvents() {
		if ev.GetName() != "exception" {
			continue
		}
		e, ok := exceptionOf(looked(ev.GetAttributes()))
		switch {
		case !ok:
			continue
		case d.events == maxEvents:
			d.drop("event", schemas.Invalid, reasonTooMany, 1)
			continue
		case spent: // what an event costs is known only when most of it is made
			d.drop("event", schemas.Invalid, reasonTooLarge, 1)
			continue
		}
		// What the span says of its surroundings holds for its events.
		a := of(rec, nil)
		a.own = append(looked(ev.GetAttributes()), looked(span.GetAttributes())...)
		o := occasion{
			about: a, trace: id(span.GetTraceId(), 16), span: id(span.GetSpanId(), 8), level: "error", index: ordinal(d.records, i),
			details: []schemas.Attribute{schemas.TextAttribute("span.name", cut(span.GetName(), maxKey))},
		}
		o.at, _ = schemas.OTLPTime(ev.GetTimeUnixNano())
		if err := d.event(e, o); errors.Is(err, errSpent) {
			d.drop("event", schemas.Invalid, reasonTooLarge, 1) // the span itself was taken
			spent = true
		} else if err != nil {
			return err
		}
	}
	return nil
}
