package ingest_test

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"breakwater/ingest"
	"breakwater/ingest/auth"
	"breakwater/schemas"
)

// threeEvents is a protocol whose every request brings three events and an attachment.
type threeEvents struct{}

func (threeEvents) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader(), EventID: strings.Repeat("a", 32)}
	for _, typ := range []string{"event", "attachment", "event", "event"} {
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(`{"event_id":"` + strings.Repeat("b", 32) + `"}`)}))
	}
	return b, nil
}

// failsAfter takes n records and refuses the rest.
type failsAfter struct {
	n    int
	took []int // items per record
}

func (f *failsAfter) Append(_ context.Context, r *schemas.Record) error {
	if len(f.took) >= f.n {
		return errors.New("full")
	}
	f.took = append(f.took, len(r.Envelope.Items))
	return nil
}

type counts map[schemas.Outcome]int

func (counts) Received(string, schemas.Category, int) {}
func (counts) Measured(string, int)                   {}
func (c counts) Outcome(_ string, _ schemas.Category, o schemas.Outcome, _ string, n int) {
	c[o] += n
}

// A batch of several events becomes a record each, and the ledger says of each
// item what became of it when the spool fills up in between.
func TestBatchesAreSplit(t *testing.T) {
	for _, c := range []struct {
		room, status, records, accepted, refused int
	}{
		{3, 200, 3, 4, 0},
		{2, 503, 2, 3, 1},
		{1, 503, 1, 2, 2},
		{0, 503, 0, 0, 4},
	} {
		sink, ledger := &failsAfter{n: c.room}, counts{}
		projects := &ingest.Projects{}
		projects.Store(ingest.NewDirectory([]*ingest.Project{{ID: 1, Name: "shop", Origins: ingest.Origins{"*"}, Keys: []ingest.Key{{Public: strings.Repeat("a", 32)}}, Destinations: []string{"up"}}}))
		s, err := ingest.New(ingest.Options{
			Settings: ingest.Settings{Config: ingest.DefaultConfig(), Endpoints: []ingest.Endpoint{{Name: "three", Paths: []string{"/api/:project/three"}, Protocol: threeEvents{}, Auth: ingest.AuthKey}}},
			Projects: projects, Auth: auth.Auth{}, Sink: sink, Ledger: ledger,
		})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("POST", "/api/1/three/?key="+strings.Repeat("a", 32), strings.NewReader("x")))
		if w.Code != c.status || len(sink.took) != c.records || ledger[schemas.Accepted] != c.accepted || ledger[schemas.RateLimited] != c.refused {
			t.Errorf("room for %d: answered %d %s, records %v, ledger %v", c.room, w.Code, w.Body, sink.took, ledger)
		}
	}
}
