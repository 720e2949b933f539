package scrub

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/ingest"
	"breakwater/schemas"
)

func batch(tb testing.TB, envelope string) *ingest.Batch {
	tb.Helper()
	r := schemas.NewReader(strings.NewReader(envelope))
	h, err := r.Header()
	if err != nil {
		tb.Fatal(err)
	}
	b := &ingest.Batch{Header: h, Request: &ingest.Request{
		Project: &ingest.Project{ID: 1, Name: "shop", ForwardIP: true}, ClientIP: netip.MustParseAddr("203.0.113.5"), ReceivedAt: time.Unix(1, 0),
	}}
	for {
		ih, body, err := r.Next()
		if errors.Is(err, io.EOF) {
			return b
		}
		if err != nil {
			tb.Fatal(err)
		}
		payload, err := io.ReadAll(body)
		if err != nil {
			tb.Fatal(err)
		}
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: ih, Payload: schemas.Bytes(payload)}))
	}
}

func payloadOf(tb testing.TB, it *ingest.Item) string {
	tb.Helper()
	rc, err := it.Payload.Open()
	if err != nil {
		tb.Fatal(err)
	}
	defer rc.Close()
	b, err := io.ReadAll(rc)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func stage(tb testing.TB, c Config, spiller ingest.Spiller) (*Scrubber, *prometheus.Registry) {
	tb.Helper()
	reg := prometheus.NewPedanticRegistry()
	s := New(reg, spiller)
	if err := s.Configure(map[string]Config{"shop": c}); err != nil {
		tb.Fatal(err)
	}
	return s, reg
}

// TestClientAddress follows the client's address through Apply: what {{auto}}
// becomes and whether the record's Meta learns it.
func TestClientAddress(t *testing.T) {
	const event = `{"user":{"ip_address":"{{auto}}"},"request":{"env":{"REMOTE_ADDR":"{{auto}}"}}%s}`
	off := Config{Defaults: true}
	cases := []struct {
		name, envelope string
		cfg            Config
		forward, known bool
		want           string // of user.ip_address
		forwarded      bool
	}{
		{"scrubbed", event, DefaultConfig(), true, true, "null", false},
		{"filled in", event, off, true, true, `"203.0.113.5"`, true},
		{"not forwarded", event, off, false, true, "null", true},
		{"unknown", event, off, true, false, `"{{auto}}"`, false},
		{"never, said by the event", strings.Replace(event, "%s", `,"sdk":{"settings":{"infer_ip":"never"}}`, 1), off, true, true, "null", false},
		{"never, said by a neighbour", event + "\n" + `{"type":"log","item_count":0,"content_type":"application/vnd.sentry.items.log+json"}` + "\n" + `{"ingest_settings":{"infer_ip":"never"},"items":[]}`, off, true, true, "null", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, _ := stage(t, c.cfg, nil)
			b := batch(t, "{}\n{\"type\":\"event\"}\n"+strings.Replace(c.envelope, "%s", "", 1))
			b.Request.Project.ForwardIP = c.forward
			if !c.known {
				b.Request.ClientIP = netip.Addr{}
			}
			if err := s.Apply(b); err != nil {
				t.Fatal(err)
			}
			got := payloadOf(t, b.Items[0])
			if !strings.HasPrefix(got, `{"user":{"ip_address":`+c.want+`},"request":{"env":{"REMOTE_ADDR":`+c.want+`}}`) {
				t.Errorf("payload %s", got)
			}
			if b.Request.ClientIP.IsValid() != c.forwarded {
				t.Errorf("ClientIP is %v", b.Request.ClientIP)
			}
		})
	}
}

// TestNeverInfer: without an address of its own an event of a browser must not
// get the gateway's from the upstream.
func TestNeverInfer(t *testing.T) {
	r := mustCompile(t, DefaultConfig())
	for in, want := range map[string]string{
		`{"platform":"javascript"}`:                                    `{"platform":"javascript","sdk":{"settings":{"infer_ip":"never"}}}`,
		`{"platform":"cocoa","sdk":{"name":"x"}}`:                      `{"platform":"cocoa","sdk":{"name":"x","settings":{"infer_ip":"never"}}}`,
		`{"platform":"javascript","sdk":{"settings":{"a":1}}}`:         `{"platform":"javascript","sdk":{"settings":{"a":1,"infer_ip":"never"}}}`,
		`{"platform":"python"}`:                                        `{"platform":"python"}`,
		`{"platform":"javascript","sdk":{"settings":{"infer_ip":""}}}`: `{"platform":"javascript","sdk":{"settings":{"infer_ip":"never"}}}`,
	} {
		out, _, err := r.Item("event", []byte(in))
		if err != nil || string(out) != want {
			t.Errorf("%s became %s (%v)", in, out, err)
		}
	}
}

