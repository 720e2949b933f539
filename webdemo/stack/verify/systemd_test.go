package verify

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const units = "../systemd"

// unit is a unit file: the values of each key, an empty one taking back what
// stood before.
type unit map[string][]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(units, name))
	if err != nil {
		t.Fatal(err)
	}
	u := unit{}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			u[key] = append(u[key], value)
		}
	}
	return u
}

// one is the value of a key that stands once.
func (u unit) one(t *testing.T, key string) string {
	t.Helper()
	if len(u[key]) != 1 {
		t.Fatalf("%s is %q", key, u[key])
	}
	return u[key][0]
}

// systemd's own checkers take the units: every key is known and has a value it
// understands, and what the services could still reach is little.
func TestUnits(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing: `make deps` installs it (package systemd); it needs no running systemd")
	}
	for _, name := range []string{"breakwater.service", "nats.service"} {
		u := readUnit(t, name)
		program, _, _ := strings.Cut(u.one(t, "ExecStart"), " ")
		raw, err := os.ReadFile(filepath.Join(units, name))
		if err != nil {
			t.Fatal(err)
		}
		// The checker wants to see the program; here it is that of this tree.
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(raw), program, binary(t))), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := run(t, "systemd-analyze", "verify", "--man=no", file); strings.Contains(out, name) {
			t.Errorf("%s: %s", name, out)
		}
		// From 0, nothing to reach, to 100. The default of a service is 96.
		run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", file)
	}
}

// The times and paths of the unit are the gateway's.
func TestUnitFitsTheGateway(t *testing.T) {
	u := readUnit(t, "breakwater.service")
	if !slices.Contains(u["Environment"], "BREAKWATER_DATA_DIR=/var/lib/"+u.one(t, "StateDirectory")) {
		t.Errorf("the data directory %v is not the state directory", u["Environment"])
	}
	if at := "/etc/" + u.one(t, "ConfigurationDirectory") + "/breakwater.yml"; !strings.HasSuffix(u.one(t, "ExecStart"), " --config "+at) || !strings.HasSuffix(u["ExecReload"][0], " check --config "+at) {
		t.Errorf("it is started with %s and checks %s", u.one(t, "ExecStart"), u["ExecReload"][0])
	}
	cmd := exec.Command(binary(t), "check", "--print")
	cmd.Dir, cmd.Env = t.TempDir(), []string{}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	stop, err := time.ParseDuration(u.one(t, "TimeoutStopSec"))
	if err != nil {
		t.Fatal(err)
	}
	if needs := parseConfig(t, string(out)).stop(t); stop < needs+10*time.Second {
		t.Errorf("it is killed after %s; it may need %s and a moment", stop, needs)
	}
	users, err := os.ReadFile(filepath.Join(units, "breakwater.sysusers"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"breakwater.service", "nats.service"} {
		if user := readUnit(t, name).one(t, "User"); !strings.Contains(string(users), "\nu "+user+" ") {
			t.Errorf("breakwater.sysusers makes no user %s", user)
		}
	}
}

// allowed are the system calls that the unit lets through: the sets that it
// names, less those behind ~, with what systemd always adds.
func allowed(t *testing.T, u unit) map[string]bool {
	t.Helper()
	sets := map[string][]string{}
	set := ""
	for line := range strings.Lines(run(t, "systemd-analyze", "syscall-filter", "--no-pager")) {
		name := strings.TrimSpace(regexp.MustCompile(`\x1b\[[0-9;]*m`).ReplaceAllString(line, ""))
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case !strings.HasPrefix(line, " "):
			set = name
		default:
			sets[set] = append(sets[set], name)
		}
	}
	var expand func(name string) []string
	expand = func(name string) (list []string) {
		if !strings.HasPrefix(name, "@") {
			return []string{name}
		}
		for _, member := range sets[name] {
			list = append(list, expand(member)...)
		}
		return list
	}
	list := map[string]bool{}
	for _, name := range expand("@default") {
		list[name] = true
	}
	for _, filter := range u["SystemCallFilter"] {
		names, without := strings.CutPrefix(filter, "~")
		for _, name := range strings.Fields(names) {
			for _, call := range expand(name) {
				list[call] = !without
			}
		}
	}
	if !list["openat"] || list["mount"] || list["setpriority"] {
		t.Fatalf("read from systemd-analyze: openat %v, mount %v, setpriority %v", list["openat"], list["mount"], list["setpriority"])
	}
	return list
}
