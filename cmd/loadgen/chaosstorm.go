package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"breakwater/relay/relaytest"
)

// stormCheck compares what came of one fingerprint's storm over all gateways
// with its budget: first, then one in then, of everything that was sent.
type stormCheck struct {
	Sent      int `json:"sent"`
	Acked     int `json:"acknowledged"`
	Forwarded int `json:"forwarded"`
	Budget    int `json:"budget"` // forwarded must be this
	// Summaries are the events that sum a storm up; it must be one.
	Summaries int `json:"summaries"`
	Told      int `json:"events_by_the_summary"` // must be what was sent
	Passed    int `json:"forwarded_by_the_summary"`
	// Texts are what the summaries say.
	Texts []string `json:"summaries_say"`
}

// stormRate is how many of one error come each second.
const stormRate = 200

// stormTries is how often a storm is sent that a busy machine drew out longer
// than the window, or did not let through whole: its budget is then another one.
const stormTries = 4

// storm sends a storm, nothing being broken, and waits until it is summed up.
func (r *rig) storm(ctx context.Context) (c stormCheck, err error) {
	for range stormTries {
		var sound bool
		if c, sound, err = r.stormOnce(ctx); sound {
			break
		}
	}
	return c, err
}

// stormOnce sends one error for most of a window through the balancer. sound is
// false when the machine did not let it: the counts then prove nothing.
func (r *rig) stormOnce(ctx context.Context) (c stormCheck, sound bool, err error) {
	req, err := ourRequest("storm", "1024", 0)
	if err != nil {
		return c, true, err
	}
	came := len(r.storms.Requests())
	sending, over := context.WithTimeout(ctx, r.opts.window*6/10)
	f := &flow{addr: r.front, req: req, conns: 30, pace: stormRate}
	began := time.Now()
	f.run(sending)
	over()
	c.Sent, c.Acked = len(f.fates), f.acked()
	sound = c.Sent == c.Acked && time.Since(began) < r.opts.window
	c.Budget = min(c.Sent, stormFirst) + max(c.Sent-stormFirst, 0)/stormThen
	err = until(3*r.opts.window+time.Minute, "the storm's end", func() bool {
		time.Sleep(50 * time.Millisecond)
		c.count(f.fates, r.storms.Requests()[came:])
		return ctx.Err() != nil || c.complete()
	})
	if c.Told >= c.Acked {
		return c, sound, nil // what did not come the verdict names
	}
	if err != nil {
		err = fmt.Errorf("%w: %+v", err, c)
	}
	return c, sound, err
}

// complete says that the storm has been summed up, and that what the summary
// calls forwarded has come: a stream may give out a message again only when its
// lease has run out, long after the summary.
func (c *stormCheck) complete() bool { return c.Told >= c.Acked && c.Forwarded >= c.Passed }

func (c *stormCheck) count(sent map[relaytest.ID]*fate, came []*relaytest.Request) {
	*c = stormCheck{Sent: c.Sent, Acked: c.Acked, Budget: c.Budget}
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
				Tags    map[string]string `json:"tags"`
			}
			if it.Header.Type != "event" || json.Unmarshal(it.Payload, &ev) != nil || ev.Logger != "breakwater.storm" {
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
