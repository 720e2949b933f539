package main

import (
	"cmp"
	"slices"

	xrate "golang.org/x/time/rate"

	"breakwater/cmd/breakwater/console"
	"breakwater/ingest"
	"breakwater/schemas"
)

// sortLedgers orders projects by name, and what became of their items by
// category and outcome.
func sortLedgers(list []console.Ledger) {
	slices.SortFunc(list, func(a, b console.Ledger) int { return cmp.Compare(a.Project, b.Project) })
	for _, l := range list {
		slices.SortFunc(l.Outcomes, func(a, b console.OutcomeCount) int {
			return cmp.Or(cmp.Compare(a.Category, b.Category), cmp.Compare(rankOf(a.Outcome), rankOf(b.Outcome)), cmp.Compare(a.Reason, b.Reason))
		})
	}
}

func rankOf(o schemas.Outcome) int { return slices.Index(schemas.Outcomes, o) }

// summariesPerSecond bounds the items whose payload is read for the item
// stream; those beyond it show without a summary.
const summariesPerSecond = 200

// watcher makes the lines of the item stream while somebody listens.
type watcher struct {
	*console.Tail
	app  *app
	pace *xrate.Limiter
}

var _ ingest.Watcher = (*watcher)(nil)

func newWatcher(a *app) *watcher {
	return &watcher{console.NewTail(), a, xrate.NewLimiter(summariesPerSecond, summariesPerSecond)}
}

// Decided sends a line for each item of a batch.
func (w *watcher) Decided(b *ingest.Batch) {
	req := b.Request
	for _, it := range b.Items {
		line := console.Line{
			At: req.ReceivedAt.UTC(), Project: req.Project.Name, Category: it.Category, Quantity: it.Quantity, Outcome: it.Outcome,
			Reason: it.Reason, Endpoint: req.Endpoint, EventID: b.EventID, Release: b.Release,
		}
		if it.Alive() {
			line.Outcome = schemas.Accepted
		}
		if !w.Wants(line.Project, line.Category, line.Outcome) {
			continue
		}
		if it.Type.JSON && w.pace.AllowN(w.app.now(), 1) {
			line.Summary = w.summary(req.Project.Name, it)
		}
		w.Send(line)
	}
}

// summary is an item in one line. What was dropped before it came to
// scrubbing is scrubbed here; what cannot be scrubbed has no summary.
func (w *watcher) summary(project string, it *ingest.Item) string {
	raw, ok := it.InMemory()
	if !ok {
		return ""
	}
	if !it.Alive() {
		clean, _, err := w.app.scrubber.For(project).Item(it.Header.Type, raw)
		if err != nil {
			return ""
		}
		raw = clean
	}
	return console.Title(it.Header.Type, raw)
}

// Refused sends a line for a request of which no item is known.
func (w *watcher) Refused(req *ingest.Request, rej *ingest.Rejection) {
	project := ingest.UnknownProject
	if req.Project != nil {
		project = req.Project.Name
	}
	w.Send(console.Line{
		At: req.ReceivedAt.UTC(), Project: project, Category: schemas.CategoryUnknown, Quantity: 1, Outcome: rej.Outcome,
		Reason: rej.Reason, Endpoint: req.Endpoint,
	})
}
