package console

import (
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"breakwater/schemas"
)

const (
	// maxTails bounds the listeners of the item stream, tailBuffer the lines
	// one of them may be behind before it misses some.
	maxTails   = 20
	tailBuffer = 256
)

// Line is what became of one item at the door. Summary is scrubbed, one line,
// and harmless to print.
type Line struct {
	At       time.Time        `json:"at"`
	Project  string           `json:"project"`
	Category schemas.Category `json:"category"`
	Quantity int              `json:"quantity"`
	Outcome  schemas.Outcome  `json:"outcome"`
	Reason   string           `json:"reason,omitempty"`
	Endpoint string           `json:"endpoint,omitempty"`
	EventID  string           `json:"event_id,omitempty"`
	Release  string           `json:"release,omitempty"`
	Summary  string           `json:"summary,omitempty"`
}

// Tail hands what becomes of items to whoever listens. It is safe for
// concurrent use, and costs one atomic load an item while nobody does.
type Tail struct {
	listeners atomic.Int64

	mu   sync.Mutex
	open map[*listener]struct{}
}

type listener struct {
	project  string
	category schemas.Category
	outcome  schemas.Outcome
	lines    chan Line
	missed   atomic.Int64
}

// NewTail makes a tail without listeners.
func NewTail() *Tail { return &Tail{open: map[*listener]struct{}{}} }

// Watching tells whether anybody listens: only then is it worth making lines.
func (t *Tail) Watching() bool { return t.listeners.Load() > 0 }

// Wants tells whether anybody listens to such items, so that no summary is
// made for nothing.
func (t *Tail) Wants(project string, c schemas.Category, o schemas.Outcome) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.open {
		if l.wants(project, c, o) {
			return true
		}
	}
	return false
}

func (l *listener) wants(project string, c schemas.Category, o schemas.Outcome) bool {
	return (l.project == "" || l.project == project) && (l.category == "" || l.category == c) && (l.outcome == "" || l.outcome == o)
}

// Send hands a line to those who want it. It never waits: a listener that is
// behind misses it, and is told so.
func (t *Tail) Send(line Line) {
	line.Release, line.EventID = Visible(line.Release, 200), Visible(line.EventID, 64)
	line.Summary = Visible(line.Summary, 300)
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.open {
		if !l.wants(line.Project, line.Category, line.Outcome) {
			continue
		}
		select {
		case l.lines <- line:
		default:
			l.missed.Add(1)
		}
	}
}

func (t *Tail) join(l *listener) (leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.open) >= maxTails {
		return nil, false
	}
	l.lines = make(chan Line, tailBuffer)
	t.open[l] = struct{}{}
	t.listeners.Store(int64(len(t.open)))
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, l)
		t.listeners.Store(int64(len(t.open)))
	}, true
}

// getTail streams lines as server-sent events: item with a Line, missed with
// {"lines": n}.
func (s *server) getTail(c echo.Context) error {
	l := &listener{project: c.QueryParam("project")}
	if name := c.QueryParam("category"); name != "" {
		cat, ok := schemas.ParseCategory(name)
		if !ok {
			return echo.NewHTTPError(http.StatusBadRequest, "category: no such category")
		}
		l.category = cat
	}
	if name := schemas.Outcome(c.QueryParam("outcome")); name != "" {
		if !isOutcome(name) {
			return echo.NewHTTPError(http.StatusBadRequest, "outcome: one of accepted, rate_limited, filtered, suppressed, invalid, unauthorized")
		}
		l.outcome = name
	}
	leave, ok := s.o.Tail.join(l)
	if !ok {
		s.metrics.full.Inc()
		return echo.NewHTTPError(http.StatusServiceUnavailable, "too many listeners")
	}
	defer leave()
	s.metrics.viewers.WithLabelValues(streamTail).Inc()
	defer s.metrics.viewers.WithLabelValues(streamTail).Dec()
	e, err := startEvents(c, s.o.patience)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for err == nil {
		select {
		case <-c.Request().Context().Done():
			return nil
		case line := <-l.lines:
			if n := l.missed.Swap(0); n > 0 {
				s.metrics.missed.Add(float64(n))
				err = sendJSON(e, "missed", map[string]int64{"lines": n})
			}
			if err == nil {
				err = sendJSON(e, "item", line)
			}
		case <-beat.C:
			if !s.still(c) {
				return nil
			}
			err = e.comment("still here")
		}
	}
	return nil // too slow, or gone
}

func sendJSON(e *events, name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.send(name, "", raw)
}

// isOutcome knows the outcomes at the door.
func isOutcome(o schemas.Outcome) bool {
	switch o {
	case schemas.Accepted, schemas.RateLimited, schemas.Filtered, schemas.Suppressed, schemas.Invalid, schemas.Unauthorized:
		return true
	}
	return false
}
