package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	sentrygo "github.com/getsentry/sentry-go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/console"
	"breakwater/cmd/breakwater/fleet"
	"breakwater/cmd/breakwater/logs"
	"breakwater/ingest"
	"breakwater/ingest/auth"
	"breakwater/ingest/crash"
	"breakwater/ingest/faro"
	"breakwater/ingest/filter"
	"breakwater/ingest/health"
	"breakwater/ingest/limit"
	"breakwater/ingest/release"
	"breakwater/ingest/sample"
	"breakwater/ingest/scrub"
	sentryproto "breakwater/ingest/sentry"
	"breakwater/ingest/storm"
	"breakwater/ingest/vitals"
	"breakwater/relay"
	"breakwater/relay/sentry"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// app is the running gateway. newApp builds it in data-flow order, start
// listens, wait blocks, stop ends it in the order that loses nothing.
type app struct {
	log      zerolog.Logger
	logs     *logs.Logs // nil where nobody set it
	hub      *sentrygo.Hub
	registry *prometheus.Registry
	pages    *prometheus.Registry // the vitals' families with a series per page: /metrics writes them its own way
	ledger   *ledger
	now      func() time.Time
	salt     []byte

	projects *ingest.Projects
	limiter  *limit.Limiter
	filter   *filter.Filter
	sampler  *sample.Sampler
	storm    *storm.Control
	scrubber *scrub.Scrubber
	vitals   *vitals.Vitals
	health   *health.Health
	discards *sentryproto.Metrics
	release  *release.Stage
	reports  *reports
	crashes  *ingest.Repeats // ids of crash reports that were taken
	batches  *ingest.Repeats // Idempotency-Keys of Faro's batches
	parts    *ingest.Repeats // what is durable of batches whose rest is not
	canaries canaries
	watcher  *watcher // of the item stream

	fleet     *fleet.Fleet // nil where limits.redis is not configured
	spool     spool.Engine
	moving    *move // of what another engine holds; nil for nothing
	relay     *relay.Relay
	limits    *sentry.Limits
	upstreams upstreams
	edge      *ingest.Server
	reloader  *config.Reloader

	public, private net.Listener
	inside          http.Handler // of the private listener
	admin           *http.Server
	background      []func(context.Context) error
	working         sync.WaitGroup
	cancelWork      context.CancelFunc
	failed          chan error
	stopping        atomic.Bool
}

