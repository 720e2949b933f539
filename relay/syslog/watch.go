package syslog

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// watchIdle is how long the watch stays after the last batch: servers and
// middle boxes close idle connections, and nothing is learned from that.
const watchIdle = 20 * time.Second

// watch is a connection to the server that nothing is sent on. It lives as
// long as the server's process does, so that a server that went away is
// noticed even where it has said that it read everything.
type watch struct {
	server   Server
	sessions tls.ClientSessionCache

	mu     sync.Mutex
	conn   net.Conn
	broken chan struct{} // closed when conn has ended
	idle   *time.Timer
}

// open makes sure that the watch stands. broken is closed when the server goes
// away. There is one caller at a time.
func (w *watch) open(ctx context.Context) (broken <-chan struct{}, err error) {
	if broken := w.standing(); broken != nil {
		return broken, nil
	}
	conn, err := w.server.Dial(ctx, w.sessions)
	if err != nil {
		return nil, fmt.Errorf("connecting to watch the server: %w", err)
	}
	gone := make(chan struct{})
	w.mu.Lock()
	w.conn, w.broken = conn, gone
	w.mu.Unlock()
	go w.look(conn, gone)
	return gone, nil
}

// standing is the watch that stands, nil without one. It begins to be idle now.
func (w *watch) standing() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle != nil {
		w.idle.Stop()
	}
	w.idle = time.AfterFunc(watchIdle, w.close)
	if w.broken == nil { // not: a nil channel of another type
		return nil
	}
	return w.broken
}

// look waits for the end of a connection.
func (w *watch) look(conn net.Conn, gone chan struct{}) {
	_, _ = io.Copy(io.Discard, conn) // why it ended does not matter
	_ = conn.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	close(gone)
	if w.conn == conn {
		w.conn, w.broken = nil, nil
	}
}

// close ends the watch; no record may be in its hold.
func (w *watch) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle != nil {
		w.idle.Stop()
	}
	if w.conn != nil {
		_ = w.conn.Close() // look does the rest
	}
}
