package config

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"breakwater/schemas"
)

// environment is the file name of problems in environment variables.
const environment = "environment"

// Load reads, expands, overrides and checks a configuration; env is usually
// os.LookupEnv. Without a path it is that of Default and the environment. The
// error is Problems. Nothing is written; for a configuration that Implicit
// says true of, call EnsureKey before serving.
func Load(path string, env Lookup) (*Config, error) {
	var data []byte
	name := path
	if path == "" {
		name = environment
	} else {
		var err error
		if data, err = readConfig(path); err != nil {
			return nil, Problems{{File: path, Reason: "cannot be read: " + plain(err), Fix: "check the path and who may read it, or start without --config to use the defaults"}}
		}
	}
	c, err := Parse(name, data, env)
	if err != nil {
		return nil, err
	}
	if c.implicit && len(c.Projects[0].Keys) == 0 {
		if err := c.readKey(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return c, nil
}

// readConfig reads a file or a pipe (a shell's <(…) is one), one byte further
// than Parse accepts.
func readConfig(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileSize+1))
}

// Parse is Load for a file that is already in memory; name is what problems
// call it. It does not look for the key in the data directory.
func Parse(name string, data []byte, env Lookup) (*Config, error) {
	root, problem := parseYAML(name, data)
	if problem != nil {
		return nil, Problems{*problem}
	}
	c := defaults()
	d := newDecoder(name, env)
	d.root(root, c)
	if len(c.Projects) == 0 {
		c.addImplicitProject()
	}
	c.nameUpstreams()
	k := newChecker(c, d)
	k.override(env)
	k.check()
	if len(d.problems) > 0 {
		return nil, d.problems.ordered()
	}
	c.settle()
	return c, nil
}

// settle brings a checked configuration into its final form: each category
// under its first name, the general scrubbing lists in every project.
func (c *Config) settle() {
	for i := range c.Projects {
		p := &c.Projects[i]
		p.Limits.Categories = byCategory(p.Limits.Categories)
		p.Limits.Quota = byCategory(p.Limits.Quota)
		p.Scrub = mergeScrub(c.Scrub, p.Scrub)
	}
}

func byCategory[V any](m map[string]V) map[string]V {
	out := make(map[string]V, len(m))
	for name, v := range m {
		cat, _ := schemas.ParseCategory(name)
		out[string(cat)] = v
	}
	return out
}

// switches is where the scrubbing of a project begins. The lists are added at
// the end, when both are checked: see mergeScrub.
func (s Scrub) switches() Scrub {
	return Scrub{Defaults: s.Defaults, IP: s.IP, Email: s.Email, Opaque: s.Opaque}
}

// mergeScrub adds the general lists in front of a project's own. Adding is the
// safe way round: a project that names a field of its own must not lose those
// that everybody scrubs.
func mergeScrub(general, own Scrub) Scrub {
	own.Fields = union(general.Fields, own.Fields)
	own.SafeFields = union(general.SafeFields, own.SafeFields)
	rules := slices.Clone(general.Rules)
	for _, r := range own.Rules {
		if i := slices.IndexFunc(rules, func(have ScrubRule) bool { return have.Name == r.Name }); i >= 0 {
			rules[i] = r // a rule of the same name replaces the general one
			continue
		}
		rules = append(rules, r)
	}
	own.Rules = rules
	return own
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// override lets environment variables win over the file. Empty ones count as
// not set.
func (c *checker) override(env Lookup) {
	set := func(name string, apply func(value string), keys ...string) {
		value, ok := env(name)
		if value = strings.TrimSpace(value); !ok || value == "" {
			return
		}
		apply(value)
		for _, key := range keys {
			c.from[key] = name
			delete(c.bad, key)
		}
	}
	set("BREAKWATER_LISTEN", func(v string) { c.Server.Listen = v }, "server.listen")
	set("BREAKWATER_ADMIN_LISTEN", func(v string) { c.Server.AdminListen = v }, "server.admin_listen")
	set("BREAKWATER_DATA_DIR", func(v string) { c.dataDir, c.Spool.Dir = v, spoolDir(v) }, "spool.dir")
	set("LOG_LEVEL", func(v string) { c.Logs.Level = logLevel(v) }, "logs.level")
	// The variable's key comes first; those of the file go on being accepted,
	// so that clients that have one in them are not cut off.
	set("BREAKWATER_KEY", func(v string) { c.firstKey(v) }, "projects[0].keys[0].public")
	set("SENTRY_DSN", c.overrideDSN)
}

func logLevel(v string) string {
	if v = strings.ToLower(v); v == "warning" {
		return "warn"
	}
	return v
}

func (c *checker) firstKey(public string) {
	p := &c.Projects[0]
	for i, k := range p.Keys {
		if k.Public == public {
			p.Keys[0], p.Keys[i] = p.Keys[i], p.Keys[0]
			return
		}
	}
	p.Keys = slices.Insert(p.Keys, 0, Key{Public: public, Name: environment})
}

// overrideDSN gives SENTRY_DSN to the only upstream of type sentry. When there
// are several, only those without a DSN get it: one variable must not send all
// projects' reports into one.
func (c *checker) overrideDSN(dsn string) {
	var all, held []*Upstream
	keys := map[*Upstream]string{}
	for i := range c.Projects {
		for j := range c.Projects[i].Upstreams {
			u := &c.Projects[i].Upstreams[j]
			if u.Type != "sentry" {
				continue
			}
			keys[u] = upstreamKey(i, j) + ".dsn"
			all = append(all, u)
			if u.Held() && !c.bad[keys[u]] {
				held = append(held, u)
			}
		}
	}
	if len(all) == 1 {
		held = all
	}
	for _, u := range held {
		u.DSN = Secret(dsn)
		c.from[keys[u]] = "SENTRY_DSN"
		delete(c.bad, keys[u])
	}
}

// Implicit tells whether nobody configured a project, so that there is the one
// of Default. EnsureKey gives it a key.
func (c *Config) Implicit() bool { return c.implicit }

// DataDir is the folder for what the gateway keeps beside the spool:
// BREAKWATER_DATA_DIR, else the folder that holds a spool folder named spool,
// else the spool folder itself.
func (c *Config) DataDir() string {
	switch {
	case c.dataDir != "":
		return c.dataDir
	case filepath.Base(c.Spool.Dir) == "spool":
		return filepath.Dir(c.Spool.Dir)
	}
	return c.Spool.Dir
}

// ClientDSN is what applications on this machine put into their SDK to reach a
// project by one of its keys.
func (c *Config) ClientDSN(p Project, k Key) string {
	host, port, err := net.SplitHostPort(c.Server.Listen)
	if err != nil || unspecified(host) {
		host = "localhost"
	}
	scheme := "http"
	if c.Server.TLS.Enabled() {
		scheme = "https"
	}
	return scheme + "://" + k.Public + "@" + net.JoinHostPort(host, port) + "/" + strconv.FormatUint(p.ID, 10)
}
