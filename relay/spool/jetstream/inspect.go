package jetstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
)

// Finding is one thing that Inspect looked at. Fault is "" when it is as it
// should be, else one of the words below; Detail is what was seen.
type Finding struct {
	Subject string // a server, a stream, a consumer
	Fault   string
	Detail  string
}

// The faults that Inspect can find.
const (
	FaultUnreachable = "unreachable" // no server answers, or none lets us in
	FaultUnsynced    = "unsynced"    // a server confirms before it has synced
	FaultUnasked     = "unasked"     // a server cannot be asked whether it syncs
	FaultReplicas    = "replicas"    // fewer copies than configured, or one is behind or away
	FaultDiscard     = "discard"     // the stream throws away what is old when it is full
	FaultRoom        = "room"        // more than nine tenths are used
	FaultQuorum      = "quorum"      // nothing can be stored now
	FaultMissing     = "missing"     // no stream yet, or no consumer of a destination
	FaultClock       = "clock"       // a server's clock is more than a minute off
)

// fullFrom is the part of a stream from which Inspect warns.
const fullFrom = 0.9

// Inspect looks at the servers and the streams of cfg from outside and changes
// nothing, but for one small message that it stores and removes again. dsts are
// the destinations that should have a consumer. It takes as long as servers
// that do not answer make it, at most a minute, and ends early with ctx.
func Inspect(ctx context.Context, cfg Config, dsts []spool.Destination) (list []Finding) {
	cfg.Gateway = "doctor"
	s, err := newSpool(cfg)
	if err != nil {
		return []Finding{{cfg.Stream, FaultUnreachable, err.Error()}}
	}
	defer s.release()
	add := func(subject, fault, format string, args ...any) {
		list = append(list, Finding{subject, fault, fmt.Sprintf(format, args...)})
	}
	for _, url := range cfg.Monitors {
		st, err := askMonitor(ctx, url)
		var un *UnsyncedError
		switch {
		case err != nil:
			add(url, FaultUnasked, "%v", err)
			continue
		case errors.As(st.unsynced(url), &un):
			add(url, FaultUnsynced, "%s", un.Why)
			continue
		}
		add(url, "", "syncs before it confirms")
	}
	dialing, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	if err := s.dial(dialing); err != nil {
		add("servers", FaultUnreachable, "%v", err)
		return list
	}
	rtt, err := s.conn.RTT()
	if err != nil {
		add("servers", FaultUnreachable, "%v", err)
		return list
	}
	add("servers", "", "connected to %s, one way and back %s", s.conn.ConnectedUrlRedacted(), rtt.Round(10*time.Microsecond))
	if !s.inspectStreams(ctx, add) {
		return list
	}
	s.inspectWrite(ctx, add)
	s.inspectConsumers(ctx, dsts, add)
	return list
}

// inspectStreams is false when there is no stream to look further at.
func (s *Spool) inspectStreams(ctx context.Context, add func(string, string, string, ...any)) bool {
	for _, name := range s.names.all() {
		asking, cancel := context.WithTimeout(ctx, 12*time.Second) // a new leader takes some seconds
		var stream jetstream.Stream
		err := s.retry(asking, func(ctx context.Context) (err error) {
			stream, err = s.js.Stream(ctx, name)
			return err
		})
		cancel()
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			add(name, FaultMissing, "there is no stream of this name; a gateway makes it at its first start")
			return false
		case err != nil:
			add(name, FaultQuorum, "%v", err)
			return false
		}
		info := stream.CachedInfo()
		s.inspectStream(info, add)
	}
	return true
}

func (s *Spool) inspectStream(info *jetstream.StreamInfo, add func(string, string, string, ...any)) {
	c, name := info.Config, info.Config.Name
	sound := true
	fault := func(word, format string, args ...any) {
		sound = false
		add(name, word, format, args...)
	}
	if c.Replicas < s.cfg.Replicas {
		fault(FaultReplicas, "it keeps %d copies, configured are %d", c.Replicas, s.cfg.Replicas)
	}
	if info.Cluster != nil {
		if info.Cluster.Leader == "" && c.Replicas > 1 {
			fault(FaultQuorum, "it has no leader")
		}
		for _, r := range info.Cluster.Replicas {
			if r.Offline || !r.Current {
				fault(FaultReplicas, "the copy on %s is behind or away (%d operations, last seen %s ago)", r.Name, r.Lag, r.Active.Round(time.Millisecond))
			}
		}
	}
	records := name == s.names.records()
	if records && (c.Discard != jetstream.DiscardNew || c.Retention != jetstream.LimitsPolicy || c.MaxAge != 0) {
		fault(FaultDiscard, "discard %s, retention %s, max_age %s: reports would be thrown away", c.Discard, c.Retention, c.MaxAge)
	}
	if used := float64(info.State.Bytes); records && c.MaxBytes > 0 && used > fullFrom*float64(c.MaxBytes) {
		fault(FaultRoom, "%.1f of %.1f GiB are used", used/(1<<30), float64(c.MaxBytes)/(1<<30))
	}
	if off := time.Since(info.TimeStamp).Abs(); !info.TimeStamp.IsZero() && off > time.Minute {
		fault(FaultClock, "its server's clock is %s off", off.Round(time.Second))
	}
	if sound {
		leader := ""
		if info.Cluster != nil && info.Cluster.Leader != "" {
			leader = ", leader " + info.Cluster.Leader
		}
		add(name, "", "%d messages, %d bytes, %d copies%s", info.State.Msgs, info.State.Bytes, c.Replicas, leader)
	}
}

// inspectWrite stores a message, reads it and removes it.
func (s *Spool) inspectWrite(ctx context.Context, add func(string, string, string, ...any)) {
	ctx, cancel := context.WithTimeout(ctx, 12*time.Second)
	defer cancel()
	name := s.names.records()
	var took time.Duration
	err := s.retry(ctx, func(ctx context.Context) error {
		start := time.Now()
		ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: s.names.probe()}, withoutRetry...)
		took = time.Since(start)
		if err != nil {
			return err
		}
		stream, err := s.js.Stream(ctx, name)
		if err != nil {
			return err
		}
		if _, err := stream.GetMsg(ctx, ack.Sequence); err != nil {
			return err
		}
		return stream.DeleteMsg(ctx, ack.Sequence)
	})
	if isNotFound(err) {
		err = nil // a gateway asked at the same moment, and its message took this one's place
	}
	switch full := asFull(err); {
	case full != nil:
		add(name, FaultRoom, "%v", full)
	case err != nil:
		add(name, FaultQuorum, "%v", err)
	default:
		add(name, "", "a message is stored on a majority after %s, and read back", took.Round(10*time.Microsecond))
	}
}

func (s *Spool) inspectConsumers(ctx context.Context, dsts []spool.Destination, add func(string, string, string, ...any)) {
	// A consumer's leader is one of its own, and may have gone with a server: what
	// it never saw is asked again until there is a new one.
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, d := range dsts {
		var c jetstream.Consumer
		err := s.retry(ctx, func(ctx context.Context) (err error) {
			c, err = s.js.Consumer(ctx, s.names.records(), s.names.consumer(d))
			return err
		})
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound):
			add(d.String(), FaultMissing, "no gateway has asked for its reports yet: there is no consumer %s", s.names.consumer(d))
		case err != nil:
			add(d.String(), FaultQuorum, "%v", err)
		default:
			i := c.CachedInfo()
			add(d.String(), "", "%d messages wait, %d are leased or put off, %d workers ask", i.NumPending, i.NumAckPending, i.NumWaiting)
		}
	}
}
