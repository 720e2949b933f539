package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// This file holds the shape of the house. Arrows mean "may import":
//
//	             cmd/breakwater
//	           /      |       \
//	ingest/<child>    |    relay/<child>      never a sibling
//	       |          |         |
//	    ingest        |       relay           never each other
//	          \       |       /
//	               schemas                    nothing of ours
//
// The linters say the same earlier, in the editor, and less exactly.

// layer is what the packages of a pattern may import of ours. The first layer
// that a package matches counts; * stands for one folder.
type layer struct {
	packages string
	may      []string
	tests    []string // further ones that its tests may
	why      string
}

var layers = []layer{
	{"schemas", nil, nil, "the shared language depends on nobody who speaks it"},
	{"ingest", []string{"schemas"}, []string{"ingest/*"}, "the edge declares what it needs; who provides it is wired in cmd"},
	{"ingest/*", []string{"ingest", "schemas"}, nil, "each decision and each protocol can be read, tested and removed alone"},
	{"relay", []string{"relay/spool", "schemas"}, []string{"relay/relaytest", "relay/spool/disk"}, "the loop knows the contract of a spool, and no spool and no destination"},
	{"relay/spool", []string{"schemas"}, nil, "a contract does not know who keeps it"},
	{"relay/spool/*", []string{"relay/spool", "schemas"}, []string{"relay/spool/spooltest", "relay/spool/jetstream/natstest"}, "a spool is one of several and knows none of the others"},
	{"relay/spool/jetstream/natstest", nil, nil, "it starts servers for tests and knows nothing of what they are used for"},
	{"relay/*", []string{"relay", "relay/spool", "schemas"}, []string{"relay/relaytest", "relay/spool/disk"}, "a destination knows its own protocol; retries, backoff and outcomes are the loop's"},
	{"cmd/breakwater/config/generate", []string{"cmd/breakwater/config"}, nil, "it only writes down what the types say"},
	{"cmd/breakwater/config", []string{"ingest/scrub", "schemas"}, nil, "it says what operators may write; what is made of it is wired in cmd. Scrubbing paths are a language that only the scrubber knows"},
	{"cmd/breakwater/backlog", []string{"relay/spool", "schemas"}, []string{"relay/spool/disk"}, "an archive moves between any two spools; which ones is wired in cmd"},
	{"cmd/breakwater/logs", []string{"cmd/breakwater/config", "relay/syslog"}, nil, "log lines and reports speak to syslog servers in the same words; of delivery it knows nothing"},
	{"cmd/breakwater/*", []string{"cmd/breakwater/config", "ingest", "relay", "relay/spool", "schemas"}, nil, "console and monitoring show what the contracts tell"},
	{"cmd/breakwater", []string{"cmd/breakwater/*", "ingest", "ingest/*", "relay", "relay/*", "relay/spool/*", "schemas"}, nil, "the one place that knows both halves"},
	{"cmd/loadgen", []string{"relay/relaytest", "relay/spool", "relay/spool/*", "relay/spool/jetstream/natstest", "schemas"}, nil, "it tests the gateway from outside, as a client and as an upstream, and reads the spool that one left behind"},
}

// suite are the packages that are tests in other clothes: only tests and the
// load tool may import them, whatever a layer says.
var suite = []string{"relay/relaytest", "relay/spool/spooltest", "relay/spool/jetstream/natstest", "cmd/breakwater/redistest"}

// never lists modules that are in go.mod as a tool of the tests, run as
// processes: nothing of ours may import them, tests neither.
var never = []string{"github.com/nats-io/nats-server"}

// only names the packages that may import a library.
type only struct {
	library string
	in      []string
	why     string
}

