package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"breakwater/ingest"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// ledger counts every item from the door to its end. It is the one place that
// both halves report to, so that the books can be closed:
//
//	received + recovered + requeued = door refusals + terminal outcomes + in the spool
//
// "recovered" is the opening balance: what a start found in the spool. It is a
// gauge of its own, not part of the counters, so that a restart never looks
// like a burst of traffic.
//
// What was lost is three sums that have no item in common:
//
//	before us  breakwater_client_discarded_total: what SDKs say they dropped;
//	           those items never came in
//	by us      breakwater_items_outcome_total with outcome filtered, suppressed,
//	           invalid, unauthorized, or rate_limited and another reason than
//	           upstream_limit; not filtered with the reason no_document, which
//	           is what none of a project's upstreams keeps
//	after us   breakwater_items_outcome_total with outcome expired, dead_letter,
//	           or rate_limited and the reason upstream_limit: accepted, and then
//	           not wanted or too late
type ledger struct {
	// dropped is told of what was refused at the door; nil for nobody.
	dropped func(project string, c schemas.Category, o schemas.Outcome, reason string, n int)

	received  *prometheus.CounterVec
	outcome   *prometheus.CounterVec
	recovered *prometheus.GaugeVec
	requeued  *prometheus.CounterVec
	inSpool   *prometheus.GaugeVec

	// The series that requests count by: looking one up by its labels takes longer
	// than all the rest of counting.
	receivedBy *ingest.Known[seriesOfItems, prometheus.Counter]
	outcomeBy  *ingest.Known[seriesOfEnds, prometheus.Counter]
	inSpoolBy  *ingest.Known[seriesOfItems, prometheus.Gauge]
	measuredBy *ingest.Known[string, [3]prometheus.Counter]
}

// seriesOfItems and seriesOfEnds are what series are told apart by.
type (
	seriesOfItems struct {
		project  string
		category schemas.Category
	}
	seriesOfEnds struct {
		project  string
		category schemas.Category
		outcome  schemas.Outcome
		reason   string
	}
)

var (
	_ ingest.Ledger  = (*ledger)(nil)
	_ spool.Observer = (*ledger)(nil)
)

func newLedger(reg prometheus.Registerer) *ledger {
	l := &ledger{
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_items_received_total",
			Help: "Items that came in at the door, whatever became of them. Containers count their members.",
		}, []string{"project", "category"}),
		outcome: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_items_outcome_total",
			Help: "Items by outcome. At the door: accepted, rate_limited, filtered, suppressed, invalid, unauthorized. Accepted ones end later: delivered, expired, dead_letter, rate_limited (reason upstream_limit), filtered (reason no_document).",
		}, []string{"project", "category", "outcome", "reason"}),
		recovered: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "breakwater_items_recovered",
			Help: "Items found in the spool when the process started: the ledger's opening balance.",
		}, []string{"project", "category"}),
		requeued: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_items_requeued_total",
			Help: "Items of dead letters that were put back into the spool by hand.",
		}, []string{"project", "category"}),
		inSpool: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "breakwater_items_in_spool",
			Help: "Accepted items with at least one destination still to go, each counted once.",
		}, []string{"project", "category"}),
	}
	reg.MustRegister(l.received, l.outcome, l.recovered, l.requeued, l.inSpool)
	l.receivedBy = ingest.NewKnown(func(k seriesOfItems) prometheus.Counter {
		return l.received.WithLabelValues(k.project, string(k.category))
	})
	l.outcomeBy = ingest.NewKnown(func(k seriesOfEnds) prometheus.Counter {
		return l.outcome.WithLabelValues(k.project, string(k.category), string(k.outcome), k.reason)
	})
	l.inSpoolBy = ingest.NewKnown(func(k seriesOfItems) prometheus.Gauge {
		return l.inSpool.WithLabelValues(k.project, string(k.category))
	})
	l.measuredBy = ingest.NewKnown(func(project string) [3]prometheus.Counter {
		vital := schemas.CategoryVital
		return [3]prometheus.Counter{
			l.receivedBy.Get(seriesOfItems{project, vital}),
			l.outcomeBy.Get(seriesOfEnds{project, vital, schemas.Accepted, ""}),
			l.outcomeBy.Get(seriesOfEnds{project, vital, schemas.Delivered, ""}),
		}
	})
	return l
}

