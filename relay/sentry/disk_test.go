package sentry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/sentry"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/schemas"
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

// books count items as a spool's observer tells of them.
type books struct{ recovered, appended, settled int }

func (b *books) Recovered(m *schemas.Meta)                  { b.recovered += m.Items() }
func (b *books) Appended(m *schemas.Meta)                   { b.appended += m.Items() }
func (b *books) Requeued(m *schemas.Meta)                   { b.recovered += m.Items() }
func (b *books) Settled(m *schemas.Meta, _ []schemas.Final) { b.settled += m.Items() }

// close says what is wrong: items that came in and neither ended nor wait.
func (b *books) close(s *disk.Spool) (err error) {
	waiting := 0
	if err := s.List(spool.Query{}, func(e spool.Entry) bool { waiting += e.Meta.Items(); return true }); err != nil {
		return err
	}
	if b.recovered+b.appended != b.settled+waiting {
		err = fmt.Errorf("the books do not close: %+v, %d waiting", *b, waiting)
	}
	return err
}

// Two hours of outage with the real spool, and a restart in the middle of it:
// when a record was received is read from disk, and every event's time is what
// Sentry would have stored without the outage.
func TestEventTimesSurviveAnOutageAndARestart(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, "up", relaytest.Options{})
		l.up.Always(relaytest.Status(503))
		open := func() (*disk.Spool, func()) {
			ledger := &books{}
			s, err := disk.Open(disk.Config{Dir: dir, MaxSize: 1 << 30, MinFree: -1, Logger: zerolog.Nop(), Observer: ledger})
			if err != nil {
				t.Fatal(err)
			}
			r, err := relay.New(relay.Config{}, s)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Apply([]relay.DestinationConfig{l.cfg}); err != nil {
				t.Fatal(err)
			}
			return s, func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				err := r.Shutdown(ctx)
				if err = errors.Join(err, ledger.close(s), s.Close()); err != nil {
					t.Error(err)
				}
			}
		}
		s, stop := open()
		want := map[string]time.Time{}
		for range 5 {
			for _, skew := range []time.Duration{0, -40 * time.Minute, -time.Hour, 48 * time.Hour} {
				clock := time.Now().Add(skew)
				happened := clock.Add(-3 * time.Second).Truncate(time.Millisecond)
				id := fmt.Sprintf("%032x", len(want)+1)
				rec := relaytest.MustRecord(fmt.Sprintf("{\"event_id\":%q,\"sent_at\":%q}\n{\"type\":\"event\"}\n{\"timestamp\":%.3f}",
					id, clock.UTC().Format("2006-01-02T15:04:05.000Z"), float64(happened.UnixMilli())/1000))
				rec.Meta.ReceivedAt, rec.Meta.Project, rec.Meta.Destinations = time.Now(), "shop", []string{"up"}
				if err := s.Append(context.Background(), rec); err != nil {
					t.Fatal(err)
				}
				if want[id] = happened; skew >= relaytest.MinDrift || skew <= -relaytest.MinDrift {
					want[id] = happened.Add(-skew)
				}
			}
			time.Sleep(time.Minute)
		}
		time.Sleep(time.Hour)
		stop()
		time.Sleep(time.Minute)
		_, stop = open()
		time.Sleep(time.Hour)
		l.up.Relent()
		time.Sleep(10 * time.Minute)
		stop()
		if n := len(l.up.Taken()); n != len(want) {
			t.Errorf("%d of %d events arrived", n, len(want))
		}
		for _, req := range l.up.Taken() {
			if late := req.At.Sub(want[req.EventID]); late < 2*time.Hour {
				t.Errorf("event %s was only %v late", req.EventID, late)
			}
			if got, ok := req.StoredTime(); !ok || got.Sub(want[req.EventID]).Abs() > time.Second {
				t.Errorf("event %s would be stored at %v, want %v (drift %v)", req.EventID, got, want[req.EventID], req.Drift())
			}
		}
		l.up.Close()
		synctest.Wait()
	})
}
