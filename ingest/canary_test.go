package ingest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"breakwater/schemas"
)

func TestCanariesAreBounded(t *testing.T) {
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	c := NewCanaries(func() time.Time { return now })
	first := c.Issue()
	r := func(id string) *http.Request {
		return httptest.NewRequest(http.MethodPost, "/api/1/envelope/?"+CanaryParam+"="+id, strings.NewReader("x"))
	}
	if c.named(r(first)) != first || c.named(r("made-up")) != "" || c.named(httptest.NewRequest(http.MethodPost, "/?a=b", nil)) != "" {
		t.Error("only what was issued is a canary")
	}
	for i := range 200 {
		c.saw(first, Sighting{Endpoint: "envelope"})
		c.Attempted(CanaryEventID(first, i), "shop/sentry", "delivered")
	}
	c.saw("made-up", Sighting{})
	c.Attempted(strings.Repeat("0", 32), "shop/sentry", "delivered")
	if v, ok := c.View(first); !ok || len(v.Sightings) != maxSightings || len(v.Attempts) != maxSightings {
		t.Errorf("%d sightings, %d attempts", len(v.Sightings), len(v.Attempts))
	}
	for range 2 * maxCanaries {
		c.Issue()
	}
	if _, ok := c.View(first); ok || len(c.byID) != maxCanaries {
		t.Errorf("%d canaries live, the first is known: %t", len(c.byID), ok)
	}
	last := c.Issue()
	now = now.Add(canaryLife + time.Second)
	if _, ok := c.View(last); ok {
		t.Error("a canary outlives its time")
	}
	if id := CanaryEventID(last, 3); len(id) != 32 || id[:canaryPrefix] != last[:canaryPrefix] {
		t.Errorf("event id %q", id)
	}
	var none *Canaries
	if none.named(r(first)) != "" {
		t.Error("without a registry nothing is a canary")
	}
}

type dropAll struct{ applied int }

func (*dropAll) Name() string { return "storm" }

func (d *dropAll) Apply(b *Batch) error {
	d.applied++
	b.dropAll(schemas.Suppressed, "storm")
	return nil
}

func TestStagesForUsersLetCanariesBy(t *testing.T) {
	d := &dropAll{}
	s := ForUsers(d)
	for _, canary := range []bool{true, false} {
		if err := s.Apply(&Batch{Request: &Request{Canary: canary}}); err != nil {
			t.Fatal(err)
		}
	}
	if d.applied != 1 || s.Name() != "storm" {
		t.Errorf("applied %d times as %s", d.applied, s.Name())
	}
}
