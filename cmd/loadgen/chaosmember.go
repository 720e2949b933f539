package main

import (
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// member is a program of a rig that is kept running, as systemd or Kubernetes
// would: one that ends by itself is started again after a moment.
type member struct {
	name string
	node *netNode
	argv []string
	env  []string
	log  *os.File

	mu     sync.Mutex
	proc   *process
	wanted bool
	ended  atomic.Int64 // how often it ended without being asked
	lives  atomic.Int64 // how often it was started
}

// restartAfter is how long a member that ended by itself stays down.
const restartAfter = 300 * time.Millisecond

// up starts it and keeps it running until down or stop.
func (m *member) up() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wanted {
		return nil
	}
	m.wanted = true
	return m.begin()
}

// begin starts the process. Under mu.
func (m *member) begin() error {
	p, err := start(m.env, m.log, append(append([]string{}, m.node.command()...), m.argv...)...)
	if err != nil {
		return err
	}
	m.proc = p
	m.lives.Add(1)
	go func() {
		<-p.done
		if !m.mine(p) {
			return
		}
		m.ended.Add(1)
		time.Sleep(restartAfter)
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.wanted && m.proc == p {
			_ = m.begin() // it could be started before
		}
	}()
	return nil
}

// mine tells whether p is the process that should be running.
func (m *member) mine(p *process) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted && m.proc == p
}

// take marks it as down and returns what runs, nil when nothing does.
func (m *member) take() *process {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = false
	p := m.proc
	m.proc = nil
	return p
}

// down is kill -9; it stays down until up.
func (m *member) down() {
	if p := m.take(); p != nil {
		p.kill()
	}
}

// stop is SIGTERM and waits for the end.
func (m *member) stop() error {
	p := m.take()
	if p == nil {
		return nil
	}
	_ = p.cmd.Process.Signal(syscall.SIGCONT) // a frozen process does not hear the other
	return p.stop()
}

// freeze is SIGSTOP, or ends it.
func (m *member) freeze(frozen bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proc == nil {
		return
	}
	sig := syscall.SIGCONT
	if frozen {
		sig = syscall.SIGSTOP
	}
	_ = m.proc.cmd.Process.Signal(sig) // one that has ended needs none
}
