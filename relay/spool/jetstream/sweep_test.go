package jetstream

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
)

// sweepTwice sweeps, and again as if an hour had passed.
func sweepTwice(t *testing.T, s *Spool) {
	t.Helper()
	for range 2 {
		if err := s.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		for name := range s.orphans {
			s.orphans[name] = s.orphans[name].Add(-time.Hour)
		}
	}
}

func (s *Spool) kept(t *testing.T, stream string) uint64 {
	t.Helper()
	st, err := s.js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	return st.CachedInfo().State.Msgs
}

// A sweep removes payloads without a record, chunks that did not become a
// payload, notes of removals and marks of messages that are gone; it keeps the
// payload of a record that waits, also where the gateway that stored it had
// another time, and removes nothing that it has not known for long.
func TestSweep(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), nil)
	payload := bytes.Repeat([]byte("large "), 40<<10)
	put := func(id string) object {
		o, err := s.putObject(t.Context(), id+".0", bytes.NewReader(payload), int64(len(payload)))
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	rec := record([]string{"a"}, "x")
	rec.Meta.ID = ulid.MustNew(ulid.Timestamp(time.Now().Add(5*time.Hour)), ulid.DefaultEntropy()).String()
	raw, err := encodeRecord(rec, rec.Meta.Destinations, nil, map[int]object{0: put(rec.Meta.ID)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.Publish(t.Context(), s.names.packOf("shop"), encodePack("another/life", "shop", raw)); err != nil {
		t.Fatal(err)
	}
	needed := s.kept(t, "OBJ_"+s.names.large())
	put(s.newID()) // of an append that was killed
	gone := put(s.newID())
	if err := s.large.Delete(t.Context(), gone.name); err != nil { // leaves a note
		t.Fatal(err)
	}
	if _, err := s.js.PublishMsg(t.Context(), &nats.Msg{Subject: "$O." + s.names.large() + ".C.half", Data: payload}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.js.Publish(t.Context(), s.names.stateOf(7), nil); err != nil {
		t.Fatal(err)
	}
	before := s.kept(t, "OBJ_"+s.names.large())
	if err := s.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.kept(t, "OBJ_"+s.names.large()); n != before {
		t.Fatalf("the first sweep left %d of %d messages", n, before)
	}
	sweepTwice(t, s)
	sweepTwice(t, s)
	if n := s.kept(t, "OBJ_"+s.names.large()); n != needed {
		t.Fatalf("%d messages of payloads are left, %d are needed", n, needed)
	}
	if n := s.kept(t, s.names.state()); n != 0 {
		t.Fatalf("%d marks are left", n)
	}
	env, err := claimOf(t, s, dstA).Envelope()
	if err != nil {
		t.Fatal(err)
	}
	r, err := env.Items[0].Payload.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, payload) {
		t.Fatalf("a payload that is needed was not kept: %d bytes, %v", len(got), err)
	}
}

// Dead letters are bounded together with their payloads in the object store.
func TestDeadLettersWithPayloadsAreBounded(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), func(c *Config) { c.DeadLetterSize = 5 << 20 })
	var last string
	for range 4 {
		rec := record([]string{"a"}, string(bytes.Repeat([]byte("x"), 2<<20)))
		if err := s.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		last = rec.Meta.ID
		if err := claimOf(t, s, dstA).Bury("http_400"); err != nil {
			t.Fatal(err)
		}
	}
	s.Tick()
	if err := s.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left []string
	if err := s.List(spool.Query{Dead: true}, func(e spool.Entry) bool { left = append(left, e.Meta.ID); return true }); err != nil {
		t.Fatal(err)
	}
	if len(left) != 2 || left[1] != last {
		t.Fatalf("left are %v, want the newest two", left)
	}
	objects, err := s.large.List(t.Context())
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d payloads are left: %v", len(objects), err)
	}
}
