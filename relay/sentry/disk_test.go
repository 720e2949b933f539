package sentry_test

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/sentry"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
)

// The real spool and real connections: stopped in the middle and started
// again, everything that was appended arrives.
func TestFromDiskToUpstreamAcrossARestart(t *testing.T) {
	up := start(t, relaytest.Options{IDsOnly: true})
	dir := t.TempDir()
	dst := spool.Destination{Project: "shop", Name: "up"}
	const records = 2000
	var ids []relaytest.ID

	open := func() *disk.Spool {
		s, err := disk.Open(disk.Config{Dir: dir, MaxSize: 1 << 30, MinFree: -1, Logger: zerolog.Nop()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	appended := make(chan error, 8)
	for range cap(appended) { // so that commits are shared
		var recs []string
		for range records / cap(appended) {
			rec := relaytest.SampleRecord()
			id, _ := relaytest.ParseID(rec.Meta.EventID)
			ids = append(ids, id)
			recs = append(recs, rec.Meta.EventID)
		}
		go func() {
			for _, event := range recs {
				rec := relaytest.MustRecord(`{"event_id":"` + event + "\"}\n{\"type\":\"event\"}\n{}")
				if err := s.Append(context.Background(), rec); err != nil {
					appended <- err
					return
				}
			}
			appended <- nil
		}()
	}
	for range cap(appended) {
		if err := <-appended; err != nil {
			t.Fatal(err)
		}
	}

	for life := 0; ; life++ {
		r, err := relay.New(relay.Config{}, s)
		if err != nil {
			t.Fatal(err)
		}
		d := make1(t, sentry.Config{DSN: up.DSN("1")})
		begun := time.Now()
		if err := r.Apply([]relay.DestinationConfig{{Destination: dst, Upstream: d}}); err != nil {
			t.Fatal(err)
		}
		goal := records * (life + 1) / 4
		for unique := 0; unique < goal; unique, _ = up.IDs().Len() {
			time.Sleep(time.Millisecond)
		}
		took := time.Since(begun)
		limit := time.Minute
		if life < 3 {
			limit = 0 // cut off what is under way
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		if err := r.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		cancel()
		if life == 3 {
			t.Logf("the last quarter took %v", took)
			for _, q := range s.Stats().Queues {
				if q.Records+q.Dead+q.InFlight != 0 {
					t.Errorf("left in the spool: %+v", q)
				}
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if life == 3 {
			break
		}
		s = open()
	}
	for _, id := range ids {
		if up.IDs().Count(id) == 0 {
			t.Errorf("event %s was lost", id)
		}
	}
	// Only what was cut off under way may come twice: 8 at a time, 3 times.
	if unique, repeated := up.IDs().Len(); unique != records || repeated > 24 {
		t.Errorf("%d different events arrived, %d of them more than once", unique, repeated)
	}
}