var libraries = []only{
	{"github.com/labstack/echo", []string{"ingest", "cmd/breakwater", "cmd/breakwater/console"}, "protocols and stages are plain functions; the server stays replaceable"},
	{"github.com/goccy/go-yaml", []string{"cmd/breakwater/config", "cmd/breakwater/config/generate", "cmd/breakwater/monitoring"}, "YAML is for people and for Prometheus; nothing inside speaks it"},
	{"github.com/invopop/jsonschema", []string{"cmd/breakwater/config/generate"}, "the schema is made when the code is, not when it runs"},
	{"github.com/getsentry/sentry-go", []string{"ingest", "cmd/breakwater"}, "it is for the gateway's own errors and for the events made of other protocols' reports; what passes through stays bytes"},
	{"github.com/grafana/grafana-foundation-sdk", []string{"cmd/breakwater/monitoring"}, "dashboards are data for Grafana, made in one place"},
	{"github.com/yuin/goldmark", []string{"cmd/breakwater/monitoring"}, "Markdown is how runbooks are written; pages are templates"},
	{"github.com/mikelolasagasti/xz", []string{"ingest/minidump"}, "only crash uploaders pack with xz"},
	{"github.com/tinylib/msgp", []string{"ingest/minidump"}, "only sentry-native speaks MessagePack, beside its dumps"},
	{"github.com/redis/go-redis/v9", []string{"cmd/breakwater/fleet"}, "what gateways decide together is asked of one interface; who keeps it can change"},
	{"github.com/go-redis/redis_rate/v10", []string{"cmd/breakwater/fleet"}, "its script is a part of ours"},
	{"gopkg.in/natefinch/lumberjack.v2", []string{"cmd/breakwater/logs"}, "it is for the gateway's own log; a destination must know when its lines are on disk"},
	{"github.com/coreos/go-systemd", []string{"cmd/breakwater"}, "only the process has a service manager"},
	{"github.com/nats-io/nats.go", []string{"relay/spool/jetstream", "cmd/loadgen"}, "the stream is one of two spools; everything else speaks to the contract. The load tool publishes by itself to compare"},
	{"github.com/alecthomas/kong", []string{"cmd/breakwater", "cmd/loadgen"}, "a command line belongs to a command"},
}

// folders and files are the only ones at the top.
var (
	folders = []string{"cmd", "ingest", "relay", "schemas", "webdemo"}
	files   = []string{"go.mod", "go.sum", "Dockerfile", "README.md", "Makefile", "LICENSE", "CHANGELOG.md", "ARCHITECTURE.md"}
)

// vague names say nothing about what is inside.
var vague = []string{"util", "utils", "common", "helper", "helpers", "misc", "types", "manager", "internal", "pkg", "shared", "base"}

// pkg is one package as `go list` tells it.
type pkg struct {
	ImportPath                         string
	Name                               string
	Imports, TestImports, XTestImports []string
}

func (p pkg) short() string { return strings.TrimPrefix(p.ImportPath, "breakwater/") }

// listPackages asks the go command.
func listPackages(t *testing.T) (list []pkg) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Name,Imports,TestImports,XTestImports", "breakwater/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return list
		case err != nil:
			t.Fatalf("reading what go list says: %v", err)
		}
		list = append(list, p)
	}
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, err := path.Match(p, name)
		return err == nil && ok
	})
}

func layerOf(name string) (int, bool) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matchAny([]string{l.packages}, name) })
	return i, i >= 0
}

// faults checks imports against the rules, and the rules against the packages:
// one that no package fits any more is stale.
func faults(packages []pkg) (list []string) {
	used := map[string]bool{}
	for _, p := range packages {
		if slices.Contains(vague, path.Base(p.short())) {
			list = append(list, fmt.Sprintf("%s: a package is named after what it does", p.short()))
		}
		i, known := layerOf(p.short())
		if !known {
			list = append(list, fmt.Sprintf("%s has no layer: say in deps_test.go what it may import, and why", p.short()))
			continue
		}
		l := layers[i]
		used[l.packages] = true
		check := func(imports []string, may []string, test bool) {
			for _, imported := range imports {
				what, ours := strings.CutPrefix(imported, "breakwater/")
				if ours && what != p.short() && !matchAny(may, what) || ours && !test && p.short() != "cmd/loadgen" && slices.Contains(suite, what) {
					list = append(list, fmt.Sprintf("%s imports %s, which %s may not: %s", p.short(), what, l.packages, l.why))
				}
				for _, n := range never {
					if strings.HasPrefix(imported, n) {
						list = append(list, fmt.Sprintf("%s imports %s, which is a tool of the tests", p.short(), imported))
					}
				}
				for _, o := range libraries {
					if imported != o.library && !strings.HasPrefix(imported, o.library+"/") {
						continue
					}
					if slices.Contains(o.in, p.short()) {
						used[o.library] = true
					} else if !test {
						list = append(list, fmt.Sprintf("%s imports %s: %s", p.short(), imported, o.why))
					}
				}
			}
		}
		check(p.Imports, l.may, false)
		inTests := slices.Concat(l.may, l.tests)
		if strings.HasPrefix(p.short(), "cmd/") {
			inTests = slices.Concat(inTests, suite)
		}
		check(slices.Concat(p.TestImports, p.XTestImports), inTests, true)
	}
	for _, l := range layers {
		if !used[l.packages] {
			list = append(list, fmt.Sprintf("layer %s is stale: no package is in it", l.packages))
		}
	}
	for _, o := range libraries {
		if !used[o.library] {
			list = append(list, fmt.Sprintf("the rule for %s is stale: nobody imports it", o.library))
		}
	}
	return list
}

func TestImports(t *testing.T) {
	for _, f := range faults(listPackages(t)) {
		t.Error(f)
	}
}

