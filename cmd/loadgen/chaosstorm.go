package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"breakwater/relay/relaytest"
)

// stormCheck compares what came of one fingerprint's storm over all gateways
// with its budget: first, then one in then, of everything that was sent.
type stormCheck struct {
	Release   string `json:"release"`
	Sent      int    `json:"sent"`
	Acked     int    `json:"acknowledged"`
	Forwarded int    `json:"forwarded"`
	Budget    int    `json:"budget"` // forwarded must be this
	// Summaries are the events that sum a storm up; it must be one.
	Summaries int `json:"summaries"`
	Told      int `json:"events_by_the_summary"` // must be what was sent
	Passed    int `json:"forwarded_by_the_summary"`
	// Texts are what the summaries say.
	Texts []string `json:"summaries_say"`
}

// stormRate is how many of one error come each second.
const stormRate = 200

// stormTries is how often a storm is sent that says nothing of its budget: see
// stormOnce. On an idle machine one is enough.
const stormTries = 15

// storm sends a storm, nothing being broken, and waits until it is summed up.
func (r *rig) storm(ctx context.Context) (stormCheck, error) {
	var why []string
	for range stormTries {
		c, unsound, err := r.stormOnce(ctx)
		if err != nil || unsound == "" || ctx.Err() != nil {
			return c, err
		}
		why = append(why, unsound)
	}
	return stormCheck{}, fmt.Errorf("none of %d storms can be judged: %s", stormTries, strings.Join(why, "; "))
}

// stormOnce sends one error for most of a window through the balancer. unsound
// says why the counts prove nothing: the budget is that of events which come
// within one window, each to one gateway, and are decided by all of them together.
// Each try is an error of its own, by its release.
func (r *rig) stormOnce(ctx context.Context) (c stormCheck, unsound string, err error) {
	req, err := ourRequest("storm", "1024", 0)
	if err != nil {
		return c, "", err
	}
	r.stormsSent++
	c.Release = fmt.Sprintf("storm@%d", r.stormsSent)
	req.body = strings.ReplaceAll(req.body, "shop@1.4.2", c.Release)
	before, err := r.together(ctx, 2*time.Minute)
	if err != nil {
		return c, "", err
	}
	came := len(r.storms.Requests())
	sending, over := context.WithTimeout(ctx, r.opts.window*6/10)
	f := &flow{addr: r.front, req: req, conns: 30, pace: stormRate}
	began := time.Now()
	f.run(sending)
	over()
	took := time.Since(began)
	alone, known := r.decidedAlone(before)
	c.Sent, c.Acked = len(f.fates), f.acked()
	switch {
	case c.Sent != c.Acked:
		return c, fmt.Sprintf("%d of %d events were acknowledged", c.Acked, c.Sent), nil
	case c.Sent <= stormFirst:
		return c, fmt.Sprintf("%d events are none", c.Sent), nil
	case took >= r.opts.window:
		return c, fmt.Sprintf("it took %v", took), nil
	case !known:
		return c, "a gateway does not say what it decided alone", nil
	case alone != 0:
		return c, fmt.Sprintf("%.0f requests were decided without Redis", alone), nil
	}
	c.Budget = min(c.Sent, stormFirst) + max(c.Sent-stormFirst, 0)/stormThen
	err = until(3*r.opts.window+3*time.Minute, "the storm's end", func() bool {
		time.Sleep(50 * time.Millisecond)
		c.count(f.fates, r.storms.Requests()[came:])
		return ctx.Err() != nil || c.complete()
	})
	if err != nil && c.Told < c.Acked { // else the verdict names what did not come
		return c, "", fmt.Errorf("%w: %+v", err, c)
	}
	twice, err := readCrossed(filepath.Join(r.dir, crossed))
	for v := range f.fates {
		if twice[v] { // and counted by both gateways
			return c, "the balancer asked two gateways", err
		}
	}
	return c, "", err
}

// complete says that the storm has been summed up, and that what the summary
// calls forwarded has come: a stream may give out a message again only when its
// lease has run out, long after the summary.
func (c *stormCheck) complete() bool { return c.Told >= c.Acked && c.Forwarded >= c.Passed }

func (c *stormCheck) count(sent map[relaytest.ID]*fate, came []*relaytest.Request) {
	*c = stormCheck{Release: c.Release, Sent: c.Sent, Acked: c.Acked, Budget: c.Budget}
	seen := map[string]bool{}
	for _, req := range came {
		if !req.Taken || seen[req.EventID] {
			continue
		}
		seen[req.EventID] = true
		if v, ok := relaytest.ParseID(req.EventID); ok && sent[v] != nil {
			c.Forwarded++
			continue
		}
		for _, it := range req.Items {
			var ev struct {
				Logger  string            `json:"logger"`
				Message string            `json:"message"`
				Release string            `json:"release"`
				Tags    map[string]string `json:"tags"`
			}
			if it.Header.Type != "event" || json.Unmarshal(it.Payload, &ev) != nil || ev.Logger != "breakwater.storm" || ev.Release != c.Release {
				continue
			}
			number := func(tag string) int {
				n, _ := strconv.Atoi(ev.Tags[tag]) // what is none counts as 0, which is wrong and seen
				return n
			}
			c.Summaries++
			c.Texts = append(c.Texts, ev.Message)
			c.Told += number("storm.events")
			c.Passed += number("storm.forwarded")
		}
	}
}

func (c stormCheck) verdict() error {
	switch {
	case c.Acked != c.Sent:
		return fmt.Errorf("of a storm of %d events %d were acknowledged", c.Sent, c.Acked)
	case c.Forwarded != c.Budget:
		return fmt.Errorf("of a storm of %d events %d were forwarded, want exactly %d", c.Sent, c.Forwarded, c.Budget)
	case c.Summaries != 1 || c.Told != c.Sent || c.Passed != c.Forwarded:
		return fmt.Errorf("a storm of %d events, %d forwarded, was summed up by %d events as %d events, %d forwarded: %q", c.Sent, c.Forwarded, c.Summaries, c.Told, c.Passed, c.Texts)
	}
	return nil
}
