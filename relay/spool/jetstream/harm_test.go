package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

// A bound that is lowered takes nothing away that was confirmed.
func TestLowerLimitsKeepWhatIsStored(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), func(c *Config) { c.MaxSize = 64 << 20 })
	var all []string
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 1 {
		wg.Go(func() {
			for k := range 1200 {
				rec := record([]string{"a"}, fmt.Sprintf("%d/%d", i, k))
				if err := s.Append(t.Context(), rec); err != nil {
					t.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				all = append(all, rec.Meta.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	before := s.recordStream
	info, err := before.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := s.limits
	l.MaxSize = 2 << 20
	if err := s.prepare(t.Context(), l); err != nil {
		t.Logf("prepare: %v", err)
	}
	after, err := before.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after.State.Msgs != info.State.Msgs {
		t.Fatalf("of %d messages %d are left after the limits were lowered", info.State.Msgs, after.State.Msgs)
	}
}

// A consumer that somebody removed is made again.
func TestConsumerThatWasRemoved(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), nil)
	append1(t, s, "one")
	_ = claimOf(t, s, dstA).Settle(nil)
	if err := s.js.DeleteConsumer(t.Context(), s.names.records(), s.names.consumer(dstA)); err != nil {
		t.Fatal(err)
	}
	append1(t, s, "two")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := s.Claim(ctx, spool.Destination{Project: "shop", Name: "a"}); err != nil {
		t.Fatalf("no record came after the consumer was removed: %v", err)
	}
}

// What is damaged in a message harms no other record of it, and a record that
// cannot be read can be buried and dropped.
func TestDamagedRecordHarmsNoOther(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), nil)
	var raw [][]byte
	for _, text := range []string{"one", "two", "three"} {
		rec := record([]string{"a"}, text)
		rec.Meta.ID = s.newID()
		raw = append(raw, rawOf(t, rec))
	}
	raw[0] = raw[0][:10]           // nothing of it can be read
	r, err := decodeRecord(raw[1]) // its envelope cannot
	if err != nil {
		t.Fatal(err)
	}
	raw[1] = raw[1][:len(raw[1])-len(r.env)+3]
	data, _ := plain("life", "shop", raw...)
	if _, err := s.js.PublishMsg(t.Context(), &nats.Msg{Subject: s.names.packOf("shop"), Data: data}); err != nil {
		t.Fatal(err)
	}
	bad, good := claimOf(t, s, dstA), claimOf(t, s, dstA)
	if _, err := bad.Envelope(); err == nil {
		t.Fatal("a damaged envelope was read")
	}
	if err := bad.Bury("unreadable"); err != nil {
		t.Fatalf("burying what cannot be read: %v", err)
	}
	if env, err := good.Envelope(); err != nil || len(env.Items) != 1 {
		t.Fatalf("its neighbour: %v", err)
	}
	if err := good.Settle(nil); err != nil {
		t.Fatal(err)
	}
	s.Tick()
	st := s.Stats()
	if st.Damaged != 1 || len(st.Queues) != 1 || st.Queues[0].Dead != 1 || st.Queues[0].Records != 0 {
		t.Fatalf("after it: %+v", st)
	}
	if n, err := s.Drop(spool.Query{Dead: true}); n != 1 || err != nil {
		t.Fatalf("dropped %d: %v", n, err)
	}
}

// Where somebody removed the stream of records, a new one's messages are not
// taken for those that marks and gateways remember.
func TestStreamThatWasRemoved(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	place := newPlace()
	s := solo(t, c, place, nil)
	append1(t, s, "old")
	_ = claimOf(t, s, dstA).Settle(nil)
	s.Tick() // its mark is stored
	old := claimOf(t, s, dstB)
	if err := s.js.DeleteStream(t.Context(), s.names.records()); err != nil {
		t.Fatal(err)
	}
	other := solo(t, c, place, nil)
	id := append1(t, other, "new")
	_ = old.Settle(nil)
	s.Tick()
	for _, dst := range []spool.Destination{dstA, dstB} {
		if got := claimOf(t, other, dst); got.Meta().ID != id {
			t.Fatalf("%s got %s, want %s", dst, got.Meta().ID, id)
		}
	}
}

// A record whose marks come from two gateways settles once: whoever stores the
// last of them tells, also when the answer to the other's part was lost or is
// not here yet.
func TestWhoTells(t *testing.T) {
	rec := record([]string{"a", "b"}, "x")
	rec.Meta.ID = "01KB0000000000000000000000"
	ended := mark{Kind: kindDone}
	a, b := place{0, "a"}, place{0, "b"}
	for name, tc := range map[string]struct {
		unstored, storing []place
		theirs            marks
		tells             bool
	}{
		"ours is on its way and will not be taken": {storing: []place{a}, theirs: marks{b: ended}, tells: true},
		"ours waits to be stored":                  {unstored: []place{a}, theirs: marks{b: ended}, tells: true},
		"ours was stored, and its answer lost":     {unstored: []place{a}, theirs: marks{a: ended, b: ended}},
		"ours was stored, and its answer is late":  {storing: []place{a}, theirs: marks{a: ended, b: ended}},
	} {
		s := &Spool{life: "another"} // so that nothing else is asked
		m := newMessage(1, "", &pack{project: "shop", records: []stored{{id: rec.Meta.ID, targets: []string{"a", "b"}}}})
		m.apply(marks{a: ended}, true)
		m.unstored, m.storing = setOf(tc.unstored), setOf(tc.storing)
		told, _ := s.decide(m, tc.theirs, false)
		if (len(told) == 1) != tc.tells {
			t.Errorf("%s: told %d", name, len(told))
		}
	}
}

func setOf(list []place) map[place]struct{} {
	m := map[place]struct{}{}
	for _, p := range list {
		m[p] = struct{}{}
	}
	return m
}

// A listing in pages leaves nothing out, though ids are not in the order of the
// stream and letters not in that of ids; also where what was listed is gone.
func TestPagesLeaveNothingOut(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), nil)
	want := map[string]bool{}
	for i := range 12 { // three gateways, of which one has another time
		rec := record([]string{"a"}, fmt.Sprint(i))
		at := time.Now().Add(time.Duration(-i) * time.Millisecond)
		if i%3 == 1 {
			at = at.Add(20 * time.Minute)
		}
		rec.Meta.ID = ulid.MustNew(ulid.Timestamp(at), ulid.DefaultEntropy()).String()
		want[rec.Meta.ID] = true
		if _, err := s.js.Publish(t.Context(), s.names.packOf("shop"), encodePack("life", "shop", rawOf(t, rec))); err != nil {
			t.Fatal(err)
		}
	}
	pages := func(dead bool) int {
		seen := map[string]bool{}
		for after := ""; ; {
			n := 0
			err := s.List(spool.Query{Dead: dead, Limit: 2, After: after}, func(e spool.Entry) bool {
				if !want[e.Meta.ID] || seen[e.Meta.ID] {
					t.Errorf("%s is listed and should not be", e.Meta.ID)
				}
				seen[e.Meta.ID], after = true, e.Meta.ID
				n++
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				return len(seen)
			}
			if dead && len(seen) == 4 { // the oldest makes room
				if n, err := s.Drop(spool.Query{Dead: true, IDs: []string{after}}); n != 1 || err != nil {
					t.Fatalf("dropped %d: %v", n, err)
				}
			}
		}
	}
	if n := pages(false); n != len(want) {
		t.Fatalf("%d of %d records were listed", n, len(want))
	}
	for range want {
		if err := claimOf(t, s, dstA).Bury("http_400"); err != nil {
			t.Fatal(err)
		}
	}
	s.Tick()
	if n := pages(true); n != len(want) {
		t.Fatalf("%d of %d dead letters were listed", n, len(want))
	}
}

