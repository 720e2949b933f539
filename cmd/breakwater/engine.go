package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest"
	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/relay/spool/jetstream"
	"breakwater/schemas"
)

// spooler is the spool in the edge's words.
type spooler struct{ spool.Engine }

var (
	_ ingest.Sink    = spooler{}
	_ ingest.Spiller = spooler{}
	_ relay.Source   = spool.Engine(nil)
)

// Spill opens a file beside the spool.
func (s spooler) Spill(project string) (ingest.Spill, error) { return s.Engine.Spill(project) }

// openSpool opens the spool that the configuration names.
func openSpool(ctx context.Context, cfg *config.Config, observer spool.Observer, reg prometheus.Registerer, log zerolog.Logger) (spool.Engine, error) {
	if cfg.Spool.Engine == config.EngineJetStream {
		s, err := openStream(ctx, streamConfig(cfg), sharedObserver{observer}, reg, log)
		if err != nil {
			return nil, err // not a nil pointer in an interface
		}
		return s, nil
	}
	l := spoolLimits(cfg)
	s, err := disk.Open(disk.Config{
		Dir: cfg.Spool.Dir, MaxSize: l.MaxSize, MinFree: l.MinFree, MaxAge: l.MaxAge, ProjectShare: l.ProjectShare,
		Logger: log, Observer: observer, Registerer: reg,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// sharedObserver is the ledger of a gateway that shares its spool. What another
// one appended is nothing that a start found: it counts as taken out, and so the
// items in the spool of one gateway are those it put in less those it took out.
type sharedObserver struct{ spool.Observer }

// Recovered counts nothing.
func (sharedObserver) Recovered(*schemas.Meta) {}

// openStreamWait is how long a start waits for the servers of a stream: a
// cluster that starts with its gateways needs some seconds to agree.
const openStreamWait = time.Minute

// lockedStream is a stream together with the lock of the folder in which
// payloads lie while they come in.
type lockedStream struct {
	*jetstream.Spool
	lock *os.File
}

// Close closes the spool and lets go of the folder.
func (s *lockedStream) Close() error { return errors.Join(s.Spool.Close(), s.lock.Close()) }

// streamConfig is the configuration in the engine's words.
func streamConfig(cfg *config.Config) jetstream.Config {
	j, l := cfg.Spool.JetStream, spoolLimits(cfg)
	host, _ := os.Hostname() // "" is given a random name
	return jetstream.Config{
		URL: strings.Join(j.Servers(), ","), CredentialsFile: j.CredentialsFile, CAFile: j.CAFile, Stream: j.Stream, Replicas: j.Replicas,
		Monitors: j.Monitors(), AllowUnsynced: j.AllowUnsynced, Dir: dataFile(cfg, "jetstream"), Gateway: host,
		MaxSize: l.MaxSize, MaxAge: l.MaxAge, ProjectShare: l.ProjectShare,
	}
}

// openStream opens the stream that several gateways share.
func openStream(ctx context.Context, sc jetstream.Config, observer spool.Observer, reg prometheus.Registerer, log zerolog.Logger) (*lockedStream, error) {
	lock, err := lockDir(sc.Dir)
	if err != nil {
		return nil, err
	}
	sc.Observer, sc.Registerer, sc.Logger = observer, reg, log
	ctx, cancel := context.WithTimeout(ctx, openStreamWait)
	defer cancel()
	s, err := jetstream.Open(ctx, sc)
	if err != nil {
		return nil, errors.Join(streamFault(err), lock.Close())
	}
	return &lockedStream{s, lock}, nil
}

// streamFault says which key of the configuration an error is about.
func streamFault(err error) error {
	var unsynced *jetstream.UnsyncedError
	if errors.As(err, &unsynced) {
		return fmt.Errorf("spool.jetstream.monitor_urls: %w; fix: set sync_interval: always in the jetstream section of every nats-server and name the monitoring address of each (http_port), or accept the risk with spool.jetstream.allow_unsynced: true", err)
	}
	return fmt.Errorf("spool.jetstream: %w; fix: see that nats-server runs at url with JetStream on, that credentials_file and ca_file are right, and that there are as many servers as replicas (breakwater doctor tells more)", err)
}

// lockDir keeps a second gateway out of a folder, until the file is closed or
// the process ends.
func lockDir(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%w: each gateway needs a data directory of its own", spool.ErrLocked)
		}
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), f.Close())
	}
	return f, nil
}

// spoolInfo says which spool the numbers of this gateway are about: several
// gateways on one stream tell of the same records.
func spoolInfo(cfg *config.Config) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "breakwater_spool_info", Help: "Always 1; the label spool names what the spool's numbers are about: a folder of one machine, or a stream that several gateways share.",
		ConstLabels: prometheus.Labels{"engine": cfg.Spool.Engine, "spool": spoolName(cfg)},
	}, func() float64 { return 1 })
}

// spoolName is the same on all gateways that share the spool, and on no other.
func spoolName(cfg *config.Config) string {
	if cfg.Spool.Engine == config.EngineJetStream {
		return "jetstream:" + cfg.Spool.JetStream.Stream
	}
	host, _ := os.Hostname() // "" still tells folders apart
	dir, err := filepath.Abs(cfg.Spool.Dir)
	if err != nil {
		dir = cfg.Spool.Dir
	}
	return host + ":" + dir
}
