package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest"
	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
)

// spooler is the spool in the edge's words.
type spooler struct{ spool.Engine }

var (
	_ ingest.Sink    = spooler{}
	_ ingest.Spiller = spooler{}
	_ relay.Source   = spool.Engine(nil)
)

// Spill opens a file beside the spool.
func (s spooler) Spill() (ingest.Spill, error) { return s.Engine.Spill() }

// openSpool opens the spool that the configuration names.
func openSpool(cfg *config.Config, observer spool.Observer, reg prometheus.Registerer, log zerolog.Logger) (spool.Engine, error) {
	l := spoolLimits(cfg)
	s, err := disk.Open(disk.Config{
		Dir: cfg.Spool.Dir, MaxSize: l.MaxSize, MinFree: l.MinFree, MaxAge: l.MaxAge, ProjectShare: l.ProjectShare,
		Logger: log, Observer: observer, Registerer: reg,
	})
	if err != nil {
		return nil, err // not a nil pointer in an interface
	}
	return s, nil
}
