package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
)

// names of the streams of one spool, and their subjects.
type names struct{ prefix string }

func (n names) records() string { return n.prefix }
func (n names) dead() string    { return n.prefix + "_dead" }
func (n names) state() string   { return n.prefix + "_state" }
func (n names) large() string   { return n.prefix + "_large" }

// all are the streams, that of the object store among them.
func (n names) all() []string {
	return []string{n.records(), n.dead(), n.state(), "OBJ_" + n.large()}
}

// packOf is the subject of a project's records, againOf of those that were
// stored once more.
func (n names) packOf(project string) string  { return n.prefix + ".records." + token(project) }
func (n names) againOf(project string) string { return n.prefix + ".again." + token(project) }

// probe is the subject of messages that only ask whether one can be stored.
func (n names) probe() string { return n.prefix + ".probe" }

func (n names) deadOf(dst spool.Destination, id string) string {
	return n.prefix + ".dead." + token(dst.Project) + "." + token(dst.Name) + "." + id
}

func (n names) stateOf(seq uint64) string {
	return n.prefix + ".state." + strconv.FormatUint(seq, 10)
}

// again is where it is noted in which message a retried record lies.
func (n names) again(id string) string { return n.prefix + ".state.again." + id }

// consumer is the durable name of a destination's consumer.
func (n names) consumer(dst spool.Destination) string {
	return token(dst.Project) + "~" + token(dst.Name)
}

// smallestPack is the size that the servers' own bound on a project assumes
// of a message: they count messages, and bytes are counted here.
const smallestPack = 1 << 10

// prepare makes the streams, or gives those that are there this spool's limits.
func (s *Spool) prepare(ctx context.Context, l spool.Limits) error {
	n := s.names
	perProject := max(int64(l.ProjectShare*float64(l.MaxSize))/smallestPack, 1024)
	base := jetstream.StreamConfig{
		Storage: jetstream.FileStorage, Replicas: s.cfg.Replicas, Retention: jetstream.LimitsPolicy,
		AllowDirect: true, Duplicates: s.cfg.times.dedupe,
	}
	records := base
	records.Name, records.Subjects = n.records(), []string{n.prefix + ".records.*", n.prefix + ".again.*", n.probe()}
	records.Discard, records.DiscardNewPerSubject = jetstream.DiscardNew, true
	records.MaxBytes, records.MaxMsgsPerSubject = l.MaxSize, perProject
	dead := base
	dead.Name, dead.Subjects = n.dead(), []string{n.prefix + ".dead.>"}
	dead.Discard, dead.MaxBytes, dead.MaxMsgsPerSubject = jetstream.DiscardOld, l.DeadLetterSize, 1
	state := base
	state.Name, state.Subjects, state.MaxMsgsPerSubject = n.state(), []string{n.prefix + ".state.>"}, 1
	for _, c := range []struct {
		jetstream.StreamConfig
		to *jetstream.Stream
	}{{records, &s.recordStream}, {dead, &s.deadStream}, {state, &s.stateStream}} {
		var stream jetstream.Stream
		if err := s.retry(ctx, func(ctx context.Context) (err error) {
			stream, err = s.makeStream(ctx, c.StreamConfig)
			return err
		}); err != nil {
			var api *jetstream.APIError
			if errors.As(err, &api) && (api.ErrorCode == codeStorageFull || api.ErrorCode == codeAccountFull) {
				err = fmt.Errorf("%w: each server needs a max_file_store of at least max_size and the dead letters' part together, %d bytes", err, l.MaxSize+l.DeadLetterSize)
			}
			return fmt.Errorf("making stream %s with %d replicas: %w", c.Name, c.Replicas, err)
		}
		if *c.to == nil { // handles are good for the streams' life
			*c.to = stream
		}
	}
	return s.retry(ctx, func(ctx context.Context) error {
		copies, there := s.cfg.Replicas, true
		switch old, err := s.js.Stream(ctx, "OBJ_"+n.large()); {
		case err == nil:
			copies = s.copies(n.large(), old.CachedInfo().Config.Replicas)
		case errors.Is(err, jetstream.ErrStreamNotFound):
			there = false
		default:
			return err
		}
		large, err := s.js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: n.large(), Storage: jetstream.FileStorage, Replicas: copies,
			Description: "payloads above the limit of a message; gateways count them to max_size",
		})
		if err != nil {
			return fmt.Errorf("making object store %s: %w", n.large(), err)
		}
		if s.large == nil {
			s.large = large
		}
		if !there {
			s.made("OBJ_" + n.large())
		}
		return nil
	})
}

