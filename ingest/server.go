package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/getsentry/sentry-go"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"
)

const (
	// maxHeader bounds a request's header, in bytes. Beyond it net/http answers
	// 431 by itself, the one answer without CORS headers.
	maxHeader = 32 << 10
	// idleTimeout closes connections that ask nothing, so that they do not hold
	// a place among MaxConnections.
	idleTimeout = 60 * time.Second
	// answerTime is what deciding, the fsync and writing the answer may take
	// after the body has arrived.
	answerTime = 60 * time.Second
)

// Settings are what a reload may change.
type Settings struct {
	Config Config
	// Endpoints is the table of routes.
	Endpoints []Endpoint
	// Gate is asked before a body is read; nil lets everybody in.
	Gate Gatekeeper
	// Stages decide about a decoded batch, in this order.
	Stages []Stage
}

// Options are what a Server is made of. Projects, Auth and Sink are required.
type Options struct {
	Settings
	Projects *Projects
	Auth     Authenticator
	Sink     Sink
	// Spiller takes payloads too large for memory; nil keeps them in memory,
	// within Config.MemoryBudget.
	Spiller Spiller
	// Ledger counts items; nil counts nothing.
	Ledger Ledger
	// Canaries are told of an operator's probes; nil knows none.
	Canaries *Canaries
	// Parts remembers what is durable of batches whose rest could not be stored;
	// nil forgets it.
	Parts *Repeats
	// Recorder takes measurements; nil drops them.
	Recorder Recorder
	// Watcher is told of what became of each batch, for a live view; nil tells nobody.
	Watcher Watcher
	// Schemas are served at /schemas/; nil serves none.
	Schemas fs.FS
	// Ready tells whether the process can take requests; nil: until Shutdown.
	Ready      func() bool
	Logger     zerolog.Logger
	Registerer prometheus.Registerer
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Hub is told of the gateway's own panics and, sampled by its client, of
	// what requests took; nil tells nobody.
	Hub *sentry.Hub
}

// Server is the public listener. It is safe for concurrent use.
type Server struct {
	opts     Options
	metrics  *metrics
	memory   *memory
	queries  queries
	dates    dates
	door     atomic.Pointer[door]
	http     *http.Server
	draining atomic.Bool
	senders  senders
	log      zerolog.Logger // refused requests, a bounded number each second
	traces   *rate.Limiter
}

// door is everything one request is answered with. It is made anew by Apply;
// requests keep the one they came in by.
type door struct {
	*Server
	settings Settings
	echo     *echo.Echo
	cert     *tls.Certificate
}

// New makes a server that does not listen yet. Errors: a setting that cannot
// be used, a metric that is registered already.
func New(opts Options) (*Server, error) {
	if opts.Projects == nil || opts.Auth == nil || opts.Sink == nil {
		return nil, errors.New("ingest server needs projects, an authenticator and a sink")
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Ledger == nil {
		opts.Ledger = noLedger{}
	}
	if opts.Registerer == nil {
		opts.Registerer = prometheus.NewRegistry()
	}
	s := &Server{opts: opts, memory: newMemory(), queries: queries{seed: maphash.MakeSeed()}, traces: rate.NewLimiter(tracesPerSecond, tracesAtOnce)}
	var err error
	if s.metrics, err = newMetrics(opts.Registerer, s.memory); err != nil {
		return nil, err
	}
	// A flood of refusals must not become a flood of lines: metrics count them all.
	s.log = opts.Logger.Sample(&zerolog.LevelSampler{InfoSampler: &zerolog.BurstSampler{Burst: 50, Period: time.Second}})
	if err := s.Apply(opts.Settings); err != nil {
		return nil, err
	}
	s.http = s.newHTTP()
	return s, nil
}

// Check tells whether Apply would take the settings; it changes nothing.
func (s *Server) Check(set Settings) error {
	_, err := set.prepare()
	return err
}

// Apply puts other settings in force, for requests that begin from now on. An
// error changes nothing. MaxConnections stays as it was; a longer ReadTimeout
// counts for the body only, until the next start.
func (s *Server) Apply(set Settings) error {
	cert, err := set.prepare()
	if err != nil {
		return err
	}
	d := &door{Server: s, settings: set, cert: cert}
	d.route()
	s.door.Store(d)
	return nil
}

// prepare checks the settings and reads the certificate they name, nil for none.
func (set *Settings) prepare() (*tls.Certificate, error) {
	if err := set.Config.Validate(); err != nil {
		return nil, fmt.Errorf("checking settings of the public listener: %w", err)
	}
	files := set.Config.TLS
	if !files.Enabled() {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(files.CertFile, files.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("loading the TLS certificate: %w", err)
	}
	return &cert, nil
}

// route builds the router from the table.
func (d *door) route() {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.HTTPErrorHandler = d.respondError
	e.IPExtractor = func(r *http.Request) string {
		return clientAddr(senderUnder(r.Context()), r, d.settings.Config.TrustedProxies).String()
	}
	for i := range d.settings.Endpoints {
		ep := &d.settings.Endpoints[i]
		d.metrics.open(ep)
		for _, path := range ep.paths(&d.settings.Config) {
			for _, method := range ep.methods() {
				e.Add(method, path, d.handler(ep))
			}
			e.Add(http.MethodOptions, path, d.preflight(ep))
		}
	}
	d.routeHealth(e)
	d.echo = e
}

// Handler serves requests without a listener of its own.
func (s *Server) Handler() http.Handler { return s }

// ServeHTTP answers one request by the settings in force.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	s.door.Load().serve(w, r)
}

func (s *Server) newHTTP() *http.Server {
	cfg := s.door.Load().settings.Config
	return &http.Server{
		Handler: s,
		// Both are absolute from the request's first byte, so a drip of bytes
		// cannot stretch them.
		ReadHeaderTimeout: cfg.ReadTimeout,
		ReadTimeout:       cfg.ReadTimeout,
		WriteTimeout:      cfg.ReadTimeout + answerTime,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader - 4096, // net/http adds 4096
		ErrorLog:          quietLog(s.opts.Logger),
		ConnState:         s.connState,
		ConnContext:       withSender,
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.certificate() },
		},
	}
}

// Serve answers on l until Shutdown; then it returns nil. It closes l.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	d := s.door.Load()
	l = senderListener{netutil.LimitListener(l, d.settings.Config.MaxConnections), s}
	s.http.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	var err error
	if d.cert != nil {
		err = s.http.ServeTLS(l, "", "")
	} else {
		err = s.http.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the public listener: %w", err)
}

// Drain makes the readiness answer 503 while requests are still taken, so that
// a load balancer can look away before Shutdown. Every answer from now on ends
// its connection: one that a balancer keeps open could be closed by Shutdown
// just when the next request is on its way, and nobody sends a POST twice.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown stops listening and waits for the requests being answered, until
// ctx ends; then their connections are cut.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("waiting for open requests: %w", err), s.http.Close())
	}
	return nil
}

func (s *Server) certificate() (*tls.Certificate, error) {
	if c := s.door.Load().cert; c != nil {
		return c, nil
	}
	return nil, errors.New("no TLS certificate is configured")
}

// ready is what load balancers are told.
func (s *Server) ready() bool {
	return !s.draining.Load() && (s.opts.Ready == nil || s.opts.Ready())
}
