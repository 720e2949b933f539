package config

// Config is the whole configuration of one gateway. Load, Parse and Zero make
// checked ones; Default makes the starting point of each.
//
// The doc comments of the fields are the descriptions in the JSON Schema and
// in the README's table. `validate` tags are the bounds a single value must
// keep; what concerns several values is in check*.go. Fields tagged
// `restart:"true"` cannot be changed by a reload.
type Config struct {
	// The listeners: public for reports, private for people and scrapers.
	Server Server `yaml:"server"`
	// What one request may cost. All sizes and counts are upper bounds, and each has a safe default.
	Limits Limits `yaml:"limits"`
	// Where accepted reports rest until they are delivered.
	Spool Spool `yaml:"spool" restart:"true"`
	// What is removed before anything leaves, unless a project says otherwise.
	Scrub Scrub `yaml:"scrub"`
	// The gateway's own log.
	Logs Logs `yaml:"logs"`
	// The gateway's own errors, reported to a Sentry of your choice.
	SelfMonitoring SelfMonitoring `yaml:"self_monitoring" restart:"true"`
	// Web Vitals and mobile vitals, from measurement to histogram.
	Vitals Vitals `yaml:"vitals" restart:"true"`
	// Who may send. Without any there is one project with the id 1, named default, whose key is made at the first start.
	Projects []Project `yaml:"projects" validate:"max=1000,dive"`

	// dataDir is BREAKWATER_DATA_DIR, when it is set.
	dataDir string
	// implicit says that nobody configured the one project there is.
	implicit bool
}

// Server is the listeners.
type Server struct {
	// Address of the public listener, which serves ingest and nothing else.
	Listen string `yaml:"listen" validate:"listen" restart:"true"`
	// Address of the private listener: metrics, console, API, health and pprof.
	AdminListen string `yaml:"admin_listen" validate:"listen" restart:"true"`
	// Bearer token of the private listener, at least 16 characters. Required when admin_listen is not a loopback address; /metrics and health stay open.
	AdminToken Secret `yaml:"admin_token" validate:"omitempty,min=16,max=512,token"`
	// Networks (CIDR) of proxies whose X-Forwarded-For is believed. When empty, the client's address is the peer's.
	TrustedProxies []string `yaml:"trusted_proxies" validate:"max=200,dive,cidr" restart:"true"`
	// Path for the SDKs' tunnel option. Choose your own, so that ad blockers do not know it.
	TunnelPath string `yaml:"tunnel_path" validate:"tunnelpath" restart:"true"`
	// Certificate of the public listener. Leave empty when a proxy ends TLS.
	TLS TLS `yaml:"tls" restart:"true"`
	// How long a stop waits for requests and deliveries in flight. What is left stays safe in the spool.
	ShutdownTimeout Duration `yaml:"shutdown_timeout" validate:"between=1s 1h" restart:"true"`
	// How long a stop goes on taking requests after /-/ready has turned 503, so that balancers notice first. Longer than a balancer needs to take a server out: its interval times its failures.
	ShutdownDelay Duration `yaml:"shutdown_delay" validate:"between=0s 10m" restart:"true"`
	// Open connections of the public listener; more wait in the system's queue.
	MaxConnections int `yaml:"max_connections" validate:"min=1,max=1000000" restart:"true"`
}

// TLS names a certificate: both files or none.
type TLS struct {
	// PEM file with the certificate and its chain.
	CertFile string `yaml:"cert_file" validate:"max=4096"`
	// PEM file with the private key.
	KeyFile string `yaml:"key_file" validate:"max=4096"`
}

// Enabled tells whether a certificate is configured.
func (t TLS) Enabled() bool { return t.CertFile != "" && t.KeyFile != "" }

