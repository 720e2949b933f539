package jetstream

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

var update = flag.Bool("update", false, "write the message of this version to testdata, if there is none yet")

// packOfNow is a message as this version stores it.
func packOfNow(t *testing.T) []byte {
	t.Helper()
	rec := spooltest.Record(time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), []string{"a", "b"}, "first", "second")
	rec.Meta.ID = "01KB0000000000000000000000"
	raw, err := encodeRecord(rec, rec.Meta.Destinations, map[string]mark{"c": {Kind: kindDead, Reason: "http_400"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return encodePack("gateway-1/life", "shop", raw)
}

// A message of every version that gateways ever stored can be read.
func TestMessagesOfAllVersions(t *testing.T) {
	now := filepath.Join("testdata", fmt.Sprintf("v%d.message", magic[len(magic)-1]))
	if _, err := os.Stat(now); os.IsNotExist(err) && *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(now, packOfNow(t), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(now); err != nil {
		t.Fatalf("no message of this version is kept (go test ./relay/spool/jetstream -run AllVersions -update): %v", err)
	}
	files, err := filepath.Glob("testdata/v*.message")
	if err != nil || len(files) != int(magic[len(magic)-1]) {
		t.Fatalf("%d versions are kept of %d: %v", len(files), magic[len(magic)-1], err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		p, err := decodePack(data)
		if err != nil || len(p.records) != 1 || p.project != "shop" {
			t.Fatalf("%s: %v", f, err)
		}
		r := &p.records[0]
		m, err := r.decodeMeta()
		if err != nil || m.ID != "01KB0000000000000000000000" || len(m.Counts) != 2 || m.Destinations[1] != "b" || r.carried["c"].Reason != "http_400" {
			t.Errorf("%s: %+v %v", f, m, err)
		}
		env, err := r.envelope(nil)
		if err != nil || len(env.Items) != 2 {
			t.Fatalf("%s: %v", f, err)
		}
		if b, _ := env.Items[1].InMemory(); string(b) != "second" {
			t.Errorf("%s: the second item is %q", f, b)
		}
	}
}

// A message of a newer version is reported and left alone: not delivered, not
// ended, not expired; payloads that it may need stay. The others go on, and a
// gateway that knows it finds it as it was.
func TestNewerVersionIsLeftAlone(t *testing.T) {
	c := natstest.Start(t, natstest.Options{})
	clock := spooltest.NewClock()
	cfg := contractConfig(c, "versions", spooltest.Options{Now: clock.Now, MaxAge: time.Hour})
	s := mustOpen(t, cfg)
	defer s.Close()
	newer := packOfNow(t)
	newer[len(magic)-1]++
	ack, err := s.js.PublishMsg(t.Context(), &nats.Msg{Subject: s.names.packOf("shop"), Data: newer})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"one", "two"} {
		if err := s.Append(t.Context(), spooltest.Record(clock.Now(), []string{"a"}, text)); err != nil {
			t.Fatal(err)
		}
		cl, err := s.Claim(t.Context(), spooltest.DestA)
		if err != nil {
			t.Fatal(err)
		}
		if err := cl.Settle(schemas.AllFinal(1, schemas.Delivered, "")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.large.PutBytes(t.Context(), "01KB0000000000000000000000-0", []byte("its payload")); err != nil {
		t.Fatal(err)
	}
	clock.Advance(48 * time.Hour)
	s.Tick()
	if err := s.expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.needed(t.Context(), map[string][]payload{"x": {{name: "x.0"}}}); err == nil || !strings.Contains(err.Error(), "version is not known") {
		t.Errorf("a sweep of payloads would go on: %v", err)
	}
	if n, err := s.Drop(spool.Query{}); n != 0 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for testutil.ToFloat64(s.metrics.foreign) == 0 && deadline.Err() == nil {
		ctx, done := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if cl, err := s.Claim(ctx, spooltest.DestA); err == nil {
			t.Fatalf("%s was handed out", cl.Meta().ID)
		}
		done()
	}
	if testutil.ToFloat64(s.metrics.foreign) == 0 {
		t.Error("nobody was told of it")
	}
	stream, err := s.js.Stream(t.Context(), s.names.records())
	if err != nil {
		t.Fatal(err)
	}
	kept, err := stream.GetMsg(t.Context(), ack.Sequence)
	if err != nil || string(kept.Data) != string(newer) {
		t.Errorf("it is gone or changed: %v", err)
	}
	if _, err := s.large.GetInfo(t.Context(), "01KB0000000000000000000000-0"); err != nil {
		t.Errorf("its payload: %v", err)
	}
}
