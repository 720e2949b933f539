package ingest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

// pieces is a protocol whose requests bring, by a letter each, an event (e),
// logs (l) or spans (s).
type pieces struct{}

func (pieces) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(raw)
	b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader(), Many: true, Digest: sum[:]}
	for i, c := range raw {
		typ := map[byte]string{'e': "event", 'l': "log", 's': schemas.OTLPSpans}[c]
		payload := fmt.Sprintf(`{"event_id":"%032x","name":"%c%d"}`, i+1, c, i)
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(payload)}))
	}
	return b, nil
}

// roomFor takes n records, then none until there is room again.
type roomFor struct {
	n    int
	took []string // names of the items of each record
}

func (s *roomFor) Append(_ context.Context, r *schemas.Record) error {
	if s.n == 0 {
		return errors.New("full")
	}
	s.n--
	var names []string
	for i := range r.Envelope.Items {
		raw, _ := r.Envelope.Items[i].InMemory()
		v, _ := schemas.Lookup(raw, "name")
		names = append(names, strings.Trim(string(v), `"`))
	}
	s.took = append(s.took, strings.Join(names, " "))
	return nil
}

// A batch that could be stored in part only is answered 503; sent again, what
// is stored is not stored twice, however often the room ends in between. Once
// all of it is stored the same bytes are new.
func TestPartsAreStoredOnce(t *testing.T) {
	for _, c := range []struct {
		body    string
		room    []int // at each attempt
		want    []string
		ledger  string
		project string
	}{
		{"sl", []int{1, 9}, []string{"s0", "l1"}, "web/log_item accepted, web/log_item rate_limited:spool_unavailable, web/span accepted, web/span filtered:duplicate", ""},
		{"lees", []int{1, 1, 0, 9}, []string{"s3", "l0 e1", "e2"}, "", ""},
		{"eee", []int{2, 9}, []string{"e0", "e1", "e2"}, "", ""},
		{"sl", []int{0, 0, 9}, []string{"s0", "l1"}, "", ""},
		{"sl", []int{9, 9}, []string{"s0", "l1", "s0", "l1"}, "", ""}, // two clients may say the same
		{"sl", []int{1, 9, 9}, []string{"s0", "l1", "s0", "l1"}, "", ""},
	} {
		t.Run(c.body+fmt.Sprint(c.room), func(t *testing.T) {
			sink := &roomFor{}
			e := newEdge(t, func(o *ingest.Options) {
				o.Sink = sink
				o.Parts = ingest.NewRepeats(ingest.RepeatsOptions{TTL: time.Hour, Max: 100})
				o.Endpoints = append(o.Endpoints, ingest.Endpoint{Name: "pieces", Paths: []string{"/api/:project/pieces"}, Protocol: pieces{}})
				list := o.Projects.Load().List()
				p := *list[0]
				p.OTLP = []string{"traces"}
				o.Projects.Store(ingest.NewDirectory([]*ingest.Project{&p}))
			})
			for i, room := range c.room {
				sink.n = room
				w := e.do(post("/api/4201/pieces/?sentry_key="+webKey, c.body))
				if full := i+1 < len(c.room) && room < 9; full && w.Code != 503 || !full && w.Code != 200 {
					t.Errorf("attempt %d: %d %s", i, w.Code, w.Body)
				}
			}
			if got, want := strings.Join(sink.took, ", "), strings.Join(c.want, ", "); got != want {
				t.Errorf("stored %s, want %s", got, want)
			}
			if got := e.ledger.String(); c.ledger != "" && got != c.ledger {
				t.Errorf("books: %s", got)
			}
			e.ledger.balanced(t)
		})
	}
}

// claimer is a protocol that claims a key and then, by its body, panics, or
// gives a batch whose stage, or end, panics.
type claimer struct{ m *ingest.Repeats }

func (p claimer) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	raw, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	if _, state := req.Claim(p.m, []byte("key")); state != ingest.Fresh {
		return nil, ingest.RejectOverload.Because("claimed")
	}
	if string(raw) == "decode" {
		panic("decoding fell over")
	}
	b := &ingest.Batch{Request: req, Items: []*ingest.Item{ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(string(raw)), Payload: schemas.Bytes("{}")})}}
	b.Conclude = func(b *ingest.Batch, err error) error {
		if string(raw) == "conclude" {
			panic("concluding fell over")
		}
		return err
	}
	return b, nil
}

// Whatever falls over, and wherever: a key that was claimed can be had again.
func TestPanicsGiveClaimsBack(t *testing.T) {
	for _, where := range []string{"decode", "stage", "conclude", "nowhere"} {
		m := ingest.NewRepeats(ingest.RepeatsOptions{TTL: time.Hour, Max: 100})
		e := newEdge(t, func(o *ingest.Options) {
			o.Endpoints = append(o.Endpoints, ingest.Endpoint{Name: "claimer", Paths: []string{"/api/:project/claimer"}, Protocol: claimer{m}})
			o.Stages = []ingest.Stage{stage(func(b *ingest.Batch) error {
				if len(b.Items) > 0 && b.Items[0].Header.Type == "stage" {
					panic("a stage fell over")
				}
				return nil
			})}
		})
		for range 2 {
			want := 500
			if where == "nowhere" {
				want = 200
			}
			if w := e.do(post("/api/4201/claimer/?sentry_key="+webKey, where)); w.Code != want {
				t.Errorf("%s: %d %s", where, w.Code, w.Body)
			}
		}
		if n := m.Len("web"); n != 0 {
			t.Errorf("%s: %d keys are held", where, n)
		}
	}
}