// Limits bounds what one request may cost.
type Limits struct {
	// Body size on the wire, before decompression. Minidumps and other crash files posted by themselves may be as large as attachment_size.
	RequestSize Size `yaml:"request_size" validate:"between=1KiB 1GiB"`
	// Body size after decompression.
	DecompressedSize Size `yaml:"decompressed_size" validate:"between=1KiB 4GiB"`
	// How many times larger a body may get by decompression, once it is larger than 1 MiB.
	CompressionRatio int `yaml:"compression_ratio" validate:"min=2,max=10000"`
	// Size of one event, transaction or other JSON item.
	EventSize Size `yaml:"event_size" validate:"between=1KiB 100MiB"`
	// Size of one attachment, minidump or replay recording.
	AttachmentSize Size `yaml:"attachment_size" validate:"between=1KiB 4GiB"`
	// Attachments in one envelope.
	AttachmentsPerEnvelope int `yaml:"attachments_per_envelope" validate:"min=0,max=1000"`
	// Session updates in one envelope.
	SessionsPerEnvelope int `yaml:"sessions_per_envelope" validate:"min=1,max=10000"`
	// Size of one Web Vitals beacon.
	BeaconSize Size `yaml:"beacon_size" validate:"between=1KiB 1MiB"`
	// Nesting of JSON objects and arrays.
	JSONDepth int `yaml:"json_depth" validate:"min=10,max=1000"`
	// Time to read headers and body together, counted from the request's start.
	ReadTimeout Duration `yaml:"read_timeout" validate:"between=1s 1h" restart:"true"`
	// Connections of one client address (IPv6: one /64) that may be in the middle of sending a request, header or body. Of more, the one that has been at it longest is cut off. Proxies among server.trusted_proxies have no such limit.
	SendingPerIP int `yaml:"sending_per_ip" validate:"min=1,max=1000000"`
	// Requests of one client address. A phone that was offline sends up to 30 cached envelopes at once, so the burst is at least 30.
	PerIP Limit `yaml:"per_ip"`
	// Shares the limits between several gateways.
	Redis Redis `yaml:"redis" restart:"true"`
}

// Limit is a token bucket.
type Limit struct {
	// How many in the long run, such as 50/s, 300/m or 1000/h.
	Rate Rate `yaml:"rate"`
	// How many at once, before the rate counts. 0 is one second's worth.
	Burst int `yaml:"burst" validate:"min=0,max=100000000"`
}

// Redis keeps limits that several gateways share.
type Redis struct {
	// Address as redis://[user:password@]host:port[/db] or rediss:// with TLS. When empty, or when Redis is away, each gateway limits alone.
	URL Secret `yaml:"url" validate:"omitempty,redisurl"`
	// What a request waits for Redis at most; then it is decided by this gateway alone, and all are while Redis does not answer a ping in that time either.
	Timeout Duration `yaml:"timeout" validate:"between=5ms 2s"`
	// While Redis is away: looser applies the full limits on each gateway, stricter the limits divided by gateways.
	WhenAway string `yaml:"when_away" validate:"oneof=looser stricter"`
	// How many gateways share the limits; stricter divides by it.
	Gateways int `yaml:"gateways" validate:"min=1,max=1000"`
	// What the keys in Redis begin with. Gateways with the same one share their limits.
	Prefix string `yaml:"prefix" validate:"name"`
}

// Spool is where accepted reports rest.
type Spool struct {
	// Kind of spool: disk is a log of files in dir, jetstream a NATS stream that several gateways share.
	Engine string `yaml:"engine" validate:"oneof=disk jetstream"`
	// Folder of the spool. Only one process may use it at a time. With engine jetstream: what still lies in it moves into the stream at the start.
	Dir string `yaml:"dir" validate:"required,max=4096"`
	// Space for the spool: on disk, or in the stream, of each copy. When it is full, clients get 503 and Retry-After.
	MaxSize Size `yaml:"max_size" validate:"between=1MiB 1024TiB"`
	// For engine disk: space to leave on the file system; below it the spool counts as full.
	MinFree Size `yaml:"min_free" validate:"between=0B 1024TiB"`
	// Age at which a report that could not be delivered is given up (outcome expired).
	MaxAge Duration `yaml:"max_age" validate:"between=1m 87600h"`
	// Part of max_size that one project may hold, what is still being received for it included, so that a noisy project leaves room for the others.
	ProjectShare Share `yaml:"project_share"`
	// The NATS stream, for engine jetstream.
	JetStream JetStream `yaml:"jetstream"`
}

