package ingest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"breakwater/ingest"
	"breakwater/ingest/auth"
	"breakwater/ingest/sentry"
	"breakwater/schemas"
)

const (
	webKey   = "a1b2c3d4e5f60718293a4b5c6d7e8f90"
	appKey   = "0f9e8d7c6b5a49382716051423324150"
	otherKey = "ffffffffffffffffffffffffffffffff"
)

var testTime = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

// edge is a whole public listener with fakes behind it.
type edge struct {
	*ingest.Server
	sink     *fakeSink
	ledger   *fakeLedger
	recorder *fakeRecorder
	spiller  *fakeSpiller
	registry *prometheus.Registry
	logs     *lockedBuffer
	projects *ingest.Projects
	settings ingest.Settings
}

// option changes the options before the server is made.
type option func(*ingest.Options)

func newEdge(t testing.TB, opts ...option) *edge {
	t.Helper()
	e := &edge{
		sink: &fakeSink{}, ledger: newLedger(), recorder: &fakeRecorder{}, spiller: &fakeSpiller{},
		registry: prometheus.NewRegistry(), logs: &lockedBuffer{}, projects: &ingest.Projects{},
	}
	e.projects.Store(ingest.NewDirectory([]*ingest.Project{
		{
			ID: 4201, Name: "web", Keys: []ingest.Key{{Public: webKey, Name: "web"}}, Origins: ingest.Origins{"*"},
			Destinations: []string{"sentry"}, Aliases: []string{"cccccccccccccccccccccccccccccccc", "4507000000000001"}, ForwardIP: true,
		},
		{ID: 5102, Name: "app", Keys: []ingest.Key{{Public: appKey}}, Origins: ingest.Origins{"*.shop.example"}, Destinations: []string{"sentry"}},
	}))
	o := ingest.Options{
		Settings: ingest.Settings{Config: ingest.DefaultConfig(), Endpoints: append(sentry.Endpoints(nil),
			ingest.Endpoint{
				Name: "vitals", Paths: []string{"/api/:project/vitals"}, Auth: ingest.AuthKey, Credentials: true,
				Protocol: lineProtocol{}, Reply: ingest.Reply{Status: http.StatusNoContent}, MaxBody: ingest.BeaconBody,
			},
			ingest.Endpoint{Name: "security", Paths: []string{"/api/:project/security"}, Protocol: lineProtocol{}, Reply: ingest.Reply{Empty: true}},
		)},
		Projects: e.projects, Auth: auth.Auth{}, Sink: e.sink, Spiller: e.spiller, Ledger: e.ledger, Recorder: e.recorder,
		Logger: zerolog.New(e.logs), Registerer: e.registry, Now: func() time.Time { return testTime },
	}
	for _, opt := range opts {
		opt(&o)
	}
	var err error
	if e.Server, err = ingest.New(o); err != nil {
		t.Fatal(err)
	}
	e.settings = o.Settings
	return e
}

func (e *edge) do(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w
}

// lineProtocol makes a beacon of each line "NAME value" and panics on "panic".
type lineProtocol struct{}

func (lineProtocol) Decode(_ context.Context, _ *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	if string(text) == "panic" {
		panic("protocol fell over")
	}
	b := &ingest.Batch{}
	bc := &schemas.Beacon{Source: "beacon"}
	for _, line := range strings.Fields(string(text)) {
		bc.Vitals = append(bc.Vitals, schemas.Vital{Name: line})
	}
	b.Beacons = append(b.Beacons, bc)
	return b, nil
}

type fakeRecorder struct {
	mu      sync.Mutex
	beacons []*schemas.Beacon
}

func (f *fakeRecorder) Record(_ *ingest.Request, b *schemas.Beacon) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.beacons = append(f.beacons, b)
	n := 0
	for _, v := range b.Vitals {
		if v.Name == "recorderpanic" {
			panic("recorder fell over")
		}
		if v.Name != "bad" {
			n++
		}
	}
	return n
}

// stored is one item as the sink got it.
type stored struct {
	header, payload string
	typ             string
}

type fakeSink struct {
	mu      sync.Mutex
	records []*schemas.Record
	items   []stored
	err     error
	panics  bool
}

