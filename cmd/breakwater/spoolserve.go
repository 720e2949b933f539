package main

import (
	"net/http"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/backlog"
	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/console"
	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/schemas"
)

// importedFile is where a gateway notes what it took from others, beside its
// spool.
const importedFile = "imported.log"

// backlogAPI is the part of the private API that moves records to and from
// other gateways. What comes in enters the ledger like what came by the door.
func (a *app) backlogAPI() map[string]http.Handler {
	cfg := a.reloader.Current()
	return apiPaths(newBacklogAPI(a.spool, importedOf(cfg.Spool.Dir), func(name string) (uint64, []string, bool) {
		return projectsOf(a.reloader.Current())(name)
	}, a.countImported, a.log.With().Str("part", "backlog").Logger()))
}

func apiPaths(api *backlog.API) map[string]http.Handler {
	h, paths := api.Handler(), map[string]http.Handler{}
	for _, p := range backlog.Paths {
		paths[p] = h
	}
	return paths
}

func importedOf(spoolDir string) string {
	return filepath.Join(filepath.Dir(filepath.Clean(spoolDir)), importedFile)
}

// countImported enters a record of another gateway in the books.
func (a *app) countImported(m *schemas.Meta) {
	for _, c := range m.Counts {
		a.ledger.Received(m.Project, c.Category, c.Quantity)
		a.ledger.Outcome(m.Project, c.Category, schemas.Accepted, "", c.Quantity)
	}
}

// newBacklogAPI moves records of a spool. accepted may be nil.
func newBacklogAPI(s spool.Spool, notes string, project func(string) (uint64, []string, bool), accepted func(*schemas.Meta), log zerolog.Logger) *backlog.API {
	return &backlog.API{Source: s, Importer: &backlog.Importer{Spool: s, Notes: notes, Project: project, Accepted: accepted}, Log: log}
}

// projectsOf looks projects up in a configuration.
func projectsOf(cfg *config.Config) func(string) (uint64, []string, bool) {
	return func(name string) (uint64, []string, bool) {
		for _, p := range cfg.Projects {
			if p.Name != name {
				continue
			}
			var names []string
			for _, u := range p.Upstreams {
				names = append(names, u.Name)
			}
			return p.ID, names, true
		}
		return 0, nil, false
	}
}

// atRest is the private API of a spool that no gateway uses.
func atRest(s spool.Spool, api *backlog.API, log zerolog.Logger) http.Handler {
	return console.New(console.Options{
		Gatherer: prometheus.NewRegistry(), Token: func() string { return "" }, Ready: func() error { return nil }, Reload: func() error { return nil },
		Status: func() any { return map[string]any{"spool": s.Stats()} }, Spool: s, Relay: nobodyDelivers{}, State: nothingKnown{}, API: apiPaths(api),
		Version: versionText(), Logger: log,
	})
}

// nobodyDelivers is the relay of a spool at rest.
type nobodyDelivers struct{}

func (nobodyDelivers) Status() []relay.Status        { return nil }
func (nobodyDelivers) Pause(spool.Destination) bool  { return false }
func (nobodyDelivers) Resume(spool.Destination) bool { return false }

// nothingKnown is what a spool at rest knows beside its records.
type nothingKnown struct{}

func (nothingKnown) Projects() []string                             { return nil }
func (nothingKnown) Groups(string, string, int) []console.Group     { return nil }
func (nothingKnown) Group(string, string) (g console.Group, _ bool) { return g, false }
func (nothingKnown) Sample(string, string) *console.Sample          { return nil }
func (nothingKnown) Releases() []console.Release                    { return nil }
func (nothingKnown) Vitals() []console.Vital                        { return nil }
func (nothingKnown) Outcomes() []console.Ledger                     { return nil }
func (nothingKnown) Limited() []console.Limited                     { return nil }
func (nothingKnown) Quotas() []console.Quota                        { return nil }
func (nothingKnown) Config() (c console.Config)                     { return c }
