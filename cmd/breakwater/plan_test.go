package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/logs"
)

func noEnv(string) (string, bool) { return "", false }

// inProcess is the gateway without listeners.
func inProcess(t *testing.T, text string) (*app, *config.Config) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "breakwater.yml")
	text = strings.NewReplacer("LISTEN", "127.0.0.1:0", "ADMIN", "127.0.0.1:0", "DATA", dir).Replace(text)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	// More than a file may say: no answer of Redis is late, however busy the machine.
	cfg.Limits.Redis.Timeout = config.Duration(time.Minute)
	a, err := newApp(t.Context(), path, cfg, noEnv, zerolog.Nop(), nil)
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = null.Close() })
	lines, err := logs.New(logs.Options{Config: config.Logs{Level: "info", Outputs: []config.Output{config.DefaultOutput()}}, Stdout: null})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { lines.Close(0) })
	if err := a.useLogs(lines); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.stop(); err != nil {
			t.Error(err)
		}
	})
	return a, cfg
}

// seriesOf lists what is exposed, without values.
func seriesOf(t *testing.T, g prometheus.Gatherer) (list []string) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			list = append(list, name)
		}
	}
	return list
}

// A configuration that any part refuses changes no part, whichever refuses it:
// not the projects, not a stage, not a destination, not a series.
func TestApplyAllOrNothing(t *testing.T) {
	for name, spoil := range map[string]func(*config.Config){
		"scrub":    func(c *config.Config) { c.Projects[1].Scrub.Rules = []config.ScrubRule{{Name: "a", Pattern: "("}} },
		"filter":   func(c *config.Config) { c.Projects[1].Filters.ClientIPs = []string{"nowhere"} },
		"limit":    func(c *config.Config) { c.Projects[1].Limits.PerKey.Burst = -1 },
		"storm":    func(c *config.Config) { c.Projects[1].Storm.First = -1 },
		"listener": func(c *config.Config) { c.Limits.JSONDepth = 0 },
		"tls":      func(c *config.Config) { c.Server.TLS = config.TLS{CertFile: "/nowhere", KeyFile: "/nowhere"} },
		"upstream": func(c *config.Config) { c.Projects[1].Upstreams[0].DSN = "not a DSN" },
		"duplicate": func(c *config.Config) {
			c.Projects[1].Upstreams = append(c.Projects[1].Upstreams, c.Projects[1].Upstreams[0])
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, cfg := inProcess(t, oneProject)
			project := a.projects.Load()
			before := seriesOf(t, prometheus.Gatherers{a.registry, a.pages})

			next := *cfg
			next.Projects = slices.Clone(cfg.Projects)
			second := next.Projects[0]
			second.ID, second.Name = 2, "second"
			second.Upstreams = slices.Clone(second.Upstreams)
			next.Projects = append(next.Projects, second)
			spoil(&next)
			if err := a.apply(&next); err == nil {
				t.Fatal("it was put in force")
			}
			if a.projects.Load() != project {
				t.Error("the projects changed")
			}
			if n := len(a.relay.Status()); n != 1 {
				t.Errorf("%d destinations", n)
			}
			if d := cmp.Diff(before, seriesOf(t, prometheus.Gatherers{a.registry, a.pages})); d != "" {
				t.Errorf("series changed: %s", d)
			}
			if err := a.apply(cfg); err != nil {
				t.Errorf("the configuration before is refused now: %v", err)
			}
		})
	}
}
