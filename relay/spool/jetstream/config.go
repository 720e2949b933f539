package jetstream

import (
	"fmt"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/relay/spool"
)

// Config is what a spool needs. Zero values get the default in brackets.
type Config struct {
	// URL names the servers, separated by commas: nats:// or tls://host:port.
	URL string
	// CredentialsFile is a .creds file [none].
	CredentialsFile string
	// CAFile is a PEM file of the authority of the servers' certificates [the
	// system's].
	CAFile string
	// Stream is the name that the streams of this spool begin with [breakwater].
	// Spools with the same servers and the same name share what is in them.
	Stream string
	// Replicas is how many servers hold each record [3]; streams that have more
	// copies keep them.
	Replicas int
	// Monitors are the monitoring addresses (http://host:8222) of all servers of
	// the cluster. Open asks each whether it syncs before it confirms.
	Monitors []string
	// AllowUnsynced opens also where a server does not sync, or cannot be asked.
	// A power cut of all servers of a record then loses what was confirmed
	// within their sync_interval, two minutes by default.
	AllowUnsynced bool
	// Dir is where payloads lie while a request comes in [a temporary directory].
	Dir string
	// Gateway names this process in what it stores [a random name].
	Gateway string
	// MaxSize bounds what is stored, in bytes [10 GiB]; each replica takes as much.
	MaxSize int64
	// MaxAge is how long after ReceivedAt a record waits before it ends as
	// expired [720 h; negative: for ever]. Dead letters do not expire.
	MaxAge time.Duration
	// ProjectShare is the part of MaxSize one project may hold, 0 to 1 [0.5].
	ProjectShare float64
	// DeadLetterSize bounds the dead letters, in bytes [a tenth of MaxSize];
	// beyond it the oldest are dropped.
	DeadLetterSize int64
	// Logger is told of changes of state; never of payloads.
	Logger zerolog.Logger
	// Observer keeps the ledger [nobody]. See the package for what it is told
	// in a cluster.
	Observer spool.Observer
	// Registerer gets the metrics [none].
	Registerer prometheus.Registerer
	// Now is the clock [time.Now]. After turning one by hand, call Tick.
	Now func() time.Time

	times times
}

// times are shorter in tests.
type times struct {
	ackWait  time.Duration // after which the server gives a lease to another gateway, when it hears nothing
	giveUp   time.Duration // how long an append tries to have its record confirmed
	hold     time.Duration // longest wait of a released record that stays leased here
	nakMost  time.Duration // longest delay asked of the server at once
	flush    time.Duration // how long a settlement may wait for others of its message
	idle     time.Duration // after which leases nobody claims are handed back
	statsAge time.Duration // how old what Stats tells may be
	dedupe   time.Duration // the servers' window for equal message ids
}

func (t times) withDefaults() times {
	for _, d := range []struct {
		at *time.Duration
		or time.Duration
	}{
		{&t.ackWait, 30 * time.Second},
		{&t.giveUp, 10 * time.Second},
		{&t.hold, time.Minute},
		{&t.nakMost, 30 * time.Second},
		{&t.flush, 100 * time.Millisecond},
		{&t.idle, 5 * time.Second},
		{&t.statsAge, time.Second},
		{&t.dedupe, 2 * time.Minute},
	} {
		if *d.at == 0 {
			*d.at = d.or
		}
	}
	return t
}

func (c Config) limits() spool.Limits {
	return spool.Limits{
		MaxSize: c.MaxSize, MaxAge: c.MaxAge, ProjectShare: c.ProjectShare, DeadLetterSize: c.DeadLetterSize,
	}.WithDefaults()
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// token is a name as a part of subjects and of consumers' names. One with
// other characters becomes "=" and hexadecimal digits, so that no two names
// have the same token.
func token(name string) string {
	if plainName.MatchString(name) {
		return name
	}
	return fmt.Sprintf("=%x", name)
}