// JetStream names a NATS stream. All gateways with the same servers and the
// same stream share one spool.
type JetStream struct {
	// Servers, as nats://host:4222 or tls://host:4222; several are separated by commas. May hold user and password.
	URL Secret `yaml:"url" validate:"omitempty,natsurl"`
	// Name of the stream. Gateways with the same name share what is in it.
	Stream string `yaml:"stream" validate:"name"`
	// Copies of each report, each on another server; 3 survive the loss of one.
	Replicas int `yaml:"replicas" validate:"min=1,max=5"`
	// File with the credentials (.creds).
	CredentialsFile string `yaml:"credentials_file" validate:"max=4096"`
	// PEM file of the authority of the servers' certificates, when it is not a public one.
	CAFile string `yaml:"ca_file" validate:"max=4096"`
	// Monitoring addresses of all servers of the cluster, by which a start sees that each has sync_interval: always. When empty, http and port 8222 of every server in url.
	MonitorURLs []string `yaml:"monitor_urls" validate:"max=50,dive,httpurl"`
	// Starts also where a server does not write to its disk before it answers, or cannot be asked: when the servers lose power together, up to their sync_interval (two minutes by default) of acknowledged reports is lost.
	AllowUnsynced bool `yaml:"allow_unsynced"`
	// For engine disk, the way back: moves what the stream holds into dir at the start. Stop the gateways that use the stream first.
	Drain bool `yaml:"drain"`
}

// Logs is the gateway's own log.
type Logs struct {
	// Least level that is written: trace, debug, info, warn or error.
	Level string `yaml:"level" validate:"oneof=trace debug info warn error"`
	// Where log lines go; each line goes to all of them.
	Outputs []Output `yaml:"outputs" validate:"min=1,max=10,dive" restart:"true"`
}

// Output is one place for log lines.
type Output struct {
	// Kind of output: stdout, stderr, syslog (RFC 5424) or file.
	Type string `yaml:"type" validate:"oneof=stdout stderr syslog file"`
	// For stdout and stderr: json, console, or auto, which is console on a terminal and json elsewhere.
	Format string `yaml:"format" validate:"oneof=auto json console"`
	// For syslog: transport udp, tcp or tls.
	Network string `yaml:"network" validate:"oneof=udp tcp tls"`
	// For syslog: server as host:port.
	Address string `yaml:"address" validate:"omitempty,hostport"`
	// For syslog: facility, such as user, daemon or local0.
	Facility string `yaml:"facility" validate:"facility"`
	// For syslog with tls: PEM file of the certificate authority, when it is not a public one.
	CAFile string `yaml:"ca_file" validate:"max=4096"`
	// For file: its path. Send SIGHUP after moving it away.
	Path string `yaml:"path" validate:"max=4096"`
	// For file: size at which a new file is begun; 0B never.
	MaxSize Size `yaml:"max_size" validate:"between=0B 1TiB"`
	// For file: how many old files are kept.
	Keep int `yaml:"keep" validate:"min=0,max=1000"`
}

// SelfMonitoring reports the gateway's own errors.
type SelfMonitoring struct {
	// DSN of the project for the gateway's own errors; not one this gateway serves.
	DSN Secret `yaml:"dsn" validate:"omitempty,dsn"`
	// Part of the gateway's own requests that is traced.
	TracesSampleRate Share `yaml:"traces_sample_rate"`
}

// Vitals is the way from a measurement to a histogram.
type Vitals struct {
	// Quiet time after the last update of a metric before it is counted, because pages report a metric again when it changes.
	Settle Duration `yaml:"settle" validate:"between=1s 1h"`
	// Longest time a metric may stay open.
	SettleMax Duration `yaml:"settle_max" validate:"between=1s 24h"`
	// Sets of labels (environment, route, device) of one project; further routes are counted as __other__. Times the number of projects it must stay within 200000.
	SeriesPerProject int `yaml:"series_per_project" validate:"min=2,max=200000"`
	// Newest releases that get a label of their own; older ones are counted as __other__.
	ReleaseSlots int `yaml:"release_slots" validate:"min=1,max=100"`
	// Counts bots and headless browsers as people; for test rigs.
	CountBots bool `yaml:"count_bots"`
}
