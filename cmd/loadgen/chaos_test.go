package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// shortChaos is one fault of each kind, each for a moment, and no calm to speak of.
func shortChaos(t *testing.T) chaosCmd {
	return chaosCmd{
		Gateway: binary(t), Nginx: "../../webdemo/stack/cluster/nginx.conf", Duration: 2 * time.Minute, Cycles: 1, Calm: time.Second, Pace: 0.12,
		Gateways: 3, Rate: 100, Conns: 32, Limit: 40, JSON: true, Verbose: testing.Verbose(),
		Loopback: os.Geteuid() != 0, // without privileges links stay whole
	}
}

// Three gateways with a disk each behind nginx: one fault of each kind, and
// nothing that was acknowledged is lost. `make chaos` does it for ten minutes.
func TestChaosOnDisks(t *testing.T) {
	c := shortChaos(t)
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
}

// The same on a stream of three NATS servers, with Redis: nothing is lost
// either, limits hold while Redis is there, and storms are counted exactly.
func TestChaosOnAStream(t *testing.T) {
	t.Parallel() // most of its time leases run out
	c := shortChaos(t)
	c.NATS, c.Redis = 3, true
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
}

// What the counting at the end finds.
func TestChaosFindsWhatIsWrong(t *testing.T) {
	begin := time.Now()
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	past := []incident{
		{Kind: "kill gateway", Begin: at(100), End: at(101), hits: hits{gateways: []int{1}}},
		{Kind: "kill redis", Begin: at(200), End: at(210), hits: hits{redis: true}},
	}
	var id [5]relaytest.ID
	for i := range id {
		id[i] = newID()
	}
	fates := map[relaytest.ID]*fate{id[0]: {sends: 2}, id[1]: {sends: 1}, id[2]: {sends: 1}, id[3]: {sends: 1}, id[4]: {sends: 1}}
	came := map[relaytest.ID][]delivery{
		id[0]: {{at(1), 0}, {at(2), 0}},      // its client sent it twice
		id[1]: {{at(1), 0}, {at(2), 1}},      // the balancer did
		id[2]: {{at(102), 2}, {at(99.5), 1}}, // delivered by the gateway that is killed
		id[3]: {{at(99.5), 0}, {at(102), 2}}, // by another one
		id[4]: {{at(99.5), 1}},
	}
	d, odd := explain(fates, came, map[relaytest.ID]bool{id[1]: true}, past, 3, 7)
	if want := (duplicates{All: 4, Client: 1, Balancer: 1, Confirmation: 1, Bound: 7, Unexplained: 1}); d != want || len(odd) != 1 || odd[0] != id[3] {
		t.Errorf("found %+v and %v, want %+v", d, odd, want)
	}

	// A project that gets exactly 10 a second of 20 until the kill of Redis, and 30 in
	// between; a gateway decides alone for a while, too.
	var asked []decision
	ask := func(s float64, status, n int) {
		for range n {
			asked = append(asked, decision{stretch{at(s), at(s + 0.01)}, status})
		}
	}
	alone := []stretch{{at(40), at(45)}}
	for s := 0.0; s < 300; s += 0.1 {
		if ask(s, 200, 1); s >= 200 && s < 210 || s >= 41 && s < 44 {
			ask(s, 200, 2)
		} else {
			ask(s, 429, 1)
		}
	}
	l := checkLimit(asked, 10, 5, stretch{at(0), at(300)}, past, alone)
	if l.OfLimit < 0.98 || l.OfLimit > 1.01 || l.Worst > 1.01 || l.Bursts > 0.1 || l.Without < 1.5 || l.OfCalm < 0.98 || l.OfCalm > 1.01 || l.CalmDue < 0.95 || l.CalmDue > 1 || l.starved() || l.CalmSeconds > l.Seconds-2 {
		t.Errorf("the limit is judged %+v", l)
	}
	if l := checkLimit(asked, 10, 5, stretch{at(0), at(300)}, past, nil); l.Worst < 1.02 {
		t.Errorf("what was decided alone is not seen: %+v", l)
	}
	n := 0
	half := slices.DeleteFunc(slices.Clone(asked), func(d decision) bool { n++; return d.taken() && n%4 < 2 })
	if l := checkLimit(half, 10, 5, stretch{at(0), at(300)}, past, alone); !l.starved() {
		t.Errorf("half a limit is enough: %+v", l)
	}
	rep := chaosReport{Acked: 1, Faults: 1, Limit: &l}
	if err := rep.verdict(""); err != nil {
		t.Errorf("a good run is refused: %v", err)
	}
	rep.Limit = &limitCheck{OfCalm: 0.68, CalmSeconds: 9, CalmDue: 0.7} // nobody asked for more
	if err := rep.verdict(""); err != nil {
		t.Errorf("slow clients are taken for a low limit: %v", err)
	}
	asked = nil // heaps of 100 every four seconds, of which a burst of 20 covers 20
	for s := range 10 {
		ask(float64(4*s)+3, 200, 20)
		ask(float64(4*s)+3, 429, 80)
	}
	if due := (stretch{at(0), at(40)}).due(asked, 10, 20); due != 9*19 { // nobody knows how full it was at first
		t.Errorf("a bucket must have granted %g, want 171", due)
	}
	for what, spoil := range map[string]func(*chaosReport){
		"were lost":            func(r *chaosReport) { r.Lost = 1 },
		"dead letters":         func(r *chaosReport) { r.Dead = 1 },
		"no explanation":       func(r *chaosReport) { r.Twice.Unexplained = 1 },
		"lost confirmations":   func(r *chaosReport) { r.Twice.Confirmation = 1 },
		"while Redis was":      func(r *chaosReport) { r.Limit = &limitCheck{OfLimit: 1.2, Bursts: 0.09} },
		"nothing was broken":   func(r *chaosReport) { r.Limit = &limitCheck{OfCalm: 0.8, CalmSeconds: 9, CalmDue: 1} },
		"proved nothing":       func(r *chaosReport) { r.Acked = 0 },
		"nothing broken":       func(r *chaosReport) { r.Faults = 0 },
		"in the worst stretch": func(r *chaosReport) { r.Limit = &limitCheck{Worst: 1.2} },
	} {
		bad := rep
		spoil(&bad)
		if err := bad.verdict(""); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: the verdict is %v", what, err)
		}
	}
}

// A storm is not counted before what its summary calls forwarded has come, which
// may be later.
func TestStormIsCountedWhole(t *testing.T) {
	sent := map[relaytest.ID]*fate{}
	var came []*relaytest.Request
	for range 2 {
		id := newID()
		sent[id] = &fate{sends: 1}
		came = append(came, &relaytest.Request{Taken: true, EventID: id.String()})
	}
	summary := &relaytest.Request{Taken: true, EventID: newID().String(), Items: []relaytest.Item{{
		Header: schemas.ItemHeader{Type: "event"}, Payload: []byte(`{"logger":"breakwater.storm","tags":{"storm.events":"9","storm.forwarded":"2"}}`),
	}}}
	c := stormCheck{Sent: 9, Acked: 9, Budget: 2}
	for i, tt := range []struct {
		came []*relaytest.Request
		want bool
	}{
		{came, false},
		{[]*relaytest.Request{came[0], summary}, false},
		{[]*relaytest.Request{came[0], came[0], summary}, false}, // came twice
		{[]*relaytest.Request{came[0], summary, came[1]}, true},
	} {
		if c.count(sent, tt.came); c.complete() != tt.want {
			t.Errorf("%d: complete is %v with %+v", i, !tt.want, c)
		}
	}
	if err := c.verdict(); err != nil {
		t.Error(err)
	}
}
