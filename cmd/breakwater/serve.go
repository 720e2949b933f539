package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/console"
	"breakwater/cmd/breakwater/logs"
)

type serveCmd struct{}

// flushLogs is how long the end waits for outputs of the log that are slow.
const flushLogs = 2 * time.Second

// Run serves until SIGINT or SIGTERM, also one that comes while it starts. A
// second signal ends it at once: what was acknowledged is on disk either way.
func (serveCmd) Run(c *cli) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal is not caught any more
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP) // now, or one that comes while it starts would end it
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if err != nil {
		return err
	}
	if _, err := cfg.EnsureKey(); err != nil {
		return err
	}
	hub, err := newHub(cfg.SelfMonitoring.DSN.Reveal(), cfg.SelfMonitoring.TracesSampleRate.Float(), versionText())
	if err != nil {
		return err
	}
	lines, err := logs.New(logs.Options{Config: cfg.Logs, Stdout: os.Stdout, Stderr: os.Stderr, Reports: reportsOf(hub)})
	if err != nil {
		return err
	}
	defer lines.Close(flushLogs)
	a, err := newApp(ctx, c.Config, cfg, os.LookupEnv, lines.Logger(), hub)
	if errors.Is(err, context.Canceled) {
		return toldToStop(lines.Logger(), err)
	}
	if err != nil {
		return err
	}
	if err := a.useLogs(lines); err != nil {
		return errors.Join(err, a.stop())
	}
	a.background = append(a.background, func(ctx context.Context) error { return keepRoom(ctx, time.Now) })
	if ctx.Err() != nil {
		return a.stop()
	}
	if err := a.start(ctx); err != nil {
		return errors.Join(err, a.stop())
	}
	banner(os.Stderr, cfg, a.public.Addr(), a.private.Addr())
	a.tell(stateReady)
	watched, unwatch := context.WithCancel(context.Background())
	defer unwatch() // not before the end: a stop may hang, too
	go a.feedWatchdog(watched)

	for {
		select {
		case <-hup:
			a.tell(stateReloading)
			_ = a.reload() // logged; the old configuration stays in force
			a.tell(stateReady)
		case err := <-a.failed:
			return errors.Join(err, a.stop())
		case <-ctx.Done():
			a.tell(stateStopping)
			return errors.Join(a.leave(), a.stop())
		}
	}
}

// toldToStop says that a signal ended the start: that is no fault. What there
// was to wait for is told, for whoever sent it because it took so long.
func toldToStop(log zerolog.Logger, err error) error {
	log.Info().AnErr("waited_for", err).Msg("told to stop before the start was done")
	return nil
}

// start opens both listeners and begins to work. The public one opens last:
// whoever reaches it finds everything behind it running.
func (a *app) start(ctx context.Context) error {
	cfg := a.reloader.Current()
	var err error
	if a.private, err = net.Listen("tcp", cfg.Server.AdminListen); err != nil {
		return fmt.Errorf("server.admin_listen: %w", err)
	}
	if a.public, err = net.Listen("tcp", cfg.Server.Listen); err != nil {
		return fmt.Errorf("server.listen: %w", err)
	}
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.cancelWork = cancel
	for _, run := range a.background {
		a.working.Go(func() {
			if err := run(work); err != nil && !errors.Is(err, context.Canceled) {
				a.log.Error().Err(err).Msg("a background task ended")
			}
		})
	}
	a.admin = console.NewServer(a.inside)
	go func() {
		if err := a.admin.Serve(a.private); !errors.Is(err, http.ErrServerClosed) {
			a.failed <- fmt.Errorf("serving the private listener: %w", err)
		}
	}()
	go func() {
		if err := a.edge.Serve(work, a.public); err != nil {
			a.failed <- err
		}
	}()
	a.log.Info().Str("version", versionText()).Stringer("listen", a.public.Addr()).Stringer("admin_listen", a.private.Addr()).
		Int("projects", len(cfg.Projects)).Msg("serving")
	a.warn(cfg)
	return nil
}

// leave tells balancers that this gateway goes, and goes on serving until they
// have noticed.
func (a *app) leave() error {
	a.stopping.Store(true)
	a.edge.Drain()
	delay := a.reloader.Current().Server.ShutdownDelay.Duration()
	if delay <= 0 {
		return nil
	}
	a.log.Info().Dur("delay", delay).Msg("not ready any more; taking requests until balancers have noticed")
	select {
	case <-time.After(delay):
		return nil
	case err := <-a.failed:
		return err
	}
}

// stop ends in the order that loses nothing: say so to the balancer, refuse
// new requests, finish those in flight, write down what was measured, stop
// delivering, close the spool. What is not delivered rests on disk.
func (a *app) stop() error {
	began := time.Now()
	a.log.Info().Msg("shutting down")
	a.stopping.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), a.reloader.Current().Server.ShutdownTimeout.Duration())
	defer cancel()
	var errs []error
	keep := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if a.public != nil {
		keep(a.edge.Shutdown(ctx))
	}
	if a.cancelWork != nil {
		a.cancelWork()
		a.working.Wait()
	}
	a.storm.Close(a.now())   // emits the last summaries: before the spool closes
	a.reports.flush(a.now()) // and what was dropped since the last report
	if a.fleet != nil {
		a.fleet.Rest()
	}
	keep(a.vitals.SaveFile(dataFile(a.reloader.Current(), "vitals.bin")))
	keep(a.health.SaveFile(dataFile(a.reloader.Current(), "health.bin")))
	keep(a.relay.Shutdown(ctx)) // may take all the time there is, and more than whoever stops us waits
	keep(a.limiter.Close())
	keep(a.moving.close())
	keep(a.spool.Close())
	if a.fleet != nil {
		keep(a.fleet.Close())
	}
	if a.admin != nil {
		keep(a.admin.Close()) // last: it shows how the shutdown goes
	}
	flushHub(a.hub)
	err := errors.Join(errs...)
	a.log.Info().Err(err).Dur("took", time.Since(began)).Msg("stopped")
	return err
}
