package config

import (
	"path/filepath"
	"time"
)

// DefaultDataDir is where the spool and the first key live when nobody says
// otherwise.
const DefaultDataDir = "./breakwater-data"

const (
	mib = Size(1 << 20)
	gib = Size(1 << 30)
)

// Default is the configuration without a file, before the environment is
// asked: every key has the default that the README lists, and there is one
// project with the id 1, named default, without a key.
func Default() *Config {
	c := defaults()
	c.addImplicitProject()
	return c
}

// defaults is Default without the project: what a file is decoded into.
func defaults() *Config {
	return &Config{
		Server: Server{
			Listen: ":8080", AdminListen: "127.0.0.1:8081", TunnelPath: "/t",
			ShutdownTimeout: Duration(30 * time.Second), MaxConnections: 10_000,
		},
		Limits: Limits{
			RequestSize: 40 * mib, DecompressedSize: 200 * mib, CompressionRatio: 200,
			EventSize: 1 * mib, AttachmentSize: 100 * mib, AttachmentsPerEnvelope: 30, SessionsPerEnvelope: 100,
			BeaconSize: Size(64 << 10), JSONDepth: 100, ReadTimeout: Duration(30 * time.Second), SendingPerIP: 512,
			PerIP: Limit{Rate: Rate{Count: 50, Per: time.Second}, Burst: 300},
			Redis: Redis{Timeout: Duration(100 * time.Millisecond), WhenAway: "looser", Gateways: 1, Prefix: "breakwater"},
		},
		Spool: Spool{
			Engine: "disk", Dir: spoolDir(DefaultDataDir), MaxSize: 10 * gib, MinFree: 512 * mib,
			MaxAge: Duration(720 * time.Hour), ProjectShare: 0.5,
			JetStream: JetStream{Stream: "breakwater", Replicas: 3},
		},
		Scrub:          Scrub{Defaults: true, IP: true, Opaque: "forward"},
		Logs:           Logs{Level: "info", Outputs: []Output{DefaultOutput()}},
		SelfMonitoring: SelfMonitoring{TracesSampleRate: 0.2},
		Vitals: Vitals{
			Settle: Duration(time.Minute), SettleMax: Duration(10 * time.Minute),
			SeriesPerProject: 1000, ReleaseSlots: 5,
		},
	}
}

// DefaultProject is what a project is before the file says more. Its general
// scrubbing switches are those of Default.
func DefaultProject() Project {
	return Project{
		AllowedOrigins: []string{"*"},
		Release:        Release{Environment: "production"},
		Limits:         ProjectLimits{PerKey: Limit{Rate: Rate{Count: 500, Per: time.Second}, Burst: 2000}},
		Filters:        Filters{BrowserExtensions: true, WebCrawlers: true},
		Scrub:          defaults().Scrub,
		Storm:          Storm{Window: Duration(time.Minute), First: 50, ThenOneIn: 100, MaxFingerprints: 100_000},
		Sampling:       Sampling{Transaction: 1, Replay: 1, Session: 1},
		Vitals:         ProjectVitals{FromSentry: true},
	}
}

// DefaultUpstream is what an upstream is before the file says more. An
// upstream without a name is named after its type.
func DefaultUpstream() Upstream {
	return Upstream{
		Type: "sentry", Encoding: "auto", Concurrency: 8, Timeout: Duration(10 * time.Second),
		Network: "udp", Facility: "user", MaxSize: 100 * mib, Keep: 5,
	}
}

// DefaultOutput is what a log output is before the file says more.
func DefaultOutput() Output {
	return Output{Type: "stdout", Format: "auto", Network: "udp", Facility: "daemon", MaxSize: 100 * mib, Keep: 5}
}

// DefaultScrubRule is what a scrubbing rule is before the file says more.
func DefaultScrubRule() ScrubRule { return ScrubRule{Action: "replace"} }

// defaulter lets the decoder begin each new element of a list or map from
// its defaults.
type defaulter interface{ setDefaults() }

func (p *Project) setDefaults()   { *p = DefaultProject() }
func (u *Upstream) setDefaults()  { *u = DefaultUpstream() }
func (o *Output) setDefaults()    { *o = DefaultOutput() }
func (r *ScrubRule) setDefaults() { *r = DefaultScrubRule() }

// spoolDir is where the spool lives in a data directory. The leading ./ of a
// relative one stays, as a reader expects it.
func spoolDir(dataDir string) string {
	dir := filepath.Join(dataDir, "spool")
	if len(dataDir) > 1 && dataDir[:2] == "./" {
		return "./" + dir
	}
	return dir
}

// addImplicitProject gives a configuration without projects the one it has.
func (c *Config) addImplicitProject() {
	p := DefaultProject()
	p.ID, p.Name = 1, "default"
	p.Scrub = c.Scrub.switches()
	c.Projects = []Project{p}
	c.implicit = true
	c.nameUpstreams()
}

// nameUpstreams gives every project without upstreams the held one, and every
// upstream without a name that of its type.
func (c *Config) nameUpstreams() {
	for i := range c.Projects {
		p := &c.Projects[i]
		if len(p.Upstreams) == 0 {
			p.Upstreams = []Upstream{DefaultUpstream()}
		}
		for j := range p.Upstreams {
			if p.Upstreams[j].Name == "" {
				p.Upstreams[j].Name = p.Upstreams[j].Type
			}
		}
	}
}
