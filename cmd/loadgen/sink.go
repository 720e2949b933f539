package main

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"breakwater/schemas"
)

// sink is an upstream that remembers which event ids it was sent, 20 bytes
// each, so that millions can be counted.
type sink struct {
	mu      sync.Mutex
	seen    map[id]uint32
	keep    bool
	fault   atomic.Int32 // answer every request with this status; 0 for 200
	count   atomic.Int64
	readers sync.Pool
}

func newSink(keep bool) *sink { return &sink{seen: map[id]uint32{}, keep: keep} }

// serve listens on addr until the listener is closed.
func (s *sink) serve(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = srv.Serve(l) }() // ends when the listener closes
	return l, nil
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]int64{"requests": s.count.Load(), "unique": int64(s.unique())})
		return
	}
	if status := int(s.fault.Load()); status != 0 {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		return
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zr, _ := s.readers.Get().(*gzip.Reader)
		if zr == nil {
			zr = new(gzip.Reader)
		}
		defer s.readers.Put(zr)
		if err := zr.Reset(r.Body); err != nil {
			http.Error(w, `{"detail":"bad gzip"}`, http.StatusBadRequest)
			return
		}
		body = zr
	}
	h, err := schemas.NewReader(body).Header()
	if err != nil {
		http.Error(w, `{"detail":"bad envelope"}`, http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(io.Discard, body)
	s.count.Add(1)
	if s.keep {
		var v id
		if _, err := hex.Decode(v[:], []byte(h.EventID())); err == nil {
			s.mu.Lock()
			s.seen[v]++
			s.mu.Unlock()
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{}`))
}

func (s *sink) unique() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// check compares with what was acknowledged: how many never came, how many
// came more than once.
func (s *sink) check(acked map[id]struct{}) (missing []id, repeated int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for v := range acked {
		if s.seen[v] == 0 {
			missing = append(missing, v)
		}
	}
	for _, n := range s.seen {
		if n > 1 {
			repeated++
		}
	}
	return missing, repeated
}
