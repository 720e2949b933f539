package storm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

func sampleBatch(fingerprint, release, payload string, at time.Time) *ingest.Batch {
	it := ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(payload)})
	return &ingest.Batch{
		Request: &ingest.Request{Project: &ingest.Project{Name: "shop"}, ReceivedAt: at},
		EventID: "e1", Fingerprint: fingerprint, Release: release, Items: []*ingest.Item{it},
	}
}

// A sample is what was stored, the innermost frame first, cut to bounds; a new
// release brings a new one; a flood is not read one by one.
func TestSamples(t *testing.T) {
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Configure(map[string]Config{"shop": {}}); err != nil {
		t.Fatal(err)
	}
	stage, now := c.Samples(), time.Unix(1_700_000_000, 0)
	frames := make([]string, 30)
	for i := range frames {
		frames[i] = fmt.Sprintf(`{"filename":"app.js","function":"f%d","lineno":%d,"colno":7}`, i, i+1)
	}
	event := `{"platform":"javascript","exception":{"values":[{"type":"TypeError","value":"` + strings.Repeat("x", 5000) + `","stacktrace":{"frames":[` + strings.Join(frames, ",") + `]}}]}}`
	see := func(fingerprint, release string) { _ = stage.Apply(sampleBatch(fingerprint, release, event, now)) }
	see("aa", "shop@1")
	s, ok := c.Sample("shop", "aa")
	if !ok || s.Type != "TypeError" || len(s.Value) != maxSampleText || len(s.Frames) != maxSampleFrames || s.Frames[0] != "f29 (app.js:30:7)" || s.Release != "shop@1" {
		t.Fatalf("%v %+v", ok, s)
	}
	see("aa", "shop@2")
	if s, _ = c.Sample("shop", "aa"); s.Release != "shop@2" {
		t.Errorf("the sample is of %s", s.Release)
	}
	for i := range 1000 {
		see(fmt.Sprint("flood", i), "shop@1")
	}
	if n := c.projects()["shop"].samples.cache.Len(); n != samplesPerSecond-1 { // one was taken twice
		t.Errorf("%d samples were taken within one moment, want %d", n, samplesPerSecond-1)
	}
	if _, ok := c.Sample("nobody", "aa"); ok {
		t.Error("a project that is not configured has samples")
	}
}

// Orders: what storms now, what is new, what is most.
func TestGroupOrders(t *testing.T) {
	p, now := newProject("shop", Config{}.withDefaults()), time.Unix(1_700_000_000, 0)
	see := func(id byte, release string, n int, at time.Time) {
		for range n {
			p.decide(&occurrence{id: ID{id}, release: release}, at, 1, nil)
		}
	}
	see(1, "shop@1", 100, now)                   // most
	see(2, "shop@1", 3, now)                     // now
	see(2, "shop@2", 5, now.Add(10*time.Minute)) //
	see(3, "shop@2", 1, now.Add(9*time.Minute))  // newest
	c := &Control{}
	c.state.Store(&map[string]*project{"shop": p})
	for order, want := range map[Order]byte{ByCount: 1, ByRecent: 2, ByNew: 3} {
		list := c.GroupsBy("shop", order, 10, now.Add(10*time.Minute))
		if len(list) != 3 || list[0].Fingerprint != (ID{want}).String() {
			t.Errorf("%s: %+v", order, list)
		}
	}
	g, ok := c.Group("shop", ID{2}.String(), now.Add(10*time.Minute))
	if !ok || g.Count != 8 || g.Recent != 5 || g.FirstRelease != "shop@1" || g.Releases[0] != "shop@2" {
		t.Errorf("%v %+v", ok, g)
	}
	for _, bad := range []string{"", "zz", "00", strings.Repeat("0", 32), strings.Repeat("0", 33)} {
		if _, ok := c.Group("shop", bad, now); ok {
			t.Errorf("%q is a group", bad)
		}
	}
}
