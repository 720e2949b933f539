package fleet

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxWaiting bounds the calls that wait to be sent; further ones are decided
	// alone.
	maxWaiting = 4096
	// maxPipeline bounds the calls of one round trip.
	maxPipeline = 256
)

// add writes a call into a pipeline.
type add func(ctx context.Context, p redis.Pipeliner) redis.Cmder

// call is one that waits to be sent. done takes its end; nil: nobody waits.
type call struct {
	add  add
	till time.Time
	done chan result
}

type result struct {
	cmd redis.Cmder
	err error
}

var (
	errLate    = errors.New("no answer in time")
	errCrowded = errors.New("too many calls wait")
	errClosed  = errors.New("closed")
)

// do sends a call and waits for its answer, as long as patience.
func (f *Fleet) do(patience time.Duration, a add) (redis.Cmder, error) {
	began := time.Now()
	c := &call{add: a, till: began.Add(patience), done: make(chan result, 1)}
	select {
	case f.calls <- c:
	default:
		f.metrics.fail("crowded")
		return nil, errCrowded
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case r := <-c.done:
		f.metrics.took.Observe(time.Since(began).Seconds())
		if r.err == nil {
			f.inTime()
		}
		return r.cmd, r.err
	case <-t.C:
		f.failed(errLate)
		return nil, errLate
	case <-f.ended.Done():
		return nil, errClosed
	}
}

// tell sends a call that nobody waits for, with the next round trip that a
// request makes, or by itself when none came within linger. While Redis is away
// it is dropped.
func (f *Fleet) tell(a add) {
	if !f.Up() {
		return
	}
	select {
	case f.later <- &call{add: a, till: time.Now().Add(tellFor)}:
	default:
		f.metrics.fail("crowded")
		return
	}
	select {
	case f.told <- struct{}{}:
	default:
	}
}

const (
	// tellFor is how long a call that nobody waits for may wait to be sent.
	tellFor = 5 * time.Second
	// linger is how long it waits for a round trip of somebody else.
	linger = 10 * time.Millisecond
)

// carry sends what nobody waits for when nobody else sends.
func (f *Fleet) carry() {
	for {
		select {
		case <-f.ended.Done():
			return
		case <-f.told:
		}
		t := time.NewTimer(linger)
		select {
		case <-f.ended.Done():
			t.Stop()
			return
		case <-t.C:
		}
		if len(f.later) == 0 {
			continue
		}
		select {
		case f.calls <- nil:
		case <-f.ended.Done():
			return
		}
	}
}

// send is one sender: it takes what waits and makes one round trip of it.
func (f *Fleet) send() {
	batch := make([]*call, 0, maxPipeline)
	for {
		select {
		case <-f.ended.Done():
			return
		case c := <-f.calls:
			batch = batch[:0]
			if c != nil {
				batch = append(batch, c)
			}
			batch = f.gather(batch)
		}
		f.exchange(batch)
		clear(batch)
	}
}

// gather adds what waits as well.
func (f *Fleet) gather(batch []*call) []*call {
	for len(batch) < maxPipeline {
		var c *call
		select {
		case c = <-f.calls:
		default:
			select {
			case c = <-f.later:
			default:
				return batch
			}
		}
		if c != nil {
			batch = append(batch, c)
		}
	}
	return batch
}

// exchange sends calls in one pipeline and hands out their answers. Those whose
// caller has gone on are left out: after a standstill nobody wants them.
func (f *Fleet) exchange(batch []*call) {
	now, wanted := time.Now(), batch[:0]
	for _, c := range batch {
		if now.Before(c.till) {
			wanted = append(wanted, c)
		}
	}
	if len(wanted) == 0 {
		return
	}
	cmds, err := f.pipeline(wanted, nil)
	if unknown := missing(cmds); len(unknown) > 0 { // Redis lost its scripts: a restart, SCRIPT FLUSH
		again := make([]*call, len(unknown))
		for i, at := range unknown {
			again[i] = wanted[at]
		}
		var second []redis.Cmder
		second, err = f.pipeline(again, f.load)
		for i, at := range unknown {
			cmds[at] = second[i]
		}
	}
	for i, c := range wanted {
		cmdErr := cmds[i].Err()
		if errors.Is(cmdErr, redis.Nil) {
			cmdErr = nil
		}
		if cmdErr == nil && err != nil && !answered(err) {
			cmdErr = err
		}
		if c.done != nil {
			c.done <- result{cmds[i], cmdErr}
		}
		f.judge(cmdErr)
	}
}

// pipeline is one round trip: first adds what the calls need, nil for nothing.
func (f *Fleet) pipeline(calls []*call, first func(context.Context, redis.Pipeliner)) ([]redis.Cmder, error) {
	ctx, cancel := context.WithTimeout(f.ended, f.opts.Timeout)
	defer cancel()
	p := f.rdb.Pipeline()
	if first != nil {
		first(ctx, p)
	}
	cmds := make([]redis.Cmder, len(calls))
	for i, c := range calls {
		cmds[i] = c.add(ctx, p)
	}
	f.metrics.trips.Inc()
	f.metrics.calls.Add(float64(len(calls)))
	_, err := p.Exec(ctx)
	return cmds, err
}

// load sends every script.
func (f *Fleet) load(ctx context.Context, p redis.Pipeliner) {
	for _, s := range f.scripts.all() {
		p.ScriptLoad(ctx, s.text)
	}
}

// missing are the calls whose script Redis does not know.
func missing(cmds []redis.Cmder) (at []int) {
	for i, c := range cmds {
		if err := c.Err(); err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
			at = append(at, i)
		}
	}
	return at
}

// answered tells an error that Redis answered with from one of the way there.
func answered(err error) bool {
	var re redis.Error
	return errors.As(err, &re)
}

// unable begin the answers of a Redis that can do nothing for us: full, read
// only, loading, without its primary, or not to be entered.
var unable = []string{"OOM", "READONLY", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "NOAUTH", "WRONGPASS", "NOPERM", "CLUSTERDOWN", "MOVED", "CROSSSLOT", "ERR max number of clients", "BUSY "}

// judge tells the circuit what an answer says about Redis.
func (f *Fleet) judge(err error) {
	switch {
	case err == nil:
	case !answered(err):
		f.failed(err)
	default:
		for _, word := range unable {
			if strings.HasPrefix(err.Error(), word) {
				f.failed(err)
				return
			}
		}
		f.metrics.fail("refused") // this call alone
		f.opts.Log.Warn().Err(err).Msg("Redis refused a call; it was decided alone")
	}
}

// flush waits a moment until what nobody waits for has been sent.
func (f *Fleet) flush() {
	if !f.Up() || !f.started.Load() {
		return
	}
	_, _ = f.do(f.opts.Timeout, func(ctx context.Context, p redis.Pipeliner) redis.Cmder { return p.Ping(ctx) })
}

// Heard is how many messages of other gateways Options.Message has taken.
func (f *Fleet) Heard() int64 { return f.heard.Load() }
