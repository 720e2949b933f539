package config

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// The defaults are promises to operators: they stand here as literals, so that
// changing one is a decision and not an accident.
func TestDefaults(t *testing.T) {
	c := Default()
	tests := []struct {
		key       string
		got, want any
	}{
		{"server.listen", c.Server.Listen, ":8080"},
		{"server.admin_listen", c.Server.AdminListen, "127.0.0.1:8081"},
		{"server.tunnel_path", c.Server.TunnelPath, "/t"},
		{"server.shutdown_timeout", c.Server.ShutdownTimeout.Duration(), 30 * time.Second},
		{"server.max_connections", c.Server.MaxConnections, 10000},
		{"limits.request_size", c.Limits.RequestSize.Bytes(), int64(40 << 20)},
		{"limits.decompressed_size", c.Limits.DecompressedSize.Bytes(), int64(200 << 20)},
		{"limits.compression_ratio", c.Limits.CompressionRatio, 200},
		{"limits.event_size", c.Limits.EventSize.Bytes(), int64(1 << 20)},
		{"limits.attachment_size", c.Limits.AttachmentSize.Bytes(), int64(100 << 20)},
		{"limits.attachments_per_envelope", c.Limits.AttachmentsPerEnvelope, 30},
		{"limits.sessions_per_envelope", c.Limits.SessionsPerEnvelope, 100},
		{"limits.beacon_size", c.Limits.BeaconSize.Bytes(), int64(64 << 10)},
		{"limits.json_depth", c.Limits.JSONDepth, 100},
		{"limits.read_timeout", c.Limits.ReadTimeout.Duration(), 30 * time.Second},
		{"limits.sending_per_ip", c.Limits.SendingPerIP, 512},
		{"limits.per_ip", c.Limits.PerIP, Limit{Rate{50, time.Second}, 300}},
		{"spool.engine", c.Spool.Engine, "disk"},
		{"spool.dir", c.Spool.Dir, "./breakwater-data/spool"},
		{"spool.max_size", c.Spool.MaxSize.Bytes(), int64(10 << 30)},
		{"spool.min_free", c.Spool.MinFree.Bytes(), int64(512 << 20)},
		{"spool.max_age", c.Spool.MaxAge.Duration(), 720 * time.Hour},
		{"spool.project_share", c.Spool.ProjectShare.Float(), 0.5},
		{"spool.jetstream", c.Spool.JetStream, JetStream{Stream: "breakwater", Replicas: 3}},
		{"scrub", c.Scrub, Scrub{Defaults: true, IP: true, Opaque: "forward"}},
		{"logs.level", c.Logs.Level, "info"},
		{"logs.outputs[0].type", c.Logs.Outputs[0].Type, "stdout"},
		{"self_monitoring.traces_sample_rate", c.SelfMonitoring.TracesSampleRate.Float(), 0.2},
		{"vitals", c.Vitals, Vitals{Duration(time.Minute), Duration(10 * time.Minute), 1000, 5, false}},
		{"projects", len(c.Projects), 1},
		{"projects[0].id", c.Projects[0].ID, uint64(1)},
		{"projects[0].name", c.Projects[0].Name, "default"},
		{"projects[0].upstreams[0]", c.Projects[0].Upstreams[0].Name, "sentry"},
		{"projects[0].upstreams[0] held", c.Projects[0].Upstreams[0].Held(), true},
		{"projects[0].storm", c.Projects[0].Storm, Storm{Duration(time.Minute), 50, 100, 100000}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s:\n%s", tt.key, diff)
		}
	}
}