// makeStream makes a stream, or gives the one that is there its limits.
//
// The bound on the messages of a subject is never lowered: the servers would
// remove the oldest beyond it, also from a stream that refuses what is new.
//
// A stream begins with a sequence of its own, the time in microseconds, so that
// no two messages ever have the same one, also where somebody removed the
// stream: marks, dead letters and gateways in use still name the old ones.
func (s *Spool) makeStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	old, err := s.js.Stream(ctx, c.Name)
	switch {
	case err == nil:
		was := old.CachedInfo().Config
		c.FirstSeq, c.Replicas = was.FirstSeq, s.copies(c.Name, was.Replicas)
		if c.Discard == jetstream.DiscardNew {
			c.MaxMsgsPerSubject = max(c.MaxMsgsPerSubject, was.MaxMsgsPerSubject)
		}
		return s.js.UpdateStream(ctx, c)
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return nil, err
	}
	c.FirstSeq = uint64(time.Now().UnixMicro())
	stream, err := s.js.CreateStream(ctx, c)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another gateway was first
		return s.makeStream(ctx, c)
	}
	if err == nil {
		s.made(c.Name)
	}
	return stream, err
}

// copies is how many copies a stream gets that has some. They never become
// fewer: what another gateway confirmed it confirmed for that many.
func (s *Spool) copies(stream string, has int) int {
	if has > s.cfg.Replicas {
		s.log.Warn().Str("stream", stream).Int("copies", has).Int("configured", s.cfg.Replicas).Msg("the stream keeps its copies, which are more than configured here; whoever wants fewer edits the stream")
	}
	return max(has, s.cfg.Replicas)
}

// retry repeats what the servers cannot do now (no leader, no answer) until
// ctx ends.
func (s *Spool) retry(ctx context.Context, do func(context.Context) error) error {
	for {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := do(try)
		cancel()
		if err == nil || !away(err) {
			return err
		}
		s.waits.Load().tell(err)
		if !pause(ctx, 100*time.Millisecond) {
			return err
		}
	}
}

