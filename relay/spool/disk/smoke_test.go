package disk

import (
	"context"
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

func smokeRecord(size int) *schemas.Record {
	return &schemas.Record{
		Meta: schemas.Meta{ProjectID: 1, Project: "p", ReceivedAt: time.Now(), Counts: []schemas.Count{{Category: "error", Quantity: 1}}, Destinations: []string{"a", "b"}},
		Envelope: schemas.Envelope{Header: schemas.EmptyHeader(), Items: []schemas.Item{{
			Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(make([]byte, size)),
		}}},
	}
}

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Config{Dir: dir, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := s.Append(context.Background(), smokeRecord(100)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		c, err := s.Claim(context.Background(), spool.Destination{Project: "p", Name: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			err = c.Settle(nil)
		} else {
			err = c.Bury("x")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = Open(Config{Dir: dir, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	t.Logf("%+v", s.Stats())
	if st := s.Stats(); st.Records != 100 || st.Queues[0].Records != 50 || st.Queues[0].Dead != 25 || st.Queues[1].Records != 100 {
		t.Fatal("wrong")
	}
}