// newApp wires the parts by a checked configuration. hub is told of the
// gateway's own faults, nil tells nobody. When ctx ends it stops waiting for
// servers that do not answer, with an error that is ctx's.
func newApp(ctx context.Context, path string, cfg *config.Config, env config.Lookup, log zerolog.Logger, hub *sentrygo.Hub) (a *app, err error) {
	a = &app{log: log, hub: hub, registry: prometheus.NewRegistry(), pages: prometheus.NewRegistry(), projects: &ingest.Projects{}, now: time.Now, failed: make(chan error, 8)}
	defer func() {
		if err != nil && a.spool != nil {
			err = errors.Join(err, a.moving.close(), a.spool.Close())
		}
		if err != nil && a.fleet != nil {
			err = errors.Join(err, a.fleet.Close())
		}
	}()
	a.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(), spoolInfo(cfg))
	a.ledger = newLedger(a.registry)
	a.watcher = newWatcher(a)
	a.canaries = newCanaries(a.registry, a.now)
	if a.salt, err = saltOf(env, dataFile(cfg, "salt")); err != nil {
		return a, err
	}

	// The spool first: it is what everything else promises by.
	if a.spool, err = openSpool(ctx, cfg, a.ledger, a.registry, log.With().Str("part", "spool").Logger()); err != nil {
		return a, err // names the folder
	}
	if a.moving, err = a.openMove(ctx, cfg, log.With().Str("part", "move").Logger()); err != nil {
		return a, err
	}
	if a.moving != nil {
		a.background = append(a.background, a.moving.run)
	}

	// The way out.
	a.limits = sentry.NewLimits()
	a.relay, err = relay.New(relay.Config{
		Log: log.With().Str("part", "relay").Logger(), Registerer: a.registry, ShutdownTimeout: cfg.Server.ShutdownTimeout.Duration(), Pending: a.pending, Tap: a.canaries, Quieted: a.quieted,
	}, a.spool)
	if err != nil {
		return a, err
	}

	// Who decides with us.
	if err = a.newFleet(cfg, env); err != nil { //nolint:contextcheck // the script is read from the library, nothing is asked
		return a, err
	}

	// The decisions, in the order a request meets them.
	if err = a.newStages(cfg); err != nil {
		return a, err
	}

	if a.discards, err = sentryproto.NewMetrics(a.registry); err != nil {
		return a, err
	}
	if err = a.newMemories(); err != nil {
		return a, err
	}

	// The door.
	a.projects.Store(directory(cfg))
	settings, err := a.edgeSettings(cfg)
	if err != nil {
		return a, err
	}
	a.edge, err = ingest.New(ingest.Options{ //nolint:contextcheck // what it reads later belongs to requests, not to the start
		Settings: settings, Projects: a.projects, Auth: auth.Auth{}, Sink: spooler{a.spool}, Spiller: spooler{a.spool},
		Ledger: a.ledger, Recorder: a.canaries.recorder(a.vitals), Canaries: a.canaries.Canaries, Parts: a.parts, Schemas: schemas.Files, Watcher: a.watcher,
		Ready: func() bool { return a.ready() == nil }, Logger: log.With().Str("part", "ingest").Logger(),
		Registerer: a.registry, Hub: a.hub,
	})
	if err != nil {
		return a, err
	}
	a.reloader = config.NewReloader(path, env, cfg, a.apply, a.now, a.registry)
	a.inside = a.console()
	if err = a.apply(cfg); err == nil && a.fleet != nil { //nolint:contextcheck // what begins here ends with stop, not with the start
		a.fleet.Start()
	}
	return a, err
}

// newStages makes the stages; apply configures them.
func (a *app) newStages(cfg *config.Config) (err error) {
	part := func(name string) zerolog.Logger { return a.log.With().Str("part", name).Logger() }
	a.limiter, err = limit.New(limit.Options{
		QuotaFile: dataFile(cfg, "quotas.json"), Upstream: &a.upstreams, Registerer: a.registry, Log: part("limit"),
		ShowAddresses: !cfg.Scrub.IP, Fleet: a.shared(),
	})
	if err != nil {
		return err
	}
	a.filter, a.sampler, a.release = filter.New(), sample.New(), release.New(a.now)
	a.scrubber = scrub.New(a.registry, spooler{a.spool})
	mark := func(b *ingest.Batch, fingerprint, release string) { b.Fingerprint, b.Release = fingerprint, release }
	a.storm, err = storm.New(storm.Options{Emit: a.emit, Mark: mark, Scrub: a.scrubTitle, Fleet: a.shared(), Project: a.projectNamed, Registerer: a.registry, Log: part("storm")})
	if err != nil {
		return err
	}
	vc := vitalsConfig(cfg)
	vc.Log, vc.Pages, vc.Scrub, vc.Fleet = part("vitals"), a.pages, a.scrubText, a.shared()
	a.vitals = vitals.New(vc, a.registry)
	if err := a.vitals.LoadFile(dataFile(cfg, "vitals.bin")); err != nil {
		a.log.Warn().Err(err).Msg("vitals that were settling at the last stop could not be read")
	}
	a.health = health.New(health.Config{ReleaseSlots: cfg.Vitals.ReleaseSlots, Now: a.now}, a.registry)
	if err := a.health.LoadFile(dataFile(cfg, "health.bin")); err != nil {
		a.log.Warn().Err(err).Msg("what was known of sessions at the last stop could not be read")
	}
	a.reports = newReports(a.projectNamed, a.emit, part("reports"))
	a.ledger.dropped = a.reports.outcome
	a.background = append(a.background, a.limiter.Run, a.storm.Run, a.vitals.Run, a.reports.Run)
	return nil
}

