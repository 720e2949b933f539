package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/schemas"
)

// onStream is a configuration whose spool is a stream.
func onStream(config string, c *natstest.Cluster, more string) string {
	var urls []string
	for _, m := range c.Monitors() {
		urls = append(urls, strconv.Quote(m))
	}
	engine := "engine: jetstream"
	if strings.Contains(more, "drain") {
		engine = "min_free: 0B"
	}
	return strings.Replace(config, "min_free: 0B}", fmt.Sprintf("%s, max_size: 1GiB, jetstream: {url: %q, replicas: %d, monitor_urls: [%s]%s}}",
		engine, c.URL(), c.Nodes(), strings.Join(urls, ", "), more), 1)
}

// toUpstream is the configuration of a gateway that relays there and limits nobody.
func toUpstream(up *relaytest.Upstream) string {
	return strings.Replace(oneProject, "    vitals:", "    upstreams: [{dsn: \""+up.DSN("7")+"\"}]\n    limits: {per_key: {rate: 100000/s, burst: 100000}}\n    storm: {then_one_in: 1}\n    vitals:", 1) +
		"limits: {per_ip: {rate: 100000/s, burst: 100000}}\n"
}

// backlogOnDisk fills a spool with waiting records and dead letters, as a
// gateway would have left it, and returns the ids of their events.
func backlogOnDisk(t *testing.T, dir string, waiting, dead int) (ids, deadIDs []string) {
	t.Helper()
	s, err := disk.Open(disk.Config{Dir: dir, MinFree: -1, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	dst := spool.Destination{Project: "shop", Name: "sentry"}
	for i := range dead + waiting {
		id := fmt.Sprintf("d15c%028x", i)
		rec := relaytest.SampleRecord()
		rec.Meta.Project, rec.Meta.ProjectID, rec.Meta.Key, rec.Meta.EventID, rec.Meta.Destinations = dst.Project, 1, testKey, id, []string{dst.Name}
		rec.Meta.ReceivedAt = time.Now()
		rec.Meta.Counts = []schemas.Count{{Category: schemas.CategoryError, Quantity: 1}}
		rec.Envelope.Header.SetString("event_id", id)
		rec.Envelope.Items = []schemas.Item{{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(fmt.Sprintf(`{"event_id":%q,"message":"number %d"}`, id, i))}}
		if i%500 == 1 { // a payload in a file of the spool
			rec.Envelope.Items = append(rec.Envelope.Items, schemas.Item{
				Header: schemas.NewItemHeader("attachment", "filename", "core.dmp"), Payload: schemas.Bytes(bytes.Repeat([]byte(id), 40<<10)),
			})
			rec.Meta.Counts = append(rec.Meta.Counts, schemas.Count{Category: schemas.CategoryAttachment, Quantity: 1})
		}
		if err := s.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		if i >= dead {
			ids = append(ids, id)
			continue
		}
		c, err := s.Claim(t.Context(), dst)
		if err == nil {
			err = c.Bury("http_400")
		}
		if err != nil {
			t.Fatal(err)
		}
		deadIDs = append(deadIDs, id)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return ids, deadIDs
}

func movedIn(g *gateway) bool {
	return strings.Contains(g.stdout.String(), "all records have moved in")
}

func movesIn(t *testing.T, g *gateway) {
	t.Helper()
	eventually(t, 2*time.Minute, func() error {
		if !movedIn(g) {
			return errors.New("records are still moving: " + g.stdout.String() + g.stderr.String())
		}
		return nil
	})
}

// moveBroken starts a gateway that moves records, kills it at some moment of
// that, again and again, and then lets it finish.
func moveBroken(t *testing.T, g *gateway, kills int) {
	t.Helper()
	for range kills {
		g.launch()
		eventually(t, time.Minute, func() error {
			select {
			case <-g.done:
				t.Fatalf("the gateway ended: %v\n%s%s", g.exit, g.stdout.String(), g.stderr.String())
			default:
			}
			if !strings.Contains(g.stdout.String(), `"message":"serving"`) && !movedIn(g) {
				return errors.New("the gateway does not serve: " + g.stdout.String() + g.stderr.String())
			}
			return nil
		})
		time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) // the moment of the kill: any will do
		g.kill()
		if movedIn(g) {
			break
		}
		g.stdout.reset()
	}
	g.start()
	movesIn(t, g)
	for line := range strings.Lines(g.stdout.String()) {
		if strings.Contains(line, "all records have moved in") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func (b *lockedBuffer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Reset()
}

// A gateway changes from disk to a stream and back, killed at random moments of
// both moves: every report arrives once, dead letters stay dead letters, the
// door is open meanwhile, and the books balance.
func TestMovingHouse(t *testing.T) {
	t.Parallel() // it mostly waits
	const waiting, dead, kills = 1500, 40, 2
	cluster := natstest.Start(t, natstest.Options{})
	up := listening(t, relaytest.Options{MaxRequests: 1 << 20})
	up.Always(relaytest.Status(503)) // nothing is delivered while it moves: repeats would be the move's
	config := toUpstream(up)
	g := newGateway(t, onStream(config, cluster, ""))
	ids, deadIDs := backlogOnDisk(t, filepath.Join(g.dir, "spool"), waiting, dead)
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	stopPosting := make(chan struct{})
	posted := make(chan map[string]bool)
	go func() { // the door is open while records move
		acked := map[string]bool{}
		for i := 0; ; i++ {
			select {
			case <-stopPosting:
				posted <- acked
				return
			case <-time.After(10 * time.Millisecond):
			}
			id := fmt.Sprintf("d00r%028x", i)
			id = strings.Replace(id, "r", "a", 1)
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.public+"/api/1/envelope/?sentry_key="+testKey,
				strings.NewReader(fmt.Sprintf("{\"event_id\":%q}\n{\"type\":\"event\"}\n{\"message\":\"while it moves\"}\n", id)))
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					acked[id] = true
				}
			}
			cancel()
		}
	}()
	moveBroken(t, g, kills)
	eventually(t, time.Minute, func() error { return waitingAre(t, g, waiting) })
	close(stopPosting)
	acked := <-posted
	if len(acked) == 0 {
		t.Error("nothing was taken at the door while records moved")
	}
	for id := range acked {
		want[id] = true
	}
	if held, err := disk.Holds(filepath.Join(g.dir, "spool")); held || err != nil {
		t.Errorf("the disk still holds records: %v", err)
	}
	if _, err := os.Stat(filepath.Join(g.dir, "moved.log")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("notes of the move are left: %v", err)
	}
	deadAre(t, g, deadIDs, 0)
	balanced(t, g)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}

	// And back.
	g.stdout.reset()
	g.write(onStream(config, cluster, ", drain: true"))
	moveBroken(t, g, kills)
	// A kill between an append on disk and its note: at most as many as are under way.
	deadAre(t, g, deadIDs, kills*32)
	balanced(t, g)
	up.Relent()
	drained(t, g)
	times, _ := arrivals(up)
	lost, twice := 0, 0
	for id := range want {
		switch n := times[id]; {
		case n == 0:
			lost++
		case n > 1:
			twice++
		}
	}
	if lost > 0 || twice > kills*32 {
		t.Errorf("of %d reports %d are lost and %d came twice", len(want), lost, twice)
	}
	t.Logf("%d reports, %d of them taken while records moved; %d came twice", len(want), len(acked), twice)
}

