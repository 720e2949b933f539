package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"

	"breakwater/relay/relaytest"
)

// acks remembers what was answered 2xx.
type acks struct {
	mu         sync.Mutex
	all, files map[relaytest.ID]struct{}
}

func newAcks() *acks {
	return &acks{all: map[relaytest.ID]struct{}{}, files: map[relaytest.ID]struct{}{}}
}

func (a *acks) add(v relaytest.ID, file bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all[v] = struct{}{}
	if file {
		a.files[v] = struct{}{}
	}
}

func (a *acks) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.all)
}

// save writes the ids, one a line.
func (a *acks) save(path string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var b strings.Builder
	for v := range a.all {
		b.WriteString(v.String())
		b.WriteByte('\n')
	}
	return os.WriteFile(path, []byte(b.String()), 0o600)
}

// openSinks serves a sink at each of the gateway's upstream addresses.
func openSinks(gw *gateway, whole bool) (sinks []*sink, stop func(), err error) {
	var closers []func()
	stop = func() {
		for _, c := range closers {
			c()
		}
	}
	for _, addr := range gw.upstreams {
		s := newSink(true)
		s.whole = whole
		if err := s.serve(addr); err != nil {
			stop()
			return nil, nil, err
		}
		closers = append(closers, s.close)
		sinks = append(sinks, s)
	}
	return sinks, stop, nil
}

// scratch is where a run keeps the gateway's data and log.
func scratch(dir string) (string, error) {
	if dir != "" {
		return filepath.Abs(dir)
	}
	return os.MkdirTemp("", "loadgen-")
}
