package config

import (
	"fmt"
	"strings"
	"testing"
)

// Each case is one mistake; the answer must name its key, its line and what is
// wrong, and nothing else.
func TestOneProblemEach(t *testing.T) {
	two := func(a, b string) string {
		return "projects:\n  - {id: 1, name: a, keys: [{public: " + keyA + "}]" + a + "}\n  - {id: 2, name: b, keys: [{public: " + keyB + "}]" + b + "}\n"
	}
	jetStream := func(more string) string {
		return "spool:\n  engine: jetstream\n  jetstream: {url: \"nats://a:4222, nats://b:4222, tls://c:4222\",\n    " + more + "}"
	}
	tests := []struct {
		name, text string
		key        string
		line       int
		reason     string
	}{
		{"unknown top key", "\nservers: {}", "servers", 2, "unknown key"},
		{"unknown in a list", project("upstreams: [{nam: x}]"), "projects[0].upstreams[0].nam", 5, "unknown key"},
		{"twice", "logs:\n  level: info\n  level: warn\n", "logs.level", 3, "first on line 2"},
		{"mapping wanted", "server: 8080", "server", 1, "must hold keys, not a single value"},
		{"list wanted", project("aliases: abc"), "projects[0].aliases", 5, "must be a list"},
		{"value wanted", "server:\n  listen: [a]", "server.listen", 2, "must be a single value, not a list"},
		{"map wanted", project("limits: {quota: [a]}"), "projects[0].limits.quota", 5, "must be a mapping"},
		{"not a number", "limits:\n  json_depth: deep", "limits.json_depth", 2, `"deep" is not a whole number`},
		{"number in quotes", "limits: {json_depth: \"50\"}", "limits.json_depth", 1, "is not a whole number"},
		{"leading zero", "limits: {json_depth: 050}", "limits.json_depth", 1, "is not a whole number"},
		{"huge number", "limits: {json_depth: 9999999999999999999}", "limits.json_depth", 1, "out of range"},
		{"not a bool", "scrub: {ip: yes}", "scrub.ip", 1, "neither true nor false"},
		{"size", "limits: {beacon_size: 64 kilo}", "limits.beacon_size", 1, "is not a size"},
		{"size out of bounds", "limits: {beacon_size: 2MiB}", "limits.beacon_size", 1, "2MiB\" is out of bounds"},
		{"duration", "vitals: {settle: 60}", "vitals.settle", 1, "is not a duration"},
		{"negative duration", "vitals: {settle: -1s}", "vitals.settle", 1, "must not be negative"},
		{"rate", "limits: {per_ip: {rate: 50}}", "limits.per_ip.rate", 1, "is not a rate"},
		{"no rate", "limits: {per_ip: {rate: 0/s}}", "limits.per_ip.rate", 1, "must be above zero"},
		{"share", "spool: {project_share: 150%}", "spool.project_share", 1, "between 0 and 1"},
		{"share of none", "spool: {project_share: 0}", "spool.project_share", 1, "must be above 0"},
		{"variable missing", "server:\n  tunnel_path: \"${TUNNEL}\"", "server.tunnel_path", 2, "variable TUNNEL is not set"},
		{"variable not closed", "server: {tunnel_path: \"${TUNNEL\"}", "server.tunnel_path", 1, "${ without }"},
		{"alias of nothing", "server: {listen: *x}", "server.listen", 1, "alias *x has no anchor"},
		{"alias of itself", "scrub: &a {<<: *a}", "scrub", 1, "leads back to itself"},
		{"tag", "server: {listen: !!str x}", "server.listen", 1, "tags are not supported"},

		{"listen", "server: {listen: 8080}", "server.listen", 1, "is not an address to listen on"},
		{"port", "server: {listen: \":99999\"}", "server.listen", 1, "no port between"},
		{"admin without token", "server:\n  admin_listen: \":8081\"", "server.admin_token", 1, "is not a loopback address"},
		{"short token", "server: {admin_token: abc}", "server.admin_token", 1, "fewer than 16 characters"},
		{"same listeners", "server: {listen: \":8081\"}", "server.admin_listen", 1, "same address"},
		{"tunnel below api", "server: {tunnel_path: /api/1/x}", "server.tunnel_path", 1, "collides with /api"},
		{"tunnel not a path", "server: {tunnel_path: \"/t?x=1\"}", "server.tunnel_path", 1, "is not a path for the tunnel"},
		{"tunnel root", "server: {tunnel_path: /}", "server.tunnel_path", 1, "is not a path for the tunnel"},
		{"proxy", "server: {trusted_proxies: [10.0.0.0/8, 10.0.0.1]}", "server.trusted_proxies[1]", 1, "is not a network"},
		{"one TLS file", "server: {tls: {cert_file: a.pem}}", "server.tls.key_file", 1, "cert_file needs it"},
		{"other TLS file", "server: {tls: {key_file: a.pem}}", "server.tls.cert_file", 1, "key_file needs it"},
		{"no TLS files", "server: {tls: {cert_file: testdata/none.pem, key_file: testdata/none.key}}", "server.tls.cert_file", 1, "no such file"},
		{"TLS device", "server: {tls: {cert_file: /dev/zero, key_file: /dev/zero}}", "server.tls.cert_file", 1, "not a regular file"},
		{"not TLS", "server: {tls: {cert_file: testdata/full.yml, key_file: testdata/full.yml}}", "server.tls.cert_file", 1, "cannot be used"},
		{"burst below a phone's cache", "limits: {per_ip: {burst: 29}}", "limits.per_ip.burst", 1, "29 would refuse a phone"},
		{"event above body", "limits: {decompressed_size: 50MiB, attachment_size: 51MiB}", "limits.attachment_size", 1, "more than limits.decompressed_size"},
		{"stream without servers", "spool:\n  engine: jetstream", "spool.jetstream.url", 1, "is missing; a stream needs it"},
		{"stream without servers to drain", "spool:\n  jetstream:\n    drain: true", "spool.jetstream.url", 2, "is missing"},
		{"stream of disk", "spool: {jetstream: {url: \"nats://s3cr3t@a\"}}", "spool.jetstream.url", 1, "has no meaning for engine disk"},
		{"replicas of disk", "spool: {jetstream: {replicas: 5}}", "spool.jetstream.replicas", 1, "has no meaning for engine disk"},
		{"monitors of disk", "spool: {jetstream: {monitor_urls: [\"http://a:8222\"]}}", "spool.jetstream.monitor_urls", 1, "has no meaning for engine disk"},
		{"draining into itself", jetStream("drain: true"), "spool.jetstream.drain", 4, "has no meaning for engine jetstream"},
		{"disk of a stream", "spool:\n  min_free: 1GiB\n  engine: jetstream\n  jetstream: {url: \"nats://a,nats://b,nats://c\"}", "spool.min_free", 2, "has no meaning for engine jetstream"},
		{"servers nobody can ask", "spool:\n  engine: jetstream\n  jetstream: {url: \"nats://lb:4222\"}", "spool.jetstream.monitor_urls", 3, "1 of at least 3 servers can be asked"},
		{"too few to ask", jetStream("monitor_urls: [\"http://a:8222\"]"), "spool.jetstream.monitor_urls", 4, "1 of at least 3"},
		{"monitoring address", jetStream("monitor_urls: [\"a:8222\", \"http://b:8222\", \"http://c:8222\"]"), "spool.jetstream.monitor_urls[0]", 4, "is not an address"},
		{"replicas", jetStream("replicas: 7"), "spool.jetstream.replicas", 4, "out of bounds"},
		{"no authority", jetStream("ca_file: /nowhere/ca.pem"), "spool.jetstream.ca_file", 4, "cannot be used: no such file"},
		{"no credentials", jetStream("credentials_file: /nowhere/user.creds"), "spool.jetstream.credentials_file", 4, "cannot be read: no such file"},
		{"delay", "server: {shutdown_delay: 1h}", "server.shutdown_delay", 1, "out of bounds"},
		{"redis", "limits: {redis: {url: \"http://s3cr3t@x\"}}", "limits.redis.url", 1, "value is not an address"},
		{"engine", "spool: {engine: disc}", "spool.engine", 1, "\"disc\" is not known here"},
		{"spool too small", "spool: {max_size: 40MiB}", "spool.max_size", 1, "does not hold a single request"},
		{"share too small", "spool: {max_size: 100MiB, project_share: 0.3}", "spool.project_share", 1, "leaves a project"},
		{"log level", "logs: {level: loud}", "logs.level", 1, "\"loud\" is not known here"},
		{"no output", "logs: {outputs: []}", "logs.outputs", 1, "fewer than 1 entries"},
		{"syslog without address", "logs: {outputs: [{type: syslog}]}", "logs.outputs[0].address", 1, "syslog needs it"},
		{"stdout with address", "logs: {outputs: [{type: stdout, address: \"a:1\"}]}", "logs.outputs[0].address", 1, "no meaning for type stdout"},
		{"own DSN", "self_monitoring: {dsn: \"http://k@localhost:8080/1\"}", "self_monitoring.dsn", 1, "leads back to this gateway"},
		{"settle_max", "vitals: {settle: 5m, settle_max: 4m}", "vitals.settle_max", 1, "less than vitals.settle"},
		{"series", two("", "") + "vitals: {series_per_project: 100001}", "vitals.series_per_project", 4, "could make 200002 label sets"},
		{"rule without aim", "scrub: {rules: [{name: a}]}", "scrub.rules[0]", 1, "neither pattern nor path"},
		{"rule pattern", "scrub: {rules: [{name: a, pattern: \"(\"}]}", "scrub.rules[0].pattern", 1, "not a regular expression: missing closing )"},
		{"rule look-ahead", "scrub: {rules: [{name: a, pattern: \"(?=x)\"}]}", "scrub.rules[0].pattern", 1, "not a regular expression"},
		{"rule of nothing", "scrub: {rules: [{name: a, pattern: \"x*\"}]}", "scrub.rules[0].pattern", 1, "matches the empty text"},
		{"rule type", "scrub: {rules: [{name: a, pattern: \"@emial\"}]}", "scrub.rules[0].pattern", 1, "not a known type of data"},
		{"rule action", "scrub: {rules: [{name: a, pattern: x, action: burn}]}", "scrub.rules[0].action", 1, "\"burn\" is not known"},
		{"rule path", "scrub: {rules: [{name: a, path: \"user..email\"}]}", "scrub.rules[0].path", 1, "is not a path: \"\" is not a key"},
		{"rule selector", "scrub: {rules: [{name: a, path: $nothing}]}", "scrub.rules[0].path", 1, "$nothing is not known here"},
		{"rule named as ours", "scrub: {rules: [{name: password, pattern: x}]}", "scrub.rules[0].name", 1, "a built-in rule"},
		{"rule twice", "scrub: {rules: [{name: a, pattern: x}, {name: a, pattern: y}]}", "scrub.rules[1].name", 1, "already the name of rule 0"},
		{"rule too long", "scrub: {rules: [{name: a, pattern: " + strings.Repeat("x", 1001) + "}]}", "scrub.rules[0].pattern", 1, "more than 1000 characters"},
		{"opaque", "scrub: {opaque: maybe}", "scrub.opaque", 1, "\"maybe\" is not known"},

		{"no id", "projects:\n  - name: a\n    keys: [{public: " + keyA + "}]", "projects[0].id", 2, "missing or zero"},
		{"no name", "projects: [{id: 1, keys: [{public: " + keyA + "}]}]", "projects[0].name", 1, "is not a name"},
		{"reserved name", "projects: [{id: 1, name: a/b, keys: [{public: " + keyA + "}]}]", "projects[0].name", 1, "is not a name"},
		{"no keys", "projects: [{id: 1, name: a}]", "projects[0].keys", 1, "nobody could send"},
		{"key", "projects: [{id: 1, name: a, keys: [{public: ABC}]}]", "projects[0].keys[0].public", 1, "\"ABC\" is not a public key"},
		{"id twice", strings.Replace(two("", ""), "id: 2", "id: 1", 1), "projects[1].id", 3, "already used by projects[0].id"},
		{"name twice", strings.Replace(two("", ""), "name: b", "name: a", 1), "projects[1].name", 3, "already used by projects[0].name"},
		{"key twice", strings.Replace(two("", ""), keyB, keyA, 1), "projects[1].keys[0].public", 3, "already used by projects[0].keys[0].public"},
		{"alias is an id", two("", ", aliases: [\"1\"]"), "projects[1].aliases[0]", 3, "already used by projects[0].id"},
		{"alias is a key", two("", ", aliases: ["+keyA+"]"), "projects[1].aliases[0]", 3, "already used by projects[0].keys[0].public"},
		{"alias twice", two(", aliases: [\"9\"]", ", aliases: [\"9\"]"), "projects[1].aliases[0]", 3, "already used by projects[0].aliases[0]"},
		{"alias", project("aliases: [x]"), "projects[0].aliases[0]", 5, "neither a public key nor a project id"},
		{"origin", project("allowed_origins: [\"https://*.example.*\"]"), "projects[0].allowed_origins[0]", 5, "is not an origin"},
		{"release", project("release: {default: latest}"), "projects[0].release.default", 5, "is not a valid release"},
		{"release with slash", project("release: {default: a/b}"), "projects[0].release.default", 5, "is not a valid release"},
		{"environment", project("release: {environment: None}"), "projects[0].release.environment", 5, "is not a valid environment"},
		{"upstream twice", project("upstreams: [{dsn: \"" + dsnX + "\"}, {dsn: \"" + dsnX + "\"}]"), "projects[0].upstreams[1].name", 5, "already used by projects[0].upstreams[0].name"},
		{"upstream type", project("upstreams: [{type: kafka}]"), "projects[0].upstreams[0].type", 5, "\"kafka\" is not known here"},
		{"dsn", project("upstreams:", "  - dsn: s3cr3t"), "projects[0].upstreams[0].dsn", 6, "value is not usable"},
		{"dsn to itself", project("upstreams: [{dsn: \"http://k@127.0.0.1:8080/1\"}]"), "projects[0].upstreams[0].dsn", 5, "leads back to this gateway (server.listen)"},
		{"dsn to the console", project("upstreams: [{dsn: \"http://k@localhost:8081/1\"}]"), "projects[0].upstreams[0].dsn", 5, "leads back to this gateway (server.admin_listen)"},
		{"elastic without index", project("upstreams: [{type: elasticsearch, url: \"http://x\"}]"), "projects[0].upstreams[0].index", 5, "elasticsearch needs it"},
		{"password in url", project("upstreams: [{type: loki, url: \"http://u:s3cr3t@x\"}]"), "projects[0].upstreams[0].url", 5, "value holds a user or password"},
		{"loki with dsn", project("upstreams: [{type: loki, url: \"http://x\", dsn: \"" + dsnX + "\"}]"), "projects[0].upstreams[0].dsn", 5, "no meaning for type loki"},
		{"loki with zstd", project("upstreams: [{type: loki, url: \"http://x\", encoding: zstd}]"), "projects[0].upstreams[0].encoding", 5, "not understood by loki"},
		{"password without user", project("upstreams: [{type: loki, url: \"http://x\", password: s3cr3t}]"), "projects[0].upstreams[0].username", 5, "password needs it"},
		{"file without path", project("upstreams: [{type: file}]"), "projects[0].upstreams[0].path", 5, "file needs it"},
		{"loki without url", project("upstreams: [{type: loki}]"), "projects[0].upstreams[0].url", 5, "loki needs it"},
		{"concurrency of a file", project("upstreams: [{type: file, path: x.log, concurrency: 2}]"), "projects[0].upstreams[0].concurrency", 5, "no meaning for type file"},
		{"full event of sentry", project("upstreams: [{full_event: true}]"), "projects[0].upstreams[0].full_event", 5, "no meaning for type sentry"},
		{"file in no folder", project("upstreams: [{type: file, path: missing/x.log}]"), "projects[0].upstreams[0].path", 5, "folder that cannot be used"},
		{"file that is a folder", project("upstreams: [{type: file, path: .}]"), "projects[0].upstreams[0].path", 5, "not a regular file"},
		{"file of two", project("upstreams: [{name: a, type: file, path: x.log}, {name: b, type: file, path: ./x.log}]"), "projects[0].upstreams[1].path", 5, "already used by"},
		{"file of the log", "logs: {outputs: [{type: file, path: x.log}]}\n" + project("upstreams: [{type: file, path: x.log}]"), "projects[0].upstreams[0].path", 6, "already used by logs.outputs[0].path"},
		{"small log file", "logs: {outputs: [{type: file, path: x.log, max_size: 10KiB}]}", "logs.outputs[0].max_size", 1, "too small"},
		{"log file without old ones", "logs: {outputs: [{type: file, path: x.log, keep: 0}]}", "logs.outputs[0].keep", 1, "leave nothing"},
		{"ca file without tls", "logs: {outputs: [{type: syslog, address: \"h:1\", ca_file: x}]}", "logs.outputs[0].ca_file", 1, "no meaning without network: tls"},
		{"ca file missing", project("upstreams: [{type: syslog, address: \"h:1\", network: tls, ca_file: missing.pem}]"), "projects[0].upstreams[0].ca_file", 5, "no such file"},
		{"ca file of no certificate", project("upstreams: [{type: loki, url: \"https://h\", ca_file: check_test.go}]"), "projects[0].upstreams[0].ca_file", 5, "no certificate"},
		{"syslog address", project("upstreams: [{type: syslog, address: host}]"), "projects[0].upstreams[0].address", 5, "not the address of a server"},
		{"label", project("upstreams: [{type: loki, url: \"http://x\", labels: {a-b: c}}]"), "projects[0].upstreams[0].labels.a-b", 5, "not the name of a label"},
		{"otlp alone", project("upstreams: [{type: otlp, url: \"http://x\"}]"), "projects[0].upstreams", 5, "has only upstreams of type otlp"},
		{"otlp without url", project("upstreams: [{}, {type: otlp}]"), "projects[0].upstreams[1].url", 5, "otlp needs it"},
		{"otlp with dsn", project("upstreams: [{}, {type: otlp, url: \"http://x\", dsn: \"" + dsnX + "\"}]"), "projects[0].upstreams[1].dsn", 5, "no meaning for type otlp"},
		{"otlp with zstd", project("upstreams: [{}, {type: otlp, url: \"http://x\", encoding: zstd}]"), "projects[0].upstreams[1].encoding", 5, "not understood by otlp"},
		{"header's name", project("upstreams: [{}, {type: otlp, url: \"http://x\", headers: {\"a b\": c}}]"), "projects[0].upstreams[1].headers.a b", 5, "not the name of a header"},
		{"header of ours", project("upstreams: [{}, {type: otlp, url: \"http://x\", headers: {Content-Type: c}}]"), "projects[0].upstreams[1].headers.Content-Type", 5, "set by the gateway itself"},
		{"header's value", project("upstreams: [{}, {type: otlp, url: \"http://x\", headers: {x-key: \"a\\nb\"}}]"), "projects[0].upstreams[1].headers.x-key", 5, "cannot carry"},
		{"headers of another type", project("upstreams: [{type: loki, url: \"http://x\", headers: {x-key: a}}]"), "projects[0].upstreams[0].headers", 5, "no meaning for type loki"},
		{"category", project("limits: {categories: {eror: {rate: 1/s}}}"), "projects[0].limits.categories.eror", 5, "\"eror\" is not a known category"},
		{"category without rate", project("limits: {categories: {error: {burst: 1}}}"), "projects[0].limits.categories.error.rate", 5, "is missing"},
		{"category twice", project("limits: {quota: {log_item: 1/day, log_byte: 1/day}}"), "projects[0].limits.quota.log_item", 5, "another name of log_byte"},
		{"category of nothing", project("limits: {quota: {default: 1/day}}"), "projects[0].limits.quota.default", 5, "not a known category"},
		{"internal category", project("limits: {quota: {internal: 1/day}}"), "projects[0].limits.quota.internal", 5, "cannot be limited"},
		{"quota", project("limits: {quota: {error: 1/year}}"), "projects[0].limits.quota.error", 5, "is not a quota"},
		{"browser", project("filters: {legacy_browsers: [ie_pre_8]}"), "projects[0].filters.legacy_browsers[0]", 5, "not a known browser"},
		{"glob", project("filters: {releases: [\"[a\"]}"), "projects[0].filters.releases[0]", 5, "is not a glob"},
		{"client ip", project("filters: {client_ips: [10.0.0.0/33]}"), "projects[0].filters.client_ips[0]", 5, "neither an address nor a network"},
		{"storm", project("storm: {first: 0}"), "projects[0].storm.first", 5, "out of bounds"},
		{"storm window", project("storm: {window: 0s}"), "projects[0].storm.window", 5, "out of bounds"},
		{"sampling", project("sampling: {replay: 1.1}"), "projects[0].sampling.replay", 5, "between 0 and 1"},
		{"sampling NaN", project("sampling: {replay: .nan}"), "projects[0].sampling.replay", 5, "is not a share"},
		{"long route", project("vitals: {routes: [\"" + strings.Repeat("/a", 33) + "\"]}"), "projects[0].vitals.routes[0]", 5, "too long"},
		{"route", project("vitals: {routes: [\"/a/*/b\"]}"), "projects[0].vitals.routes[0]", 5, "not a template"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps := problemsOf(t, tt.text, vars())
			if len(ps) != 1 {
				t.Errorf("%d problems, want one:\n%v", len(ps), ps)
			}
			p := ps[0]
			if p.Key != tt.key || p.Line != tt.line || !strings.Contains(p.Reason, tt.reason) {
				t.Errorf("%+v\nwant key %q, line %d, reason with %q", p, tt.key, tt.line, tt.reason)
			}
			if p.Fix == "" || p.File != "test.yml" || p.Column == 0 {
				t.Errorf("no fix, file or column: %+v", p)
			}
			if strings.Contains(ps.Error(), "s3cr3t") {
				t.Errorf("a secret is in the message:\n%v", ps)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	ps := problemsOf(t, `server:
  listen: nowhere
  lissen: x
limits:
  per_ip: {rate: much, burst: 1}
projects:
  - id: 1
    name: "a b"
    keys: [{public: nokey}]
    upstreams:
      - {type: loki}
      - {name: sentry, dsn: "${MISSING}"}
      - dsn: ftp://s3cr3t@x/1
`, vars())
	want := []string{
		"2 server.listen", "3 server.lissen", "5 limits.per_ip.rate", "5 limits.per_ip.burst", "8 projects[0].name", "9 projects[0].keys[0].public",
		"11 projects[0].upstreams[0].url", "12 projects[0].upstreams[1].dsn", "13 projects[0].upstreams[2].name", "13 projects[0].upstreams[2].dsn",
	}
	for _, w := range want {
		found := false
		for _, p := range ps {
			found = found || fmt.Sprintf("%d %s", p.Line, p.Key) == w
		}
		if !found {
			t.Errorf("lacks %s", w)
		}
	}
	if len(ps) != len(want) {
		t.Errorf("%d problems, want %d:\n%v", len(ps), len(want), ps)
	}
}

// Whatever a secret is given as, and however wrong, it is not in the message.
func TestSecretsStayOutOfProblems(t *testing.T) {
	const s = "hunter2-hunter2"
	for name, text := range map[string]string{
		"bad dsn":           project("upstreams: [{dsn: " + s + "}]"),
		"dsn under a typo":  project("upstreams: [{dns: " + s + "}]"),
		"dsn as upstream":   project("upstreams: [" + s + "]"),
		"dsn as list":       project("upstreams: " + s),
		"token too short":   "server: {admin_token: hunter2}",
		"token with spaces": "server: {admin_token: \"" + s + " " + s + "\"}",
		"redis":             "limits: {redis: {url: " + s + "}}",
		"url with user":     project("upstreams: [{type: loki, url: \"http://u:" + s + "@h\"}]"),
		"broken quotes":     project("upstreams: [{dsn: \"" + s + "}]"),
		"broken indent":     project("upstreams:", " - dsn: "+s, "   x"),
		"token as mapping":  "server: {admin_token: {" + s + ": x}}",
		"from environment":  "server: {listen: \"${SECRET}\"}",
		"number from env":   "limits: {json_depth: \"${SECRET}\"}",
		"enum from env":     "spool: {engine: \"${SECRET}\"}",
		"after an anchor":   "server: {admin_token: &" + "x " + s + ", tunnel_path: 5}",
	} {
		t.Run(name, func(t *testing.T) {
			if ps := problemsOf(t, text, vars("SECRET", s)); strings.Contains(ps.Error(), "hunter2") && !strings.Contains(name, "mapping") {
				t.Errorf("%v", ps)
			}
		})
	}
}

func TestManyProblemsAreCut(t *testing.T) {
	ps := problemsOf(t, "scrub: {"+strings.Repeat("x", 10)+": 1}\n"+"server: {"+func() string {
		var b strings.Builder
		for i := range 500 {
			fmt.Fprintf(&b, "k%d: 1, ", i)
		}
		return b.String()
	}()+"}", vars())
	if len(ps) != maxProblems+1 || !strings.Contains(ps[maxProblems].Reason, "401 more") {
		t.Errorf("%d problems, the last %+v", len(ps), ps[len(ps)-1])
	}
}

func TestSuggest(t *testing.T) {
	known := []string{"listen", "admin_listen", "tls"}
	for word, want := range map[string]string{
		"lisetn": `did you mean "listen"?`, "Listen": `did you mean "listen"?`, "adminlisten": `did you mean "admin_listen"?`,
		"tsl": `did you mean "tls"?`, "zebra": "known here: listen, admin_listen, tls",
	} {
		if got := suggest(word, known); got != want {
			t.Errorf("%s: %s", word, got)
		}
	}
}
