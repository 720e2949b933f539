package jetstream

import (
	"bytes"
	"math/rand"
	"testing"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
)

// What was stored while the servers took larger messages can be buried, listed,
// retried and delivered when they take smaller ones; so can a payload that has
// to be stored in chunks.
func TestLoweredMaxPayload(t *testing.T) {
	place, dirs := newPlace(), []string{t.TempDir()}
	c := natstest.Start(t, natstest.Options{Dirs: dirs})
	s := solo(t, c, place, nil)
	noise := make([]byte, 300<<10)
	if _, err := rand.New(rand.NewSource(1)).Read(noise); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for range 2 {
		ids = append(ids, append1(t, s, string(noise)))
	}
	if err := claimOf(t, s, dstA).Bury("before"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.Stop(0)
	c = natstest.Start(t, natstest.Options{Dirs: dirs, MaxPayload: 64 << 10})
	s = solo(t, c, place, nil)
	for _, dst := range []spool.Destination{dstA, dstB} {
		if err := claimOf(t, s, dst).Bury("after"); err != nil {
			t.Fatal(err)
		}
	}
	append1(t, s, string(noise[:200<<10]))
	if n, err := s.Retry(spool.Query{IDs: ids}); n != 2 || err != nil {
		t.Fatalf("%d records were retried: %v", n, err)
	}
	seen := map[string]int{}
	for _, dst := range []spool.Destination{dstA, dstA, dstA, dstB, dstB, dstB} {
		cl := claimOf(t, s, dst)
		env, err := cl.Envelope()
		if err != nil {
			t.Fatal(err)
		}
		r, err := env.Items[0].Payload.Open()
		if err != nil {
			t.Fatal(err)
		}
		got := new(bytes.Buffer)
		if _, err := got.ReadFrom(r); err != nil || !bytes.HasPrefix(noise, got.Bytes()) || got.Len() < 200<<10 {
			t.Fatalf("%s got %d bytes: %v", dst, got.Len(), err)
		}
		_ = r.Close()
		seen[cl.Meta().ID]++
		if err := cl.Settle(nil); err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) != 3 || seen[ids[0]] != 2 || seen[ids[1]] != 2 {
		t.Fatalf("came %v, want each of three twice", seen)
	}
	s.Tick()
	objects, err := s.large.List(t.Context())
	if err == nil && len(objects) > 0 {
		sweepTwice(t, s)
	}
	if objects, err = s.large.List(t.Context()); err == nil && len(objects) > 0 {
		t.Fatalf("%d payloads are left", len(objects))
	}
}
