package ingest

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// deadline is when reading from a connection, or writing to it, shall end. net/http
// sets six of them for each request, most of them later than the one before, and
// each costs the runtime a change of its timers. So a later one is only noted: the
// connection keeps the earlier one, and when that has passed and what is wanted has
// not, it is given the wanted one and asked again. A deadline that is wanted
// is never overslept: the connection's own one is never later than it.
type deadline struct {
	mu     sync.Mutex
	set    func(time.Time) error // the connection's own
	wanted time.Time             // zero: none
	own    time.Time             // that the connection has, zero: none
	under  int                   // calls that are under way
	past   bool                  // wanted lies so far back that nobody need look at a clock
	fixed  bool                  // cut off: it stays as it is
}

// longAgo is a deadline that has passed, the end of what is under way. net/http
// means the same by times as old.
var longAgo = time.Unix(1, 0)

// want sets the deadline; a zero time is none.
func (d *deadline) want(t time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.note(t)
}

// end sets a deadline that has passed, for good.
func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.note(longAgo) // a connection that is closed already needs no end
	d.fixed = true
}

func (d *deadline) note(t time.Time) error {
	if d.fixed {
		return nil
	}
	d.wanted, d.past = t, !t.IsZero() && t.Unix() <= longAgo.Unix()
	switch {
	case t.IsZero(), d.past && d.under == 0: // the next call looks
		return nil
	case !d.own.IsZero() && !d.own.After(t):
		return nil
	}
	return d.arm()
}

// arm gives the connection what is wanted.
func (d *deadline) arm() error {
	d.own = d.wanted
	return d.set(d.own)
}

// begin announces a call; an error says that its time is over already.
func (d *deadline) begin() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.past {
		return os.ErrDeadlineExceeded
	}
	d.under++
	return nil
}

// done says how the call ended. again asks for another one: it ended by a deadline
// that nobody wants any more.
func (d *deadline) done(err error) (again bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.under--
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || d.past {
		return false
	}
	if !d.wanted.IsZero() && !time.Now().Before(d.wanted) {
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
	p.reading.set, p.writing.set = c.SetReadDeadline, c.SetWriteDeadline
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
