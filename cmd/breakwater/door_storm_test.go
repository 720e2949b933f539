package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// kinds counts what arrived upstream by the type of the exception.
type kinds struct {
	mu     sync.Mutex
	counts map[string]int
}

func (k *kinds) note(r *relaytest.Request) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, it := range r.Items {
		if it.Header.Type != "event" {
			continue
		}
		ev, err := schemas.ParseEvent(it.Payload)
		if err != nil {
			return err
		}
		kind := "summary"
		if ex := ev.Exceptions(); len(ex) > 0 {
			kind = ex[0].Type + "@" + ev.Release()
		}
		k.counts[kind]++
	}
	return nil
}

// sum adds up the kinds that begin with prefix, and counts them.
func (k *kinds) sum(prefix string) (events, different int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for kind, n := range k.counts {
		if strings.HasPrefix(kind, prefix) {
			events, different = events+n, different+1
		}
	}
	return events, different
}

// stormBudget is how many of n errors of one fingerprint pass within a window.
func stormBudget(n, first, oneIn int) int {
	if n <= first {
		return n
	}
	return first + (n-first)/oneIn
}

// A storm through a real process. Part one: one bug repeated in four releases
// and, among it, errors that are all different. Upstream gets exactly the
// budget of the first and every one of the second; the books agree. Part two:
// nothing but new fingerprints, and among them the bug of part one: the table
// stays within its bound, and the bug is still known and thinned out. Memory
// stays flat in both. BREAKWATER_LONG=1 sends a million of each.
func TestStormAtTheDoor(t *testing.T) {
	same, different, random, table := 40_000, 1_000, 8_000, 2_000
	if os.Getenv("BREAKWATER_LONG") != "" {
		same, random, table = 1_000_000, 1_000_000, 100_000
	}
	const first, oneIn, releases = 50, 100, 4
	seen := &kinds{counts: map[string]int{}}
	up := startUpstream(t, relaytest.Options{MaxRequests: 1, Expect: seen.note})
	g := newGateway(t, doorConfig(up, fmt.Sprintf("    storm: {window: 1h, first: %d, then_one_in: %d, max_fingerprints: %d}\n", first, oneIn, table))).start()

	release := func(n int) string { return fmt.Sprintf("shop@%d", n%releases) }
	every := same / different
	request := func(n int) []byte {
		kind := "SameError"
		if n%(every+1) == every {
			kind = "Different" + letters(n/(every+1))
		}
		return postRequest(g.public, envelopePath, errorEnvelope(t, n, kind, release(n)))
	}
	blast(t, g.public, 32, 2_000, time.Time{}, func(n int) []byte { // warm: buffers, connections, the upstream's too
		return postRequest(g.public, envelopePath, errorEnvelope(t, n, "Warm"+letters(n%40), "shop@0"))
	})
	eventually(t, 60*time.Second, g.emptySpool)
	g.forgetPeak()
	before, _ := g.rss()
	began := time.Now()
	if got := blast(t, g.public, 32, same+different, time.Time{}, request); got[200] != same+different {
		t.Fatalf("answers %v", got)
	}
	perSecond := float64(same+different) / time.Since(began).Seconds()
	eventually(t, 15*time.Minute, g.emptySpool)

	perRelease := map[string]int{}
	for n := range same + different {
		if n%(every+1) != every {
			perRelease[release(n)]++
		}
	}
	budget := 0
	for _, n := range perRelease {
		budget += stormBudget(n, first, oneIn)
	}
	forwarded, _ := seen.sum("SameError@")
	if forwarded != budget {
		t.Errorf("%d of %d equal errors reached the upstream, want %d", forwarded, same, budget)
	}
	if events, n := seen.sum("Different"); n != different || events != different {
		t.Errorf("%d events of %d different errors reached the upstream, want %d each once", events, n, different)
	}
	warm, _ := seen.sum("Warm")
	if got := g.outcomes(`outcome="suppressed"`, `reason="storm"`); int(got) != same-budget+2_000-warm {
		t.Errorf("%v counted as suppressed, want %d", got, same-budget+2_000-warm)
	}
	if a, b := g.outcomes(`outcome="suppressed"`), sumSeries(g.scrape(), "breakwater_storm_suppressed_total{"); a != b {
		t.Errorf("the ledger counts %v suppressed, storm control %v", a, b)
	}
	_, peak := g.rss()
	t.Logf("storm: %d equal, %d different at %.0f/s: %d and %d upstream; memory %s, peak %s", same, different, perSecond, forwarded, different, mib(before), mib(peak))
	if grown := peak - before; grown > 48<<20 {
		t.Errorf("memory grew by %s during the storm", mib(grown))
	}

	// Part two. Every tenth is the known bug.
	before, _ = g.rss()
	g.forgetPeak()
	suppressed := g.outcomes(`outcome="suppressed"`)
	began = time.Now()
	got := blast(t, g.public, 32, random, time.Time{}, func(n int) []byte {
		kind := "Random" + letters(n)
		if n%10 == 0 {
			kind = "SameError"
		}
		return postRequest(g.public, envelopePath, errorEnvelope(t, n, kind, "shop@0"))
	})
	if got[200] != random {
		t.Fatalf("answers %v", got)
	}
	perSecond = float64(random) / time.Since(began).Seconds()
	eventually(t, 15*time.Minute, g.emptySpool)
	busy := (random + 9) / 10
	more := stormBudget(perRelease["shop@0"]+busy, first, oneIn) - stormBudget(perRelease["shop@0"], first, oneIn)
	now, _ := seen.sum("SameError@")
	if now-forwarded != more {
		t.Errorf("among new fingerprints the known bug passed %d times of %d, want %d", now-forwarded, busy, more)
	}
	if events, n := seen.sum("Random"); events != random-busy || n != random-busy {
		t.Errorf("%d events of %d new fingerprints, want %d", events, n, random-busy)
	}
	if got := g.outcomes(`outcome="suppressed"`) - suppressed; int(got) != busy-more {
		t.Errorf("%v more counted as suppressed, want %d", got, busy-more)
	}
	if n := sumSeries(g.scrape(), "breakwater_storm_fingerprints{"); int(n) > table {
		t.Errorf("%v fingerprints are remembered, the bound is %d", n, table)
	}
	g.closed(t)
	_, peak = g.rss()
	t.Logf("new fingerprints: %d at %.0f/s; memory %s, peak %s", random, perSecond, mib(before), mib(peak))
	if grown := peak - before; grown > 64<<20 {
		t.Errorf("memory grew by %s among new fingerprints", mib(grown))
	}
	if problems := up.Problems(); len(problems) > 0 {
		t.Errorf("the upstream found fault: %v", problems[0])
	}
}
