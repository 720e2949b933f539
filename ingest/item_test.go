package ingest

import (
	"testing"

	"breakwater/schemas"
)

// TestSaveEventKeepsTheView: stages that edit one after the other share one
// view of the event, and the payload is what it says at every save.
func TestSaveEventKeepsTheView(t *testing.T) {
	it := NewItem(schemas.Item{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(`{"a":1}`)})
	payload := func() string { b, _ := it.InMemory(); return string(b) }
	view := it.Event()
	before, _ := it.InMemory()
	it.SaveEvent()
	if after, _ := it.InMemory(); &after[0] != &before[0] {
		t.Error("nothing was edited, yet the payload was copied")
	}
	view.SetRelease("a@1")
	if payload() != `{"a":1}` {
		t.Errorf("payload %s before the save", payload())
	}
	it.SaveEvent()
	if payload() != `{"a":1,"release":"a@1"}` || it.Event() != view {
		t.Errorf("payload %s, view kept: %v", payload(), it.Event() == view)
	}
	view.AddTags("b", "2")
	it.SaveEvent()
	if payload() != `{"a":1,"release":"a@1","tags":{"b":"2"}}` {
		t.Errorf("payload %s after a second save", payload())
	}
	it.SetPayload([]byte(`{"c":3}`))
	it.SaveEvent() // the old view's edits are not this payload's
	if payload() != `{"c":3}` || it.Event() == view {
		t.Errorf("payload %s, old view kept: %v", payload(), it.Event() == view)
	}
}
