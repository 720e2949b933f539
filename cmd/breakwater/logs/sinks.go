package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"gopkg.in/natefinch/lumberjack.v2"

	"breakwater/cmd/breakwater/config"
	"breakwater/relay/syslog"
)

// stream is standard output or error.
type stream struct{ w io.Writer }

func (s stream) write(lines []line) (int, error) {
	for i, l := range lines {
		if _, err := s.w.Write(l.text); err != nil {
			return i, err
		}
	}
	return len(lines), nil
}

func (stream) reopen() {}
func (stream) cut()    {}
func (stream) close()  {}

// file is a file with rotation.
type file struct{ l *lumberjack.Logger }

// never is a size in MiB that no file reaches.
const never = 1 << 30

func newFile(c config.Output) *file {
	l := &lumberjack.Logger{Filename: c.Path, MaxBackups: c.Keep, MaxSize: never}
	if n := c.MaxSize.Bytes(); n > 0 {
		l.MaxSize = int((n + 1<<20 - 1) >> 20)
	}
	return &file{l}
}

func (f *file) write(lines []line) (int, error) {
	for i, l := range lines {
		if _, err := f.l.Write(l.text); err != nil {
			_ = f.l.Close() // begin anew: a file system that came back needs a new handle
			return i, err
		}
	}
	return len(lines), nil
}

func (f *file) reopen() { _ = f.l.Close() }
func (f *file) cut()    {}
func (f *file) close()  { _ = f.l.Close() }

// remote is a syslog server.
type remote struct {
	server         syslog.Server
	facility       int
	hostname, proc string

	mu     sync.Mutex
	conn   net.Conn
	broken chan struct{} // closed when conn has ended, by UDP when a message was refused
	over   bool
}

// Bounds of talking to a server.
const (
	writeTime = 5 * time.Second
	// maxText is what a message may have: servers cut at 8 KiB by default.
	maxText = 8<<10 - 512
	// refusal is how long the refusal of datagrams is waited for. It also
	// paces them: a server's buffer is small.
	refusal = 10 * time.Millisecond
)

func (r *remote) write(lines []line) (int, error) {
	conn, broken, err := r.connected()
	if err != nil {
		return 0, err
	}
	_ = conn.SetWriteDeadline(time.Now().Add(writeTime))
	if r.server.Network == "udp" {
		for i, l := range lines {
			if _, err := conn.Write(r.message(l)); err != nil {
				return i, r.drop(err)
			}
		}
		t := time.NewTimer(refusal)
		defer t.Stop()
		select {
		case <-broken:
			return 0, r.drop(errors.New("nobody listens"))
		case <-t.C:
			return len(lines), nil
		}
	}
	var b []byte
	for _, l := range lines {
		b = syslog.Frame(b, r.message(l))
	}
	if _, err := conn.Write(b); err != nil {
		return 0, r.drop(err) // what the server has of it comes again: twice is better than never
	}
	select {
	case <-broken: // it closed before it can have read all of this
		return 0, r.drop(errors.New("the server closed the connection"))
	default:
		return len(lines), nil
	}
}

// message is a line as a message, its time the one of writing it.
func (r *remote) message(l line) []byte {
	text := bytes.TrimRight(l.text, "\n")
	if len(text) > maxText {
		text = bytes.ToValidUTF8(text[:maxText], nil)
	}
	return syslog.Message(syslog.Header{
		Facility: r.facility, Severity: severity(l.level), Time: time.Now(), Hostname: r.hostname, App: "breakwater", Proc: r.proc, ID: "log",
	}, text)
}

func severity(l zerolog.Level) int {
	switch l {
	case zerolog.TraceLevel, zerolog.DebugLevel:
		return syslog.Debug
	case zerolog.WarnLevel:
		return syslog.Warning
	case zerolog.ErrorLevel:
		return syslog.Error
	case zerolog.FatalLevel, zerolog.PanicLevel:
		return syslog.Critical
	}
	return syslog.Informational
}

// connected is the connection, made when there is none or the server closed it.
func (r *remote) connected() (net.Conn, chan struct{}, error) {
	r.mu.Lock()
	conn, broken, over := r.conn, r.broken, r.over
	r.mu.Unlock()
	if over {
		return nil, nil, net.ErrClosed
	}
	if conn != nil {
		select {
		case <-broken:
			_ = conn.Close()
		default:
			return conn, broken, nil
		}
	}
	conn, err := r.server.Dial(context.Background(), nil)
	if err != nil {
		return nil, nil, err
	}
	broken = make(chan struct{})
	go func(broken chan struct{}) {
		defer close(broken)
		_, _ = io.Copy(io.Discard, conn) // a server says nothing; that it ends, or refuses, is what counts
	}(broken)
	r.mu.Lock()
	r.conn, r.broken = conn, broken
	over = r.over
	r.mu.Unlock()
	if over {
		return nil, nil, r.drop(net.ErrClosed)
	}
	return conn, broken, nil
}

// drop closes the connection after an error, which it returns.
func (r *remote) drop(err error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		_ = r.conn.Close()
		r.conn = nil
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("the server takes nothing")
	}
	return err
}

func (r *remote) reopen() {}

// cut ends a write under way.
func (r *remote) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	if r.conn != nil {
		_ = r.conn.Close()
	}
}

func (r *remote) close() {
	r.mu.Lock()
	conn := r.conn
	r.conn = nil
	r.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}
