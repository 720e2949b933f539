package console

import (
	"bytes"
	"context"
	"sync"
	"time"
)

// The streams, as the metrics name them.
const (
	streamLive = "live"
	streamTail = "tail"
)

// maxViewers bounds the live pages that are open at a time.
const maxViewers = 200

// live pushes pages that are being looked at. One goroutine serves all
// viewers, and only while there are any: it renders each page once a round,
// whatever the number of its viewers, and hands the same bytes to each. A
// viewer holds one frame at most; a slow one gets the newest and misses those
// between.
type live struct {
	render func(page string) ([]byte, error)
	every  time.Duration
	count  func(n int)

	mu      sync.Mutex
	pages   map[string]*watched
	viewers int
	stop    chan struct{} // not nil while the goroutine runs
}

// watched is a page with viewers.
type watched struct {
	viewers map[*viewer]struct{}
	last    []byte
}

type viewer struct{ frames chan []byte }

func newLive(every time.Duration, count func(int), render func(string) ([]byte, error)) *live {
	return &live{render: render, every: every, count: count, pages: map[string]*watched{}}
}

// join adds a viewer of a page; leave must be called. ok is false when there
// are too many.
func (l *live) join(page string) (v *viewer, leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.viewers >= maxViewers {
		return nil, nil, false
	}
	w := l.pages[page]
	if w == nil {
		w = &watched{viewers: map[*viewer]struct{}{}}
		l.pages[page] = w
	}
	v = &viewer{make(chan []byte, 1)}
	w.viewers[v] = struct{}{}
	if w.last != nil {
		v.show(w.last)
	}
	l.viewers++
	l.count(l.viewers)
	if l.stop == nil {
		l.stop = make(chan struct{})
		go l.run(l.stop)
	}
	var once sync.Once
	return v, func() { once.Do(func() { l.leave(page, v) }) }, true
}

func (l *live) leave(page string, v *viewer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.pages[page]
	delete(w.viewers, v)
	if len(w.viewers) == 0 {
		delete(l.pages, page)
	}
	l.viewers--
	l.count(l.viewers)
	if l.viewers == 0 {
		close(l.stop)
		l.stop = nil
	}
}

func (l *live) run(stop chan struct{}) {
	t := time.NewTicker(l.every)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			l.round()
		}
	}
}

// round renders what is looked at and shows what changed.
func (l *live) round() {
	l.mu.Lock()
	pages := make([]string, 0, len(l.pages))
	for p := range l.pages {
		pages = append(pages, p)
	}
	l.mu.Unlock()
	for _, page := range pages {
		frame, err := l.render(page) // not under mu: it reads the other parts
		if err != nil {
			continue // logged; the viewers keep what they have
		}
		l.mu.Lock()
		if w := l.pages[page]; w != nil && !bytes.Equal(w.last, frame) {
			w.last = frame
			for v := range w.viewers {
				v.show(frame)
			}
		}
		l.mu.Unlock()
	}
}

// show puts a frame in the place of one that was not taken yet. Only the
// holder of live.mu calls it.
func (v *viewer) show(frame []byte) {
	select {
	case <-v.frames:
	default:
	}
	v.frames <- frame
}

// next waits for a frame.
func (v *viewer) next(ctx context.Context, beat <-chan time.Time) (frame []byte, ok bool) {
	select {
	case frame = <-v.frames:
		return frame, true
	case <-beat:
		return nil, true
	case <-ctx.Done():
		return nil, false
	}
}
