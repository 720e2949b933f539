package sample

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"breakwater/ingest"
	"breakwater/schemas"
)

func sampler(t testing.TB, c Config) *Sampler {
	t.Helper()
	s := New()
	if err := s.Configure(map[string]Config{"shop": c}); err != nil {
		t.Fatal(err)
	}
	return s
}

func batch(header string, items ...string) *ingest.Batch {
	o, err := schemas.ParseObject([]byte(header))
	if err != nil {
		panic(err)
	}
	b := &ingest.Batch{Request: &ingest.Request{Project: &ingest.Project{Name: "shop"}}, Header: schemas.EnvelopeHeader{Object: o}}
	for i := 0; i < len(items); i += 2 {
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(items[i]), Payload: schemas.Bytes(items[i+1])}))
	}
	return b
}

// fate writes what is left as "transaction -profile".
func fate(t testing.TB, s *Sampler, b *ingest.Batch) string {
	t.Helper()
	if err := s.Apply(b); err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, it := range b.Items {
		word := it.Header.Type
		if !it.Alive() {
			word = "-" + word
			if it.Outcome != schemas.Suppressed || it.Reason != "sampled" {
				t.Errorf("%s ended as %s/%s", word, it.Outcome, it.Reason)
			}
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

func hexID(r *rand.Rand) string { return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()) }

func TestShareIsKept(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, share := range []float64{0, 0.01, 0.25, 0.5, 0.9, 1} {
		s := sampler(t, Config{Transaction: share, Replay: share, Session: share})
		kept := map[string]int{}
		const n = 6_000 / slower
		for range n {
			for _, b := range []*ingest.Batch{
				batch(`{}`, "transaction", `{"contexts":{"trace":{"trace_id":"`+hexID(r)+`"}}}`),
				batch(`{}`, "replay_event", `{"replay_id":"`+hexID(r)+`"}`),
				batch(`{}`, "session", `{"sid":"`+hexID(r)+`"}`),
			} {
				if err := s.Apply(b); err != nil {
					t.Fatal(err)
				}
				kept[b.Items[0].Header.Type] += len(b.Alive())
			}
		}
		for typ, k := range kept {
			if got := float64(k) / n; math.Abs(got-share) > 0.02*slower || (share == 0 || share == 1) && got != share {
				t.Errorf("%s at %v: kept %v", typ, share, got)
			}
		}
	}
}

// The fates of these ids are fixed: other gateways decide them the same way.
func TestFractionNeverChanges(t *testing.T) {
	for id, want := range map[string]float64{
		"":                                     0.9576734252420561,
		"0123456789abcdef0123456789abcdef":     0.8209760496471201,
		"01234567-89ab-cdef-0123-456789abcdef": 0.8209760496471201,
		"01234567-89AB-CDEF-0123-456789ABCDEF": 0.8209760496471201,
	} {
		if got := fraction(id); math.Abs(got-want) > 1e-12 {
			t.Errorf("%q: %v, want %v", id, got, want)
		}
	}
}

func TestOneFateForAllOfOne(t *testing.T) {
	s := sampler(t, Config{Transaction: 0.5, Replay: 0.5, Session: 0.5})
	r := rand.New(rand.NewPCG(1, 1))
	both := map[bool]int{}
	for range 200 {
		id, other := hexID(r), hexID(r)
		dashed := strings.ToUpper(id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:])
		for name, group := range map[string][]*ingest.Batch{
			"trace": {
				batch(`{}`, "transaction", `{"event_id":"`+other+`","contexts":{"trace":{"trace_id":"`+id+`"}}}`),
				batch(`{"trace":{"trace_id":"`+other+`"}}`, "transaction", `{"contexts":{"trace":{"trace_id":"`+dashed+`"}}}`),
				batch(`{"trace":{"trace_id":"`+id+`"}}`, "transaction", `{"contexts":{"trace":{}}}`),
				batch(`{"trace":{"trace_id":"`+id+`"}}`, "transaction", `not JSON`),
				batch(`{"event_id":"`+id+`"}`, "transaction", `{}`),
			},
			"session": {
				batch(`{}`, "session", `{"sid":"`+id+`","init":true}`),
				batch(`{}`, "session", `{"sid":"`+dashed+`","errors":1,"seq":2}`),
				batch(`{}`, "session", `{"sid":"`+id+`","status":"crashed"}`),
			},
			"replay": {
				batch(`{"event_id":"`+id+`"}`, "replay_event", `{"replay_id":"`+id+`","segment_id":0}`),
				batch(`{"event_id":"`+other+`"}`, "replay_event", `{"replay_id":"`+id+`","segment_id":1}`),
				batch(`{"event_id":"`+id+`"}`, "replay_recording", "{\"segment_id\":2}\n\x00\x01"),
				batch(`{"event_id":"`+id+`"}`, "replay_video", "\x00"),
			},
		} {
			var first bool
			for i, b := range group {
				if err := s.Apply(b); err != nil {
					t.Fatal(err)
				}
				kept := len(b.Alive()) == 1
				if i == 0 {
					first = kept
					both[kept]++
				} else if kept != first {
					t.Fatalf("%s %s: item %d has another fate", name, id, i)
				}
			}
		}
	}
	if both[true] == 0 || both[false] == 0 {
		t.Errorf("%v: both fates must occur", both)
	}
}

func TestHigherShareKeepsWhatALowerKept(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	low, high := sampler(t, Config{Session: 0.2}), sampler(t, Config{Session: 0.4})
	for range 2000 {
		payload := `{"sid":"` + hexID(r) + `"}`
		if fate(t, low, batch(`{}`, "session", payload)) == "session" && fate(t, high, batch(`{}`, "session", payload)) != "session" {
			t.Fatalf("%s was kept at 0.2 and dropped at 0.4", payload)
		}
	}
}

func TestDropsTogether(t *testing.T) {
	none := sampler(t, Config{})
	for _, tc := range []struct{ items, want string }{
		{"transaction profile attachment session client_report", "-transaction -profile -attachment -session client_report"},
		{"event attachment", "event attachment"},
		{"replay_event replay_recording event", "-replay_event -replay_recording event"},
		{"sessions", "-sessions"},
		{"span log check_in feedback user_report unknown_thing", "span log check_in feedback user_report unknown_thing"},
	} {
		var items []string
		for _, typ := range strings.Fields(tc.items) {
			items = append(items, typ, `{}`)
		}
		if got := fate(t, none, batch(`{}`, items...)); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func TestSessionsWithoutAnID(t *testing.T) {
	s := sampler(t, Config{Session: 0.5})
	kept := 0
	for i := range 2000 {
		payload := fmt.Sprintf(`{"sid":"00000000-0000-0000-0000-000000000000","started":%d}`, i)
		if i%2 == 0 {
			payload = fmt.Sprintf(`{"aggregates":[{"started":%d}]}`, i)
		}
		one, two := fate(t, s, batch(`{}`, "session", payload)), fate(t, s, batch(`{}`, "session", payload))
		if one != two {
			t.Fatal("a repeated request had another fate")
		}
		if one == "session" {
			kept++
		}
	}
	if kept < 900 || kept > 1100 {
		t.Errorf("kept %d of 2000: anonymous sessions must not share one fate", kept)
	}
}

func TestConfigure(t *testing.T) {
	s := sampler(t, Config{})
	for name, c := range map[string]Config{"negative": {Transaction: -0.1}, "above one": {Replay: 1.1}, "not a number": {Session: math.NaN()}} {
		if err := s.Configure(map[string]Config{"shop": c}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := fate(t, s, batch(`{}`, "session", `{}`)); got != "-session" {
		t.Error("a refused configuration changed something")
	}
	if err := s.Configure(map[string]Config{"other": {}}); err != nil {
		t.Fatal(err)
	}
	if got := fate(t, s, batch(`{}`, "session", `{}`)); got != "session" {
		t.Error("a project that is not named keeps everything")
	}
}
