package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// sink is an upstream that remembers which event ids it was sent, 40 bytes
// each, so that millions can be counted. It plays the scripts of
// relaytest.Upstream, but it is not one: that parses and judges every item, and
// what shares two cores with a gateway under measurement must cost as little
// as possible. Reading only the envelope's header costs a good half of it.
type sink struct {
	relaytest.Plan // how the next requests are treated
	ids            relaytest.IDs
	keep           bool
	count          atomic.Int64                      // taken envelopes
	torn           atomic.Int64                      // attachments that were not what was sent
	files          relaytest.IDs                     // of envelopes whose attachment came whole
	whole          bool                              // check attachments
	took           func(relaytest.ID, *http.Request) // told of every taken envelope; nil for nobody
	readers        sync.Pool
	port           *port
	ended          chan struct{} // closed when hanging requests may go
	end            sync.Once

	mu      sync.Mutex
	answers map[string]int64 // by status or fault; 200 is not counted here
}

func newSink(keep bool) *sink {
	return &sink{keep: keep, ended: make(chan struct{}), answers: map[string]int64{}}
}

// serve listens on addr until close.
func (s *sink) serve(addr string) (err error) {
	s.port, err = openPort(addr, s)
	return err
}

func (s *sink) close() {
	s.end.Do(func() {
		close(s.ended)
		s.port.close()
	})
}

// refuse makes it an upstream whose port is closed, until accept.
func (s *sink) refuse() { s.port.refuse() }

func (s *sink) accept() error { return s.port.open() }

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		s.talk(w, r)
		return
	}
	step, scripted := s.Next()
	if scripted {
		s.note(step)
	}
	switch {
	case step.Fault == relaytest.Refuse:
		go s.port.refuseFor(step.Delay) // it cuts this connection too
		step.Play(w, r, good, s.ended)
		return
	case step.Fault == relaytest.ResetBefore:
		step.Play(w, r, good, s.ended)
		return
	case !step.Taken():
		_, _ = io.Copy(io.Discard, r.Body)
		step.Play(w, r, good, s.ended)
		return
	}
	if err := s.take(r); err != nil {
		http.Error(w, `{"detail":"`+err.Error()+`"}`, http.StatusBadRequest)
		return
	}
	if scripted {
		step.Play(w, r, good, s.ended)
		return
	}
	w.Header()["Content-Type"] = jsonType
	_, _ = io.WriteString(w, "{}")
}

func good() string { return "{}" }

var (
	jsonType     = []string{"application/json"}
	errGzip      = errors.New("bad gzip")
	errEnvelope  = errors.New("bad envelope")
	errTruncated = errors.New("cut off")
)

// take reads an envelope to its end and remembers its id.
func (s *sink) take(r *http.Request) error {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		zr, _ := s.readers.Get().(*gzip.Reader)
		if zr == nil {
			zr = new(gzip.Reader)
		}
		defer s.readers.Put(zr)
		if zr.Reset(r.Body) != nil {
			return errGzip
		}
		body = zr
	}
	er := schemas.NewReader(body)
	h, err := er.Header()
	if err != nil {
		return errEnvelope
	}
	v, known := relaytest.ParseID(h.EventID())
	if s.whole {
		n, ok, err := wholeAttachments(er, v)
		if err != nil {
			return errEnvelope
		}
		switch {
		case !ok:
			s.torn.Add(1)
		case n > 0:
			s.files.Add(v)
		}
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return errTruncated
	}
	s.count.Add(1)
	if known && s.took != nil {
		s.took(v, r)
	}
	if known && s.keep {
		s.ids.Add(v)
	}
	return nil
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

// misbehave picks one of an upstream's moods by chance: good, failing, limiting,
// silent, losing its answers, or gone.
func (s *sink) misbehave(rnd *rand.Rand) error {
	mood := rnd.IntN(7)
	if mood == 6 {
		s.refuse()
		return nil
	}
	if err := s.accept(); err != nil {
		return err
	}
	switch mood {
	case 2:
		s.Always(relaytest.Status(503))
	case 3:
		s.Always(relaytest.Step{Fault: relaytest.Hang})
	case 4:
		s.Always(relaytest.Step{Fault: relaytest.ResetAfter})
	case 5:
		s.Always(relaytest.Status(429, "Retry-After", "1"))
	default:
		s.Relent()
	}
	return nil
}
