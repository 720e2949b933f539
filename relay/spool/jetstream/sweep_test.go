package jetstream

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
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

// Marks whose message is gone are removed also behind a message that stays for
// long; those of messages that are there are kept.
func TestMarksBehindTheFirstMessage(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), nil)
	append1(t, s, "stays")
	first := claimOf(t, s, dstA).(*claim)
	append1(t, s, "goes")
	gone := claimOf(t, s, dstA).(*claim).it.m.seq
	if err := s.recordStream.DeleteMsg(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	append1(t, s, "is half done")
	half := claimOf(t, s, dstA).(*claim)
	for _, seq := range []uint64{first.it.m.seq, gone, half.it.m.seq} {
		if _, err := s.js.Publish(t.Context(), s.names.stateOf(seq), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for seq, want := range map[uint64]bool{first.it.m.seq: true, gone: false, half.it.m.seq: true} {
		_, err := s.read(t.Context(), s.names.state(), read{Last: s.names.stateOf(seq)})
		if kept := err == nil; kept != want || err != nil && !isNotFound(err) {
			t.Errorf("the mark of message %d is kept: %v (%v), want %v", seq, kept, err, want)
		}
	}
}

// A message that cannot be read keeps the payloads that it may need, and no
// others.
func TestUnreadableMessageKeepsItsPayloads(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), nil)
	now := time.Now()
	at := func(d time.Duration) []payload { return []payload{{at: now.Add(d)}} }
	for name, tc := range map[string]struct {
		subject, id, data string
		left              string
	}{
		"a record's":        {s.names.packOf("shop"), "", magic + "\x01broken", "after before"},
		"none of ours":      {s.names.packOf("shop"), "", "hello", "after before"},
		"a retried one's":   {s.names.againOf("shop"), "again/during/a/7", magic + "\x01broken", "after before long-before now"},
		"a strange one's":   {s.names.againOf("shop"), "", magic + "\x01broken", "after"},
		"a dead letter's":   {s.names.deadOf(dstA, "before"), "", magic + "\x01broken", "after during long-before now"},
		"a newer version's": {s.names.packOf("shop"), "", magic[:3] + "\x09", "fails"},
	} {
		msg := &nats.Msg{Subject: tc.subject, Data: []byte(tc.data), Header: nats.Header{}}
		if tc.id != "" {
			msg.Header.Set(jetstream.MsgIDHeader, tc.id)
		}
		ack, err := s.js.PublishMsg(t.Context(), msg)
		if err != nil {
			t.Fatal(err)
		}
		list := map[string][]payload{
			"before": at(-3 * time.Hour), "long-before": at(-1000 * time.Hour), "during": at(-10 * time.Minute), "now": at(0), "after": at(10 * time.Minute),
		}
		if tc.id == "" && tc.subject != s.names.deadOf(dstA, "before") {
			delete(list, "long-before")
		}
		err = s.needed(t.Context(), list)
		got := strings.Join(slices.Sorted(maps.Keys(list)), " ")
		if err != nil {
			got = "fails"
		}
		if got != tc.left {
			t.Errorf("%s: %s is not needed (%v), want %s", name, got, err, tc.left)
		}
		stream, err := s.js.Stream(t.Context(), ack.Stream)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.DeleteMsg(t.Context(), ack.Sequence); err != nil {
			t.Fatal(err)
		}
	}
}