func TestFullExample(t *testing.T) {
	text, err := os.ReadFile("testdata/full.yml")
	if err != nil {
		t.Fatal(err)
	}
	c := mustParse(t, string(text), vars("SHOP_SENTRY_DSN", dsnX))
	p := c.Projects[0]
	if got := p.Upstreams[0].DSN.Reveal(); got != dsnX {
		t.Errorf("dsn = %q", got)
	}
	if got := p.Upstreams[1]; got.Type != "elasticsearch" || got.URL != "http://localhost:9200" || got.Index != "errors" || got.Concurrency != 8 {
		t.Errorf("second upstream = %+v", got)
	}
	if got := p.Limits.Categories["replay"]; got != (Limit{Rate{20, time.Second}, 100}) {
		t.Errorf("replay limit = %+v", got)
	}
	if got := p.Limits.Quota["error"]; got != (Quota{1000000, "month"}) {
		t.Errorf("quota = %+v", got)
	}
	if diff := cmp.Diff([]string{"/product/:id", "/user/:name/orders/:order"}, p.Vitals.Routes); diff != "" {
		t.Error(diff)
	}
	// The example's general part says the defaults.
	opts := cmp.Options{cmpopts.IgnoreUnexported(Config{}), cmpopts.IgnoreFields(Config{}, "Projects"), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(Default(), c, opts); diff != "" {
		t.Errorf("differs from the defaults:\n%s", diff)
	}
	if c.Implicit() {
		t.Error("a configured project counts as implicit")
	}
}

func TestEmptyFiles(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "comment": "# nothing\n", "marker": "---\n", "null": "~", "empty section": "server:\nprojects:\n", "mark of order": "\xef\xbb\xbfserver: {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := mustParse(t, text, vars())
			if !c.Implicit() || c.Server.Listen != ":8080" {
				t.Errorf("implicit %v, listen %q", c.Implicit(), c.Server.Listen)
			}
		})
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	c := mustParse(t, `
projects:
  - &shop
    id: 1
    name: shop
    keys: [{public: `+keyA+`}]
    storm: {first: 7}
    sampling: &half {replay: 50%}
  - <<: *shop
    id: 2
    name: blog
    keys: [{public: `+keyB+`}]
    sampling: {<<: *half, session: 0.25}
`, vars())
	b := c.Projects[1]
	if b.ID != 2 || b.Name != "blog" || b.Storm.First != 7 || b.Sampling.Replay != 0.5 || b.Sampling.Session != 0.25 {
		t.Errorf("%+v", b)
	}
}

func TestExpansionInValues(t *testing.T) {
	c := mustParse(t, project(
		`upstreams: [{dsn: "${DSN}"}]`, `storm: {first: "${FIRST}", window: "${NONE:-5m}"}`,
		`filters: {localhost: "${YES}", error_messages: ["a $${b} c$"]}`,
	), vars("DSN", dsnX, "FIRST", "9", "YES", "true"))
	p := c.Projects[0]
	if p.Upstreams[0].DSN.Reveal() != dsnX || p.Storm.First != 9 || p.Storm.Window != Duration(5*time.Minute) || !p.Filters.Localhost {
		t.Errorf("%+v", p)
	}
	if got := p.Filters.ErrorMessages[0]; got != "a ${b} c$" {
		t.Errorf("escaped = %q", got)
	}
}