func TestHeaders(t *testing.T) {
	s, reg := stage(t, everything(), nil)
	b := batch(t, `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","dsn":"https://key@h/1","trace":{"trace_id":"a","user_id":"jane@example.com","user":{"id":"x@example.com"},"transaction":"/auth"}}`+"\n"+
		`{"type":"attachment","length":2,"filename":"/home/jane/x@example.com.txt","note":"my secret"}`+"\nhi")
	if err := s.Apply(b); err != nil {
		t.Fatal(err)
	}
	if got, want := string(b.Header.Bytes()), `{"event_id":"9ec79c33ec9942ab8353589fcb2e04dc","dsn":"https://key@h/1","trace":{"trace_id":"a","user_id":"[email]","user":{"id":"[email]"},"transaction":"/auth"}}`; got != want {
		t.Errorf("header %s", got)
	}
	h := b.Items[0].Header
	if got := string(h.Bytes()); got != `{"type":"attachment","length":2,"filename":"/home/[Filtered]/[email]","note":"[Filtered]"}` || h.Type != "attachment" || h.Length != 2 {
		t.Errorf("item header %s", got)
	}
	if payloadOf(t, b.Items[0]) != "hi" || !b.Items[0].Alive() {
		t.Error("the attachment did not pass")
	}
	want := "# HELP breakwater_scrubbed_total Pieces of personal data and secrets removed, by rule. A sudden rise names a client that has begun to send what it should not.\n# TYPE breakwater_scrubbed_total counter\n"
	counts := map[string]int{"email": 3, "password": 1, "userpath": 1}
	for _, name := range RuleNames {
		want += "breakwater_scrubbed_total{project=\"shop\",rule=\"" + name + "\"} " + string(rune('0'+counts[name])) + "\n"
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "breakwater_scrubbed_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.GatherAndLint(reg); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// TestOpaque: what cannot be looked into passes or falls by policy.
func TestOpaque(t *testing.T) {
	const envelope = "{}\n{\"type\":\"attachment\",\"length\":2}\nhi\n{\"type\":\"session\"}\n{}\n{\"type\":\"replay_video\",\"length\":2}\n\x81\xa1\n" +
		"{\"type\":\"whatever\"}\nnot json\n{\"type\":\"future\"}\n{\"password\":\"x\"}\n{\"type\":\"log\"}\n{broken\n{\"type\":\"replay_recording\",\"length\":21}\n{\"segment_id\":0}\nx\x9czz\n"
	for policy, dead := range map[Opaque]string{"": "", Forward: "", Drop: "attachment replay_video whatever log replay_recording"} {
		c := DefaultConfig()
		c.Opaque = policy
		s, _ := stage(t, c, nil)
		b := batch(t, envelope)
		if err := s.Apply(b); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, it := range b.Items {
			if !it.Alive() {
				got = append(got, it.Header.Type)
				if it.Outcome != schemas.Filtered || it.Reason != ReasonOpaque {
					t.Errorf("%s ended as %s: %s", it.Header.Type, it.Outcome, it.Reason)
				}
			}
		}
		if strings.Join(got, " ") != dead {
			t.Errorf("%q dropped %q, want %q", policy, got, dead)
		}
		if got := payloadOf(t, b.Items[4]); got != `{"password":"[Filtered]"}` {
			t.Errorf("an unknown type left as %s", got)
		}
	}
}

// memorySpill is a spill file in memory.
type memorySpill struct {
	bytes.Buffer
	finished, discarded bool
	size                int64
}

func (m *memorySpill) Finish() error { m.finished = true; return nil }
func (m *memorySpill) Discard()      { m.discarded = true }
func (m *memorySpill) Size() int64 {
	if m.size > 0 {
		return m.size
	}
	return int64(m.Len())
}

func (m *memorySpill) Open() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.Bytes())), nil
}

type memorySpiller struct {
	made []*memorySpill
	room func() bool
}