func rawOf(t *testing.T, rec *schemas.Record) []byte {
	t.Helper()
	raw, err := encodeRecord(rec, rec.Meta.Destinations, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// A gateway that is configured for fewer copies does not take away those that
// others rely on.
func TestCopiesAreNotTakenAway(t *testing.T) {
	c := natstest.Start(t, natstest.Options{Nodes: 3})
	place := newPlace()
	s := solo(t, c, place, nil)
	_ = solo(t, c, place, func(c *Config) { c.Replicas = 1 })
	for _, name := range []string{s.names.records(), s.names.dead(), s.names.state(), "OBJ_" + s.names.large()} {
		stream, err := s.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if n := stream.CachedInfo().Config.Replicas; n != 3 {
			t.Errorf("%s has %d copies, want 3", name, n)
		}
	}
}

// A client that comes to two gateways with one event while the servers do not
// answer: both try again, one stores it, and the other one's ends as a duplicate.
func TestTwoGatewaysTryAgain(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	place := newPlace()
	var gateways []*Spool
	var ledgers []*spooltest.Ledger
	for range 2 {
		l := spooltest.NewLedger()
		ledgers = append(ledgers, l)
		gateways = append(gateways, solo(t, c, place, func(c *Config) { c.Observer, c.times.giveUp = l, 20*time.Second }))
	}
	c.Pause(0)
	ids := make([]string, 2)
	var wg sync.WaitGroup
	for i, s := range gateways {
		wg.Go(func() {
			rec := record([]string{"a"}, "x")
			rec.Meta.EventID = "9ec79c33ec9942ab8353589fcb2e04dc"
			if err := s.Append(t.Context(), rec); err != nil {
				t.Error(err)
			}
			ids[i] = rec.Meta.ID
		})
	}
	eventually(t, time.Minute, func() error { // both had no answer, and try again
		for _, s := range gateways {
			if s.Ready() == nil {
				return errors.New("it waits for its first answer")
			}
		}
		return nil
	})
	c.Resume(0)
	wg.Wait()
	duplicates := 0
	for i, l := range ledgers {
		if f := l.Finals(ids[i]); len(f) == 1 && f[0].Reason == reasonDuplicate {
			duplicates++
		}
	}
	if duplicates != 1 {
		t.Fatalf("%d of two ended as duplicates, want one", duplicates)
	}
}

// A message is not acknowledged for what the servers do not know yet: a kill
// would leave a record that nobody gets any more.
func TestNoAcknowledgementBeforeTheMark(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), nil)
	append1(t, s, "x")
	held := claimOf(t, s, dstB).(*claim)
	for range cap(s.flushes) { // nothing can be stored
		s.flushes <- struct{}{}
	}
	s.mu.Lock()
	s.decide(held.it.m, marks{place{0, "a"}: {Kind: kindDone}}, true)
	s.mu.Unlock()
	consumer, err := s.consume(t.Context(), dstA)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.pullNow(s.queueOf(dstA), consumer); n != 1 || err != nil {
		t.Fatalf("pulled %d: %v", n, err)
	}
	pending := func() int {
		if err := s.conn.Flush(); err != nil {
			t.Fatal(err)
		}
		info, err := consumer.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.NumAckPending
	}
	if n := pending(); n != 1 {
		t.Fatalf("%d messages are leased, want the one whose mark is not stored", n)
	}
	for range cap(s.flushes) {
		<-s.flushes
	}
	eventually(t, time.Minute, func() error {
		if n := pending(); n != 0 {
			return fmt.Errorf("%d messages are leased", n)
		}
		return nil
	})
}

func (s *Spool) queueOf(dst spool.Destination) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queue(dst)
}
