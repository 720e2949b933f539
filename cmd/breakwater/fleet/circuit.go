package fleet

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// pulse is how often a gateway says that it is alive, and learns what it may
	// have missed.
	pulse = time.Second
	// aliveFor is how long a gateway counts as alive after its last word.
	aliveFor = 5 * time.Second
	// probeAfter and probeCap are the pauses between probes of a Redis that is away.
	probeAfter = 100 * time.Millisecond
	probeCap   = time.Second
	// probeTime bounds a probe, and so does Options.Timeout where that is longer:
	// nobody waits for it.
	probeTime = time.Second
	// saltFor is how long Redis keeps a salt that no gateway asks for any more.
	saltFor = 30 * 24 * time.Hour
)

// circuit is closed (up) while Redis answers.
type circuit struct {
	up   atomic.Bool
	mu   sync.Mutex  // serialises changes of state
	once atomic.Bool // a state was logged
	wake chan struct{}

	strikes atomic.Int32  // late moments since the last answer in time
	struck  time.Time     // the last one; under mu
	doubt   chan struct{} // an answer was late: is Redis there?
}

// mostStrikes is how many late moments without an answer in time between them
// open the circuit, also of a Redis that answers a ping. What is late within one
// deadline is one moment: those who ask together are late together.
const mostStrikes = 3

// failed notes a call that was not answered: a late one is a strike, any other
// opens the circuit.
func (f *Fleet) failed(err error) {
	word := wordOf(err)
	f.metrics.fail(word)
	if word != "timeout" || f.strike() >= mostStrikes {
		f.lost(err)
		return
	}
	select {
	case f.state.doubt <- struct{}{}:
	default:
	}
}

// strike counts late moments.
func (f *Fleet) strike() int32 {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	if now := time.Now(); now.Sub(f.state.struck) >= f.opts.Timeout {
		f.state.struck = now
		f.state.strikes.Add(1)
	}
	return f.state.strikes.Load()
}

// inTime forgets the strikes.
func (f *Fleet) inTime() {
	if f.state.strikes.Load() != 0 {
		f.state.strikes.Store(0)
	}
}

// verify asks Redis for a sign of life each time an answer was late. One late
// answer of a busy machine is no reason to decide alone; a Redis that does not
// answer a ping in time either is.
func (f *Fleet) verify() {
	for {
		select {
		case <-f.ended.Done():
			return
		case <-f.state.doubt:
		}
		if !f.Up() {
			continue
		}
		ctx, cancel := context.WithTimeout(f.ended, f.opts.Timeout)
		if _, err := f.Ping(ctx); err != nil {
			f.lost(err)
		}
		cancel()
	}
}

// lost opens the circuit: from now on each gateway decides alone.
func (f *Fleet) lost(err error) {
	word := wordOf(err)
	if !f.state.up.Load() && f.state.once.Load() {
		return
	}
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	if f.ended.Err() != nil || !f.state.up.Swap(false) && f.state.once.Load() {
		return
	}
	f.state.once.Store(true)
	select {
	case f.state.wake <- struct{}{}:
	default:
	}
	mode := "looser: each gateway applies the full limits alone"
	if f.opts.Stricter {
		mode = "stricter: each gateway applies its part of the limits alone"
	}
	f.opts.Log.Warn().Str("cause", word).AnErr("error", f.redacted(err)).Str("meanwhile", mode).Msg("Redis is away, limits are not shared")
}

// found closes the circuit.
func (f *Fleet) found() {
	f.state.mu.Lock()
	defer f.state.mu.Unlock()
	if f.state.up.Swap(true) {
		return
	}
	f.state.strikes.Store(0)
	if f.state.once.Swap(true) && f.opts.Found != nil {
		f.ending.Go(f.opts.Found)
	}
	f.opts.Log.Info().Msg("Redis answers, limits are shared")
}

// wordOf is the closed word for a failure.
func wordOf(err error) string {
	var ne net.Error
	switch {
	case errors.Is(err, errLate), errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return "timeout"
	case answered(err):
		return "refused"
	}
	return "connection"
}

// redacted is an error without what the URL may hold.
func (f *Fleet) redacted(err error) error {
	if ro, perr := redis.ParseURL(f.opts.URL); perr == nil && ro.Password != "" && strings.Contains(err.Error(), ro.Password) {
		return errors.New("hidden, it holds the password")
	}
	return err
}

// watch says every second that this gateway is alive; while Redis is away it
// probes until it answers.
func (f *Fleet) watch() {
	pause := pulse
	for {
		t := time.NewTimer(pause)
		select {
		case <-f.ended.Done():
			t.Stop()
			return
		case <-f.state.wake: // it went away just now
			t.Stop()
			pause = probeAfter
			continue
		case <-t.C:
		}
		if f.probe(); f.Up() {
			pause = pulse
		} else {
			pause = min(2*pause, probeCap)
		}
	}
}

// probe is the pulse: alive, salt, scripts, limits of upstreams. It decides
// whether Redis can be asked.
func (f *Fleet) probe() {
	f.pulses.Lock()
	defer f.pulses.Unlock()
	ctx, cancel := context.WithTimeout(f.ended, max(probeTime, f.opts.Timeout))
	defer cancel()
	p := f.rdb.Pipeline()
	down := !f.Up()
	if down {
		f.load(ctx, p)
	}
	if !f.rests.Load() {
		p.Set(ctx, f.prefix+"alive:"+f.name, "1", aliveFor)
		p.Del(ctx, f.prefix+"rests:"+f.name)
	}
	var salt *redis.StringCmd
	if f.opts.Salt == "" {
		p.SetNX(ctx, f.prefix+"salt", string(*f.salt.Load()), saltFor)
		p.Expire(ctx, f.prefix+"salt", saltFor)
		salt = p.Get(ctx, f.prefix+"salt")
	}
	limits := p.EvalSha(ctx, f.scripts.limits.sha, []string{f.prefix + "upstreams"})
	began := time.Now()
	_, err := p.Exec(ctx)
	if f.ended.Err() != nil {
		return
	}
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		f.reload()
		err = nil
	}
	if err == nil && down && time.Since(began) > f.opts.Timeout {
		err = errLate // it answers, and too late for requests
	}
	if err != nil {
		f.metrics.fail(wordOf(err))
		f.lost(err)
		return
	}
	if salt != nil {
		if s := []byte(salt.Val()); len(s) > 0 {
			f.salt.Store(&s)
		}
	}
	f.learn(limits)
	f.found()
}

// reload sends the scripts to a Redis that has lost them.
func (f *Fleet) reload() {
	ctx, cancel := context.WithTimeout(f.ended, probeTime)
	defer cancel()
	p := f.rdb.Pipeline()
	f.load(ctx, p)
	_, _ = p.Exec(ctx) // the next pulse sees
}
