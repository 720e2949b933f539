package disk

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

// TestLedger plays random lives: whatever happens in whatever order, restarts
// and power cuts included, the books balance after each step and nothing that
// was promised is missing.
func TestLedger(t *testing.T) {
	if os.Getenv("BREAKWATER_LONG") == "" { // other lives in every long run, the same ones in every short one
		if err := flag.Set("rapid.seed", "1"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		g := &game{t: t, rt: rt, w: newWorld(rt, newSimFS()), held: map[spool.Destination][]spool.Claim{}}
		g.open()
		defer func() { _ = g.w.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append": g.append, "claim": g.claim, "settle": g.settle, "release": g.release, "bury": g.bury,
			"retry": g.retry, "drop": g.drop, "wait": g.wait, "expire": g.expire, "restart": g.restart, "crash": g.crash, "": g.check,
		})
	})
}

type game struct {
	t      *testing.T
	rt     *rapid.T
	w      *world
	ledger *spooltest.Ledger
	held   map[spool.Destination][]spool.Claim
	n      int
}

var bothDests = []spool.Destination{spooltest.DestA, spooltest.DestB}

func (g *game) open() {
	g.ledger = spooltest.NewLedger()
	g.w.obs = g.ledger
	g.held = map[spool.Destination][]spool.Claim{}
	if err := g.w.open(); err != nil {
		g.rt.Fatal(err)
	}
	g.w.s.SetLimits(spool.Limits{MaxSize: 1 << 20, MinFree: -1, ProjectShare: 1, MaxAge: time.Hour, DeadLetterSize: 1 << 20})
}

func (g *game) dst(rt *rapid.T) spool.Destination {
	return rapid.SampledFrom(bothDests).Draw(rt, "dst")
}

func (g *game) append(rt *rapid.T) {
	g.n++
	size := rapid.IntRange(0, 900).Draw(rt, "size")
	if err := g.w.append(fmt.Sprint(g.n, " ", strings.Repeat("z", size)), rapid.IntRange(0, 5).Draw(rt, "spill") == 0); err != nil {
		rt.Fatal(err)
	}
}

func (g *game) claim(rt *rapid.T) {
	dst := g.dst(rt)
	if c := g.w.claim(dst); c != nil {
		g.held[dst] = append(g.held[dst], c)
	}
}

// pick takes one of the claims that are out.
func (g *game) pick(rt *rapid.T) (spool.Claim, spool.Destination) {
	dst := g.dst(rt)
	list := g.held[dst]
	if len(list) == 0 {
		return nil, dst
	}
	i := rapid.IntRange(0, len(list)-1).Draw(rt, "claim")
	c := list[i]
	g.held[dst] = append(list[:i:i], list[i+1:]...)
	return c, dst
}

func (g *game) settle(rt *rapid.T) {
	c, dst := g.pick(rt)
	if c == nil {
		return
	}
	o := rapid.SampledFrom([]schemas.Outcome{schemas.Delivered, schemas.RateLimited}).Draw(rt, "outcome")
	g.w.said[c.Meta().ID][dst] = unknown
	if err := c.Settle(schemas.AllFinal(1, o, "")); err != nil {
		rt.Fatal(err)
	}
}

func (g *game) release(rt *rapid.T) {
	if c, _ := g.pick(rt); c != nil {
		c.Release(g.w.clock.Now().Add(time.Duration(rapid.IntRange(-10, 100).Draw(rt, "due"))*time.Second), "later")
	}
}

func (g *game) bury(rt *rapid.T) {
	c, dst := g.pick(rt)
	if c == nil {
		return
	}
	dropped := g.w.said[c.Meta().ID][dst] == unknown // while the claim was out
	g.w.bury(c, dst)
	if dropped {
		g.w.said[c.Meta().ID][dst] = unknown
	}
}

// some draws a few of the known ids.
func (g *game) some(rt *rapid.T, want promise) (q spool.Query, ids []string) {
	dst := g.dst(rt)
	q = spool.Query{Project: "shop", Destination: dst.Name, Dead: want == buried}
	for id, dests := range g.w.said {
		if dests[dst] == want && len(ids) < 3 {
			ids = append(ids, id)
		}
	}
	q.IDs = append([]string{"00000000000000000000000000"}, ids...)
	return q, ids
}

func (g *game) retry(rt *rapid.T) {
	q, ids := g.some(rt, buried)
	if n, err := g.w.s.Retry(q); err != nil || n != len(ids) {
		rt.Fatalf("retried %d of %d: %v", n, len(ids), err)
	}
	for _, id := range ids {
		g.w.said[id][spool.Destination{Project: "shop", Name: q.Destination}] = kept
	}
}

func (g *game) drop(rt *rapid.T) {
	q, ids := g.some(rt, rapid.SampledFrom([]promise{kept, buried}).Draw(rt, "kind"))
	if n, err := g.w.s.Drop(q); err != nil || n != len(ids) {
		rt.Fatalf("dropped %d of %d: %v", n, len(ids), err)
	}
	for _, id := range ids {
		g.w.said[id][spool.Destination{Project: "shop", Name: q.Destination}] = unknown
	}
}

// wait lets merges happen.
func (g *game) wait(*rapid.T) {
	g.w.clock.Advance(20 * time.Second)
	g.tick()
}

func (g *game) expire(*rapid.T) {
	g.w.clock.Advance(time.Hour + time.Second)
	g.tick()
}

// tick turns the spool's clock; what is too old is no longer promised.
func (g *game) tick() {
	g.w.s.Tick()
	now := g.w.clock.Now()
	_ = g.w.s.List(spool.Query{}, func(e spool.Entry) bool {
		if !e.InFlight && now.Sub(e.Meta.ReceivedAt) > time.Hour {
			g.rt.Fatalf("%s is %v old and still waits", e.Meta.ID, now.Sub(e.Meta.ReceivedAt))
		}
		return true
	})
	for id, dests := range g.w.said {
		at := received(id)
		for dst, p := range dests {
			if p == kept && now.Sub(at) > time.Hour {
				dests[dst] = unknown
			}
		}
	}
}

func (g *game) restart(rt *rapid.T) {
	if err := g.w.s.Close(); err != nil {
		rt.Fatal(err)
	}
	g.open()
}

func (g *game) crash(rt *rapid.T) {
	seed := rapid.Uint64().Draw(rt, "chance")
	next := g.w.fs.crash(rand.New(rand.NewPCG(seed, 1)))
	_ = g.w.s.Close() // into the void
	g.w.fs = next
	g.open()
}

func (g *game) check(rt *rapid.T) {
	audit(rt, g.w.s)
	if err := g.ledger.Check(spooltest.Waiting(g.t, g.w.s)); err != nil {
		rt.Fatal(err)
	}
	g.w.check("after a step")
	for _, q := range g.w.s.Stats().Queues {
		var records, dead, items int64
		for _, d := range []bool{false, true} {
			_ = g.w.s.List(spool.Query{Destination: q.Name, Dead: d}, func(e spool.Entry) bool {
				if d {
					dead++
				} else {
					records, items = records+1, items+int64(e.Meta.Items())
				}
				return true
			})
		}
		if records != q.Records || dead != q.Dead || items != q.Items {
			rt.Fatalf("%s: listed %d records (%d items) and %d dead, stats say %d (%d) and %d",
				q.Destination, records, items, dead, q.Records, q.Items, q.Dead)
		}
	}
}

// received is when a record was appended: its id tells.
func received(id string) time.Time {
	u, err := ulid.ParseStrict(id)
	if err != nil {
		return time.Time{}
	}
	return u.Timestamp()
}
