package ingest_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"breakwater/ingest"
)

// keeper is a protocol that keeps what nobody may keep.
type keeper struct{ kept *ingest.Request }

func (k *keeper) Decode(ctx context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	k.kept = req
	return lineProtocol{}.Decode(ctx, req, body)
}

// However a request ends, nothing of it is left for the next one.
func TestRequestsLeaveNothing(t *testing.T) {
	k := &keeper{}
	e := newEdge(t, func(o *ingest.Options) {
		o.Settings.Endpoints = []ingest.Endpoint{{
			Name: "vitals", Paths: []string{"/api/:project/vitals"}, Auth: ingest.AuthKey, Protocol: k, Budget: ingest.BudgetReports,
		}}
	})
	for name, body := range map[string]string{"taken": "LCP", "refused": "", "panic": "panic"} {
		k.kept = nil
		r := httptest.NewRequest(http.MethodPost, "/api/4201/vitals?key="+webKey, strings.NewReader(body))
		r.Header.Set("Origin", "https://shop.example")
		r.Header.Set("User-Agent", "Mozilla/5.0")
		e.do(r)
		if k.kept == nil {
			t.Fatalf("%s: the request did not come to the protocol", name)
		}
		if !reflect.ValueOf(*k.kept).IsZero() {
			t.Errorf("%s: left over: %+v", name, *k.kept)
		}
	}
}