// waitingAre checks how many records wait, at least.
func waitingAre(t *testing.T, g *gateway, n int) error {
	t.Helper()
	if got := metricOf(t, g, `breakwater_spool_items{destination="sentry",project="shop"}`); got < float64(n) {
		return fmt.Errorf("%v items wait, want %d", got, n)
	}
	return nil
}

// deadAre checks that all ids are dead letters, and few of them twice.
func deadAre(t *testing.T, g *gateway, ids []string, twice int) {
	t.Helper()
	var l struct{ Records []storedRecord }
	good(t, &l, "spool", "--url=http://"+g.private, "ls", "--dead", "--limit=0")
	have := map[string]int{}
	for _, r := range l.Records {
		have[r.EventID]++
		if r.Reason != "http_400" || r.State != "dead" {
			t.Errorf("a dead letter is %+v", r)
		}
	}
	for _, id := range ids {
		if have[id] == 0 {
			t.Errorf("dead letter %s is gone", id)
		}
	}
	if n := len(l.Records); n < len(ids) || n > len(ids)+twice || len(have) != len(ids) {
		t.Errorf("%d dead letters of %d reports, want %d of %d", n, len(have), len(ids), len(ids))
	}
}

// A backlog goes from disk to a stream by an archive, and back again.
func TestArchivesBetweenEngines(t *testing.T) {
	const n = 60
	cluster := natstest.Start(t, natstest.Options{})
	up := listening(t, relaytest.Options{})
	up.Always(relaytest.Status(503))
	config := toUpstream(up)
	onDisk, shared := newGateway(t, config), newGateway(t, onStream(config, cluster, ""))
	ids, _ := backlogOnDisk(t, filepath.Join(onDisk.dir, "spool"), n, 0)
	onDisk.start()
	shared.start()
	carry := func(from, to *gateway) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "backlog.bwx")
		var exp struct{ Records, Ended, Gone int }
		var imp struct{ Imported, Repeated int }
		good(t, &exp, "spool", "--url=http://"+from.private, "export", file)
		good(t, &imp, "spool", "--url=http://"+to.private, "import", file)
		if exp.Records != n || imp.Imported != n {
			t.Fatalf("%+v %+v", exp, imp)
		}
		good(t, &imp, "spool", "--url=http://"+to.private, "import", file)
		if imp.Repeated != n {
			t.Fatalf("the second time %+v", imp)
		}
		good(t, &exp, "spool", "--url=http://"+from.private, "export", "--finish", file)
		if exp.Ended != n || exp.Gone != 0 {
			t.Fatalf("%+v", exp)
		}
		if left := metricOf(t, from, `breakwater_spool_items{destination="sentry",project="shop"}`); left != 0 {
			eventually(t, 30*time.Second, func() error { // a stream is looked at once a second
				if left := metricOf(t, from, `breakwater_spool_items{destination="sentry",project="shop"}`); left != 0 {
					return fmt.Errorf("%v items are left", left)
				}
				return nil
			})
		}
	}
	carry(onDisk, shared)
	if err := shared.stop(); err != nil { // and what is on the stream at rest can be looked at
		t.Fatal(err)
	}
	var l struct{ Records []storedRecord }
	good(t, &l, "-c", shared.config, "spool", "ls", "--limit=0")
	if len(l.Records) != n {
		t.Errorf("%d records at rest, want %d", len(l.Records), n)
	}
	var v struct{ Records, Damaged int }
	good(t, &v, "-c", shared.config, "spool", "verify")
	if v.Records != n || v.Damaged != 0 {
		t.Errorf("%+v", v)
	}
	shared.start()
	carry(shared, onDisk)
	up.Relent()
	drained(t, onDisk)
	times, sums := arrivals(up)
	for _, id := range ids {
		if times[id] != 1 {
			t.Errorf("event %s arrived %d times", id, times[id])
		}
	}
	if len(sums) == 0 {
		t.Error("no attachment arrived")
	}
}

