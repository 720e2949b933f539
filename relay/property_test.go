package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// chaos is an upstream that does anything a destination may do, until it is
// calmed; it remembers what it took.
type chaos struct {
	mu    sync.Mutex
	rnd   *rand.Rand
	calm  bool
	told  []schemas.RateLimit
	taken map[string]int // by record: deliveries that were answered well
	lost  map[string]int // deliveries whose answer was lost
}

func (c *chaos) Limits(now time.Time) []schemas.RateLimit {
	c.mu.Lock()
	defer c.mu.Unlock()
	return schemas.MergeRateLimits(c.told, nil, now)
}

func (c *chaos) Deliver(ctx context.Context, m *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	c.mu.Lock()
	roll, pause := c.rnd.IntN(100), time.Duration(c.rnd.Int64N(int64(2*time.Second)))
	if c.calm {
		roll, pause = 99, 0
	}
	until := time.Now().Add(time.Duration(c.rnd.Int64N(int64(10 * time.Minute))))
	category := schemas.Categories[c.rnd.IntN(3)]
	c.mu.Unlock()
	time.Sleep(pause)

	c.mu.Lock()
	defer c.mu.Unlock()
	fail := func(class relay.Class, down bool, until time.Time) ([]schemas.Final, error) {
		return nil, &relay.DeliverError{Class: class, Reason: "http_500", Down: down, Until: until, Err: errors.New("chaos")}
	}
	switch {
	case roll < 15:
		return fail(relay.Temporary, true, time.Time{})
	case roll < 20:
		return fail(relay.Temporary, true, until)
	case roll < 30:
		c.lost[m.ID]++
		return fail(relay.Temporary, true, time.Time{})
	case roll < 40:
		return fail(relay.Bounded, false, time.Time{})
	case roll < 43:
		return fail(relay.Permanent, false, time.Time{})
	case roll < 48:
		return fail(relay.Held, false, until)
	case roll < 55:
		c.told = append(schemas.MergeRateLimits(c.told, nil, time.Now()), schemas.RateLimit{Categories: []schemas.Category{category}, Scope: "key", Until: until})
		return fail(relay.Held, false, until)
	case roll < 57:
		return nil, errors.New("unmarked")
	case roll < 59:
		panic("chaos")
	case roll < 61:
		c.mu.Unlock()
		<-ctx.Done()
		c.mu.Lock()
		return nil, ctx.Err()
	}
	c.taken[m.ID]++
	if roll < 65 {
		return schemas.AllFinal(len(env.Items), schemas.DeadLetter, "too_large"), nil
	}
	return nil, nil
}

// Whatever upstreams do, and whatever people do meanwhile: every record ends
// exactly once at every destination, and what ends as delivered was taken.
func TestEveryRecordEndsExactlyOnce(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { endsExactlyOnce(t, seed) })
		})
	}
}

func endsExactlyOnce(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	names := []string{"a", "b", "c"}
	ups := map[string]*chaos{}
	var configs []relay.DestinationConfig
	for _, name := range names {
		ups[name] = &chaos{rnd: rand.New(rand.NewPCG(seed, uint64(name[0]))), taken: map[string]int{}, lost: map[string]int{}}
		configs = append(configs, relay.DestinationConfig{
			Destination: spool.Destination{Project: "shop", Name: name}, Upstream: ups[name], Concurrency: 1 + rnd.IntN(8),
			MaxAttempts: rnd.IntN(2) * 20,
		})
	}
	b := newBench(t, relay.Config{}, configs...)
	var ids []string
	texts := []string{errorOnly, sessionOnly, reportOnly, mixed}
	for range 40 {
		for range 5 {
			rec := relaytest.MustRecord(texts[rnd.IntN(len(texts))])
			rec.Meta.ReceivedAt = time.Time{}
			rec.Meta.Destinations = names
			ids = append(ids, b.src.Add(rec))
		}
		time.Sleep(time.Duration(rnd.Int64N(int64(20 * time.Second))))
		dst := configs[rnd.IntN(len(configs))].Destination
		switch rnd.IntN(10) {
		case 0:
			b.Pause(dst)
		case 1:
			b.Resume(dst)
		case 2:
			b.src.FailEnds(errors.New("disk"))
		case 3:
			if err := b.Apply(configs); err != nil { // no Key: everything is replaced
				t.Fatal(err)
			}
		}
	}
	for _, c := range configs {
		b.Resume(c.Destination)
		up := ups[c.Name]
		up.mu.Lock()
		up.calm = true
		up.mu.Unlock()
	}
	time.Sleep(2 * time.Hour)
	for _, c := range configs {
		up := ups[c.Name]
		for _, id := range ids {
			ends := b.src.Ends(c.Destination, id)
			if len(ends) != 1 {
				t.Fatalf("%s ended %d times at %s", id, len(ends), c.Name)
			}
			wasDelivered := false
			for _, f := range ends[0].Finals {
				wasDelivered = wasDelivered || f.Outcome == schemas.Delivered
			}
			if wasDelivered && up.taken[id] == 0 {
				t.Errorf("%s ended as delivered at %s, which never took it", id, c.Name)
			}
		}
	}
	b.stop()
}
