package main

import (
	"os"
	"path/filepath"

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
