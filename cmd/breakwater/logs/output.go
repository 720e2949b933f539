package logs

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Bounds of one output's queue.
const (
	maxLines = 10_000
	maxBytes = 4 << 20
	// maxLine bounds one line; the gateway's own are far below.
	maxLine = 64 << 10
)

// The waits after a failed write.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 10 * time.Second
)

// line is one queued log line with its line break.
type line struct {
	level zerolog.Level
	text  []byte
}

// sink is what lines are written to. One goroutine uses it.
type sink interface {
	// write writes as many as it can, and returns how many that were.
	write(lines []line) (int, error)
	// reopen lets go of what the next write opens again.
	reopen()
	// cut ends a write under way from another goroutine.
	cut()
	close()
}

// output is a bounded queue before a sink.
type output struct {
	name string
	sink sink
	logs *Logs

	mu      sync.Mutex
	queue   []line
	bytes   int
	closed  bool
	wake    chan struct{} // there are lines, or it closes
	wantNew atomic.Bool   // reopen before the next write
	stop    chan struct{} // the time of close is over
	done    chan struct{}

	up       atomic.Bool
	err      atomic.Value // string: why it is not up
	written  atomic.Int64
	lost     atomic.Int64
	counters struct{ lines, dropped prometheus.Counter }
	gauge    prometheus.Gauge
}

var _ zerolog.LevelWriter = (*output)(nil)

func newOutput(name string, s sink, l *Logs) *output {
	o := &output{name: name, sink: s, logs: l, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	o.counters.lines, o.counters.dropped, o.gauge = l.lines.WithLabelValues(name), l.dropped.WithLabelValues(name), l.up.WithLabelValues(name)
	o.up.Store(true)
	o.gauge.Set(1)
	return o
}

func (o *output) start() { go o.run() }

// Write queues a line of unknown level.
func (o *output) Write(p []byte) (int, error) { return o.WriteLevel(zerolog.NoLevel, p) }

// WriteLevel queues a line, or drops it. It never blocks and never fails: a
// log line is not worth an error to whoever writes it.
func (o *output) WriteLevel(level zerolog.Level, p []byte) (int, error) {
	if len(p) > maxLine {
		p = append(p[:maxLine-1:maxLine-1], '\n')
	}
	o.mu.Lock()
	if o.closed || len(o.queue) >= maxLines || o.bytes+len(p) > maxBytes {
		o.mu.Unlock()
		o.lost.Add(1)
		o.counters.dropped.Inc()
		return len(p), nil
	}
	o.queue = append(o.queue, line{level, append([]byte(nil), p...)})
	o.bytes += len(p)
	o.mu.Unlock()
	o.kick()
	return len(p), nil
}

func (o *output) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// maxWrite is how many lines are given to the sink at once.
const maxWrite = 256

// run writes until close.
func (o *output) run() {
	defer close(o.done)
	defer o.sink.close()
	wait := firstWait
	var lostBefore int64
	for {
		lines, over := o.take()
		if len(lines) == 0 {
			if over {
				return
			}
			select {
			case <-o.wake:
			case <-o.stop:
				return
			}
			continue
		}
		if o.wantNew.Swap(false) {
			o.sink.reopen()
		}
		n, err := o.sink.write(lines)
		o.written.Add(int64(n))
		o.counters.lines.Add(float64(n))
		o.forget(n)
		if err == nil {
			if !o.up.Swap(true) {
				o.gauge.Set(1)
				o.logs.announce(o, zerolog.InfoLevel, "log output takes lines again", nil, o.lost.Load()-lostBefore)
			}
			wait = firstWait
			continue
		}
		o.err.Store(err.Error())
		if o.up.Swap(false) {
			o.gauge.Set(0)
			lostBefore = o.lost.Load()
			o.logs.announce(o, zerolog.WarnLevel, "log output fails; lines wait, and are dropped when too many do", err, 0)
		}
		if !o.pause(wait) {
			return
		}
		wait = min(2*wait, lastWait)
	}
}

// take is the oldest lines, which stay queued until they are written.
func (o *output) take() (lines []line, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queue[:min(len(o.queue), maxWrite):min(len(o.queue), maxWrite)], o.closed
}

// forget takes written lines out of the queue.
func (o *output) forget(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range n {
		o.bytes -= len(o.queue[i].text)
		o.queue[i] = line{}
	}
	if o.queue = o.queue[n:]; len(o.queue) == 0 {
		o.queue = nil // the array before its start is not kept
	}
}

// pause is false when the output's time is over.
func (o *output) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-o.stop:
		return false
	}
}

func (o *output) reopen() { o.wantNew.Store(true) }

// close lets the queue be written until the deadline. What a sink that hangs
// has not taken by then is lost.
func (o *output) close(deadline time.Time) {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.kick()
	t := time.NewTimer(time.Until(deadline))
	defer t.Stop()
	select {
	case <-o.done:
		return
	case <-t.C:
	}
	close(o.stop)
	o.sink.cut()
}

func (o *output) healthy() bool { return o.up.Load() }

func (o *output) status() Status {
	o.mu.Lock()
	queued := len(o.queue)
	o.mu.Unlock()
	s := Status{Output: o.name, Up: o.up.Load(), Queued: queued, Written: o.written.Load(), Dropped: o.lost.Load()}
	if !s.Up {
		s.Error, _ = o.err.Load().(string)
	}
	return s
}
