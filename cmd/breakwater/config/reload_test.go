package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// rig is a reloader over a file, with what it applied.
type rig struct {
	*Reloader
	path    string
	applied []*Config
	fail    error
	clock   time.Time
	reg     *prometheus.Registry
}

func newRig(t *testing.T, text string) *rig {
	t.Helper()
	r := &rig{path: filepath.Join(t.TempDir(), "b.yml"), clock: time.Unix(1000, 0), reg: prometheus.NewPedanticRegistry()}
	write(t, r.path, text)
	c, err := Load(r.path, vars())
	if err != nil {
		t.Fatal(err)
	}
	r.Reloader = NewReloader(r.path, vars(), c, func(c *Config) error {
		if r.fail == nil {
			r.applied = append(r.applied, c)
		}
		return r.fail
	}, func() time.Time { return r.clock }, r.reg)
	return r
}

func (r *rig) metrics(t *testing.T, success, timestamp, hash string) {
	t.Helper()
	want := `# HELP breakwater_config_hash_info Always 1; the label identifies the configuration in force, secrets apart. Gateways that should be equal have the same.
# TYPE breakwater_config_hash_info gauge
breakwater_config_hash_info{hash="` + hash + `"} 1
# HELP breakwater_config_reload_success 1 when the last attempt to load the configuration was successful, 0 when it was refused and the one before stays in force: run breakwater check.
# TYPE breakwater_config_reload_success gauge
breakwater_config_reload_success ` + success + `
# HELP breakwater_config_reload_timestamp_seconds When the configuration in force was loaded, in seconds since 1970.
# TYPE breakwater_config_reload_timestamp_seconds gauge
breakwater_config_reload_timestamp_seconds ` + timestamp + "\n"
	if err := testutil.GatherAndCompare(r.reg, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	if lint, err := testutil.GatherAndLint(r.reg); err != nil || len(lint) > 0 {
		t.Errorf("%v, %v", lint, err)
	}
}

func TestReload(t *testing.T) {
	r := newRig(t, project("storm: {first: 5}"))
	before := r.Current()
	r.metrics(t, "1", "1000", before.Hash())

	write(t, r.path, project("storm: {first: 6}"))
	r.clock = time.Unix(2000, 0)
	warnings, err := r.Reload()
	if err != nil || len(warnings) > 0 || len(r.applied) != 1 || r.applied[0].Projects[0].Storm.First != 6 || r.Current() != r.applied[0] {
		t.Fatalf("%v, %v, %v", warnings, err, r.applied)
	}
	after := r.Current()
	r.metrics(t, "1", "2000", after.Hash())

	t.Run("invalid changes nothing", func(t *testing.T) {
		write(t, r.path, project("storm: {first: 0}"))
		r.clock = time.Unix(3000, 0)
		_, err := r.Reload()
		if ps := AsProblems(err); len(ps) != 1 || ps[0].Key != "projects[0].storm.first" || ps[0].Line != 5 {
			t.Errorf("%v", err)
		}
		if len(r.applied) != 1 || r.Current() != after {
			t.Error("something was applied")
		}
		r.metrics(t, "0", "2000", after.Hash())
	})
	t.Run("missing changes nothing", func(t *testing.T) {
		if err := os.Remove(r.path); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Reload(); AsProblems(err) == nil || r.Current() != after {
			t.Errorf("%v", err)
		}
	})
	t.Run("apply fails", func(t *testing.T) {
		write(t, r.path, project("storm: {first: 7}"))
		r.fail = errors.New("no")
		if _, err := r.Reload(); !errors.Is(err, r.fail) || r.Current() != after {
			t.Errorf("%v", err)
		}
		r.metrics(t, "0", "2000", after.Hash())
	})
	t.Run("and well again", func(t *testing.T) {
		r.fail = nil
		if _, err := r.Reload(); err != nil || r.Current().Projects[0].Storm.First != 7 {
			t.Errorf("%v", err)
		}
		r.metrics(t, "1", "3000", r.Current().Hash())
	})
}

func TestReloadKeepsWhatNeedsARestart(t *testing.T) {
	r := newRig(t, project())
	write(t, r.path, project("storm: {first: 6}")+"server: {listen: \":9999\", tls: {}, admin_token: 0123456789abcdef0}\nspool: {max_size: 1GiB}\nlimits: {json_depth: 50, read_timeout: 5s}\n")
	warnings, err := r.Reload()
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, w := range warnings {
		keys = append(keys, w.Key)
	}
	if got := strings.Join(keys, " "); got != "server.listen limits.read_timeout spool.max_size" {
		t.Errorf("warnings for %s", got)
	}
	c := r.Current()
	if c.Server.Listen != ":8080" || c.Spool.MaxSize != 10*gib || c.Limits.ReadTimeout != Duration(30*time.Second) {
		t.Error("a running value changed")
	}
	if c.Limits.JSONDepth != 50 || c.Projects[0].Storm.First != 6 || c.Server.AdminToken == "" {
		t.Error("what can be reloaded was not")
	}
}

// The new token may be missing because the new listener is a loopback one: the
// old listener, which stays, must not lose its token that way.
func TestReloadChecksTheMixture(t *testing.T) {
	r := newRig(t, project()+"server: {admin_listen: \":8081\", admin_token: 0123456789abcdef0}\n")
	write(t, r.path, project()+"server: {admin_listen: \"127.0.0.1:8081\"}\n")
	_, err := r.Reload()
	if ps := AsProblems(err); len(ps) != 1 || ps[0].Key != "server.admin_token" || !strings.Contains(ps[0].Fix, "restart") || ps[0].File != r.path {
		t.Errorf("%v", err)
	}
	if len(r.applied) > 0 {
		t.Error("applied")
	}
}

func TestReloadWithoutFile(t *testing.T) {
	env := vars("BREAKWATER_DATA_DIR", t.TempDir())
	c, err := Zero(env, "")
	if err != nil {
		t.Fatal(err)
	}
	var got *Config
	r := NewReloader("", env, c, func(c *Config) error { got = c; return nil }, time.Now, prometheus.NewRegistry())
	if w, err := r.Reload(); err != nil || len(w) > 0 || got.Hash() != c.Hash() || got.Projects[0].Keys[0] != c.Projects[0].Keys[0] {
		t.Errorf("%v, %v", w, err)
	}
}
