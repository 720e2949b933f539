package jetstream

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/relay/spool/spooltest"
)

// faultsOf are the words that Inspect found, each once.
func faultsOf(t *testing.T, cfg Config, dsts ...spool.Destination) []string {
	t.Helper()
	return faultsWithin(t, time.Minute, cfg, dsts...)
}

func faultsWithin(t *testing.T, limit time.Duration, cfg Config, dsts ...spool.Destination) (list []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for _, f := range Inspect(ctx, cfg, dsts) {
		t.Logf("%s: %s %s", f.Subject, f.Fault, f.Detail)
		if f.Fault != "" && !slices.Contains(list, f.Fault) {
			list = append(list, f.Fault)
		}
	}
	slices.Sort(list)
	return list
}

// want waits until Inspect finds what it should, and nothing else: on a busy machine
// a copy is behind now and then.
func want(t *testing.T, cfg Config, dsts []spool.Destination, faults ...string) {
	t.Helper()
	slices.Sort(faults)
	eventually(t, 2*time.Minute, func() error {
		if got := faultsOf(t, cfg, dsts...); !slices.Equal(got, faults) {
			return fmt.Errorf("found %v, want %v", got, faults)
		}
		return nil
	})
}

// A cluster is looked at as it comes up, works, is changed by somebody, loses
// one server, and loses two.
func TestInspect(t *testing.T) {
	c := natstest.Start(t, natstest.Options{Nodes: 3})
	cfg := contractConfig(c, "looked-at", spooltest.Options{})
	cfg.MaxSize = 64 << 20
	nobody := spool.Destination{Project: "shop", Name: "nobody"}
	want(t, cfg, []spool.Destination{spooltest.DestA}, FaultMissing) // before the first start
	s := mustOpen(t, cfg)
	defer s.Close()
	if err := s.Append(t.Context(), spooltest.Record(time.Now(), []string{"a"}, "x")); err != nil {
		t.Fatal(err)
	}
	claim, err := s.Claim(t.Context(), spooltest.DestA)
	if err != nil {
		t.Fatal(err)
	}
	defer claim.Release(time.Now(), "")
	want(t, cfg, []spool.Destination{spooltest.DestA})
	want(t, cfg, []spool.Destination{nobody}, FaultMissing)

	wide := cfg
	wide.Replicas = 5
	want(t, wide, nil, FaultReplicas)

	stream, err := s.js.Stream(t.Context(), s.names.records())
	if err != nil {
		t.Fatal(err)
	}
	was := stream.CachedInfo().Config
	changed := was
	changed.Discard, changed.DiscardNewPerSubject, changed.MaxBytes = jetstream.DiscardOld, false, int64(stream.CachedInfo().State.Bytes)+1
	if _, err := s.js.UpdateStream(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	got := faultsOf(t, cfg)
	if !slices.Contains(got, FaultDiscard) || !slices.Contains(got, FaultRoom) {
		t.Errorf("a stream that throws away what is old, and is full: %v", got)
	}
	if _, err := s.js.UpdateStream(t.Context(), was); err != nil {
		t.Fatal(err)
	}

	c.Kill(2)
	got = faultsOf(t, cfg)
	if !slices.Contains(got, FaultUnasked) {
		t.Errorf("one server is away: %v", got)
	}
	c.Kill(1)
	for limit := 3 * time.Second; ; limit *= 2 { // it would wait longer for a leader
		if got = faultsWithin(t, limit, cfg); slices.Contains(got, FaultQuorum) {
			break
		}
		if limit > time.Minute {
			t.Fatalf("two servers are away: %v", got)
		}
	}
	c.Kill(0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second) // nobody will answer
	defer cancel()
	found := Inspect(ctx, cfg, nil)
	if last := found[len(found)-1]; last.Fault != FaultUnreachable {
		t.Errorf("all servers are away: %+v", found)
	}
}

// A server that confirms before it syncs is told apart from one that does not answer.
func TestInspectUnsynced(t *testing.T) {
	c := natstest.Start(t, natstest.Options{SyncInterval: "1m"})
	cfg := contractConfig(c, "unsynced", spooltest.Options{})
	want(t, cfg, nil, FaultUnsynced, FaultMissing)
}
