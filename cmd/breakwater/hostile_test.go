package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
)

const (
	// maxGrowth is by how much any attack may raise the gateway's memory above
	// that of the same process under ordinary load.
	maxGrowth = 32 << 20
	// attempts is how often an attack is tried before its figures count: the
	// machine may have other work, which comes and goes.
	attempts = 6
	// readTimeout is how long a request may take to arrive.
	readTimeout = 3 * time.Second
)

// attack is something a stranger may send.
type attack struct {
	name string
	// do sends it to addr and returns the answers by status; 0 is a connection
	// that was closed without one.
	do func(addr string) map[int]int
	// want are the statuses that are right.
	want []int
}

// taken are attacks that are none by their answer: batches of some kilobytes that
// become megabytes and are taken whole. Storing and delivering those is work
// that was asked for, done beside that of others, who may wait by so many times
// longer than beside another attack.
var taken = map[string]float64{
	"OTLP of 15,000 records under a resource of 120 KB": 5,
	"Faro of 2,000 logs under a session of 4 KB":        5,
}

// effect is what one attempt of an attack did.
type effect struct {
	answers             map[int]int
	took                time.Duration
	rounds              int
	grown               int64
	alone, bare, beside p99
}

// ratio compares with the worse of no attack and of one on a bare server: the
// attacker shares the machine, so that what it sends costs others something
// wherever it goes.
func (e *effect) ratio() float64 {
	return float64(e.beside.value) / float64(max(e.alone.value, e.bare.value))
}

func (e *effect) String() string {
	return fmt.Sprintf("%v in %d rounds of %v; memory %s more; p99 of others %v, beside a bare server %v, alone %v, ratio %.1f",
		e.answers, e.rounds, (e.took / time.Duration(e.rounds)).Round(time.Millisecond), mib(max(0, e.grown)), e.beside, e.bare, e.alone, e.ratio())
}

// collect lets the process sweep up what the attack before left, so that each
// is measured from rest.
func (g *gateway) collect(t *testing.T) {
	t.Helper()
	resp, err := http.Get("http://" + g.private + "/debug/pprof/heap?gc=1")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
}

// suffer lets an attack run beside ordinary clients: first on the bare server,
// then on the gateway, whose clients they are, each for a while. rest is the
// memory from which its growth is reckoned, 0 for what the gateway has now.
func suffer(t *testing.T, a attack, g *gateway, bare string, others *neighbours, ordinarily int64, rest *int64) *effect {
	t.Helper()
	quiet, least, _ := strictness()
	e := &effect{answers: map[int]int{}}
	eventually(t, 60*time.Second, g.emptySpool)
	e.alone = others.during(t, func() { time.Sleep(quiet) }) // how long to measure
	e.bare = others.during(t, func() { again(least, func() { a.do(bare) }) })
	g.collect(t)
	g.forgetPeak()
	if before, _ := g.rss(); *rest == 0 {
		*rest = max(before, ordinarily) // at rest the process has given back what ordinary load takes
	}
	e.beside = others.during(t, func() {
		began := time.Now()
		e.rounds = again(least, func() {
			for status, n := range a.do(g.public) {
				e.answers[status] += n
			}
		})
		e.took = time.Since(began)
	})
	_, peak := g.rss()
	e.grown = peak - *rest
	return e
}

// strictness is how long a measurement lasts, and by which factor an attack on
// the gateway may then raise the 99th percentile of other clients, compared with none or with
// one on another process of the same machine. The short form, of some hundred
// requests, is for machines that have other work, too: it finds a gateway that
// lets others wait behind an attack, which is a factor of ten and more.
func strictness() (quiet, attack time.Duration, most float64) {
	if os.Getenv("BREAKWATER_LONG") != "" {
		return time.Second, 2 * time.Second, 2
	}
	return 250 * time.Millisecond, 400 * time.Millisecond, 4
}

// again repeats an attack until it has lasted for some time.
func again(least time.Duration, do func()) (rounds int) {
	for began := time.Now(); rounds == 0 || time.Since(began) < least; rounds++ {
		do()
	}
	return rounds
}

// What strangers can think of, each against a warm process with ordinary
// limits but for the rates, which would stop most of it: it is answered as it should be, the
// process's memory rises by at most 32 MiB, and well-behaved clients are
// served all the time, and not much later than beside the same bytes sent to
// a server that only reads them: at most twice with BREAKWATER_LONG=1, but for
// large batches that are taken.
func TestHostileRequests(t *testing.T) {
	up := startUpstream(t, relaytest.Options{IDsOnly: true})
	g := newGateway(t, doorConfig(up, "    storm: {then_one_in: 1}\n", "limits: {per_ip: {rate: 100000/s, burst: 1000000}, read_timeout: 3s}\n")).start()
	bare := startBare(t)
	ordinary := func(n int) []byte {
		return postRequest(g.public, envelopePath, errorEnvelope(t, n, "TypeError", "shop@1"))
	}
	list := attacks(t)
	// Warm: ordinary requests on as many connections as a busy minute has, and
	// each decoder once.
	blast(t, g.public, 256, 4000, time.Time{}, ordinary)
	eventually(t, 60*time.Second, g.emptySpool)
	others := startNeighbours(t, g.public, ordinary(templateNumber))
	first := others.during(t, func() { time.Sleep(time.Second) }) // how long to measure
	ordinarily, _ := g.rss()
	t.Logf("alone: p99 %v, memory %s", first, mib(ordinarily))
	_, _, strict := strictness()
	for _, a := range list {
		t.Run(a.name, func(t *testing.T) {
			most := strict * cmp.Or(taken[a.name], 1)
			var best *effect
			rest, grown := int64(0), int64(math.MaxInt64)
			for range attempts {
				e := suffer(t, a, g, bare, others, ordinarily, &rest)
				t.Log(e)
				for status, n := range e.answers {
					if status == http.StatusRequestTimeout && e.took >= readTimeout {
						continue // on a machine with other work a body may take that long
					}
					if !slices.Contains(a.want, status) {
						t.Errorf("%d were answered %d, want %v", n, status, a.want)
					}
				}
				if best == nil || e.ratio() < best.ratio() {
					best = e
				}
				// A collection that comes late on a busy machine shows once; what an attack
				// takes, or leaves behind, shows each time. Twice as much no lateness excuses.
				grown = min(grown, e.grown)
				if e.grown > 2*maxGrowth {
					t.Errorf("memory grew by %s at once", mib(e.grown))
				}
				if best.ratio() <= most && grown <= maxGrowth {
					break
				}
			}
			if grown > maxGrowth {
				t.Errorf("memory grew by %s", mib(grown))
			}
			if best.ratio() > most {
				t.Errorf("others waited %.1f times as long, want %v at most", best.ratio(), most)
			}
		})
	}
	others.end(t)
	eventually(t, 60*time.Second, g.emptySpool)
	g.closed(t)
	if strings.Contains(g.stdout.String(), "fault of ours") {
		t.Error("something panicked")
	}
}
