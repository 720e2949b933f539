package config

// Project is one application that may send.
type Project struct {
	// Number of the project, the last part of its DSN.
	ID uint64 `yaml:"id" validate:"min=1,max=18446744073709551615" jsonschema:"required"`
	// Name of the project: the project label of all metrics.
	Name string `yaml:"name" validate:"name" jsonschema:"required"`
	// Public keys that clients send.
	Keys []Key `yaml:"keys" validate:"max=100,dive"`
	// Further public keys or project ids that are accepted from a tunnelled DSN.
	Aliases []string `yaml:"aliases" validate:"max=100,dive,alias"`
	// Web origins that may send: *, example.com, *.example.com, each also with a scheme or a port. Requests without an origin (apps, servers) always may.
	AllowedOrigins []string `yaml:"allowed_origins" validate:"max=200,dive,origin"`
	// What reports get that name no valid release or environment.
	Release Release `yaml:"release"`
	// Where reports go; every accepted item goes to each. Without any there is one of type sentry without a DSN, which holds reports in the spool.
	Upstreams []Upstream `yaml:"upstreams" validate:"max=20,dive"`
	// Limits of this project.
	Limits ProjectLimits `yaml:"limits"`
	// Reports that are of no use. Filtered ones are counted, and the client is told 200.
	Filters Filters `yaml:"filters"`
	// Scrubbing of this project. Switches replace the general ones; lists are added to them.
	Scrub Scrub `yaml:"scrub"`
	// Storm control: after the first reports of the same error only one in so many passes, until its window ends.
	Storm Storm `yaml:"storm"`
	// Part of the reports that is kept. Errors are never sampled.
	Sampling Sampling `yaml:"sampling"`
	// Vitals of this project.
	Vitals ProjectVitals `yaml:"vitals"`
}

// Key is one public key.
type Key struct {
	// The key: 32 lower-case hexadecimal digits, such as `openssl rand -hex 16` prints.
	Public string `yaml:"public" validate:"publickey" jsonschema:"required"`
	// A name for people.
	Name string `yaml:"name" validate:"omitempty,name"`
}

// Release is what reports get that name no valid release or environment.
type Release struct {
	// Release of reports that name none.
	Default string `yaml:"default" validate:"omitempty,release"`
	// Environment of reports that name none.
	Environment string `yaml:"environment" validate:"omitempty,environment"`
	// Refuses errors that name no release, unless there is a default.
	Required bool `yaml:"required"`
}