// Keys of digits only must stay the text they are.
func TestTextsThatLookLikeNumbers(t *testing.T) {
	c := mustParse(t, "projects:\n  - id: 1\n    name: 2024\n    keys: [{public: 01234567890123456789012345678901}, {public: 12345678901234567890123456789e12}]\n    release: {default: 1.10, environment: 007}\n", vars())
	p := c.Projects[0]
	got := []string{p.Name, p.Keys[0].Public, p.Keys[1].Public, p.Release.Default, p.Release.Environment}
	want := []string{"2024", "01234567890123456789012345678901", "12345678901234567890123456789e12", "1.10", "007"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestScrubbingOfProjects(t *testing.T) {
	c := mustParse(t, project(`scrub: {email: true, fields: [badge, pin], rules: [{name: a, pattern: "x+"}, {name: own, path: user.id}]}`)+`
scrub: {ip: false, opaque: drop, fields: [pin], rules: [{name: a, pattern: "y+"}, {name: b, pattern: "z+", action: hash}]}
`, vars())
	want := Scrub{
		Defaults: true, IP: false, Email: true, Opaque: "drop", Fields: []string{"pin", "badge"},
		Rules: []ScrubRule{{"a", "x+", "", "replace"}, {"b", "z+", "", "hash"}, {"own", "", "user.id", "replace"}},
	}
	if diff := cmp.Diff(want, c.Projects[0].Scrub, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
	if len(c.Scrub.Rules) != 2 || c.Scrub.Rules[0].Pattern != "y+" {
		t.Errorf("the project changed the general rules: %+v", c.Scrub.Rules)
	}
}

func TestCategoriesUnderTheirFirstName(t *testing.T) {
	c := mustParse(t, project(`limits: {categories: {log_byte: {rate: 1/s}}, quota: {user_report: 5/day}}`), vars())
	l := c.Projects[0].Limits
	if _, ok := l.Categories["log_item"]; !ok || l.Quota["feedback"].Count != 5 {
		t.Errorf("%+v", l)
	}
}

func TestRedacted(t *testing.T) {
	text := "server: {admin_token: s3cr3t-0123456789}\nlimits: {redis: {url: \"redis://u:s3cr3t@r:6379\"}}\nself_monitoring: {dsn: \"" + dsnX + "\"}\n" +
		project(`upstreams: [{dsn: "`+dsnX+`"}, {name: es, type: elasticsearch, url: "http://es", index: i, username: u, password: s3cr3t}]`)
	c := mustParse(t, text, vars())
	out := c.Redacted()
	if strings.Contains(out, "s3cr3t") {
		t.Errorf("shows a secret:\n%s", out)
	}
	for _, want := range []string{"admin_token: \"***\"", "request_size: 40MiB", "rate: 50/s", "password: \"***\"", "index: i", "name: shop"} {
		if !strings.Contains(out, want) {
			t.Errorf("lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "tenant") {
		t.Error("shows keys that mean nothing here")
	}
	// Without secrets it is a file that says the same.
	bare := mustParse(t, project("aliases: [\"77\"]"), vars())
	again := mustParse(t, bare.Redacted(), vars())
	if diff := cmp.Diff(bare, again, cmpopts.IgnoreUnexported(Config{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("reading it again differs:\n%s", diff)
	}
}

func TestHash(t *testing.T) {
	base := mustParse(t, project("aliases: [\"77\"]"), vars())
	same := mustParse(t, strings.ReplaceAll(project("aliases:   [\"77\"]"), "id: 1", "id:   1 # same"), vars())
	other := mustParse(t, project("aliases: [\"78\"]"), vars())
	dsn1 := mustParse(t, project("aliases: [\"77\"]"), vars("SENTRY_DSN", dsnX))
	dsn2 := mustParse(t, project("aliases: [\"77\"]"), vars("SENTRY_DSN", strings.Replace(dsnX, "s3cr3tk3y", "other", 1)))
	switch {
	case len(base.Hash()) != 12:
		t.Errorf("hash %q", base.Hash())
	case base.Hash() != same.Hash():
		t.Error("spacing changes the hash")
	case base.Hash() == other.Hash():
		t.Error("another setting keeps the hash")
	case dsn1.Hash() == base.Hash():
		t.Error("giving a secret keeps the hash")
	case dsn1.Hash() != dsn2.Hash():
		t.Error("the hash tells secrets apart")
	}
}

func TestWarnings(t *testing.T) {
	c := mustParse(t, project(`scrub: {defaults: false}`, `upstreams: [{}, {name: b, dsn: "http://k@sentry.example.com/1"}, {name: c, dsn: "http://k@127.0.0.1:9000/1"}]`), vars())
	var keys []string
	for _, w := range c.Warnings() {
		keys = append(keys, w.Key)
	}
	want := []string{"projects[0].upstreams[0].dsn", "projects[0].upstreams[1].dsn", "projects[0].scrub.defaults"}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
}

func TestClientDSN(t *testing.T) {
	for listen, want := range map[string]string{
		":8080": "http://" + keyA + "@localhost:8080/1", "0.0.0.0:80": "http://" + keyA + "@localhost:80/1",
		"10.1.2.3:8080": "http://" + keyA + "@10.1.2.3:8080/1", "[::1]:8080": "http://" + keyA + "@[::1]:8080/1",
	} {
		c := mustParse(t, project(), vars("BREAKWATER_LISTEN", listen))
		if got := c.ClientDSN(c.Projects[0], c.Projects[0].Keys[0]); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}

func TestProblemsAsJSON(t *testing.T) {
	ps := problemsOf(t, "server: {lissen: \":1\"}", vars())
	out, err := json.Marshal(ps)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"file":"test.yml","line":1,"column":10,"key":"server.lissen","reason":"unknown key","fix":"did you mean \"listen\"?"}]`
	if string(out) != want {
		t.Errorf("%s\nwant\n%s", out, want)
	}
	text := "1 problem in the configuration\n\ntest.yml:1:10: server.lissen\n    unknown key\n    fix: did you mean \"listen\"?"
	if got := ps.Error(); got != text {
		t.Errorf("%s\nwant\n%s", got, text)
	}
}
