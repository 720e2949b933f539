package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Options of a fleet. URL is wanted; zero fields take the default named beside
// them.
type Options struct {
	// URL is redis://[user:password@]host:port[/db], or rediss:// with TLS.
	URL string
	// Timeout bounds what a request waits for an answer. 100 ms.
	Timeout time.Duration
	// Stricter lets a gateway that is alone give away a part of each limit, as one
	// of Gateways; else it gives away the whole.
	Stricter bool
	Gateways int
	// Prefix begins every key and channel. "breakwater".
	Prefix string
	// Salt keys the hashes of addresses, the same for all gateways. "": made by
	// the first gateway and kept in Redis, where whoever reads the hashes can read
	// it, too, and try all addresses.
	Salt string
	// Name is this gateway's, the same after a restart and no other's. "": made up.
	Name string
	// OwnFor is how long an id of a measurement belongs to a gateway. 20 min.
	OwnFor time.Duration
	// Learned is told of limits that upstreams announced to other gateways, by
	// the names that Announce was given. It must be quick. Optional.
	Learned func(list []Limit)
	// Found is called, by itself, each time Redis was away and answers again.
	Found func()
	// Message takes what other gateways Forward to this one. Optional.
	Message    func(message []byte)
	Registerer prometheus.Registerer
	Log        zerolog.Logger
	Now        func() time.Time // time.Now
}

// Limit is one of an upstream: until it ends, nothing of Category may go where
// Scope says.
type Limit struct {
	Scope    string
	Category schemas.Category
	Reason   string
	Until    time.Time
}

// Fleet is this gateway's part of it. It is safe for concurrent use.
type Fleet struct {
	opts    Options
	prefix  string
	name    string
	life    string // of this process
	rdb     *redis.Client
	scripts scripts
	metrics *metrics
	calls   chan *call    // somebody waits; nil: look for what nobody waits for
	later   chan *call    // nobody waits
	told    chan struct{} // something is in later
	salt    atomic.Pointer[[]byte]
	state   circuit

	ended          context.Context
	end            context.CancelFunc
	ending         sync.WaitGroup
	rests, started atomic.Bool
	heard          atomic.Int64
	pulses         sync.Mutex // held while one is under way
}

var _ ingest.Fleet = (*Fleet)(nil)

// senders is how many pipelines may be under way: while one waits for its
// answers the next one gathers.
const senders = 2

// New makes a fleet and tries to reach Redis once. That Redis is away is no error; a URL that cannot be read is, and a
// metric that could not be registered.
func New(o Options) (*Fleet, error) {
	ro, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, errors.New("limits.redis.url cannot be read") // the error would show the password
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Prefix == "" {
		o.Prefix = "breakwater"
	}
	if o.Gateways < 1 {
		o.Gateways = 1
	}
	if o.OwnFor <= 0 {
		o.OwnFor = 20 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Name == "" {
		o.Name = random()
	}
	f := &Fleet{opts: o, prefix: o.Prefix + ":", name: o.Name, life: random(), calls: make(chan *call, maxWaiting), later: make(chan *call, maxWaiting), told: make(chan struct{}, 1)}
	if f.scripts, err = newScripts(); err != nil {
		return nil, err
	}
	if f.metrics, err = newMetrics(o.Registerer, f); err != nil {
		return nil, fmt.Errorf("registering metrics of the fleet: %w", err)
	}
	salt := []byte(o.Salt)
	if o.Salt == "" {
		salt = []byte(random())
	}
	f.salt.Store(&salt)
	f.state.wake, f.state.doubt = make(chan struct{}, 1), make(chan struct{}, 1)
	ro.DialTimeout, ro.ReadTimeout, ro.WriteTimeout, ro.PoolTimeout = dialTimeout, o.Timeout, o.Timeout, o.Timeout
	ro.ContextTimeoutEnabled, ro.MaxRetries, ro.ClientName = true, -1, "breakwater"
	ro.PoolSize = senders + 4
	ro.DisableIdentity, ro.MaintNotificationsConfig = true, &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	redis.SetLogger(quietLog{o.Log})
	f.rdb = redis.NewClient(ro)
	f.ended, f.end = context.WithCancel(context.Background())
	f.probe() // so that the first request finds it
	return f, nil
}

// Start lets it work: before it, nothing is answered, and nobody is called but
// Options.Learned by New.
func (f *Fleet) Start() {
	f.started.Store(true)
	for range senders {
		f.ending.Go(f.send)
	}
	f.ending.Go(f.carry)
	f.ending.Go(f.watch)
	f.ending.Go(f.verify)
	f.ending.Go(f.listen)
}

// DefaultTimeout is what a request waits for Redis at most.
const DefaultTimeout = 100 * time.Millisecond

// dialTimeout bounds connecting, which no request waits for longer than Timeout.
const dialTimeout = time.Second

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Rest says that this gateway stops in order and counts what it has settling
// when it is back: call it before what waits is saved. Close afterwards.
func (f *Fleet) Rest() {
	f.rests.Store(true)
	f.pulses.Lock() // one that is under way would say afterwards that it is alive
	defer f.pulses.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), f.opts.Timeout)
	defer cancel()
	pipe := f.rdb.Pipeline()
	pipe.Set(ctx, f.prefix+"rests:"+f.name, "1", f.opts.OwnFor)
	pipe.Del(ctx, f.prefix+"alive:"+f.name)
	_, _ = pipe.Exec(ctx) // without it an id may count a second time: nothing to do about it here
}

