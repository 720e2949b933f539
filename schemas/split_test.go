package schemas

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplit(t *testing.T) {
	header := EmptyHeader()
	header.SetString("event_id", "00000000000000000000000000000001")
	header.SetString("sent_at", "2026-11-03T12:00:00Z")
	rec := &Record{
		Meta:     Meta{ProjectID: 7, Project: "shop", EventID: "00000000000000000000000000000001", Release: "a@1", Fingerprint: "f", Destinations: []string{"sentry"}},
		Envelope: Envelope{Header: header},
	}
	for _, it := range []struct{ typ, payload string }{
		{"client_report", `{}`},
		{"event", `{"event_id":"00000000000000000000000000000001"}`},
		{"attachment", `x`},
		{"event", `{"event_id":"00000000-0000-0000-0000-000000000002","release":"b@2"}`},
		{"session", `{}`},
		{"event", `nonsense`},
	} {
		rec.Envelope.Items = append(rec.Envelope.Items, Item{Header: NewItemHeader(it.typ), Payload: Bytes(it.payload)})
		rec.Meta.Counts = append(rec.Meta.Counts, Count{categoryOf(it.typ), 1})
	}
	type row struct {
		Header, EventID, Release, Fingerprint string
		Items                                 []string
		Counts                                int
	}
	var got []row
	for _, r := range rec.Split() {
		x := row{string(r.Envelope.Header.Bytes()), r.Meta.EventID, r.Meta.Release, r.Meta.Fingerprint, nil, len(r.Meta.Counts)}
		for i := range r.Envelope.Items {
			b, _ := r.Envelope.Items[i].InMemory()
			x.Items = append(x.Items, r.Envelope.Items[i].Header.Type+" "+string(b))
			if r.Meta.Counts[i].Category != categoryOf(r.Envelope.Items[i].Header.Type) {
				t.Errorf("count %d of %v", i, r.Meta.Counts)
			}
		}
		if r.Meta.Project != "shop" || len(r.Meta.Destinations) != 1 || r.Meta.ID != "" {
			t.Errorf("%+v", r.Meta)
		}
		got = append(got, x)
	}
	want := []row{
		{
			`{"event_id":"00000000000000000000000000000001","sent_at":"2026-11-03T12:00:00Z"}`, "00000000000000000000000000000001", "a@1", "f",
			[]string{"client_report {}", `event {"event_id":"00000000000000000000000000000001"}`, "attachment x", "session {}"},
			4,
		},
		{
			`{"sent_at":"2026-11-03T12:00:00Z","event_id":"00000000000000000000000000000002"}`, "00000000000000000000000000000002", "b@2", "",
			[]string{`event {"event_id":"00000000-0000-0000-0000-000000000002","release":"b@2"}`},
			1,
		},
		{`{"sent_at":"2026-11-03T12:00:00Z"}`, "", "", "", []string{"event nonsense"}, 1},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	one := &Record{Envelope: Envelope{Header: header, Items: rec.Envelope.Items[:3]}}
	if split := one.Split(); len(split) != 1 || split[0] != one {
		t.Error("a record of one event is not touched")
	}
}

func categoryOf(typ string) Category {
	t, _ := LookupItemType(typ)
	return t.Category
}