// The rules themselves can fail: each case breaks one of them.
func TestImportRulesBite(t *testing.T) {
	actual := listPackages(t)
	add := func(name string, imports ...string) []pkg {
		return append(slices.Clone(actual), pkg{ImportPath: "breakwater/" + name, Imports: imports})
	}
	without := func(name string) []pkg {
		return slices.DeleteFunc(slices.Clone(actual), func(p pkg) bool { return p.short() == name })
	}
	const echo = "github.com/labstack/echo/v4"
	tests := map[string]struct {
		packages []pkg
		fault    string
	}{
		"ingest imports relay":          {add("ingest", "breakwater/relay"), "ingest imports relay"},
		"relay imports ingest":          {add("relay", "breakwater/ingest"), "relay imports ingest"},
		"schemas imports ours":          {add("schemas", "breakwater/ingest"), "schemas imports ingest"},
		"siblings of ingest":            {add("ingest/limit", "breakwater/ingest/storm"), "ingest/limit imports ingest/storm"},
		"siblings of relay":             {add("relay/loki", "breakwater/relay/sentry"), "relay/loki imports relay/sentry"},
		"siblings of spool":             {add("relay/spool/jetstream", "breakwater/relay/spool/disk"), "relay/spool/jetstream imports relay/spool/disk"},
		"a child imports cmd":           {add("ingest/limit", "breakwater/cmd/breakwater/config"), "ingest/limit imports cmd/breakwater/config"},
		"a suite in the product":        {add("cmd/breakwater", "breakwater/relay/relaytest"), "cmd/breakwater imports relay/relaytest"},
		"echo in a child":               {add("ingest/limit", echo), "ingest/limit imports " + echo},
		"echo's middleware in a child":  {add("relay", echo+"/middleware"), "relay imports " + echo + "/middleware"},
		"a server in the product":       {add("relay/spool/jetstream", "github.com/nats-io/nats-server/v2/server"), "relay/spool/jetstream imports github.com/nats-io/nats-server"},
		"a package without a layer":     {add("tools/x"), "tools/x has no layer"},
		"a package three floors down":   {add("ingest/a/b"), "ingest/a/b has no layer"},
		"a vague name":                  {add("ingest/util"), "ingest/util: a package is named after what it does"},
		"a layer nobody is in":          {without("cmd/loadgen"), "layer cmd/loadgen is stale"},
		"a library rule nobody needs":   {without("cmd/breakwater/config/generate"), "the rule for github.com/invopop/jsonschema is stale"},
		"a test that crosses the house": {append(slices.Clone(actual), pkg{ImportPath: "breakwater/ingest/limit", XTestImports: []string{"breakwater/relay"}}), "ingest/limit imports relay"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			list := faults(tt.packages)
			if !slices.ContainsFunc(list, func(f string) bool { return strings.HasPrefix(f, tt.fault) }) {
				t.Errorf("no fault begins with %q in %q", tt.fault, list)
			}
		})
	}
}

// What is kept at the top is fixed to the file: a binary that go build left
// there was committed once.
func TestFilesAtTheTop(t *testing.T) {
	out, err := exec.Command("git", "-C", filepath.Join("..", ".."), "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("git does not say here what is kept (%v): in an archive of the source nobody can tell it from what was built", err)
	}
	kept := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(kept) < 100 {
		t.Fatalf("git keeps %d files only", len(kept))
	}
	for _, name := range kept {
		folder, _, inside := strings.Cut(name, "/")
		if strings.HasPrefix(name, ".") || (inside && slices.Contains(folders, folder)) || slices.Contains(files, name) {
			continue
		}
		t.Errorf("%s: at the top are %s and what begins with a dot", name, strings.Join(append(slices.Clone(folders), files...), ", "))
	}
}

// A tool of the tests does not come into the binaries by way of a library either.
func TestImportsOfLibraries(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "breakwater/cmd/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dep := range strings.Lines(string(out)) {
		for _, n := range never {
			if strings.HasPrefix(dep, n) {
				t.Errorf("the commands link %s", strings.TrimSpace(dep))
			}
		}
	}
}

// The folders at the top are fixed; what is hidden or built does not count.
func TestFoldersAtTheTop(t *testing.T) {
	entries, err := os.ReadDir(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	var found int
	for _, e := range entries {
		name := e.Name()
		switch {
		case !e.IsDir(), strings.HasPrefix(name, "."), name == "bin", name == "breakwater-data", name == "testdata":
		case slices.Contains(folders, name):
			found++
		default:
			t.Errorf("folder %s: the folders at the top are %s", name, strings.Join(folders, ", "))
		}
	}
	if found < 4 {
		t.Errorf("only %d of the folders %s are there", found, strings.Join(folders, ", "))
	}
}