// open makes a project's zero values, so that a panel shows 0 and not a gap.
// Every outcome exists, without a reason: which reasons there are is known
// where they arise.
func (l *ledger) open(project string) {
	for _, c := range schemas.Categories {
		l.received.WithLabelValues(project, string(c))
		l.inSpool.WithLabelValues(project, string(c))
		l.recovered.WithLabelValues(project, string(c))
		l.requeued.WithLabelValues(project, string(c))
		for _, o := range schemas.Outcomes {
			l.outcome.WithLabelValues(project, string(c), string(o), "")
		}
	}
}

// Received counts items at the door.
func (l *ledger) Received(project string, c schemas.Category, n int) {
	l.receivedBy.Get(seriesOfItems{project, c}).Add(float64(n))
}

// Outcome counts an outcome at the door.
func (l *ledger) Outcome(project string, c schemas.Category, o schemas.Outcome, reason string, n int) {
	l.outcomeBy.Get(seriesOfEnds{project, c, o, reason}).Add(float64(n))
	if o != schemas.Accepted && l.dropped != nil {
		l.dropped(project, c, o, reason, n)
	}
}

// Measured counts measurements that are in the histograms.
func (l *ledger) Measured(project string, n int) {
	for _, c := range l.measuredBy.Get(project) {
		c.Add(float64(n))
	}
}

// Recovered counts the opening balance.
func (l *ledger) Recovered(m *schemas.Meta) {
	for _, c := range m.Counts {
		l.recovered.WithLabelValues(m.Project, string(c.Category)).Add(float64(c.Quantity))
		l.inSpoolBy.Get(seriesOfItems{m.Project, c.Category}).Add(float64(c.Quantity))
	}
}

// Appended counts items into the spool; the door counts them accepted.
func (l *ledger) Appended(m *schemas.Meta) {
	for _, c := range m.Counts {
		l.inSpoolBy.Get(seriesOfItems{m.Project, c.Category}).Add(float64(c.Quantity))
	}
}

// Settled counts the terminal outcome of each item and takes it out of the spool.
func (l *ledger) Settled(m *schemas.Meta, finals []schemas.Final) {
	for i, c := range m.Counts {
		f := schemas.Final{Outcome: schemas.DeadLetter, Reason: "unknown"}
		if i < len(finals) {
			f = finals[i]
		}
		l.outcomeBy.Get(seriesOfEnds{m.Project, c.Category, f.Outcome, f.Reason}).Add(float64(c.Quantity))
		l.inSpoolBy.Get(seriesOfItems{m.Project, c.Category}).Sub(float64(c.Quantity))
	}
}

// Requeued counts dead letters back in.
func (l *ledger) Requeued(m *schemas.Meta) {
	for _, c := range m.Counts {
		l.requeued.WithLabelValues(m.Project, string(c.Category)).Add(float64(c.Quantity))
		l.inSpoolBy.Get(seriesOfItems{m.Project, c.Category}).Add(float64(c.Quantity))
	}
}

// moved takes a record out of the spool it was found in, because it lies in
// another one of this gateway's. One that came there before this start was
// never this start's to find.
func (l *ledger) moved(m *schemas.Meta, now bool) {
	for _, c := range m.Counts {
		l.inSpoolBy.Get(seriesOfItems{m.Project, c.Category}).Sub(float64(c.Quantity))
		if !now {
			l.recovered.WithLabelValues(m.Project, string(c.Category)).Sub(float64(c.Quantity))
		}
	}
}
