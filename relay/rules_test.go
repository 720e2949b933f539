package relay

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"breakwater/schemas"
)

func TestBackoffIsFullJitter(t *testing.T) {
	const base, limit = time.Second, 5 * time.Minute
	for n, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 5: 16 * time.Second, 9: 256 * time.Second, 10: limit, 64: limit, 1 << 30: limit,
	} {
		rnd := rand.New(rand.NewPCG(1, uint64(n)))
		const samples = 20000
		var sum, low, high float64
		low = math.Inf(1)
		for range samples {
			d := float64(backoff(n, base, limit, rnd.Float64))
			sum += d
			low, high = min(low, d), max(high, d)
		}
		top := float64(want)
		if low < 0 || low > top*.001 || high >= top || high < top*.999 {
			t.Errorf("attempt %d: from %v to %v, want all of [0,%v)", n, time.Duration(low), time.Duration(high), want)
		}
		if mean := sum / samples; math.Abs(mean-top/2) > top*.02 {
			t.Errorf("attempt %d: mean %v, want %v", n, time.Duration(mean), want/2)
		}
	}
}

func TestCircuit(t *testing.T) {
	t0 := time.Unix(1e9, 0)
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	c := circuit{after: 3, base: time.Second, cap: 4 * time.Second, rand: func() float64 { return 1 }, state: Closed}
	check := func(what string, want State, now time.Duration, mayTry bool) {
		t.Helper()
		if _, ok := c.try(at(now)); ok != mayTry || c.state != want {
			t.Fatalf("%s: state %s, may try %v; want %s, %v", what, c.state, ok, want, mayTry)
		}
	}
	c.failed(at(0), "a", true, false, time.Time{})
	c.failed(at(0), "b", true, false, time.Time{})
	c.answered(at(0))
	c.failed(at(1), "a", true, false, time.Time{})
	c.failed(at(1), "b", true, false, time.Time{})
	check("an answer between failures", Closed, 1, true)
	if !c.failed(at(2), "c", true, false, time.Time{}) {
		t.Fatal("the third failure in a row did not open it")
	}
	c.failed(at(2), "d", true, false, time.Time{}) // still under way when it opened
	check("open", Open, 2, false)
	check("just before the probe", Open, 2+time.Second-1, false)
	check("time to probe", HalfOpen, 2+time.Second, true)
	c.probing = true
	check("one probe is enough", HalfOpen, 2+time.Second, false)
	for i, pause := range []time.Duration{2, 4, 4} {
		now := time.Duration(10*(i+1)) * time.Second
		c.state, c.probing = HalfOpen, true
		if c.failed(at(now), "p", true, true, time.Time{}) {
			t.Error("a failed probe counts as a new outage")
		}
		c.probing = false
		if got := c.next.Sub(at(now)); got != pause*time.Second {
			t.Errorf("pause %d is %v, want %v", i, got, pause*time.Second)
		}
	}
	c.state = HalfOpen
	c.failed(at(time.Minute), "p", true, true, at(10*time.Minute))
	if c.next != at(10*time.Minute) {
		t.Errorf("the upstream's own word is not kept: %v", c.next)
	}
	if outage, ok := c.answered(at(time.Hour)); !ok || outage != time.Hour-1 {
		t.Errorf("recovered %v after %v", ok, outage)
	}
	check("recovered", Closed, time.Hour, true)

	for range 10 {
		c.failed(at(0), "poison", false, false, time.Time{})
	}
	check("one record that fails again and again", Closed, 0, true)
	c.failed(at(0), "b", false, false, time.Time{})
	c.failed(at(0), "c", false, false, time.Time{})
	check("different records that fail", Open, 0, false)
}

func record(items ...string) (*schemas.Meta, *schemas.Envelope) {
	m, env := &schemas.Meta{}, &schemas.Envelope{Header: schemas.EmptyHeader()}
	for _, typ := range items {
		var attrs []string
		if typ == "minidump" {
			typ, attrs = "attachment", []string{"attachment_type", "event.minidump"}
		}
		info, _ := schemas.LookupItemType(typ)
		env.Items = append(env.Items, schemas.Item{Header: schemas.NewItemHeader(typ, attrs...), Payload: schemas.Bytes("x")})
		m.Counts = append(m.Counts, schemas.Count{Category: info.Category, Quantity: 1})
	}
	return m, env
}

