package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
	"breakwater/cmd/breakwater/doctor"
	"breakwater/cmd/breakwater/fleet"
	"breakwater/relay/spool"
	"breakwater/relay/spool/jetstream"
)

// streamWords are the stream's faults in doctor's words. Those that are mild
// cost nothing yet.
var streamWords = map[string]struct {
	name string
	mild bool
}{
	jetstream.FaultUnreachable: {"stream_unreachable", false},
	jetstream.FaultUnsynced:    {"stream_unsynced", false},
	jetstream.FaultUnasked:     {"stream_unasked", false},
	jetstream.FaultReplicas:    {"stream_replicas", true},
	jetstream.FaultDiscard:     {"stream_discard", false},
	jetstream.FaultRoom:        {"stream_full", false},
	jetstream.FaultQuorum:      {"stream_quorum", false},
	jetstream.FaultMissing:     {"stream_missing", true},
	jetstream.FaultClock:       {"clock_off", true},
}

// seenStream looks at the stream for doctor.
func seenStream(cfg *config.Config) func(context.Context) []doctor.Seen {
	return func(ctx context.Context) (list []doctor.Seen) {
		sc := streamConfig(cfg)
		sc.Dir, sc.Logger = "", zerolog.Nop()
		var dsts []spool.Destination
		for _, p := range cfg.Projects {
			for _, u := range p.Upstreams {
				if !u.Held() {
					dsts = append(dsts, spool.Destination{Project: p.Name, Name: u.Name})
				}
			}
		}
		found, silent := jetstream.Inspect(ctx, sc, dsts), 0
		for _, f := range found {
			if f.Fault == jetstream.FaultUnasked {
				silent++
			}
		}
		for _, f := range found {
			w := streamWords[f.Fault]
			mild := w.mild
			switch f.Fault {
			case jetstream.FaultUnsynced:
				mild = cfg.Spool.JetStream.AllowUnsynced
			case jetstream.FaultUnasked: // a start waits for a majority only
				mild = cfg.Spool.JetStream.AllowUnsynced || 2*silent < len(sc.Monitors)
			}
			list = append(list, doctor.Seen{Subject: f.Subject, Name: w.name, Detail: f.Detail, Mild: mild})
		}
		return list
	}
}

// seenRedis looks at Redis for doctor.
func seenRedis(cfg *config.Config) func(context.Context) []doctor.Seen {
	return func(ctx context.Context) []doctor.Seen {
		r := cfg.Limits.Redis
		f, err := fleet.New(fleet.Options{ //nolint:contextcheck // the script is read from the library, nothing is asked
			URL: r.URL.Reveal(), Timeout: 2 * time.Second, Prefix: r.Prefix, Name: "doctor", Registerer: prometheus.NewRegistry(), Log: zerolog.Nop(),
		})
		if err != nil {
			return []doctor.Seen{{Subject: "limits.redis", Name: "redis_unreachable", Detail: err.Error()}}
		}
		defer func() { _ = f.Close() }()
		return redisSeen(ctx, f, r.Timeout.Duration())
	}
}

// redisPings is how often Redis is asked: the slowest answer but one counts.
const redisPings = 10

func redisSeen(ctx context.Context, f *fleet.Fleet, timeout time.Duration) (list []doctor.Seen) {
	const subject = "limits.redis"
	var worst, second time.Duration
	for range redisPings {
		took, err := f.Ping(ctx)
		if err != nil {
			return append(list, doctor.Seen{Subject: subject, Name: "redis_unreachable", Detail: err.Error()})
		}
		if took > worst {
			worst, second = took, worst
		} else {
			second = max(second, took)
		}
	}
	if second > timeout/2 {
		list = append(list, doctor.Seen{Subject: subject, Name: "redis_slow", Detail: fmt.Sprintf("answers take up to %s; limits.redis.timeout is %s", second.Round(10*time.Microsecond), timeout), Mild: true})
	} else {
		list = append(list, doctor.Seen{Subject: subject, Detail: fmt.Sprintf("answers within %s", second.Round(10*time.Microsecond))})
	}
	before := time.Now()
	theirs, err := f.Clock(ctx)
	if err != nil {
		return append(list, doctor.Seen{Subject: subject, Name: "redis_unreachable", Detail: err.Error()})
	}
	if off := theirs.Sub(before); off < -30*time.Second || off > 30*time.Second {
		list = append(list, doctor.Seen{Subject: subject, Name: "clock_off", Detail: fmt.Sprintf("its clock is %s from this machine's; quotas of days and months begin by its clock", off.Round(time.Second)), Mild: true})
	}
	return list
}