func (f *fakeSink) Append(ctx context.Context, rec *schemas.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics {
		panic("sink fell over")
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if f.err != nil {
		return f.err
	}
	for _, it := range rec.Envelope.Items {
		r, err := it.Payload.Open()
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return err
		}
		f.items = append(f.items, stored{string(it.Header.Bytes()), string(b), it.Header.Type})
		if s, ok := it.Payload.(*fakeSpill); ok {
			s.taken = true
		}
	}
	f.records = append(f.records, rec)
	return nil
}

func (f *fakeSink) types() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var t []string
	for _, it := range f.items {
		t = append(t, it.typ)
	}
	return strings.Join(t, " ")
}

// fakeLedger keeps the books as "project/category outcome:reason" → count.
type fakeLedger struct {
	mu       sync.Mutex
	received map[string]int
	outcomes map[string]int
}

func newLedger() *fakeLedger {
	return &fakeLedger{received: map[string]int{}, outcomes: map[string]int{}}
}

func (l *fakeLedger) Received(project string, c schemas.Category, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.received[project+"/"+string(c)] += n
}

func (l *fakeLedger) Outcome(project string, c schemas.Category, o schemas.Outcome, reason string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := project + "/" + string(c) + " " + string(o)
	if reason != "" {
		key += ":" + reason
	}
	l.outcomes[key] += n
}

func (l *fakeLedger) Measured(project string, n int) {
	l.Received(project, schemas.CategoryVital, n)
	l.Outcome(project, schemas.CategoryVital, schemas.Accepted, "", n)
	l.Outcome(project, schemas.CategoryVital, schemas.Delivered, "", n)
}

// String lists the outcomes, sorted, as "3× web/error accepted".
func (l *fakeLedger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for k, n := range l.outcomes {
		if n != 1 {
			k = fmt.Sprintf("%d× %s", n, k)
		}
		lines = append(lines, k)
	}
	sort.Strings(lines)
	return strings.Join(lines, ", ")
}

// balanced checks that every item received has one outcome.
func (l *fakeLedger) balanced(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := map[string]int{}
	for k, n := range l.outcomes {
		item, outcome, _ := strings.Cut(k, " ")
		if outcome == string(schemas.Delivered) { // follows an accepted
			continue
		}
		sum[item] += n
	}
	for k, n := range l.received {
		if sum[k] != n {
			t.Errorf("%s: %d received, %d with an outcome", k, n, sum[k])
		}
		delete(sum, k)
	}
	for k, n := range sum {
		t.Errorf("%s: %d outcomes of nothing received", k, n)
	}
}

// fakeSpiller keeps files in memory and knows which are still there.
type fakeSpiller struct {
	mu    sync.Mutex
	files []*fakeSpill
	err   error
}

type fakeSpill struct {
	bytes.Buffer
	finished, gone, taken bool
}

func (f *fakeSpiller) Spill(string) (ingest.Spill, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return nil, f.err
	}
	s := &fakeSpill{}
	f.files = append(f.files, s)
	return s, nil
}

func (f *fakeSpiller) open() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, s := range f.files {
		if !s.gone {
			n++
		}
	}
	return n
}

func (s *fakeSpill) Size() int64 { return int64(s.Len()) }
func (s *fakeSpill) Open() (io.ReadCloser, error) {
	if !s.finished || s.gone {
		return nil, fmt.Errorf("file is not there")
	}
	return io.NopCloser(bytes.NewReader(s.Bytes())), nil
}
func (s *fakeSpill) Finish() error { s.finished = true; return nil }
func (s *fakeSpill) Discard()      { s.gone = !s.taken }

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// post is a request from a page, the body as it is.
func post(path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.RemoteAddr = "203.0.113.9:40000"
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// envelopePath is the web project's envelope endpoint with its key.
const envelopePath = "/api/4201/envelope/?sentry_key=" + webKey + "&sentry_version=7"

const storePath = "/api/4201/store/?sentry_key=" + webKey + "&sentry_version=7"

func basic(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func itoa(n int) string { return strconv.Itoa(n) }

var loopback = netip.MustParsePrefix("127.0.0.0/8")

type readCloser struct{ io.Reader }

func (readCloser) Close() error { return nil }