func TestLimitPlan(t *testing.T) {
	now := time.Unix(1e9, 0)
	const hold = 5 * time.Minute
	short := func(c ...schemas.Category) schemas.RateLimit {
		return schemas.RateLimit{Categories: c, Until: now.Add(time.Minute)}
	}
	long := func(c ...schemas.Category) schemas.RateLimit {
		return schemas.RateLimit{Categories: c, Until: now.Add(time.Hour)}
	}
	type lims = []schemas.RateLimit
	for name, tc := range map[string]struct {
		items  []string
		limits lims
		hold   time.Duration
		drop   []bool
	}{
		"no limits":                    {[]string{"event"}, nil, 0, nil},
		"another category":             {[]string{"event"}, lims{long("session")}, 0, nil},
		"one that has ended":           {[]string{"event"}, lims{{Until: now}}, 0, nil},
		"short: wait":                  {[]string{"event", "session"}, lims{short("error")}, time.Minute, nil},
		"short over all: wait":         {[]string{"event"}, lims{short()}, time.Minute, nil},
		"exactly the hold limit: wait": {[]string{"event"}, lims{{Until: now.Add(hold)}}, hold, nil},
		"long: drop":                   {[]string{"event"}, lims{long("error")}, 0, []bool{true}},
		"long over all: drop":          {[]string{"event", "session"}, lims{long()}, 0, []bool{true, true}},
		"an event takes what depends on it": {
			[]string{"event", "attachment", "user_report", "session", "log", "client_report", "new_thing"},
			lims{long("error")},
			0,
			[]bool{true, true, true, false, false, false, false},
		},
		"a transaction takes its profile":           {[]string{"transaction", "profile"}, lims{long("transaction")}, 0, []bool{true, true}},
		"a profile goes alone":                      {[]string{"transaction", "profile"}, lims{long("profile")}, 0, []bool{false, true}},
		"attachments only: the event stays":         {[]string{"event", "attachment", "attachment"}, lims{long("attachment")}, 0, []bool{false, true, true}},
		"an attachment that makes an event stays":   {[]string{"minidump", "attachment"}, lims{long("attachment")}, 0, []bool{false, true}},
		"a minidump is an error":                    {[]string{"minidump", "attachment", "session"}, lims{long("error")}, 0, []bool{true, true, false}},
		"a replay goes whole":                       {[]string{"replay_event", "replay_recording"}, lims{long("replay")}, 0, []bool{true, true}},
		"sessions go alone":                         {[]string{"event", "session", "sessions"}, lims{long("session")}, 0, []bool{false, true, true}},
		"client reports are never limited":          {[]string{"client_report"}, lims{long(), long("internal"), short()}, 0, nil},
		"client report beside a dropped event":      {[]string{"client_report", "event"}, lims{long()}, 0, []bool{false, true}},
		"drop what is long, wait for what is short": {[]string{"event", "session"}, lims{long("error"), short("session")}, time.Minute, []bool{true, false}},
		"nothing to wait for after the drop":        {[]string{"event", "attachment", "log"}, lims{long("error"), short("attachment")}, 0, []bool{true, true, false}},
		"the longest limit counts":                  {[]string{"event"}, lims{short("error"), long("error"), short()}, 0, []bool{true}},
	} {
		t.Run(name, func(t *testing.T) {
			m, env := record(tc.items...)
			p := planItems(tc.limits, m, env, now, hold)
			var wait time.Duration
			if !p.hold.IsZero() {
				wait = p.hold.Sub(now)
			}
			if wait != tc.hold || !reflect.DeepEqual(p.drop, tc.drop) {
				t.Errorf("hold %v, drop %v; want %v, %v", wait, p.drop, tc.hold, tc.drop)
			}
			if quick := holdByMeta(tc.limits, m, now, hold); !quick.IsZero() && (quick != p.hold || p.drop != nil) {
				t.Errorf("by categories alone: wait until %v; item by item: %+v", quick, p)
			}
		})
	}
}

func TestMergeKeepsTheItemsInPlace(t *testing.T) {
	gone, ok := schemas.Final{Outcome: schemas.RateLimited, Reason: UpstreamLimit}, schemas.Final{Outcome: schemas.Delivered}
	dead := schemas.Final{Outcome: schemas.DeadLetter, Reason: "too_large"}
	for name, tc := range map[string]struct {
		drop []bool
		rest []schemas.Final
		want []schemas.Final
	}{
		"all delivered":        {nil, nil, []schemas.Final{ok, ok, ok}},
		"one dropped":          {[]bool{false, true, false}, nil, []schemas.Final{ok, gone, ok}},
		"one dropped, one bad": {[]bool{true, false, false}, []schemas.Final{ok, dead}, []schemas.Final{gone, ok, dead}},
		"all dropped":          {[]bool{true, true, true}, nil, []schemas.Final{gone, gone, gone}},
		"too few finals":       {nil, []schemas.Final{dead}, []schemas.Final{dead, ok, ok}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := merge(3, tc.drop, tc.rest); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
