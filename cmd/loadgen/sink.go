package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// sink is an upstream that remembers which event ids it was sent, 40 bytes
// each, so that millions can be counted. It is not relaytest.Upstream, which
// parses and judges every item: what shares two cores with a gateway under
// measurement must cost as little as possible, and reading only the envelope's
// header costs a good half of it.
type sink struct {
	ids     relaytest.IDs
	keep    bool
	fault   atomic.Int32 // answer every request with this status, or one of the faults; 0 for 200
	count   atomic.Int64
	torn    atomic.Int64                  // attachments that were not what was sent
	files   relaytest.IDs                 // of envelopes whose attachment came whole
	whole   bool                          // check attachments
	took    func(relaytest.ID, time.Time) // told of every taken envelope; nil for nobody
	readers sync.Pool
	ended   chan struct{} // closed when hanging requests may go
}

// Faults beside the statuses of HTTP.
const (
	faultHang  = -1 // read everything, never answer
	faultReset = -2 // take it, then cut the connection: the answer is lost
)

func newSink(keep bool) *sink { return &sink{keep: keep, ended: make(chan struct{})} }

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
	fault := int(s.fault.Load())
	if fault > 0 || fault == faultHang {
		_, _ = io.Copy(io.Discard, r.Body)
		if fault > 0 {
			w.WriteHeader(fault)
			return
		}
		select {
		case <-r.Context().Done():
		case <-s.ended:
		}
		panic(http.ErrAbortHandler)
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
	er := schemas.NewReader(body)
	h, err := er.Header()
	if err != nil {
		http.Error(w, `{"detail":"bad envelope"}`, http.StatusBadRequest)
		return
	}
	v, known := relaytest.ParseID(h.EventID())
	if s.whole {
		n, ok, err := wholeAttachments(er, v)
		if err != nil {
			http.Error(w, `{"detail":"bad envelope"}`, http.StatusBadRequest)
			return
		}
		switch {
		case !ok:
			s.torn.Add(1)
		case n > 0:
			s.files.Add(v)
		}
	}
	if _, err := io.Copy(io.Discard, body); err != nil { // cut off: not taken
		http.Error(w, `{"detail":"cut off"}`, http.StatusBadRequest)
		return
	}
	s.count.Add(1)
	if known && s.took != nil {
		s.took(v, time.Now())
	}
	if known && s.keep {
		s.ids.Add(v)
	}
	if fault == faultReset {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{}`))
}

// wholeAttachments reads the items and counts the attachments; ok is false when
// one is not the event's id in hex, over and over. err says that it is no envelope.
func wholeAttachments(er *schemas.Reader, v relaytest.ID) (n int, ok bool, err error) {
	ok = true
	want := bytes.Repeat([]byte(v.String()), 1024)
	for {
		ih, payload, err := er.Next()
		if errors.Is(err, io.EOF) {
			return n, ok, nil
		}
		if err != nil {
			return n, false, err
		}
		if ih.Type != "attachment" {
			if _, err := io.Copy(io.Discard, payload); err != nil {
				return n, false, err
			}
			continue
		}
		n++
		buf := make([]byte, len(want))
		for err == nil {
			var got int
			got, err = io.ReadFull(payload, buf)
			ok = ok && bytes.Equal(buf[:got], want[:got]) && got%hex.EncodedLen(len(v)) == 0
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return n, false, err
		}
	}
}

func (s *sink) unique() int {
	n, _ := s.ids.Len()
	return n
}

// check compares with what was acknowledged: which never came, and how many
// came more than once.
func (s *sink) check(acked map[relaytest.ID]struct{}) (missing []relaytest.ID, repeated int) {
	for v := range acked {
		if s.ids.Count(v) == 0 {
			missing = append(missing, v)
		}
	}
	_, repeated = s.ids.Len()
	return missing, repeated
}
