package ingest

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A patient connection does what a plain one does, at the same times, whatever is
// set when: two of them live the same random life, in time that stands still.
func TestPatientIsLikePlain(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			plain, patient := life(seed, false), life(seed, true)
			if len(plain) != len(patient) {
				t.Fatalf("seed %d: %d events, want %d", seed, len(patient), len(plain))
			}
			for i := range plain {
				if plain[i] != patient[i] {
					t.Fatalf("seed %d, event %d: %+v, want %+v", seed, i, patient[i], plain[i])
				}
			}
		})
	}
}

// event is how a call ended, and when.
type event struct {
	n       int
	timeout bool
	at      time.Duration
}

// life reads and writes one end of a pipe while deadlines come and go and the
// other end answers now and then.
func life(seed uint64, asPatient bool) (events []event) {
	r := rand.New(rand.NewPCG(seed, 0))
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	if asPatient {
		near = newPatient(near)
	}
	begin := time.Now()
	set := []func(time.Time) error{near.SetReadDeadline, near.SetWriteDeadline, near.SetDeadline}
	some := func() time.Duration { return time.Duration(1 + r.Int64N(500e9)) } // never two at one time
	later := func() time.Time {
		switch r.IntN(4) {
		case 0:
			return time.Time{}
		case 1:
			return time.Unix(1, 0)
		}
		return time.Now().Add(some())
	}
	for range 30 {
		for range r.IntN(4) {
			_ = set[r.IntN(3)](later())
		}
		time.Sleep(some())
		write, patience := r.IntN(2) == 0, some()
		var other func()
		if r.IntN(2) == 0 { // the other end does its part after a while
			other = func() { _, _ = far.Write([]byte("abc")) }
			if write {
				other = func() { _, _ = far.Read(make([]byte, 2)) }
			}
		}
		var timers []*time.Timer
		if other != nil {
			_ = far.SetDeadline(time.Now().Add(1000 * time.Second))
			timers = append(timers, time.AfterFunc(patience, other))
		}
		during := later() // and a deadline that changes meanwhile
		timers = append(timers,
			time.AfterFunc(some(), func() { _ = set[2](during) }),
			time.AfterFunc(700*time.Second, func() { _ = set[2](time.Unix(1, 0)) })) // it ends at last
		var n int
		var err error
		if write {
			n, err = near.Write([]byte("abcd"))
		} else {
			n, err = near.Read(make([]byte, 8))
		}
		events = append(events, event{n, errors.Is(err, os.ErrDeadlineExceeded), time.Since(begin)})
		for _, timer := range timers {
			timer.Stop()
		}
		_ = far.SetDeadline(time.Unix(1, 0))
		synctest.Wait()
		_ = far.SetDeadline(time.Time{})
		_ = set[2](time.Time{})
	}
	return events
}

// A connection that serves one request after the other sets its own deadline
// hardly ever, and one that was cut off stays so.
func TestPatientSetsFew(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	p := newPatient(near)
	sets := 0
	p.reading.set = func(at time.Time) error {
		sets++
		return near.SetReadDeadline(at)
	}
	for range 100 { // as net/http does
		now := time.Now()
		for _, at := range []time.Time{now.Add(time.Minute), {}, now.Add(30 * time.Second), longAgo, {}} {
			if err := p.SetReadDeadline(at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if sets > 2 {
		t.Errorf("%d deadlines set", sets)
	}
	p.reading.end()
	_ = p.SetReadDeadline(time.Time{})
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("reading after the end: %v", err)
	}
}

// What is under way ends when it shall, however a call and the setting of its end
// fall together: both set out at the same moment, and one waits a little.
func TestPatientIsNotOverslept(t *testing.T) {
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	p := newPatient(near)
	var turn, over atomic.Int64
	meet := func(n *atomic.Int64, i int64) bool {
		for began := time.Now(); n.Load() != i; runtime.Gosched() {
			if turn.Load() < 0 || time.Since(began) > 2*time.Minute {
				return false
			}
		}
		return true
	}
	// On a busy machine a turn may take as long as the kernel lets somebody else have
	// the processor: then a tenth of them must do.
	const turns, enough = 1_000_000, 15 * time.Second
	begin := time.Now()
	defer turn.Store(-1)
	go func() {
		for i, b := int64(1), make([]byte, 1); i <= turns && meet(&turn, i); i++ {
			if _, err := p.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("reading ended with %v", err)
			}
			over.Store(i)
		}
	}()
	for i := int64(0); i < turns && (i < turns/10 || time.Since(begin) < enough); i++ {
		turn.Store(i + 1)
		for range i % 50 {
			_ = turn.Load()
		}
		_ = p.SetReadDeadline(longAgo)
		if !meet(&over, i+1) {
			t.Fatalf("call %d goes on", i+1)
		}
		_ = p.SetReadDeadline(time.Time{})
	}
}