// newMemories makes what lets a client send again what it saw no answer to.
func (a *app) newMemories() error {
	m, err := ingest.NewRepeatsMetrics(a.registry)
	if err != nil {
		return err
	}
	a.crashes = ingest.NewRepeats(ingest.RepeatsOptions{Endpoint: "crash", TTL: crash.RememberFor, Max: crash.RememberMax, Now: a.now, Metrics: m, Fleet: a.shared()})
	a.batches = ingest.NewRepeats(ingest.RepeatsOptions{Endpoint: "faro", TTL: faro.RememberFor, Max: faro.RememberMax, Now: a.now, Metrics: m, Fleet: a.shared()})
	a.parts = ingest.NewRepeats(ingest.RepeatsOptions{Endpoint: "parts", TTL: ingest.PartsFor, Max: ingest.PartsMax, Now: a.now, Metrics: m})
	return nil
}

// stages are the decisions between a decoded request and the spool. Validity
// first; then what is not wanted at all; then, of several gateways, what all
// of them know; then what is measured, before anything
// is thinned out; then the thinning; then the quota, which so counts what is
// kept; scrubbing last, on what is about to rest and leave. What counts or thins
// out people's reports does not see an operator's probes.
func (a *app) stages() []ingest.Stage {
	users := ingest.ForUsers
	list := []ingest.Stage{a.release, a.filter}
	if a.fleet != nil {
		list = append(list, a.together())
	}
	return append(list,
		users(a.health), users(a.vitals.FromSentry()), users(a.sampler), users(a.storm), a.limiter, a.scrubber,
		users(a.storm.Samples()), // of what is stored, as it is stored
	)
}

func (a *app) edgeSettings(cfg *config.Config) (ingest.Settings, error) {
	ec, err := edgeConfig(cfg)
	return ingest.Settings{Config: ec, Endpoints: a.endpoints(cfg), Gate: a.limiter, Stages: a.stages()}, err
}

// apply puts a checked configuration in force, or returns an error and has
// changed nothing: every part is asked first whether it can.
func (a *app) apply(cfg *config.Config) error {
	p, err := a.plan(cfg)
	if err != nil {
		return err
	}
	// From here on nothing can fail but a relay that has been stopped, so it goes first.
	if err := a.relay.Apply(p.dests); err != nil {
		return err
	}
	for _, configure := range []func() error{
		func() error { return a.scrubber.Configure(p.scrubs) },
		func() error { return a.filter.Configure(p.filters) },
		func() error { return a.limiter.SetPerIP(p.perIP) },
		func() error { return a.limiter.Configure(p.limits) },
		func() error { return a.storm.Configure(p.storms) },
		func() error { return a.sampler.Configure(p.samples) },
		func() error { return a.edge.Apply(p.edge) },
	} {
		if err := configure(); err != nil {
			return fmt.Errorf("a setting that was checked before was refused: %w", err)
		}
	}
	for _, d := range p.dests { // an upstream that has had nothing yet shows as an empty queue, not as a gap
		a.spool.Expect(d.Destination)
	}
	for _, name := range projectNames(cfg) {
		a.ledger.open(name)
	}
	a.spool.SetLimits(spoolLimits(cfg))
	a.vitals.SetProjects(vitalsProjects(cfg))
	a.health.SetProjects(projectNames(cfg))
	a.crashes.SetProjects(projectNames(cfg))
	a.batches.SetProjects(projectNames(cfg))
	a.parts.SetProjects(projectNames(cfg))
	a.upstreams.store(p.limiters)
	a.projects.Store(directory(cfg)) // last: a project can be asked for when everything behind it knows it
	return nil
}

// useLogs shows the outputs of the log in metrics and status, and lets a
// reload open their files anew.
func (a *app) useLogs(l *logs.Logs) error {
	a.logs = l
	return l.Register(a.registry)
}

