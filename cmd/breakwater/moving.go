package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/backlog"
	"breakwater/cmd/breakwater/config"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/schemas"
)

// move brings what the other engine still holds into this one's spool, while
// the door is open and the relay delivers: what a gateway does at its first
// start after spool.engine was changed.
type move struct {
	*moveMetrics
	from   spool.Spool
	mover  *backlog.Mover
	log    zerolog.Logger
	what   string // where the records come from
	who    string // this gateway's name, the same after a restart
	closed sync.Once
	err    error
}

// moveMetrics exist also where nothing moves, so that a panel shows 0.
type moveMetrics struct {
	moved  prometheus.Counter
	left   prometheus.Gauge
	failed prometheus.Gauge
}

func newMoveMetrics(reg prometheus.Registerer) *moveMetrics {
	m := &moveMetrics{
		moved: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_spool_moved_records_total", Help: "Records that were brought in from the spool of the engine configured before, dead letters among them.",
		}),
		left: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "breakwater_spool_move_left_records", Help: "Records that the spool of the engine configured before still holds.",
		}),
		failed: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "breakwater_spool_move_failed_records", Help: "Records of the spool of the engine configured before that could not be brought in and stay there.",
		}),
	}
	reg.MustRegister(m.moved, m.left, m.failed)
	return m
}

// openMove finds what there is to move, nil for nothing.
func (a *app) openMove(ctx context.Context, cfg *config.Config, log zerolog.Logger) (*move, error) {
	m := newMoveMetrics(a.registry)
	to, ok := a.spool.(spool.Adopter)
	if !ok {
		return nil, nil
	}
	from, what, err := otherSpool(ctx, cfg, recoveredOnly{a.ledger}, log)
	if err != nil || from == nil {
		return nil, err
	}
	who, err := gatewayName(dataFile(cfg, "gateway"))
	if err != nil {
		return nil, errors.Join(err, from.Close())
	}
	st := from.Stats()
	m.left.Set(float64(st.Records))
	log.Info().Str("from", what).Int64("records", st.Records).Msg("the engine of the spool has changed; records of before are moving in")
	return &move{moveMetrics: m, from: from, log: log, what: what, who: who, mover: &backlog.Mover{
		From: from, To: to, Notes: filepath.Join(cfg.DataDir(), "moved.log"), Log: log,
		Ended: func(meta *schemas.Meta, now bool) { a.ledger.moved(meta, now) },
		Count: func(moved, failed int) {
			m.moved.Add(float64(moved))
			m.left.Sub(float64(moved))
			m.failed.Set(float64(failed))
		},
	}}, nil
}

// otherSpool opens the spool that is not configured, if it holds anything.
// Nothing expires and nothing is given up in it: that is for its new place.
func otherSpool(ctx context.Context, cfg *config.Config, observer spool.Observer, log zerolog.Logger) (spool.Spool, string, error) {
	if cfg.Spool.Engine != config.EngineJetStream {
		return drainedStream(ctx, cfg, observer, log)
	}
	dir := cfg.Spool.Dir
	if held, err := disk.Holds(dir); err != nil || !held {
		return nil, "", err
	}
	s, err := disk.Open(disk.Config{
		Dir: dir, MaxSize: 1 << 62, MinFree: -1, MaxAge: -1, ProjectShare: 1, DeadLetterSize: 1 << 62, Observer: observer, Logger: log,
	})
	if err != nil {
		return nil, "", fmt.Errorf("spool.dir holds reports of engine disk, which move into the stream: %w", err)
	}
	return s, dir, nil
}

// drainedStream opens the stream that a gateway on disk shall empty, if it shall.
func drainedStream(ctx context.Context, cfg *config.Config, observer spool.Observer, log zerolog.Logger) (spool.Spool, string, error) {
	if !cfg.Spool.JetStream.Drain {
		return nil, "", nil
	}
	sc := streamConfig(cfg)
	sc.MaxAge = -1
	s, err := openStream(ctx, sc, observer, nil, log)
	if err != nil {
		return nil, "", err
	}
	return s, "stream " + cfg.Spool.JetStream.Stream, nil
}

// run moves, and says how it ended.
func (m *move) run(ctx context.Context) error {
	began := time.Now()
	res, err := m.alone(ctx)
	ev := m.log.Info()
	if err == nil {
		m.left.Set(float64(res.Failed)) // of a long stream it was an estimate
	}
	switch {
	case errors.Is(err, context.Canceled):
		ev.Int("moved", res.Moved).Msg("moving of records broke off, and goes on at the next start")
	case err != nil:
		m.log.Error().Err(err).Int("moved", res.Moved).Msg("moving of records failed, and goes on at the next start")
	case res.Failed > 0:
		m.log.Error().Int("moved", res.Moved).Int("failed", res.Failed).Str("from", m.what).Msg("some records could not be moved and stay where they are; the next start tries again")
	default:
		ev.Int("moved", res.Moved).Dur("took", time.Since(began)).Str("from", m.what).Msg("all records have moved in")
	}
	return m.close()
}

// holder is a spool that several gateways could empty at once.
type holder interface {
	Hold(ctx context.Context, what, who string) (held context.Context, release func(), err error)
}

// alone moves while no other gateway does: two that empty one stream would both
// take each record, and deliver it twice.
func (m *move) alone(ctx context.Context) (res backlog.MoveResult, err error) {
	h, ok := m.from.(holder)
	if !ok {
		return m.mover.Run(ctx)
	}
	waits := time.AfterFunc(2*time.Second, func() {
		m.log.Warn().Str("from", m.what).Msg("another gateway empties it, too (drain: true): this one waits until that one has ended")
	})
	defer waits.Stop()
	held, release, err := h.Hold(ctx, "drain", m.who)
	if err != nil {
		return res, err
	}
	waits.Stop()
	defer release()
	res, err = m.mover.Run(held)
	if err != nil && held.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("another gateway may empty it now: %w", errHoldLost)
	}
	return res, err
}

var errHoldLost = errors.New("the servers did not hear of this gateway for too long")

// close lets go of the other spool.
func (m *move) close() error {
	if m == nil {
		return nil
	}
	m.closed.Do(func() { m.err = m.from.Close() })
	return m.err
}

// recoveredOnly is the ledger of a spool that is moved out of: what was found
// there is the opening balance; the rest, the mover tells.
type recoveredOnly struct{ *ledger }

func (recoveredOnly) Appended(*schemas.Meta)                 {}
func (recoveredOnly) Settled(*schemas.Meta, []schemas.Final) {}
func (recoveredOnly) Requeued(*schemas.Meta)                 {}
