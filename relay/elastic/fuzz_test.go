package elastic

import (
	"testing"

	"breakwater/relay"
	"breakwater/schemas"
)

// Whatever an answer says, it tells of as many documents as were sent or is an
// error, and each end is one that the loop knows.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"busy"}}}]}`))
	f.Add([]byte(`{"errors":false,"items":[{"create":{"status":201}},{"index":{"status":201}}]}`))
	f.Add([]byte(`{"errors":null,"items":[{},{}]}`))
	f.Add([]byte(`{"error":{"type":"x","reason":"y"},"status":400}`))
	d, err := New(Config{URL: "http://localhost:1", Index: "i"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = explain(body)
		results, err := parseAnswer(body, 2)
		if err != nil {
			return
		}
		p := &part{docs: make([]relay.Document, 2), lines: make([][]byte, 2), finals: schemas.AllFinal(1, schemas.Delivered, "")}
		finals, err := d.end(p, results)
		if err != nil {
			de := relay.AsDeliverError(err)
			if de.Class == relay.Held || de.Reason == "" || len(de.Error()) > 2000 {
				t.Errorf("%+v", de)
			}
			return
		}
		if len(finals) != 1 {
			t.Errorf("%d finals", len(finals))
		}
	})
}
