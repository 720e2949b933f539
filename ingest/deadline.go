package ingest

import (
	"errors"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// deadline is when reading from a connection, or writing to it, shall end. net/http
// sets six of them for each request, most of them later than the one before, and
// each costs the runtime a change of its timers. So a later one is only noted: the
// connection keeps the earlier one, and when that has passed and what is wanted has
// not, it is given the wanted one and asked again. A deadline that is wanted
// is never overslept: the connection's own one is never later than it.
//
// Who sets one and who begins a call need no lock: each writes first and then
// looks at what the other has written, so that one of them sees both.
type deadline struct {
	since  time.Time             // that moments count from
	set    func(time.Time) error // the connection's own
	wanted atomic.Int64          // a moment
	own    atomic.Int64          // that the connection has, a moment
	under  atomic.Int64          // calls that are under way
	fixed  atomic.Bool           // cut off: it stays past

	mu sync.Mutex // held while the connection is given one
}

// never is the moment of no deadline. A moment is nanoseconds since the connection
// began; 0 has passed, so that nobody need look at a clock: net/http ends what is
// under way with a deadline of 1970.
const never = math.MaxInt64

// longAgo is a deadline that has passed, the end of what is under way.
var longAgo = time.Unix(1, 0)

func (d *deadline) init(now time.Time, set func(time.Time) error) {
	d.since, d.set = now, set
	d.wanted.Store(never)
	d.own.Store(never)
}

// want sets the deadline; a zero time is none.
func (d *deadline) want(t time.Time) error {
	at := int64(never)
	if !t.IsZero() {
		at = max(int64(t.Sub(d.since)), 0)
	}
	d.wanted.Store(at)
	switch {
	case at == never, d.own.Load() <= at: // what is under way ends in time, and then looks
		return nil
	case at == 0 && d.under.Load() == 0: // the next call looks
		return nil
	}
	return d.arm()
}

// end sets a deadline that has passed, for good.
func (d *deadline) end() {
	d.fixed.Store(true)
	_ = d.arm() // a connection that is closed already needs no end
}

// past says that no call need be tried.
func (d *deadline) past() bool { return d.wanted.Load() == 0 || d.fixed.Load() }

// arm gives the connection what is wanted. While it does, something earlier may be
// wanted by one who still saw the deadline before: it looks again.
func (d *deadline) arm() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		at, t := d.wanted.Load(), time.Time{}
		switch {
		case d.past():
			at, t = 0, longAgo
		case at != never:
			t = d.since.Add(time.Duration(at))
		}
		d.own.Store(at)
		if err := d.set(t); err != nil {
			return err
		}
		if !d.past() && d.wanted.Load() >= at || at == 0 {
			return nil
		}
	}
}

// begin announces a call; an error says that its time is over already.
func (d *deadline) begin() error {
	d.under.Add(1)
	if d.past() {
		d.under.Add(-1)
		return os.ErrDeadlineExceeded
	}
	return nil
}

// done says how the call ended. again asks for another one: it ended by a deadline
// that nobody wants any more.
func (d *deadline) done(err error) (again bool) {
	d.under.Add(-1)
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || d.past() {
		return false
	}
	if at := d.wanted.Load(); at != never && int64(time.Since(d.since)) >= at {
		return false
	}
	return d.arm() == nil
}

// patient is a connection whose deadlines cost little.
type patient struct {
	net.Conn
	reading, writing deadline
}

func newPatient(c net.Conn) *patient {
	p := &patient{Conn: c}
	now := time.Now()
	p.reading.init(now, c.SetReadDeadline)
	p.writing.init(now, c.SetWriteDeadline)
	return p
}

// Read reads until the deadline that is wanted.
func (p *patient) Read(b []byte) (int, error) {
	for {
		if err := p.reading.begin(); err != nil {
			return 0, err
		}
		n, err := p.Conn.Read(b)
		if again := p.reading.done(err); !again || n > 0 {
			return n, err
		}
	}
}

// Write writes all of b, or until the deadline that is wanted.
func (p *patient) Write(b []byte) (n int, err error) {
	for {
		if err := p.writing.begin(); err != nil {
			return n, err
		}
		m, err := p.Conn.Write(b[n:])
		n += m
		if again := p.writing.done(err); !again {
			return n, err
		}
	}
}

// SetReadDeadline sets when reading ends; a zero time is never.
func (p *patient) SetReadDeadline(t time.Time) error { return p.reading.want(t) }

// SetWriteDeadline sets when writing ends; a zero time is never.
func (p *patient) SetWriteDeadline(t time.Time) error { return p.writing.want(t) }

// SetDeadline sets both.
func (p *patient) SetDeadline(t time.Time) error {
	return errors.Join(p.reading.want(t), p.writing.want(t))
}