// Upstream is one place that gets every accepted item of a project.
type Upstream struct {
	// Name of the upstream, once per project: it names the queue in the spool and in metrics. When empty, the type.
	Name string `yaml:"name" validate:"name"`
	// Kind of upstream: sentry (and everything that speaks its protocol), elasticsearch, loki, syslog, file, or otlp, which takes the spans of OpenTelemetry and Faro clients and nothing else.
	Type string `yaml:"type" validate:"oneof=sentry elasticsearch loki syslog file otlp"`
	// For sentry, elasticsearch, loki and otlp: deliveries at the same time.
	Concurrency int `yaml:"concurrency" validate:"min=1,max=256"`
	// Time for one delivery.
	Timeout Duration `yaml:"timeout" validate:"between=100ms 10m"`
	// Attempts before a report becomes a dead letter. With 0 they go on until spool.max_age while the upstream is away; one that it answers with 500 gets five at most, one that it refuses a single one.
	MaxAttempts int `yaml:"max_attempts" validate:"min=0,max=1000000"`
	// For sentry, elasticsearch, loki and otlp: compression of requests, gzip, zstd or none; auto is gzip, but none to an upstream on this machine, where compressing costs more than it saves.
	Encoding string `yaml:"encoding" validate:"oneof=auto gzip zstd none"`
	// For sentry: where to. When empty, reports are held in the spool until a DSN is given.
	DSN Secret `yaml:"dsn" validate:"omitempty,dsn"`
	// For elasticsearch, loki and otlp: address, without user and password; for otlp without /v1/traces, which is added.
	URL string `yaml:"url" validate:"omitempty,httpurl"`
	// For elasticsearch: index or data stream; {project} stands for the project's name.
	Index string `yaml:"index" validate:"omitempty,index"`
	// For elasticsearch: API key, instead of user and password.
	APIKey Secret `yaml:"api_key" validate:"max=4096"`
	// For elasticsearch, loki and otlp: user of HTTP basic authentication.
	Username string `yaml:"username" validate:"max=256"`
	// For elasticsearch, loki and otlp: password of HTTP basic authentication.
	Password Secret `yaml:"password" validate:"max=4096"`
	// For loki: tenant (X-Scope-OrgID).
	Tenant string `yaml:"tenant" validate:"omitempty,max=150,printascii"`
	// For loki: further labels of every line, the same for all reports.
	Labels map[string]string `yaml:"labels" validate:"max=10,dive,keys,labelname,endkeys,max=200"`
	// For otlp: headers of every request, such as an API key.
	Headers map[string]Secret `yaml:"headers" validate:"max=20,dive,keys,headername,endkeys,min=1,max=4096"`
	// For syslog: transport udp, tcp or tls.
	Network string `yaml:"network" validate:"oneof=udp tcp tls"`
	// For syslog: server as host:port.
	Address string `yaml:"address" validate:"omitempty,hostport"`
	// For syslog: facility, such as user, daemon or local0.
	Facility string `yaml:"facility" validate:"facility"`
	// For elasticsearch, loki, otlp and syslog with network tls: PEM file of the certificate authority, when it is not a public one.
	CAFile string `yaml:"ca_file" validate:"max=4096"`
	// For elasticsearch, loki, syslog and file: adds the whole payload of a report to its document, as one text.
	FullEvent bool `yaml:"full_event"`
	// For file: path of a file that gets one JSON line per report; its folder must exist.
	Path string `yaml:"path" validate:"max=4096"`
	// For file: size at which a new file is begun; 0B never.
	MaxSize Size `yaml:"max_size" validate:"between=0B 1TiB"`
	// For file: how many old files are kept.
	Keep int `yaml:"keep" validate:"min=0,max=1000"`
}

// TakesSpans tells whether the upstream gets the spans of OpenTelemetry and
// Faro clients; it then gets nothing else.
func (u Upstream) TakesSpans() bool { return u.Type == "otlp" }

// Held tells whether reports for this upstream wait in the spool because
// nobody said where to send them.
func (u Upstream) Held() bool { return u.Type == "sentry" && u.DSN == "" }

// ProjectLimits are the limits of one project.
type ProjectLimits struct {
	// Requests of one public key.
	PerKey Limit `yaml:"per_key"`
	// Items by category, such as error, transaction, session, replay or attachment; vital are the measurements that beacons, Faro and OpenTelemetry clients send. What browsers report by themselves (CSP and the like) is the category security; without a limit of yours it has 50/s and a burst of 500.
	Categories map[string]Limit `yaml:"categories" validate:"dive,keys,category,endkeys"`
	// Items by category that a project may have accepted in a calendar day or month (UTC), such as 1000000/month.
	Quota map[string]Quota `yaml:"quota" validate:"dive,keys,category,endkeys"`
}

// Filters drop reports that are of no use.
type Filters struct {
	// Errors that browser extensions cause, and CSP reports of extensions, in-app browsers and filtering proxies.
	BrowserExtensions bool `yaml:"browser_extensions"`
	// Errors of old browsers: ie, edge, safari, firefox, chrome, opera, android, opera_mini, or the older names such as ie_pre_9 and default.
	LegacyBrowsers []string `yaml:"legacy_browsers" validate:"max=50,dive,legacybrowser"`
	// Errors that crawlers cause.
	WebCrawlers bool `yaml:"web_crawlers"`
	// Errors from a developer's own machine.
	Localhost bool `yaml:"localhost"`
	// Error messages, as globs (* stands for anything); letters' case does not matter.
	ErrorMessages []string `yaml:"error_messages" validate:"max=500,dive,glob"`
	// Releases, as globs.
	Releases []string `yaml:"releases" validate:"max=500,dive,glob"`
	// Addresses and networks (CIDR) of clients.
	ClientIPs []string `yaml:"client_ips" validate:"max=1000,dive,ipcidr"`
	// Names of transactions, as globs, such as */healthz.
	Transactions []string `yaml:"transactions" validate:"max=500,dive,glob"`
	// Sources of CSP reports as [scheme://]host[:port]; each part may be *, and the host may begin with *.
	CSPDisallowed []string `yaml:"csp_disallowed" validate:"max=500,dive,required,max=300"`
	// Errors of React about markup that differs between server and client.
	ReactHydrationErrors bool `yaml:"react_hydration_errors"`
	// Errors about a part of the bundle that could not be loaded, as after a deployment.
	ChunkLoadErrors bool `yaml:"chunk_load_errors"`
	// Messages of logs, as globs; of a container only those that match are dropped.
	LogMessages []string `yaml:"log_messages" validate:"max=500,dive,glob"`
	// Names of trace metrics, as globs.
	TraceMetrics []string `yaml:"trace_metrics" validate:"max=500,dive,glob"`
}

