package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEnvironmentWins(t *testing.T) {
	file := project(`upstreams: [{dsn: "https://k@other.example/1"}]`) + "server: {listen: \":1\", admin_listen: \"127.0.0.1:2\"}\nlogs: {level: error}\nspool: {dir: /var/x}\n"
	c := mustParse(t, file, vars("BREAKWATER_LISTEN", ":9", "BREAKWATER_ADMIN_LISTEN", "127.0.0.1:10", "BREAKWATER_DATA_DIR", "/data",
		"BREAKWATER_KEY", keyB, "SENTRY_DSN", dsnX, "LOG_LEVEL", "WARNING"))
	got := []string{c.Server.Listen, c.Server.AdminListen, c.Spool.Dir, c.DataDir(), c.Projects[0].Keys[0].Public, c.Projects[0].Keys[1].Public, c.Projects[0].Upstreams[0].DSN.Reveal(), c.Logs.Level}
	want := []string{":9", "127.0.0.1:10", "/data/spool", "/data", keyB, keyA, dsnX, "warn"}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	empty := mustParse(t, file, vars("BREAKWATER_LISTEN", "", "LOG_LEVEL", " "))
	if empty.Server.Listen != ":1" || empty.Logs.Level != "error" {
		t.Errorf("empty variables change %q, %q", empty.Server.Listen, empty.Logs.Level)
	}
	if again := mustParse(t, file, vars("BREAKWATER_KEY", keyA)); len(again.Projects[0].Keys) != 1 {
		t.Errorf("the key is there twice: %v", again.Projects[0].Keys)
	}
}

// One variable must not send all projects' reports into one Sentry.
func TestSentryDSNWithSeveralUpstreams(t *testing.T) {
	c := mustParse(t, `projects:
  - {id: 1, name: a, keys: [{public: `+keyA+`}], upstreams: [{dsn: "https://k@a.example/1"}, {name: es, type: elasticsearch, url: "http://x", index: i}]}
  - {id: 2, name: b, keys: [{public: `+keyB+`}]}
`, vars("SENTRY_DSN", dsnX))
	if got := c.Projects[0].Upstreams[0].DSN.Reveal(); got != "https://k@a.example/1" {
		t.Errorf("the file's DSN became %s", got)
	}
	if got := c.Projects[1].Upstreams[0]; got.Held() || got.DSN.Reveal() != dsnX || got.Name != "sentry" {
		t.Errorf("the held upstream is %+v", got)
	}
}

func TestProblemsInTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{
		"BREAKWATER_LISTEN": "nowhere", "BREAKWATER_ADMIN_LISTEN": "x", "BREAKWATER_KEY": "short", "SENTRY_DSN": "hunter2://x", "LOG_LEVEL": "loud",
	} {
		for kind, file := range map[string]string{"without file": "", "with file": project("upstreams: [{dsn: \"" + dsnX + "\"}]")} {
			t.Run(name+" "+kind, func(t *testing.T) {
				ps := problemsOf(t, file, vars(name, value))
				if len(ps) != 1 || ps[0].File != "environment" || ps[0].Key != name || ps[0].Fix == "" {
					t.Errorf("%v", ps)
				}
				if strings.Contains(ps.Error(), "hunter2") {
					t.Errorf("shows the DSN: %v", ps)
				}
			})
		}
	}
}

func TestLoadFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "breakwater.yml")
	write(t, path, project())
	if c, err := Load(path, vars()); err != nil || c.Projects[0].Name != "shop" {
		t.Errorf("%v, %v", c, err)
	}
	for name, path := range map[string]string{"missing": filepath.Join(dir, "none.yml"), "folder": dir} {
		_, err := Load(path, vars())
		if ps := AsProblems(err); len(ps) != 1 || ps[0].File != path || !strings.Contains(ps[0].Reason, "cannot be read") {
			t.Errorf("%s: %v", name, err)
		}
	}
	write(t, path, strings.Repeat("#", maxFileSize+100))
	if _, err := Load(path, vars()); !strings.Contains(AsProblems(err)[0].Reason, "at most") {
		t.Errorf("%v", err)
	}
}

func TestZeroMakesOneKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	first, err := Zero(vars("SENTRY_DSN", dsnX), dir)
	if err != nil {
		t.Fatal(err)
	}
	p := first.Projects[0]
	if p.ID != 1 || p.Name != "default" || len(p.Keys) != 1 || !regexp.MustCompile(publicKeyPattern).MatchString(p.Keys[0].Public) {
		t.Errorf("%+v", p)
	}
	if p.Upstreams[0].Name != "sentry" || p.Upstreams[0].Held() || first.Spool.Dir != filepath.Join(dir, "spool") {
		t.Errorf("%+v, %s", p.Upstreams[0], first.Spool.Dir)
	}
	info, err := os.Stat(filepath.Join(dir, "key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	again, err := Zero(vars(), dir)
	if err != nil || again.Projects[0].Keys[0].Public != p.Keys[0].Public {
		t.Errorf("another key: %v, %v", again, err)
	}
	if !again.Projects[0].Upstreams[0].Held() {
		t.Error("not held without a DSN")
	}
	env, err := Zero(vars("BREAKWATER_KEY", keyB), dir)
	if err != nil || len(env.Projects[0].Keys) != 1 || env.Projects[0].Keys[0].Public != keyB {
		t.Errorf("%v, %v", env, err)
	}
	other, err := Zero(vars("BREAKWATER_DATA_DIR", t.TempDir()), dir)
	if err != nil || other.Projects[0].Keys[0].Public == p.Keys[0].Public {
		t.Errorf("BREAKWATER_DATA_DIR is not asked: %v, %v", other, err)
	}
}

// A file without projects is like no file: the same key is used.
func TestFileWithoutProjects(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "b.yml")
	write(t, path, "spool: {dir: "+filepath.Join(dir, "spool")+"}\nscrub: {email: true, fields: [pin]}\n")
	c, err := Load(path, vars())
	if err != nil || len(c.Projects[0].Keys) != 0 {
		t.Fatalf("%v, %v", c, err)
	}
	if !c.Projects[0].Scrub.Email || len(c.Projects[0].Scrub.Fields) != 1 {
		t.Errorf("general scrubbing does not reach it: %+v", c.Projects[0].Scrub)
	}
	if made, err := c.EnsureKey(); !made || err != nil {
		t.Fatal(made, err)
	}
	again, err := Load(path, vars())
	if err != nil || len(again.Projects[0].Keys) != 1 || again.Projects[0].Keys[0] != c.Projects[0].Keys[0] {
		t.Errorf("%v, %v", again, err)
	}
	if made, err := again.EnsureKey(); made || err != nil {
		t.Error(made, err)
	}
}

func TestDamagedKeyFile(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "other": "hello\n", "too long": strings.Repeat("a", 5000)} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "key"), text)
			_, err := Zero(vars(), dir)
			if ps := AsProblems(err); len(ps) != 1 || ps[0].File != filepath.Join(dir, "key") {
				t.Errorf("%v", err)
			}
			if have, _ := os.ReadFile(filepath.Join(dir, "key")); string(have) != text {
				t.Error("the file was changed")
			}
		})
	}
}

// Processes that start at the same time agree on one key.
func TestKeyMadeByManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	keys := make([]string, 16)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			c, err := Zero(vars(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = c.Projects[0].Keys[0].Public
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] {
			t.Errorf("keys %q and %q", keys[0], k)
		}
	}
}

func TestDataDir(t *testing.T) {
	for dir, want := range map[string]string{"./breakwater-data/spool": "breakwater-data", "/var/lib/bw/spool": "/var/lib/bw", "/data": "/data", "/spool": "/"} {
		c := mustParse(t, "spool: {dir: "+dir+"}", vars())
		if got := c.DataDir(); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
	if got := mustParse(t, "", vars("BREAKWATER_DATA_DIR", "./d")).Spool.Dir; got != "./d/spool" {
		t.Error(got)
	}
}