// reload is what SIGHUP and POST /-/reload do. Log files are opened anew even
// when the configuration is refused: logrotate has moved them already.
func (a *app) reload() error {
	if a.logs != nil {
		a.logs.Reopen()
	}
	warnings, err := a.reloader.Reload()
	if err != nil {
		a.log.Error().Err(err).Msg("configuration refused; the one before stays in force")
		return err
	}
	for _, w := range warnings {
		a.log.Warn().Str("key", w.Key).Msg(w.Reason)
	}
	a.warn(a.reloader.Current())
	a.log.Info().Msg("configuration reloaded")
	return nil
}

// warn says what the configuration allows and an operator should know of.
func (a *app) warn(cfg *config.Config) {
	for _, w := range cfg.Warnings() {
		a.log.Warn().Str("key", w.Key).Str("fix", w.Fix).Msg(w.Reason)
	}
}

// projectNamed is a project in force, nil when there is none of that name.
func (a *app) projectNamed(name string) *ingest.Project {
	for _, p := range a.projects.Load().List() {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// emit stores an item of the gateway's own making: the summary of a storm, the
// report of what was dropped. It enters the ledger like any other item.
func (a *app) emit(b *ingest.Batch) error {
	if err := a.scrubber.Apply(b); err != nil {
		return err
	}
	rec := b.Record(b.Request.Project.Destinations)
	if len(rec.Envelope.Items) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := a.spool.Append(ctx, rec); err != nil {
		return err
	}
	for _, c := range rec.Meta.Counts {
		a.ledger.Received(rec.Meta.Project, c.Category, c.Quantity)
		a.ledger.Outcome(rec.Meta.Project, c.Category, schemas.Accepted, "", c.Quantity)
	}
	return nil
}

// pending is how many records a destination still has.
func (a *app) pending(dst spool.Destination) int64 {
	for _, q := range a.spool.Stats().Queues {
		if q.Destination == dst {
			return q.Records
		}
	}
	return 0
}

func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "breakwater_build_info", Help: "Always 1; the label is the version of this binary.",
		ConstLabels: prometheus.Labels{"version": versionText()},
	}, func() float64 { return 1 })
}

// console is the private listener's handler.
func (a *app) console() http.Handler {
	return console.New(console.Options{
		Gatherer: a.registry, Exposer: a.vitals, Pages: a.pages, Token: func() string { return a.reloader.Current().Server.AdminToken.Reveal() },
		Ready: a.ready, Reload: a.reload, Problems: problems, Status: a.status, Help: helpPages(), Canaries: consoleCanaries{a.canaries},
		Registerer: a.registry, Spool: a.spool, Shared: a.reloader.Current().Spool.Engine == config.EngineJetStream, Relay: a.relay, State: consoleState{a}, Tail: a.watcher.Tail, API: a.backlogAPI(), Demo: a.demo(),
		AuditFile: dataFile(a.reloader.Current(), "audit.jsonl"), Version: versionText(), Now: a.now, Logger: a.log.With().Str("part", "console").Logger(),
	})
}

// problems lists the mistakes of a refused configuration for the private listener.
func problems(err error) any {
	if ps := config.AsProblems(err); ps != nil {
		return ps
	}
	return nil
}

// ready is nil while the gateway takes requests and could keep what they bring.
func (a *app) ready() error {
	if a.stopping.Load() {
		return errors.New("shutting down")
	}
	if err := a.spool.Ready(); err != nil {
		return fmt.Errorf("nothing can be stored: %w", err)
	}
	return nil
}

// status is what the start page shows.
func (a *app) status() any {
	var outputs []logs.Status
	if a.logs != nil {
		outputs = a.logs.Status()
	}
	return map[string]any{"log_outputs": outputs, "version": versionText(), "spool": a.spool.Stats(), "destinations": a.relay.Status(), "limited": a.limiter.Limited(a.now()), "quotas": a.limiter.Quotas(a.now())}
}
