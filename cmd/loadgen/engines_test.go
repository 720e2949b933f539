package main

import (
	"strings"
	"testing"
	"time"
)

// Both spools and plain publishing are measured, and compared with themselves
// each is itself. What the ratios are is for `make engines`.
func TestEnginesAreCompared(t *testing.T) {
	e := enginesCmd{Producers: []int{1, 8}, Size: 4096, Payload: "event", Rounds: 1, Time: 200 * time.Millisecond, NATS: 1, Dir: t.TempDir()}
	r, err := e.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Cells) != 6 || r.Ratio <= 0 {
		t.Fatalf("%d cells, ratio %v", len(r.Cells), r.Ratio)
	}
	for _, c := range r.Cells {
		if c.PerSecond <= 0 || c.P50 <= 0 || (c.Engine == "plain" && c.OfPlain != 1) || (c.Engine == "disk" && c.OfDisk != 1) {
			t.Errorf("%+v", c)
		}
	}
	for _, text := range e.payloads() {
		if len(text) < 3800 || len(text) > 4300 || !strings.HasPrefix(text, `{"event_id":"`) {
			t.Fatalf("a payload of %d bytes: %.40s", len(text), text)
		}
	}
}
