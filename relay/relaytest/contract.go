package relaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// Want is what a destination must make of an answer.
type Want struct {
	Delivered bool
	Class     relay.Class
	Down      bool
}

// Suite is a destination's part in the contract: how to make one, and where
// it differs from the table.
type Suite struct {
	// New makes the destination under test, pointed at the upstream's URL.
	New func(t *testing.T, up *Upstream) relay.Destination
	// Upstream configures the recording upstream; protocols other than
	// Sentry's set Raw and Answer.
	Upstream Options
	// Record makes a record to deliver; SampleRecord by default.
	Record func() *schemas.Record
	// Except states what differs, by status.
	Except map[int]Want
	// ExceptFault states what differs, by fault.
	ExceptFault map[Fault]Want
	// Batches says that several records may share a request; PlainContract
	// shows that each arrived.
	Batches bool
	// Secrets must never stand in an error.
	Secrets []string
}

var (
	delivered = Want{Delivered: true}
	temporary = Want{Class: relay.Temporary}
	away      = Want{Class: relay.Temporary, Down: true}
	bounded   = Want{Class: relay.Bounded}
	permanent = Want{Class: relay.Permanent}
	held      = Want{Class: relay.Held}
)

// statusTable is what every HTTP destination makes of a status, unless its
// test says otherwise.
var statusTable = map[int]Want{
	200: delivered, 201: delivered, 202: delivered, 204: delivered, 299: delivered,
	300: bounded, 301: bounded, 302: bounded, 303: bounded, 304: bounded, 307: bounded, 308: bounded,
	400: permanent, 401: permanent, 402: permanent, 403: permanent, 404: permanent, 405: permanent, 406: permanent, 407: permanent,
	408: temporary, 409: permanent, 410: permanent, 411: permanent, 412: permanent, 413: permanent, 414: permanent, 415: permanent,
	416: permanent, 417: permanent, 418: permanent, 421: permanent, 422: permanent, 425: temporary, 426: permanent, 428: permanent,
	429: held, 431: permanent, 451: permanent, 499: permanent,
	500: bounded, 501: bounded, 502: away, 503: away, 504: away, 505: bounded, 507: bounded, 511: bounded,
	520: bounded, 521: away, 522: away, 523: away, 524: away, 525: away, 526: away, 529: away, 530: away, 599: bounded, 999: bounded,
}

// faultTable is the same for what is worse than a status. An answer whose
// status is good is a delivery even when its body never ends: the upstream
// has the record.
var faultTable = map[Fault]Want{
	ResetBefore: away, ResetAfter: away, Hang: away, Garbage: away, HugeHeader: away,
	Truncated: delivered, SlowBody: delivered, HugeBody: delivered,
}

// patience is how long an upstream that never answers is waited for.
const patience = 300 * time.Millisecond

// Contract is what every HTTP destination must do.
func Contract(t *testing.T, s Suite) {
	if s.Record == nil {
		s.Record = SampleRecord
	}
	t.Run("status", s.statuses)
	t.Run("fault", s.faults)
	t.Run("nobody listens", s.refused)
	t.Run("retry after", s.retryAfter)
	t.Run("redirects are not followed", s.redirect)
	t.Run("context", s.context)
	t.Run("record is left alone", s.leavesRecord)
	t.Run("concurrent", s.concurrent)
}

func (s Suite) start(t *testing.T) (*Upstream, relay.Destination) {
	t.Helper()
	up := StartUpstream(t, s.Upstream)
	d := s.New(t, up)
	if c, ok := d.(io.Closer); ok {
		t.Cleanup(func() { _ = c.Close() })
	}
	return up, d
}

// deliver is one attempt; what it returns is checked against want.
func (s Suite) deliver(t *testing.T, d relay.Destination, want Want) *relay.DeliverError {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s.deliverCtx(ctx, t, d, want)
}

func (s Suite) deliverCtx(ctx context.Context, t *testing.T, d relay.Destination, want Want) *relay.DeliverError {
	t.Helper()
	rec := s.Record()
	finals, err := d.Deliver(ctx, &rec.Meta, &rec.Envelope)
	if err == nil {
		if !want.Delivered {
			t.Errorf("delivered; want class %d, down %v", want.Class, want.Down)
		}
		if finals != nil && len(finals) != len(rec.Envelope.Items) {
			t.Errorf("%d finals for %d items", len(finals), len(rec.Envelope.Items))
		}
		return nil
	}
	for _, secret := range s.Secrets {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the error holds a secret: %v", err)
		}
	}
	var de *relay.DeliverError
	if !errors.As(err, &de) {
		de = relay.AsDeliverError(err)
	}
	if want.Delivered {
		t.Errorf("not delivered: %v", err)
	} else if de.Class != want.Class || de.Down != want.Down {
		t.Errorf("class %d, down %v; want class %d, down %v (%v)", de.Class, de.Down, want.Class, want.Down, err)
	}
	if !known(de.Reason) {
		t.Errorf("reason %q is not in relay.Results", de.Reason)
	}
	return de
}

