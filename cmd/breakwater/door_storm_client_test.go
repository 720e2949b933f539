package main

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"breakwater/relay/relaytest"
	"breakwater/schemas"
)

// What a client and an upstream see of one storm, through a real process: the
// client is told to keep errors back, and only errors, in a header that pages
// may read; what is forwarded says how much was not; when the storm is over a
// summary says what it was. A client with another bug beside is not told.
func TestWhatAStormTells(t *testing.T) {
	const first, oneIn, sent = 5, 10, 40
	up := startUpstream(t, relaytest.Options{})
	g := newGateway(t, doorConfig(up, "    storm: {window: 1h, first: 5, then_one_in: 10}\n")).start()
	url := g.envelopeURL()
	var told []string
	for n := range sent {
		resp := ask(t, url, errorEnvelope(t, n, "SameError", "shop@1"))
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("error %d was answered %d", n, resp.StatusCode)
		}
		if line := resp.Header.Get("X-Sentry-Rate-Limits"); line != "" {
			told = append(told, line)
			if !strings.Contains(resp.Header.Get("Access-Control-Expose-Headers"), "x-sentry-rate-limits") {
				t.Error("a page cannot read the limit")
			}
		}
	}
	if len(told) == 0 || told[len(told)-1] != "60:error:key:storm" {
		t.Errorf("the client was told %q", told)
	}
	if resp := ask(t, url, sessionEnvelope); resp.StatusCode != http.StatusOK || resp.Header.Get("X-Sentry-Rate-Limits") != "" {
		t.Errorf("a session is answered %d, %q", resp.StatusCode, resp.Header.Get("X-Sentry-Rate-Limits"))
	}
	if resp := ask(t, url, errorEnvelope(t, 1000, "OtherError", "shop@1")); resp.Header.Get("X-Sentry-Rate-Limits") != "" {
		t.Error("the client is told to keep back an error that is new")
	}
	if resp := ask(t, url, errorEnvelope(t, 1001, "SameError", "shop@1")); resp.Header.Get("X-Sentry-Rate-Limits") != "" {
		t.Error("a client with two bugs is told to send neither")
	}
	if err := g.stop(); err != nil { // ends every storm
		t.Fatal(err)
	}
	g.start()
	passed := stormBudget(sent+1, first, oneIn)
	var same, summaries []*schemas.Event
	eventually(t, 30*time.Second, func() error {
		if err := g.emptySpool(); err != nil { // else some may still be on their way
			return err
		}
		same, summaries = nil, nil
		for _, r := range up.Taken() {
			for _, it := range r.Items {
				if it.Header.Type != "event" {
					continue
				}
				ev, err := schemas.ParseEvent(it.Payload)
				if err != nil {
					return err
				}
				switch ex := ev.Exceptions(); {
				case len(ex) == 0:
					summaries = append(summaries, ev)
				case ex[0].Type == "SameError":
					same = append(same, ev)
				}
			}
		}
		if len(summaries) == 0 {
			return errors.New("no summary yet")
		}
		return nil
	})
	if len(same) != passed {
		t.Errorf("%d errors were forwarded, want %d", len(same), passed)
	}
	tagged := 0
	for _, ev := range same {
		tags, ok := ev.Object.Object("tags")
		if !ok {
			continue
		}
		rate, tagsRate := tags.String("storm.sample_rate")
		since, _ := tags.String("storm.suppressed_since_last")
		if !tagsRate {
			continue
		}
		if rate != "0.1" || since != "9" {
			t.Errorf("forwarded with the rate %q after %q", rate, since)
		}
		tagged++
	}
	if tagged != passed-first {
		t.Errorf("%d forwarded errors have the tags, want %d", tagged, passed-first)
	}
	tags, _ := summaries[0].Object.Object("tags")
	events, _ := tags.String("storm.events")
	forwarded, _ := tags.String("storm.forwarded")
	suppressed, _ := tags.String("storm.suppressed")
	if len(summaries) != 1 || events != "41" || forwarded != "8" || suppressed != "33" || !strings.Contains(summaries[0].Message(), "SameError") {
		t.Errorf("%d summaries; %s events, %s forwarded, %s suppressed: %s", len(summaries), events, forwarded, suppressed, summaries[0].Message())
	}
}
