package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// The books of a gateway that has everything happen to it at once: good, bad,
// limited, filtered, stormy and unauthorized requests, an upstream that fails
// in every way it can, kills in the middle and an orderly stop. In each life,
// once the traffic rests and the spool is drained,
//
//	received + recovered + requeued = refusals + ends + in the spool
//
// to the item; a life begins with what the one before had in its spool; and
// whatever was answered as taken reaches the upstream.
func TestLedgerClosesOverLives(t *testing.T) {
	const lives = 4
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var mu sync.Mutex
	chance := rand.New(rand.NewPCG(seed, 1))
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return chance.IntN(n)
	}
	faulty, away := true, false
	up := startUpstream(t, relaytest.Options{MaxRequests: 100_000, Decide: func(r *relaytest.Request) relaytest.Step {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case away:
			return relaytest.Status(503)
		case !faulty:
			return relaytest.Step{}
		}
		switch n := chance.IntN(20); {
		case n < 2:
			return relaytest.Status([]int{500, 502, 503}[n%3])
		case n == 2:
			return relaytest.Step{Fault: relaytest.ResetBefore}
		case n == 3:
			return relaytest.Step{Fault: relaytest.ResetAfter}
		case n == 4:
			return relaytest.Step{Fault: relaytest.Truncated}
		case n == 5:
			return relaytest.Status(400) // this report is not wanted: a dead letter
		case n == 6:
			return relaytest.Status(429, "Retry-After", "1", "X-Sentry-Rate-Limits", "1:session:project")
		}
		return relaytest.Step{}
	}})
	g := newGateway(t, doorConfig(up, `
    filters: {error_messages: ["*unwanted*"]}
    storm: {window: 1h, first: 5, then_one_in: 10}
    sampling: {session: 0.5}
    limits: {categories: {transaction: {rate: 5/s, burst: 10}}, quota: {feedback: 3/month}}
`))
	const attached = "\n{\"type\":\"attachment\",\"length\":5,\"filename\":\"a.txt\"}\nhello"
	taken := map[string]bool{} // ids of the unique errors that were answered 200
	shapes := []func(n int) (body string, unique bool){
		func(n int) (string, bool) { return errorEnvelope(t, n, "Unique"+letters(n), "shop@1"), true },
		func(n int) (string, bool) { return errorEnvelope(t, n, "Unique"+letters(n), "shop@1") + attached, true },
		func(n int) (string, bool) { return errorEnvelope(t, n, "Same", "shop@1") + attached, false },
		func(n int) (string, bool) { return errorEnvelope(t, n, "unwanted", "shop@1") + attached, false },
		func(int) (string, bool) { return sessionEnvelope, false },
		func(n int) (string, bool) {
			return "{}\n{\"type\":\"session\"}\n" + strings.Replace(strings.SplitN(sessionEnvelope, "\n", 3)[2], "9ec79c33", fmt.Sprintf("%08x", n), 1), false
		},
		func(int) (string, bool) { return "{}\n{\"type\":\"event\"}\n{broken", false },
		func(int) (string, bool) { return "not an envelope", false },
		func(int) (string, bool) { return "", false },
		func(n int) (string, bool) {
			return fmt.Sprintf("{}\n{\"type\":\"transaction\"}\n{\"type\":\"transaction\",\"event_id\":\"%032x\",\"transaction\":\"/t\",\"start_timestamp\":1764000000,\"timestamp\":1764000001,\"contexts\":{\"trace\":{\"trace_id\":\"%032x\",\"span_id\":\"b655c2191ddc62a1\"}}}", n, n+1), false
		},
		func(n int) (string, bool) {
			return fmt.Sprintf("{}\n{\"type\":\"feedback\"}\n{\"type\":\"feedback\",\"event_id\":\"%032x\",\"contexts\":{\"feedback\":{\"message\":\"hi\"}}}", n), false
		},
		func(int) (string, bool) {
			return "{}\n{\"type\":\"log\",\"item_count\":2,\"content_type\":\"application/vnd.sentry.items.log+json\"}\n{\"items\":[{\"body\":\"a\",\"timestamp\":1764000000,\"level\":\"info\",\"trace_id\":\"e292a4fcb0104e9ebef9b1c9cf689836\"},{\"body\":\"b\",\"timestamp\":1764000000,\"level\":\"info\",\"trace_id\":\"e292a4fcb0104e9ebef9b1c9cf689836\"}]}", false
		},
		func(int) (string, bool) { return "{}\n{\"type\":\"what_is_this\"}\n{}", false },
	}
	sent := 0
	traffic := func(n int, tolerant bool) {
		t.Helper()
		var wg sync.WaitGroup
		for worker := range 8 {
			from := sent + worker*n
			wg.Go(func() {
				w := &wire{addr: g.public}
				defer w.close()
				for i := range n {
					body, unique := shapes[draw(len(shapes))](from + i)
					path := envelopePath
					if draw(30) == 0 {
						path, unique = "/api/1/envelope/?sentry_key=ffffffffffffffffffffffffffffffff", false
					}
					if draw(30) == 0 {
						path, body, unique = "/api/1/vitals/?key="+testKey, `[{"name":"LCP","value":1,"id":"v6-1"},{"name":"XYZ"}]`, false
					}
					a, err := w.do(postRequest(g.public, path, body))
					if err != nil {
						if !tolerant {
							t.Errorf("no answer: %v", err)
						}
						return
					}
					if unique && a.status == http.StatusOK {
						mu.Lock()
						taken[fmt.Sprintf("%032x", from+i+1)] = true
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		sent += 8 * n
	}
	balanced := func() error {
		if off := imbalance(g.scrape()); off != 0 {
			return fmt.Errorf("the ledger is off by %v", off)
		}
		return nil
	}
	for life := range lives {
		g.start()
		traffic(60, false)
		eventually(t, 20*time.Second, balanced) // deliveries go on; a scrape may fall into one
		switch life {
		case 1: // an orderly stop
			if err := g.stop(); err != nil {
				t.Fatal(err)
			}
		default: // a kill with requests in flight
			done := make(chan struct{})
			go func() { defer close(done); traffic(200, true) }()
			time.Sleep(time.Duration(50+draw(150)) * time.Millisecond) // a random moment
			g.kill()
			<-done
		}
	}
	set := func(isFaulty, isAway bool) {
		mu.Lock()
		defer mu.Unlock()
		faulty, away = isFaulty, isAway
	}
	// A life at whose end the spool rests, behind an upstream that is away: the
	// next one finds the same, category by category.
	set(true, true)
	g.start()
	traffic(40, false)
	held := map[string]float64{}
	eventually(t, 20*time.Second, func() error {
		if err := balanced(); err != nil {
			return err
		}
		before, again := g.scrape(), g.scrape()
		for _, c := range schemas.Categories {
			label := `category="` + string(c) + `"`
			held[label] = sumSeries(again, "breakwater_items_in_spool{", label)
			if sumSeries(before, "breakwater_items_in_spool{", label) != held[label] {
				return errors.New("the spool is not at rest")
			}
		}
		return nil
	})
	g.kill()
	g.start()
	found := g.scrape()
	for label, want := range held {
		if n := sumSeries(found, "breakwater_items_recovered{", label); n != want {
			t.Errorf("recovered %v items with %s, the spool held %v", n, label, want)
		}
	}
	set(false, false)
	eventually(t, 60*time.Second, g.emptySpool)
	eventually(t, 20*time.Second, balanced)
	text := g.scrape()
	delivered := map[string]bool{}
	for _, r := range up.Requests() { // also those the upstream refused for good: dead letters are not lost
		if r.Taken || r.Status == http.StatusBadRequest {
			delivered[r.EventID] = true
		}
	}
	lost := 0
	for id := range taken {
		if !delivered[id] {
			lost++
		}
	}
	t.Logf("%d lives, %d errors answered 200, %d requests upstream, recovered %v in the last", lives+2, len(taken), up.Totals().Requests, sumSeries(text, "breakwater_items_recovered{"))
	if lost > 0 || len(taken) < 50 {
		t.Errorf("%d of %d errors that were answered 200 never reached the upstream", lost, len(taken))
	}
	for _, p := range up.Problems() {
		t.Errorf("the upstream found fault: %s", p)
	}
}
