package jetstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/rs/zerolog"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

func solo(t *testing.T, c *natstest.Cluster, stream string, change func(*Config)) *Spool {
	t.Helper()
	cfg := contractConfig(c, stream, spooltest.Options{MaxSize: 256 << 20})
	if change != nil {
		change(&cfg)
	}
	s := mustOpen(t, cfg)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func claimOf(t *testing.T, s *Spool, dst spool.Destination) spool.Claim {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := s.Claim(ctx, dst)
	if err != nil {
		t.Fatalf("claim: %v", err)
	}
	return c
}

// A server that does not sync is refused at once, and one that nobody can ask when
// there was time enough; the override opens all the same.
func TestUnsyncedServersAreRefused(t *testing.T) {
	c := natstest.Start(t, natstest.Options{SyncInterval: "2m"})
	synced := natstest.Start(t, natstest.Options{})
	for name, tc := range map[string]struct {
		cluster  *natstest.Cluster
		monitors []string
		patience time.Duration
		why      string
	}{
		"it does not sync":    {c, c.Monitors(), time.Minute, "syncs every 2m0s; set sync_interval: always"},
		"no monitoring":       {synced, nil, time.Minute, "no monitoring address is given"},
		"nobody answers":      {synced, []string{"http://127.0.0.1:1"}, 3 * time.Second, "cannot be asked"},
		"one that is no NATS": {synced, []string{strings.Replace(synced.NodeURL(0), "nats", "http", 1)}, 3 * time.Second, "cannot be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := contractConfig(tc.cluster, newPlace(), spooltest.Options{MaxSize: 1 << 20})
			cfg.Monitors = tc.monitors
			ctx, cancel := context.WithTimeout(t.Context(), tc.patience)
			defer cancel()
			_, err := Open(ctx, cfg)
			var un *UnsyncedError
			if !errors.As(err, &un) || !strings.Contains(err.Error(), tc.why) || !strings.Contains(err.Error(), "power cut") {
				t.Fatalf("opened with %v, want a refusal with %q", err, tc.why)
			}
			cfg.AllowUnsynced = true
			if err := mustOpen(t, cfg).Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Of three servers all must be named, and one may be down.
func TestMonitorsOfACluster(t *testing.T) {
	c := natstest.Start(t, natstest.Options{Nodes: 3})
	s := &Spool{cfg: Config{Monitors: c.Monitors()[:2]}}
	if _, err := s.checkSync(t.Context()); err == nil || !strings.Contains(err.Error(), "2 of the cluster's 3 servers can be asked") {
		t.Fatalf("two of three: %v", err)
	}
	c.Kill(1)
	s.cfg.Monitors = c.Monitors()
	silent, err := s.checkSync(t.Context())
	if err != nil || len(silent) != 1 || silent[0] != c.Monitors()[1] {
		t.Fatalf("one is down: %v, %v", silent, err)
	}
	c.Kill(2)
	if _, err := s.checkSync(t.Context()); err == nil {
		t.Fatal("two of three are down, and nobody minds")
	}
}

// A start waits for servers that cannot be asked yet, as those of a cluster that was
// just started, and says so; one that may open all the same does not wait.
func TestOpenWaitsForWhoCanBeAsked(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	real, err := url.Parse(c.Monitors()[0])
	if err != nil {
		t.Fatal(err)
	}
	monitor, asked := httputil.NewSingleHostReverseProxy(real), 0
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // one question at a time
		if asked++; asked <= 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		monitor.ServeHTTP(w, r)
	}))
	defer front.Close()
	var said bytes.Buffer
	cfg := contractConfig(c, newPlace(), spooltest.Options{MaxSize: 1 << 20})
	cfg.Monitors, cfg.Logger = []string{front.URL}, zerolog.New(&said)
	if err := mustOpen(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	if asked != 4 || strings.Count(said.String(), "waiting for the servers of the stream") != 1 || !strings.Contains(said.String(), "503") {
		t.Errorf("asked %d times, and told\n%s", asked, said.String())
	}
	asked, cfg.AllowUnsynced = 0, true
	if err := mustOpen(t, cfg).Close(); err != nil || asked != 1 {
		t.Errorf("asked %d times where nobody must: %v", asked, err)
	}
}

// A client's second try is stored once and ends as filtered; another envelope
// of the same event is stored.
func TestSecondTryIsStoredOnce(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	l := spooltest.NewLedger()
	s := solo(t, c, newPlace(), func(c *Config) { c.Observer = l })
	add := func(eventID, text string) string {
		rec := record([]string{"a"}, text)
		rec.Meta.EventID = eventID
		if err := s.Append(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		return rec.Meta.ID
	}
	const event = "9ec79c33ec9942ab8353589fcb2e04dc"
	first, again, other, none, noneAgain := add(event, "x"), add(event, "x"), add(event, "y"), add("", "x"), add("", "x")
	if f := l.Finals(again); len(f) != 1 || f[0] != (schemas.Final{Outcome: schemas.Filtered, Reason: "duplicate"}) {
		t.Fatalf("the second try settled as %v", f)
	}
	for _, want := range []string{first, other, none, noneAgain} {
		if got := claimOf(t, s, dstA); got.Meta().ID != want {
			t.Fatalf("claimed %s, want %s", got.Meta().ID, want)
		}
	}
}

// What is not due for long goes back to the servers with its time, and no
// gateway gives it out before; after it any of them does.
func TestLongWaitIsTheServers(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	stream, clock := newPlace(), spooltest.NewClock()
	one := solo(t, c, stream, func(c *Config) { c.Now = clock.Now })
	rec := spooltest.Record(clock.Now(), []string{"a"}, "x")
	if err := one.Append(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	claimOf(t, one, dstA).Release(clock.Now().Add(10*time.Minute), "http_503")
	eventually(t, time.Minute, func() error {
		one.mu.Lock()
		defer one.mu.Unlock()
		if n := len(one.messages); n > 0 {
			return errors.New("the message is still held")
		}
		return nil
	})
	two := solo(t, c, stream, func(c *Config) { c.Now = clock.Now })
	clock.Advance(9 * time.Minute)
	for _, s := range []*Spool{one, two} {
		s.Tick()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		if got, err := s.Claim(ctx, dstA); err == nil {
			t.Fatalf("%s was given out a minute early", got.Meta().ID)
		}
		cancel()
	}
	clock.Advance(time.Minute)
	two.Tick()
	got := claimOf(t, two, dstA)
	if got.Meta().ID != rec.Meta.ID || got.Attempts() != 1 {
		t.Fatalf("claimed %s after %d attempts", got.Meta().ID, got.Attempts())
	}
}

// Records above the servers' message limit come back byte for byte, whether
// one payload is large, many together are, or a file is; nothing is left of
// them afterwards.
func TestLargeRecords(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), nil)
	big := strings.Repeat("0123456789abcdef", 3<<16) // 3 MiB
	many := make([]string, 4000)
	for i := range many {
		many[i] = strings.Repeat(string(rune('a'+i%26)), 700)
	}
	spilled := func() *schemas.Record {
		sp, err := s.Spill("shop")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sp.Write([]byte(big)); err != nil {
			t.Fatal(err)
		}
		if err := sp.Finish(); err != nil {
			t.Fatal(err)
		}
		rec := record([]string{"a", "b"}, "small", "")
		rec.Envelope.Items[1].Payload = sp
		return rec
	}
	for name, rec := range map[string]func() *schemas.Record{
		"one large payload": func() *schemas.Record { return record([]string{"a", "b"}, "small", big, "small") },
		"many small ones":   func() *schemas.Record { return record([]string{"a", "b"}, many...) },
		"a file":            spilled,
	} {
		t.Run(name, func(t *testing.T) {
			rec := rec()
			var want bytes.Buffer
			if _, err := rec.Envelope.WriteTo(&want); err != nil {
				t.Fatal(err)
			}
			if err := s.Append(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
			for _, dst := range []spool.Destination{dstA, dstB} {
				cl := claimOf(t, s, dst)
				env, err := cl.Envelope()
				if err != nil {
					t.Fatal(err)
				}
				var got bytes.Buffer
				if _, err := env.WriteTo(&got); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Bytes(), want.Bytes()) {
					t.Fatalf("%d bytes came back, not the %d that were stored", got.Len(), want.Len())
				}
				if dst == dstA { // a dead letter keeps its payload, and has it when it is retried
					if err := cl.Bury("no"); err != nil {
						t.Fatal(err)
					}
					continue
				}
				if err := cl.Settle(schemas.AllFinal(len(rec.Meta.Counts), schemas.Delivered, "")); err != nil {
					t.Fatal(err)
				}
			}
			s.Tick()
			if n, err := s.Retry(spool.Query{}); n != 1 || err != nil {
				t.Fatalf("retry: %d, %v", n, err)
			}
			cl := claimOf(t, s, dstA)
			env, err := cl.Envelope()
			if err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			if _, err := env.WriteTo(&got); err != nil || !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Fatalf("a retried record changed (%v)", err)
			}
			if err := cl.Settle(schemas.AllFinal(len(rec.Meta.Counts), schemas.Delivered, "")); err != nil {
				t.Fatal(err)
			}
			eventually(t, time.Minute, func() error {
				s.Tick()
				if used := s.Stats().Used; used > 64<<10 {
					objs, err := s.large.List(t.Context())
					return fmt.Errorf("%d bytes are left, %d of them in the streams, %d payloads (%w)", used, s.stats.used(), len(objs), err)
				}
				return nil
			})
		})
	}
}

// A server that is there and does not answer: the first append tries, the next
// ones are refused at once, and all is well when it answers again.
func TestFrozenServerIsUnavailable(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	s := solo(t, c, newPlace(), func(c *Config) { c.times.giveUp = 2 * time.Second })
	append1(t, s, "before")
	c.Pause(0)
	err := s.Append(t.Context(), record([]string{"a"}, "meanwhile"))
	var full *spool.FullError
	if !errors.As(err, &full) || full.Why != "unavailable" || s.Ready() == nil {
		t.Fatalf("append to a frozen server: %v, ready: %v", err, s.Ready())
	}
	refused := 1.0
	for start, took := time.Now(), time.Hour; took > time.Second; refused++ { // the machine itself may stand still for a moment
		began := time.Now()
		if err := s.Append(t.Context(), record([]string{"a"}, "next")); !errors.As(err, &full) {
			t.Fatalf("the next one ends with %v", err)
		}
		if took = time.Since(began); took > time.Second && time.Since(start) > time.Minute {
			t.Fatalf("the next ones wait %v", took)
		}
	}
	c.Resume(0)
	eventually(t, time.Minute, s.Ready)
	append1(t, s, "after")
	if c := claimOf(t, s, dstB); c.Meta().Items() != 1 {
		t.Fatal("not the first record")
	}
	if n := testutil.ToFloat64(s.metrics.refused.WithLabelValues("unavailable")); n != refused {
		t.Errorf("%v refusals were counted, want %v", n, refused)
	}
}

// A large payload that waits for its record's confirmation lies in the object
// store: it turns nobody else away. Much memory does.
func TestLargeRecordsWaitBesideOthers(t *testing.T) {
	s := solo(t, natstest.Start(t, natstest.Options{}), newPlace(), nil)
	wait := func(a *appending, in bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.account(s.project("other"), a, in)
	}
	large := &appending{size: maxWaiting + 1<<20, data: make([]byte, 1<<10)}
	wait(large, true)
	append1(t, s, "beside it")
	wait(large, false)
	much := &appending{size: maxWaiting + 1, data: make([]byte, maxWaiting+1)}
	wait(much, true)
	var full *spool.FullError
	if err := s.Append(t.Context(), record([]string{"a"}, "too many")); !errors.As(err, &full) || full.Why != "unavailable" {
		t.Errorf("append while %d bytes wait in memory: %v", maxWaiting, err)
	}
	wait(much, false)
	append1(t, s, "after it")
}

// Names and help texts are as Prometheus wants them, and go with the spool.
func TestMetrics(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	reg := prometheus.NewPedanticRegistry()
	s := solo(t, c, newPlace(), func(c *Config) { c.Registerer = reg })
	s.Expect(dstA)
	append1(t, s, "x")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	if len(families) < 15 {
		t.Errorf("only %d families", len(families))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if families, err = reg.Gather(); err != nil || len(families) > 0 {
		t.Errorf("%d families are left (%v)", len(families), err)
	}
}