// Two gateways are told to empty one stream: they do it one after the other, and
// no report goes to both.
func TestTwoEmptyOneStream(t *testing.T) {
	t.Parallel() // it mostly waits
	const n = 300
	cluster := natstest.Start(t, natstest.Options{})
	up := listening(t, relaytest.Options{MaxRequests: 1 << 20})
	up.Always(relaytest.Status(503))
	config := toUpstream(up)
	shared := newGateway(t, onStream(config, cluster, ""))
	ids, _ := backlogOnDisk(t, filepath.Join(shared.dir, "spool"), n, 0)
	movesIn(t, shared.start())
	if err := shared.stop(); err != nil {
		t.Fatal(err)
	}
	draining := onStream(config, cluster, ", drain: true")
	two := []*gateway{newGateway(t, draining), newGateway(t, draining)}
	for _, g := range two {
		g.launch()
	}
	moved := 0.0
	for _, g := range two {
		movesIn(t, g)
		moved += metricOf(t, g, "breakwater_spool_moved_records_total")
	}
	if moved != n {
		t.Errorf("%v records moved, want %d", moved, n)
	}
	up.Relent()
	drained(t, two...)
	times, _ := arrivals(up)
	for _, id := range ids {
		if times[id] != 1 {
			t.Errorf("report %s came %d times", id, times[id])
		}
	}
}
