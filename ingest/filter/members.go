package filter

import (
	"github.com/go-json-experiment/json/jsontext"

	"breakwater/ingest"
	"breakwater/schemas"
)

// members drops from a container of logs or trace metrics those whose member
// of a name, a text, one of the globs matches.
func members(b *ingest.Batch, it *ingest.Item, name string, g globs, reason string) {
	if len(g) == 0 || !it.Alive() || !it.Header.IsContainer() {
		return
	}
	dropMembers(b, it, reason, func(member jsontext.Value) bool {
		v, _ := schemas.Lookup(member, name)
		text, ok := schemas.UnquoteString(v)
		return ok && g.match(text)
	})
}

// dropMembers drops the members of a container that goes names. The others
// stay, with a payload and a count of their own; what was dropped becomes an
// item without a payload that ended as filtered, so that the books close.
func dropMembers(b *ingest.Batch, it *ingest.Item, reason string, goes func(jsontext.Value) bool) {
	raw, ok := it.InMemory()
	if !ok {
		return
	}
	box, err := schemas.ParseContainer(raw)
	if err != nil {
		return
	}
	kept := make([]jsontext.Value, 0, len(box.Items))
	for _, member := range box.Items {
		if !goes(member) {
			kept = append(kept, member)
		}
	}
	dropped := len(box.Items) - len(kept)
	switch {
	case dropped == 0:
		return
	case len(kept) == 0:
		b.Drop(it, schemas.Filtered, reason)
		return
	}
	box.Items = kept
	box.Save()
	it.SetPayload(box.Bytes())
	it.Header.SetItemCount(len(kept))
	it.Quantity = len(kept)
	b.Items = append(b.Items, &ingest.Item{
		Item: schemas.Item{Header: it.Header, Payload: schemas.Bytes(nil)}, Category: it.Category, Type: it.Type, Quantity: dropped,
		Outcome: schemas.Filtered, Reason: reason,
	})
}