// Close ends everything and waits for it, at most about a second.
func (f *Fleet) Close() error {
	f.flush()
	f.end()
	err := f.rdb.Close()
	f.ending.Wait()
	return err
}

// Up tells whether Redis answers.
func (f *Fleet) Up() bool { return f.state.up.Load() }

// Share is of ingest.Fleet.
func (f *Fleet) Share() int {
	if f.opts.Stricter && !f.Up() {
		return f.opts.Gateways
	}
	return 1
}

// Ask is of ingest.Fleet: one script, sent with whatever other requests ask at
// the same time. It returns after Options.Timeout at the latest.
func (f *Fleet) Ask(steps []ingest.Step) (answers []ingest.Answer, ok bool) {
	if !f.Up() {
		f.metrics.alone.Inc()
		return nil, false
	}
	if len(steps) == 0 {
		return nil, true
	}
	keys, args := f.encode(steps, f.opts.Now())
	reply, err := f.do(f.opts.Timeout, func(ctx context.Context, p redis.Pipeliner) redis.Cmder {
		return p.EvalSha(ctx, f.scripts.steps.sha, keys, args...)
	})
	if err == nil {
		answers, err = decode(steps, reply.(*redis.Cmd).Val())
	}
	if err != nil {
		f.metrics.alone.Inc()
		return nil, false
	}
	f.metrics.together.Inc()
	return answers, true
}

// Keep is of ingest.Fleet.
func (f *Fleet) Keep(key string, ttl time.Duration) {
	f.tell(func(ctx context.Context, p redis.Pipeliner) redis.Cmder {
		return p.Set(ctx, f.prefix+"claim:"+key, "1", ttl)
	})
}

// Release is of ingest.Fleet.
func (f *Fleet) Release(key string) {
	f.tell(func(ctx context.Context, p redis.Pipeliner) redis.Cmder {
		return p.EvalSha(ctx, f.scripts.release.sha, []string{f.prefix + "claim:" + key}, f.name)
	})
}

// Forward is of ingest.Fleet.
func (f *Fleet) Forward(owner string, message []byte) {
	f.tell(func(ctx context.Context, p redis.Pipeliner) redis.Cmder {
		return p.Publish(ctx, f.prefix+"to:"+owner, message)
	})
}

// Ping asks Redis now, whatever the circuit says, and returns how long its
// answer took.
func (f *Fleet) Ping(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	err := f.rdb.Ping(ctx).Err()
	return time.Since(began), err
}

// Clock is Redis's own time, by which it decides.
func (f *Fleet) Clock(ctx context.Context) (time.Time, error) { return f.rdb.Time(ctx).Result() }

// quietLog keeps the library's words for those who look for them.
type quietLog struct{ log zerolog.Logger }

// Printf is of go-redis.
func (q quietLog) Printf(_ context.Context, format string, v ...any) {
	q.log.Debug().Msgf("redis client: "+format, v...)
}
