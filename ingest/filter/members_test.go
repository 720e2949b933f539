package filter

import (
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

// What matches goes, by its own number; what stays keeps its bytes and gets a
// count that is right, or the upstream would drop all of it.
func TestMembersOfContainers(t *testing.T) {
	cfg := Config{LogMessages: []string{"*heartbeat*"}, TraceMetrics: []string{"debug.*"}}
	const log, metric = "application/vnd.sentry.items.log+json", "application/vnd.sentry.items.trace-metric+json"
	for _, c := range []struct {
		name, typ, contentType, payload string
		quantity                        int
		left                            string // "" when all goes
		dropped                         int
	}{
		{"some logs", "log", log, `{"version":2,"items":[{"body":"a"},{"body":"HEARTBEAT 1"},{"n":9007199254740993,"body":"b"},{"body":"heartbeat"}]}`, 4, `{"version":2,"items":[{"body":"a"},{"n":9007199254740993,"body":"b"}]}`, 2},
		{"all logs", "log", log, `{"items":[{"body":"a heartbeat"}]}`, 1, "", 1},
		{"no log", "log", log, `{"items": [ {"body":"a"} ]}`, 1, `{"items": [ {"body":"a"} ]}`, 0},
		{"a metric", "trace_metric", metric, `{"items":[{"name":"debug.x","value":1},{"name":"orders","value":2}]}`, 2, `{"items":[{"name":"orders","value":2}]}`, 1},
		{"a log is no metric", "log", log, `{"items":[{"body":"x","name":"debug.x"}]}`, 1, `{"items":[{"body":"x","name":"debug.x"}]}`, 0},
		{"no container", "log", "application/json", `{"items":[{"body":"heartbeat"}]}`, 1, `{"items":[{"body":"heartbeat"}]}`, 0},
		{"not readable", "log", log, `{"items":7}`, 1, `{"items":7}`, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &ingest.Batch{Request: request(), Header: schemas.EmptyHeader()}
			it := ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(c.typ, "content_type", c.contentType), Payload: schemas.Bytes(c.payload)})
			it.Quantity = c.quantity
			b.Items = append(b.Items, it)
			if err := filters(t, cfg).Apply(b); err != nil {
				t.Fatal(err)
			}
			left, dropped := 0, 0
			for _, it := range b.Items {
				if it.Alive() {
					left += it.Quantity
					continue
				}
				dropped += it.Quantity
				if it.Outcome != schemas.Filtered || it.Reason != LogMessage && it.Reason != TraceMetricName || it.Category != b.Items[0].Category {
					t.Errorf("ended as %s, %s of %s", it.Outcome, it.Reason, it.Category)
				}
			}
			if dropped != c.dropped || left+dropped != c.quantity {
				t.Errorf("%d left, %d dropped of %d", left, dropped, c.quantity)
			}
			if (c.left == "") == it.Alive() {
				t.Fatalf("alive: %v", it.Alive())
			}
			if raw, _ := it.InMemory(); it.Alive() && string(raw) != c.left {
				t.Errorf("left %s", raw)
			}
			if n, ok := it.Header.ItemCount(); c.dropped > 0 && it.Alive() && (!ok || n != left) {
				t.Errorf("item_count %d, %d are left", n, left)
			}
		})
	}
}