func known(reason string) bool {
	for _, r := range relay.Results {
		if r == reason {
			return true
		}
	}
	return false
}

func (s Suite) statuses(t *testing.T) {
	up, d := s.start(t)
	for status, want := range statusTable {
		if w, ok := s.Except[status]; ok {
			want = w
		}
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			up.Always(Status(status))
			de := s.deliver(t, d, want)
			if de != nil && de.Status != status {
				t.Errorf("the error says status %d", de.Status)
			}
		})
	}
}

func (s Suite) faults(t *testing.T) {
	for fault, want := range faultTable {
		if w, ok := s.ExceptFault[fault]; ok {
			want = w
		}
		t.Run(string(fault), func(t *testing.T) {
			up, d := s.start(t)
			up.Always(Step{Fault: fault})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if fault == Hang {
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), patience)
			}
			defer cancel()
			start := time.Now()
			s.deliverCtx(ctx, t, d, want)
			if took := time.Since(start); took > 40*time.Second {
				t.Errorf("it took %v", took)
			}
			up.Relent()
			s.deliver(t, d, delivered) // the destination works on
		})
	}
}

func (s Suite) refused(t *testing.T) {
	up, d := s.start(t)
	up.Close()
	if de := s.deliver(t, d, away); de != nil && de.Reason != "connection" {
		t.Errorf("reason %q, want connection", de.Reason)
	}
}

func (s Suite) retryAfter(t *testing.T) {
	up, d := s.start(t)
	for _, status := range []int{429, 503} {
		up.Always(Status(status, "Retry-After", "120"))
		want := statusTable[status]
		if w, ok := s.Except[status]; ok {
			want = w
		}
		before := time.Now()
		if s.Upstream.Now != nil {
			before = s.Upstream.Now()
		}
		de := s.deliver(t, d, want)
		if de == nil {
			continue
		}
		if wait := de.Until.Sub(before); wait < 119*time.Second || wait > 140*time.Second {
			t.Errorf("status %d: Until is %v away, want the 120 s of Retry-After", status, wait)
		}
	}
}

func (s Suite) redirect(t *testing.T) {
	up, d := s.start(t)
	other := NewUpstream(Options{Raw: true})
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		up.Always(Status(status, "Location", other.URL()+"/api/1/envelope/"))
		de := s.deliver(t, d, bounded)
		if de != nil && de.Alert == "" {
			t.Errorf("status %d raises no alert", status)
		}
	}
	if n := other.Totals().Requests; n != 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

func (s Suite) context(t *testing.T) {
	up, d := s.start(t)
	up.Always(Step{Fault: Hang})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		rec := s.Record()
		_, err := d.Deliver(ctx, &rec.Meta, &rec.Envelope)
		done <- err
	}()
	for up.Totals().Requests == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a cancelled attempt counts as delivered")
		}
	case <-time.After(time.Minute):
		t.Error("an attempt goes on after its context ended")
	}
}

func (s Suite) leavesRecord(t *testing.T) {
	up, d := s.start(t)
	rec := s.Record()
	var before, after bytes.Buffer
	if _, err := rec.Envelope.WriteTo(&before); err != nil {
		t.Fatal(err)
	}
	meta := fmt.Sprintf("%+v", rec.Meta)
	for _, step := range []Step{Status(500), Status(413), Status(200)} {
		up.Always(step)
		_, _ = d.Deliver(t.Context(), &rec.Meta, &rec.Envelope) // whatever it says
	}
	if _, err := rec.Envelope.WriteTo(&after); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before.Bytes(), after.Bytes()) {
		t.Errorf("the envelope was changed:\n%s\nwas\n%s", after.Bytes(), before.Bytes())
	}
	if got := fmt.Sprintf("%+v", rec.Meta); got != meta {
		t.Errorf("the meta was changed: %s, was %s", got, meta)
	}
}

func (s Suite) concurrent(t *testing.T) {
	up, d := s.start(t)
	const n = 32
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			rec := s.Record()
			if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := up.Totals().Taken; got != n && !s.Batches {
		t.Errorf("%d of %d records arrived", got, n)
	}
	for _, p := range up.Problems() {
		t.Error(p)
	}
}

// Unroutable is a dialer whose every connection fails as when a name is not known.
func Unroutable(context.Context, string, string) (net.Conn, error) {
	return nil, &net.DNSError{Err: "no such host", Name: "upstream.invalid", IsNotFound: true}
}

var _ http.Handler = (*Upstream)(nil)
