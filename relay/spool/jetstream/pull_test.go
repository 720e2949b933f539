package jetstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream/natstest"
)

// slowLine passes on what a gateway and its server send each other; what the
// server sends waits while it is stopped.
type slowLine struct {
	url     string
	mu      sync.Mutex // held by who passes something on, and while it is stopped
	stopped atomic.Bool
}

func (p *slowLine) stop() { p.mu.Lock(); p.stopped.Store(true) }

// open lets go on what is stopped.
func (p *slowLine) open() {
	if p.stopped.CompareAndSwap(true, false) {
		p.mu.Unlock()
	}
}

func newSlowLine(t *testing.T, server string) *slowLine {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &slowLine{url: "nats://" + ln.Addr().String()}
	var wg sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", strings.TrimPrefix(server, "nats://"))
			if err != nil {
				t.Errorf("dialing the server: %v", err)
				_ = near.Close()
				return
			}
			wg.Go(func() { pass(far, near, new(sync.Mutex)) })
			wg.Go(func() { pass(near, far, &p.mu) })
		}
	})
	return p
}

// pass copies until one side closes, and closes both then.
func pass(to, from net.Conn, turn sync.Locker) {
	defer func() { _ = to.Close(); _ = from.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		turn.Lock()
		_, err = to.Write(buf[:n])
		turn.Unlock()
		if err != nil {
			return
		}
	}
}

// waitConsumer waits for what the servers tell of a destination's consumer.
func waitConsumer(t *testing.T, s *Spool, dst spool.Destination, done func(*jetstream.ConsumerInfo) bool) {
	t.Helper()
	eventually(t, 60*time.Second, func() error {
		c, err := s.js.Consumer(t.Context(), s.names.records(), s.names.consumer(dst))
		if err != nil {
			return err
		}
		if i := c.CachedInfo(); !done(i) {
			return fmt.Errorf("%d messages are leased, %d requests wait", i.NumAckPending, i.NumWaiting)
		}
		return nil
	})
}

func waitsForOne(i *jetstream.ConsumerInfo) bool { return i.NumWaiting == 1 }
func oneIsLeased(i *jetstream.ConsumerInfo) bool { return i.NumAckPending == 1 }

// withSlowLine is two gateways of one stream, the second of them behind a line that
// can be stopped. Their leases do not run out within a test.
func withSlowLine(t *testing.T) (other, slow *Spool, line *slowLine) {
	t.Helper()
	c := natstest.Start(t, natstest.Options{})
	stream, long := newPlace(), func(c *Config) { c.times.ackWait = 10 * time.Minute }
	line = newSlowLine(t, c.NodeURL(0))
	return solo(t, c, stream, long), solo(t, c, stream, func(c *Config) { long(c); c.URL = line.url }), line
}

// What the servers have sent when a gateway closes, and has not come there yet,
// goes back: another gateway gets it at once, and not when its lease runs out.
func TestCloseHandsBackWhatIsOnItsWay(t *testing.T) {
	other, closing, line := withSlowLine(t)
	var claiming sync.WaitGroup
	claiming.Go(func() {
		if got, err := closing.Claim(t.Context(), dstA); err == nil {
			t.Errorf("a closed gateway was given %s", got.Meta().ID)
		}
	})
	waitConsumer(t, other, dstA, waitsForOne)
	line.stop()
	t.Cleanup(line.open)
	id := append1(t, other, "on its way")
	waitConsumer(t, other, dstA, oneIsLeased)
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := closing.Close(); err != nil {
			t.Error(err)
		}
	})
	<-closing.ctx.Done()
	claiming.Wait()
	line.open()
	ended.Wait()
	mustClaim(t, other, id)
}

// What comes late is taken all the same: it is leased to this gateway, and
// nobody else gets it.
func TestLateMessagesAreTaken(t *testing.T) {
	other, slow, line := withSlowLine(t)
	consumer, err := slow.consumerOf(t.Context(), slow.queueOf(dstA))
	if err != nil {
		t.Fatal(err)
	}
	id := append1(t, other, "late")
	line.stop()
	t.Cleanup(line.open)
	eventually(t, 60*time.Second, func() error { // the servers may answer that nothing is there yet
		if n, err := slow.pullNow(slow.queueOf(dstA), consumer); n != 0 || err != nil {
			t.Fatalf("pulled %d: %v", n, err)
		}
		info, err := other.js.Consumer(t.Context(), other.names.records(), other.names.consumer(dstA))
		if err == nil && !oneIsLeased(info.CachedInfo()) {
			err = errors.New("nothing is leased")
		}
		return err
	})
	line.open()
	mustClaim(t, slow, id)
}

// mustClaim claims the record that is there.
func mustClaim(t *testing.T, s *Spool, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	got, err := s.Claim(ctx, dstA)
	if err != nil || got.Meta().ID != id {
		t.Fatalf("claim: %v", err)
	}
}
