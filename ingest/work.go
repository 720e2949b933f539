package ingest

import (
	"context"
	"runtime"
	"time"
)

// heavyBody is from how many bytes on, on the wire or decompressed, a body makes
// long work; what SDKs send of errors and measurements stays below it. Protocols
// say so of smaller ones that hold very many things.
const heavyBody = 64 << 10

// works has a place for each request that may do long work at a time: all
// processors but one. Go's scheduler looks for what has arrived from the network when a
// processor has nothing else to do, or after ten milliseconds: with all of them
// busy, an ordinary request, which takes a tenth of a millisecond, would wait
// for that and for every long piece of work before it. On a machine with one
// processor it does.
func works() chan struct{} { return make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)) }

// Work says that what the request does from now on may take a processor long,
// and waits for one of those that are for long work. Until the request ends it
// holds that while it works, and gives it up while it waits: for its body, for a turn (see Make),
// and, by Rest, for everything else. The error is RejectOverload.
func (r *Request) Work() error {
	if r.memory == nil {
		return nil
	}
	r.heavy = true
	if r.working {
		return nil
	}
	select {
	case r.memory.works <- struct{}{}:
		r.working = true
		return nil
	default:
	}
	ctx := r.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	late := time.NewTimer(turnTimeout)
	defer late.Stop()
	select {
	case r.memory.works <- struct{}{}:
		r.working = true
		return nil
	case <-ctx.Done():
	case <-late.C:
	}
	return RejectOverload
}

// Rest gives the processor up, before the request waits for something; Resume
// is for what comes after that.
func (r *Request) Rest() {
	if r.working {
		<-r.memory.works
		r.working = false
	}
}

// light says that the work was not long in the end.
func (r *Request) light() {
	r.Rest()
	r.heavy = false
}

// Resume is Work for a request whose work is long already, and nothing for others.
func (r *Request) Resume() error {
	if !r.heavy {
		return nil
	}
	return r.Work()
}
