package ingest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

// workers is a Protocol that reads its body, and is then busy until the gate
// lets it go on; it counts how many are busy.
type workers struct {
	busy atomic.Int64
	gate chan struct{}
}

func (w *workers) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	if _, err := io.Copy(io.Discard, body); err != nil {
		return nil, err
	}
	w.busy.Add(1)
	<-w.gate
	w.busy.Add(-1)
	return &ingest.Batch{Request: req, Items: []*ingest.Item{ingest.Refused("log", 1, schemas.Filtered, "test")}}, nil
}

// Long work, which a large body makes, leaves a processor to others: so many
// are busy with it at a time, and one that waits for the rest of its body is
// none of them. Small requests are served meanwhile.
func TestLongWork(t *testing.T) {
	w := &workers{gate: make(chan struct{})}
	e := newEdge(t, func(o *ingest.Options) {
		o.Endpoints = append(o.Endpoints, ingest.Endpoint{Name: "worked", Paths: []string{"/api/:project/worked"}, Protocol: w})
	})
	const path = "/api/4201/worked/?sentry_key=" + webKey
	large := string(bytes.Repeat([]byte("x"), 100<<10))
	var wg sync.WaitGroup
	codes := make(chan int, 20)
	send := func(body io.Reader) {
		req := post(path, "")
		req.Body, req.ContentLength = io.NopCloser(body), -1
		wg.Go(func() { codes <- e.do(req).Code })
	}
	busy := func(want int) {
		t.Helper()
		waitFor(t, func() error {
			if n := int(w.busy.Load()); n != want {
				return fmt.Errorf("%d are busy, want %d", n, want)
			}
			return nil
		})
	}
	rest, more := io.Pipe()
	send(rest)
	if _, err := io.WriteString(more, large); err != nil { // returns when all of it was read
		t.Fatal(err)
	}
	places := max(1, runtime.GOMAXPROCS(0)-1)
	for range places + 3 {
		send(bytes.NewReader([]byte(large)))
	}
	busy(places)
	send(bytes.NewReader([]byte("small")))
	busy(places + 1)
	if err := more.Close(); err != nil {
		t.Fatal(err)
	}
	for left := places + 5; left > 0; left-- {
		w.gate <- struct{}{}
		if n := int(w.busy.Load()); n > places+1 {
			t.Errorf("%d are busy", n)
		}
	}
	wg.Wait()
	close(codes)
	for code := range codes {
		if code != http.StatusOK {
			t.Errorf("answered %d", code)
		}
	}
}
