package config

import (
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Reloader changes the configuration of a running gateway, whole or not at all.
//
// What a reload cannot change — listeners, the spool, log outputs and whatever
// else the README marks — keeps its running value, and Reload says so. That way
// Current, the hash in the metrics and what the gateway does are always the same.
type Reloader struct {
	path  string
	env   Lookup
	apply func(*Config) error
	now   func() time.Time

	mu      sync.Mutex
	current *Config

	success   prometheus.Gauge
	timestamp prometheus.Gauge
	hash      *prometheus.GaugeVec
}

// NewReloader makes a reloader for the configuration that the process began
// with. path is "" when there is no file. apply puts a new configuration in
// force; when it returns an error it must have changed nothing. It is never
// called twice at once.
func NewReloader(path string, env Lookup, current *Config, apply func(*Config) error, now func() time.Time, reg prometheus.Registerer) *Reloader {
	r := &Reloader{path: path, env: env, apply: apply, now: now, current: current}
	r.register(reg)
	r.inForce(current)
	return r
}

// Current is the configuration in force. It must not be changed.
func (r *Reloader) Current() *Config {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.current
}

// Reload reads the file and the environment again, checks them and puts them
// in force. On an error, which is Problems unless apply failed, nothing has
// changed. The warnings name the keys that need a restart.
func (r *Reloader) Reload() (warnings Problems, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		if err != nil {
			r.success.Set(0)
		}
	}()
	next, err := Load(r.path, r.env)
	if err != nil {
		return nil, err
	}
	if _, err := next.EnsureKey(); err != nil {
		return nil, err
	}
	warnings = keepRunning(r.name(), r.current, next)
	if len(warnings) > 0 {
		// The mixture was never checked: a new admin_token may be right for the
		// new listener only.
		if err := recheck(r.name(), next); err != nil {
			return nil, err
		}
	}
	if err := r.apply(next); err != nil {
		return nil, fmt.Errorf("applying the configuration: %w", err)
	}
	r.inForce(next)
	return warnings, nil
}

func (r *Reloader) name() string {
	if r.path == "" {
		return environment
	}
	return r.path
}

// keepRunning puts the running value back into every key that needs a restart
// and differs, and reports it.
func keepRunning(file string, running, next *Config) (changed Problems) {
	var walk func(key string, a, b reflect.Value, restart bool)
	walk = func(key string, a, b reflect.Value, restart bool) {
		for i := range a.NumField() {
			f := a.Type().Field(i)
			name := f.Tag.Get("yaml")
			fixed := restart || f.Tag.Get("restart") != ""
			switch {
			case name == "":
			case f.Type.Kind() == reflect.Struct && !isScalar(a.Field(i)):
				walk(join(key, name), a.Field(i), b.Field(i), fixed)
			case fixed && !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()):
				b.Field(i).Set(a.Field(i))
				changed = append(changed, Problem{
					File: file, Key: join(key, name), Reason: "was changed, and needs a restart; the old value stays in force",
					Fix: "restart the gateway, or put the old value back",
				})
			}
		}
	}
	walk("", reflect.ValueOf(running).Elem(), reflect.ValueOf(next).Elem(), false)
	next.dataDir = running.dataDir
	return changed
}

// recheck checks a configuration that did not come from a file as it is.
func recheck(file string, c *Config) error {
	k := newChecker(c, newDecoder(environment, func(string) (string, bool) { return "", false }))
	k.check()
	if len(k.problems) == 0 {
		return nil
	}
	for i := range k.problems {
		p := &k.problems[i]
		p.File, p.Fix = file, "restart the gateway: together with the running values of keys that need a restart this cannot be used"
	}
	return k.problems
}