// Storm is the control of error storms.
type Storm struct {
	// Time after which an error counts as new again.
	Window Duration `yaml:"window" validate:"between=1s 1h"`
	// Reports of the same error that pass in a window before thinning begins.
	First int `yaml:"first" validate:"min=1,max=1000000"`
	// After that, one in so many passes; 1 lets all pass.
	ThenOneIn int `yaml:"then_one_in" validate:"min=1,max=1000000"`
	// Different errors that are told apart; beyond that the one seen least recently is forgotten.
	MaxFingerprints int `yaml:"max_fingerprints" validate:"min=100,max=10000000"`
}

// Sampling is the part that is kept.
type Sampling struct {
	// Transactions, with their profiles.
	Transaction Share `yaml:"transaction"`
	// Replays, whole: all segments of one or none.
	Replay Share `yaml:"replay"`
	// Sessions, whole.
	Session Share `yaml:"session"`
}

// ProjectVitals are the vitals of one project.
type ProjectVitals struct {
	// Takes vitals out of Sentry's own traffic, too.
	FromSentry bool `yaml:"from_sentry"`
	// Sends beacons of page loads on to Sentry as well, each report as a span; pages that report a vital again when it changes send it again.
	ToSentry bool `yaml:"to_sentry"`
	// Templates for routes, such as /product/:id; a last segment * takes the rest. Of several that fit, a word counts before a parameter and a parameter before *, segment by segment. Paths that fit none are folded by built-in rules.
	Routes []string `yaml:"routes" validate:"max=500,dive,route"`
}

// Scrub is what is removed before anything leaves.
type Scrub struct {
	// Sentry's default rules: passwords and tokens, credit cards, bank accounts, keys, user names in paths.
	Defaults bool `yaml:"defaults"`
	// Client addresses. A client that forbids to infer them always wins.
	IP bool `yaml:"ip"`
	// E-mail addresses.
	Email bool `yaml:"email"`
	// Further sensitive key names; a key that contains one is scrubbed.
	Fields []string `yaml:"fields" validate:"max=500,dive,required,max=200"`
	// Key names that are never scrubbed.
	SafeFields []string `yaml:"safe_fields" validate:"max=500,dive,required,max=200"`
	// Your own rules.
	Rules []ScrubRule `yaml:"rules" validate:"max=100,dive"`
	// What cannot be read and so not scrubbed (attachments, minidumps, replay videos): forward or drop.
	Opaque string `yaml:"opaque" validate:"oneof=forward drop"`
}

// ScrubRule is one own rule. It needs a pattern, a path or both.
type ScrubRule struct {
	// Name of the rule: the rule label in metrics.
	Name string `yaml:"name" validate:"rulename" jsonschema:"required"`
	// Regular expression (RE2) for what is scrubbed, or a built-in type: @ip, @email, @creditcard, @iban, @usssn, @pemkey, @urlauth, @userpath, @bearer, @imei, @mac, @uuid, @anything. Without one, the whole value at path.
	Pattern string `yaml:"pattern" validate:"omitempty,max=1000,scrubpattern"`
	// Where, in Sentry's words: user.email, $frame.vars.**, contexts.*.token || extra.token. Without one, every text.
	Path string `yaml:"path" validate:"omitempty,max=200"`
	// What happens: replace with [Filtered], mask with *, hash, or remove.
	Action string `yaml:"action" validate:"oneof=replace mask hash remove"`
}
