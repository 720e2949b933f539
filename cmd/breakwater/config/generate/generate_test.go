package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	invopop "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"breakwater/cmd/breakwater/config"
)

func noEnv(string) (string, bool) { return "", false }

// published is the schema as it is in the repository.
func published(t *testing.T) (root string, schema []byte) {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	schema, err = os.ReadFile(filepath.Join(root, schemaFile))
	if err != nil {
		t.Fatal(err)
	}
	return root, schema
}

// made is the schema as it should be.
func made(t *testing.T) *invopop.Schema {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	s, err := makeSchema(root)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	_, raw := published(t)
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSchemaIsFresh(t *testing.T) {
	_, have := published(t)
	want, err := schemaJSON(made(t))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(have), string(want)); diff != "" {
		t.Errorf("%s is stale; run: go generate ./cmd/breakwater/config\n%s", schemaFile, diff)
	}
}

func TestReadmeIsFresh(t *testing.T) {
	root, _ := published(t)
	have, err := os.ReadFile(filepath.Join(root, readmeFile))
	if err != nil {
		t.Fatalf("there is no README yet: %v", err)
	}
	want, found := withTable(have, made(t))
	if !found {
		t.Fatalf("the README has no marks %s and %s", beginMark, endMark)
	}
	if diff := cmp.Diff(string(have), string(want)); diff != "" {
		t.Errorf("the README's table is stale; run: go generate ./cmd/breakwater/config\n%s", diff)
	}
}

func TestReadmeTable(t *testing.T) {
	schema := made(t)
	readme := []byte("# Title\n\n<!-- config:begin -->\nstale text\n<!-- config:end -->\n\nmore\n")
	out, found := withTable(readme, schema)
	if !found {
		t.Fatal("marks not found")
	}
	for _, line := range []string{
		"# Title\n\n<!-- config:begin -->\n| key | default | what |\n|---|---|---|\n",
		"| `server.listen`¹ | `:8080` | Address of the public listener, which serves ingest and nothing else. |\n",
		"| `limits.per_ip.rate` | `50/s` |", "| `projects[].upstreams[].dsn` | `\"\"` |",
		"| `projects[].limits.categories.<name>.burst` | `0` |", "| `projects[].allowed_origins` | `[\"*\"]` |",
		"\n<!-- config:end -->\n\nmore\n",
	} {
		if !strings.Contains(string(out), line) {
			t.Errorf("table lacks %q", line)
		}
	}
	if again, _ := withTable(out, schema); !bytes.Equal(again, out) {
		t.Error("writing the table twice changes it")
	}
	if strings.Contains(string(out), "stale text") {
		t.Error("old text stays")
	}
	if _, found := withTable([]byte("# Title"), schema); found {
		t.Error("found marks that are not there")
	}
}

// asJSON is a YAML text as the JSON Schema library wants it.
func asJSON(t *testing.T, text []byte) any {
	t.Helper()
	raw, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestFullExampleFitsTheSchema(t *testing.T) {
	text, err := os.ReadFile("../testdata/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	if err := compiled(t).Validate(asJSON(t, text)); err != nil {
		t.Error(err)
	}
	_, err = config.Parse("full.yml", text, func(name string) (string, bool) {
		return "https://0123456789abcdef0123456789abcdef@sentry.example.com/1", name == "SHOP_SENTRY_DSN"
	})
	for _, p := range config.AsProblems(err) {
		t.Error(p)
	}
}

// What the schema refuses, Parse refuses too: an editor never marks a line
// that works.
func TestSchemaAndParseAgree(t *testing.T) {
	const project = "projects: [{id: 1, name: a, keys: [{public: 0123456789abcdef0123456789abcdef}], "
	tests := map[string]string{
		"unknown key":       "servr: {}",
		"unknown sub key":   "server: {lissen: \":1\"}",
		"bad size":          "limits: {request_size: 40 megs}",
		"bad duration":      "vitals: {settle: 60}",
		"bad rate":          "limits: {per_ip: {rate: 50}}",
		"quoted number":     "server: {max_connections: \"10\"}",
		"number too large":  "server: {max_connections: 10000001}",
		"bad share":         "spool: {project_share: 1.5}",
		"quoted bool":       "scrub: {ip: \"true\"}",
		"engine":            "spool: {engine: redis}",
		"tunnel":            "server: {tunnel_path: t}",
		"key":               "projects: [{id: 1, name: a, keys: [{public: XYZ}]}]",
		"no id":             "projects: [{name: a, keys: [{public: 0123456789abcdef0123456789abcdef}]}]",
		"upstream type":     project + "upstreams: [{type: kafka}]}]",
		"category":          project + "limits: {quota: {eror: 5/day}}}]",
		"quota":             project + "limits: {quota: {error: 5/year}}}]",
		"legacy browser":    project + "filters: {legacy_browsers: [netscape]}}]",
		"route":             project + "vitals: {routes: [product]}}]",
		"origin":            project + "allowed_origins: [\"http://\"]}]",
		"release name type": project + "release: {required: maybe}}]",
	}
	schema := compiled(t)
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			if schema.Validate(asJSON(t, []byte(text))) == nil {
				t.Error("the schema accepts it")
			}
			if _, err := config.Parse("x.yml", []byte(text), noEnv); err == nil {
				t.Error("Parse accepts it")
			}
		})
	}
}

// Every default in the schema is what Parse gives a file that leaves the key
// out: a file that says all defaults makes the same configuration.
func TestSchemaDefaultsAreDefault(t *testing.T) {
	_, raw := published(t)
	var s map[string]any
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	doc := defaultsOf(s)
	if n := count(doc); n < 40 {
		t.Fatalf("only %d defaults found", n)
	}
	project := defaultsOf(s["properties"].(map[string]any)["projects"].(map[string]any)["items"].(map[string]any))
	project["id"], project["name"] = 1, "a"
	project["keys"] = []any{map[string]any{"public": "0123456789abcdef0123456789abcdef"}}
	doc["projects"] = []any{project}
	text, err := json.Marshal(doc) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Parse("defaults", text, noEnv)
	if err != nil {
		t.Fatal(err)
	}
	want, err := config.Parse("bare", []byte("projects: [{id: 1, name: a, keys: [{public: 0123456789abcdef0123456789abcdef}]}]"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	opts := cmp.Options{cmpopts.IgnoreUnexported(config.Config{}), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(want, got, opts); diff != "" {
		t.Errorf("defaults differ (-Parse +schema):\n%s", diff)
	}
	want.Projects = config.Default().Projects
	if diff := cmp.Diff(config.Default(), want, opts); diff != "" {
		t.Errorf("an empty file differs from Default:\n%s", diff)
	}
}

func defaultsOf(s map[string]any) map[string]any {
	out := map[string]any{}
	props, _ := s["properties"].(map[string]any)
	for key, raw := range props {
		p := raw.(map[string]any)
		if _, nested := p["properties"]; nested {
			out[key] = defaultsOf(p)
		} else if d, ok := p["default"]; ok && key != "id" {
			out[key] = d
		}
	}
	return out
}

func count(v any) (n int) {
	m, ok := v.(map[string]any)
	if !ok {
		return 1
	}
	for _, e := range m {
		n += count(e)
	}
	return n
}