func (s *memorySpiller) Spill(string) (ingest.Spill, error) {
	if s.room != nil && !s.room() {
		return nil, errors.New("no room")
	}
	m := &memorySpill{}
	s.made = append(s.made, m)
	return m, nil
}

func TestSpilled(t *testing.T) {
	spilled := func(text string, size int64) (*ingest.Item, *memorySpill) {
		m := &memorySpill{size: size}
		m.WriteString(text)
		it := ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("profile"), Payload: m})
		return it, m
	}
	for _, with := range []bool{true, false} {
		spiller := &memorySpiller{}
		var given ingest.Spiller
		if with {
			given = spiller
		}
		c := DefaultConfig()
		c.Opaque = Drop
		s, _ := stage(t, c, given)
		b := batch(t, "{}")
		dirty, dirtyFile := spilled(`{"password":"x"}`, 0)
		clean, cleanFile := spilled(`{"a":"b"}`, 0)
		spiller.room = func() bool { return dirtyFile.discarded } // which is given back first
		huge, hugeFile := spilled(`{"a":"b"}`, MaxSpilled+1)
		short, _ := spilled(`{"a":"b"}`, 100)
		b.Items = append(b.Items, dirty, clean, huge, short)
		if err := s.Apply(b); err != nil {
			t.Fatal(err)
		}
		if got := payloadOf(t, dirty); got != `{"password":"[Filtered]"}` || !dirtyFile.discarded {
			t.Errorf("dirty: %s, old file discarded: %v", got, dirtyFile.discarded)
		}
		if with && (len(spiller.made) != 1 || !spiller.made[0].finished || dirty.Payload != schemas.Body(spiller.made[0])) {
			t.Error("the scrubbed payload is not in a finished file")
		}
		if clean.Payload != schemas.Body(cleanFile) || cleanFile.discarded {
			t.Error("a clean payload was moved")
		}
		if huge.Reason != ReasonOpaque || !hugeFile.discarded || short.Reason != ReasonOpaque {
			t.Error("what cannot be loaded must follow the policy")
		}
	}
}

func TestConfigureKeepsTheOldOnAFault(t *testing.T) {
	s, _ := stage(t, Config{Fields: []string{"zip"}}, nil)
	err := s.Configure(map[string]Config{"shop": {Rules: []Rule{{Name: "a b", Pattern: "("}}}, "b": {Opaque: "x"}})
	if err == nil || !strings.Contains(err.Error(), "project shop") || !strings.Contains(err.Error(), "project b") {
		t.Fatalf("the error is %v", err)
	}
	out, _, _ := s.For("shop").Item("x", []byte(`{"zip":"1","password":"y"}`))
	if string(out) != `{"zip":"[Filtered]","password":"y"}` {
		t.Errorf("the old rules are gone: %s", out)
	}
	out, _, _ = s.For("unknown").Item("x", []byte(`{"password":"y"}`))
	if string(out) != `{"password":"[Filtered]"}` {
		t.Errorf("an unknown project is not scrubbed by default: %s", out)
	}
}

// TestReconfiguredWhileWorking scrubs on several goroutines while the
// configuration changes: each batch follows one configuration as a whole.
func TestReconfiguredWhileWorking(t *testing.T) {
	s, _ := stage(t, DefaultConfig(), nil)
	done := make(chan struct{})
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for range 200 {
				b := batch(t, "{}\n{\"type\":\"event\"}\n"+`{"extra":{"zip":"1","password":"x"},"message":"4111111111111111"}`)
				if err := s.Apply(b); err != nil {
					t.Error(err)
				}
				got := withoutMeta(payloadOf(t, b.Items[0]))
				if got != `{"extra":{"zip":"1","password":"[Filtered]"},"message":"[creditcard]"}` && got != `{"extra":{"zip":"[Filtered]","password":"x"},"message":"4111111111111111"}` {
					t.Errorf("a mixture of two configurations: %s", got)
				}
			}
		})
	}
	go func() { workers.Wait(); close(done) }()
	for i := 0; ; i++ {
		select {
		case <-done:
			return
		default:
		}
		c := DefaultConfig()
		if i%2 == 0 {
			c = Config{Fields: []string{"zip"}}
		}
		if err := s.Configure(map[string]Config{"shop": c}); err != nil {
			t.Fatal(err)
		}
	}
}