// away says that the servers gave no answer, or that they cannot decide now.
func away(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case codeStoreFailed, codeNoResources:
			return false
		case 10009, 10041, 10118: // not the leader, no agreement, stream offline
			return true
		case codeInProcess: // an earlier try of the same message is not decided yet
			return true
		case codeNoPeers: // too few servers, or those that were just started are not heard of yet
			return strings.Contains(api.Description, "peer offline")
		}
		return api.Code == 503
	}
	for _, e := range []error{
		nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed, nats.ErrDisconnected, nats.ErrReconnectBufExceeded,
		nats.ErrConnectionReconnecting, nats.ErrStaleConnection, jetstream.ErrNoStreamResponse, context.DeadlineExceeded,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// consume finds or makes the consumer that all gateways share for dst. It sees
// what was stored before it was made.
func (s *Spool) consume(ctx context.Context, dst spool.Destination) (jetstream.Consumer, error) {
	return s.js.CreateOrUpdateConsumer(ctx, s.names.records(), jetstream.ConsumerConfig{
		Durable:        s.names.consumer(dst),
		Description:    dst.String(),
		FilterSubjects: []string{s.names.packOf(dst.Project), s.names.againOf(dst.Project)},
		DeliverPolicy:  jetstream.DeliverAllPolicy,
		AckPolicy:      jetstream.AckExplicitPolicy,
		AckWait:        s.cfg.times.ackWait,
		MaxDeliver:     -1,
		MaxAckPending:  maxLeased,
		MaxWaiting:     4096,
	})
}

// maxLeased bounds the messages of one destination that are leased or put
// off, on the server.
const maxLeased = 1 << 16

// get is a request for messages of a stream, answered by any of its servers.
type get struct {
	Seq       uint64     `json:"seq,omitempty"`
	Next      string     `json:"next_by_subj,omitempty"`
	Batch     int        `json:"batch,omitempty"`
	MaxBytes  int        `json:"max_bytes,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	MultiLast []string   `json:"multi_last,omitempty"`
}

// got is one message of a stream.
type got struct {
	seq     uint64
	subject string
	at      time.Time
	header  nats.Header
	data    []byte
}

// fetch gets messages without a consumer. No messages are no error.
func (s *Spool) fetch(ctx context.Context, stream string, g get) ([]got, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		list, err := s.fetchOnce(ctx, stream, g)
		if !errors.Is(err, nats.ErrNoResponders) || !pause(ctx, 50*time.Millisecond) {
			return list, err // a stream that was just made, or changes its leader, answers a little later
		}
	}
}

func (s *Spool) fetchOnce(ctx context.Context, stream string, g get) ([]got, error) {
	body, err := json.Marshal(g)
	if err != nil {
		return nil, err
	}
	inbox := s.conn.NewInbox()
	sub, err := s.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }() // of a connection that may be gone
	if err := s.conn.PublishRequest("$JS.API.DIRECT.GET."+stream, inbox, body); err != nil {
		return nil, err
	}
	var list []got
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		seq := m.Header.Get(jetstream.SequenceHeader)
		if seq == "" {
			switch status := m.Header.Get("Status"); status {
			case "204", "404":
				return list, nil
			case "503", "":
				return nil, nats.ErrNoResponders
			default:
				return nil, fmt.Errorf("reading stream %s: status %s %s", stream, status, m.Header.Get("Description"))
			}
		}
		r := got{subject: m.Header.Get(jetstream.SubjectHeader), header: m.Header, data: m.Data}
		if r.seq, err = strconv.ParseUint(seq, 10, 64); err != nil {
			return nil, fmt.Errorf("reading stream %s: %w", stream, err)
		}
		r.at, _ = time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer)) // only positions a walk
		list = append(list, r)
	}
}

// read is a request for one message, answered by the stream's leader: it knows
// all that was confirmed, which other servers may learn a little later.
type read struct {
	Seq  uint64 `json:"seq,omitempty"`
	Last string `json:"last_by_subj,omitempty"`
}

func (s *Spool) read(ctx context.Context, stream string, r read) (got, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return got{}, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	msg, err := s.conn.RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if err == nil {
		err = json.Unmarshal(msg.Data, &answer)
	}
	switch m := answer.Message; {
	case err != nil:
		return got{}, err
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return got{}, jetstream.ErrMsgNotFound
	case answer.Error != nil:
		return got{}, answer.Error
	case m == nil:
		return got{}, jetstream.ErrMsgNotFound
	default:
		return got{seq: m.Seq, subject: m.Subject, at: m.Time, data: m.Data}, nil
	}
}

// isNotFound says that a message, or its last state, is not there.
func isNotFound(err error) bool { return errors.Is(err, jetstream.ErrMsgNotFound) }

// isConflict says that another gateway wrote first.
func isConflict(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeWrongLast || api.ErrorCode == codeWrongLastNow)
}

// Error codes of the server that mean more than that it failed.
const (
	codeNoPeers      = 10005
	codeNoResources  = 10023
	codeStorageFull  = 10047
	codeAccountFull  = 10002
	codeWrongLast    = 10071
	codeStoreFailed  = 10077 // full, by one of the stream's limits
	codeInProcess    = 10158
	codeWrongLastNow = 10164
)
