package ingest

import (
	"testing"

	"breakwater/schemas"
)

// TestEditsReachThePayload: stages that edit one after the other share one view
// of the event, and whoever looks at the payload finds what it says.
func TestEditsReachThePayload(t *testing.T) {
	it := NewItem(schemas.Item{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(`{"a":1}`)})
	payload := func() string { b, _ := it.InMemory(); return string(b) }
	if it.Checked() {
		t.Error("checked before anybody looked")
	}
	before, _ := it.InMemory()
	view := it.Event()
	if after, _ := it.InMemory(); &after[0] != &before[0] {
		t.Error("nothing was edited, yet the payload was copied")
	}
	view.SetRelease("a@1")
	if it.Checked() {
		t.Error("the payload does not say yet what the view says")
	}
	if payload() != `{"a":1,"release":"a@1"}` || it.Event() != view || !it.Checked() {
		t.Errorf("payload %s, view kept: %v", payload(), it.Event() == view)
	}
	view.AddTags("b", "2")
	b := &Batch{Request: &Request{Project: &Project{}}, Items: []*Item{it}}
	raw, _ := b.Record(nil).Envelope.Items[0].InMemory()
	if string(raw) != `{"a":1,"release":"a@1","tags":{"b":"2"}}` {
		t.Errorf("the record has %s", raw)
	}
	view.SetDist("7")
	it.SetPayload([]byte(`{"c":3}`))
	if payload() != `{"c":3}` || it.Checked() || it.Event() == view { // the old view's edits are not this payload's
		t.Errorf("payload %s, old view kept: %v", payload(), it.Event() == view)
	}
}
