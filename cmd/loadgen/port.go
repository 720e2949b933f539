package main

import (
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// port serves a handler at one address and can refuse connections for a
// while, as an upstream does whose process is gone.
type port struct {
	h    http.Handler
	addr string // with the port number, once it was open

	mu     sync.Mutex
	srv    *http.Server // nil while it refuses
	again  *time.Timer
	closed bool
}

func openPort(addr string, h http.Handler) (*port, error) {
	p := &port{h: h, addr: addr}
	return p, p.open()
}

// open listens, and listens again after refuse; of an open one it does nothing.
func (p *port) open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.srv != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	for deadline := time.Now().Add(time.Minute); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(deadline); l, err = net.Listen("tcp", p.addr) {
		time.Sleep(20 * time.Millisecond) // a connection of somebody else has it while it refuses
	}
	if err != nil {
		return err
	}
	p.addr = l.Addr().String()
	srv := &http.Server{Handler: p.h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)} // it is made to misbehave
	p.srv = srv
	go func() { _ = srv.Serve(l) }() // ends with refuse or close
	return nil
}

// refuse closes the port and cuts its connections.
func (p *port) refuse() {
	p.mu.Lock()
	srv := p.srv
	p.srv = nil
	p.mu.Unlock()
	if srv != nil {
		_ = srv.Close()
	}
}

// refuseFor refuses and opens again by itself.
func (p *port) refuseFor(d time.Duration) {
	p.refuse()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.again = time.AfterFunc(d, func() { _ = p.open() }) // nobody waits for it
}

// close ends it for good.
func (p *port) close() {
	p.mu.Lock()
	p.closed = true
	if p.again != nil {
		p.again.Stop()
	}
	p.mu.Unlock()
	p.refuse()
}
