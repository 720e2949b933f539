package limit

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"breakwater/ingest"
	"breakwater/schemas"
)

func perIP(t testing.TB, l *Limiter, r Rate) {
	t.Helper()
	if err := l.SetPerIP(r); err != nil {
		t.Fatal(err)
	}
}

func TestAllowRequestPerAddress(t *testing.T) {
	l := limiter(t, Options{}, Config{})
	perIP(t, l, Rate{PerSecond: 50, Burst: 300})
	for i := range 300 {
		if r := l.AllowRequest(request(t0, "2001:db8::1")); r != nil {
			t.Fatalf("request %d of a burst of 300 was refused", i+1)
		}
	}
	r := l.AllowRequest(request(t0, "2001:db8::2")) // the same /64
	if r == nil {
		t.Fatal("the 301st request of one /64 was let in")
	}
	if r.Status != 429 || r.Reason != "per_ip" || r.Outcome != schemas.RateLimited || r.RetryAfter != time.Second {
		t.Errorf("got %+v", r)
	}
	if ingest.RejectLimited.Reason != "rate_limit" || ingest.RejectLimited.RetryAfter != 0 {
		t.Error("the shared template was changed")
	}
	if r := l.AllowRequest(request(t0, "2001:db8:0:1::1")); r != nil {
		t.Error("another /64 was refused")
	}
	if r := l.AllowRequest(request(t0, "")); r != nil {
		t.Error("a request without an address was refused")
	}
	if r := l.AllowRequest(request(t0.Add(time.Second), "2001:db8::1")); r != nil {
		t.Error("refused after the announced second")
	}
}

func TestAllowRequestPerKey(t *testing.T) {
	l := limiter(t, Options{}, Config{PerKey: Rate{PerSecond: 0.1, Burst: 2}})
	addr := 0
	ask := func(key string) *ingest.Rejection {
		addr++
		req := request(t0, fmt.Sprintf("198.51.100.%d", addr%250+1))
		req.Key = &ingest.Key{Public: key}
		return l.AllowRequest(req)
	}
	for range 2 {
		if ask("a") != nil {
			t.Fatal("refused within the burst")
		}
	}
	r := ask("a")
	if r == nil || r.Reason != "per_key" || r.RetryAfter != 10*time.Second {
		t.Fatalf("got %+v, want per_key for 10s", r)
	}
	if ask("b") != nil {
		t.Error("another key was refused")
	}
	req := request(t0, "203.0.113.9")
	req.Project, req.Key = nil, nil
	if l.AllowRequest(req) != nil {
		t.Error("a request that is not authenticated yet has no key to limit")
	}
}

func TestAddressLimitHoldsUnder64Callers(t *testing.T) {
	l := limiter(t, Options{}, Config{})
	perIP(t, l, Rate{PerSecond: 50, Burst: 300})
	var clock, given atomic.Int64
	clock.Store(t0.UnixNano())
	end := t0.Add(30 * time.Second).UnixNano()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				now := clock.Add(int64(5 * time.Millisecond))
				if now > end {
					return
				}
				if l.AllowRequest(request(time.Unix(0, now), "192.0.2.1")) == nil {
					given.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if got, want := given.Load(), int64(300+50*30); got < want*95/100 || got > want*105/100 {
		t.Errorf("let %d requests in, want %d within 5%%", got, want)
	}
}

func TestReloadKeepsWhatDidNotChange(t *testing.T) {
	c := Config{
		PerKey:     Rate{PerSecond: 0.01, Burst: 1},
		Categories: map[schemas.Category]Rate{"error": {PerSecond: 0.01, Burst: 1}, "session": {PerSecond: 0.01, Burst: 1}},
		Quota:      map[schemas.Category]Quota{"transaction": {Limit: 1, Period: Month}},
	}
	l := limiter(t, Options{}, c)
	perIP(t, l, Rate{PerSecond: 0.01, Burst: 2})
	l.AllowRequest(request(t0, "192.0.2.1"))
	apply(t, l, batch(t0, "event"))
	apply(t, l, batch(t0, "session"))
	apply(t, l, batch(t0, "transaction"))

	c.Categories = map[schemas.Category]Rate{"error": {PerSecond: 0.01, Burst: 1}, "session": {PerSecond: 5, Burst: 5}}
	c.Quota = map[schemas.Category]Quota{"transaction": {Limit: 1, Period: Month}}
	if err := l.Configure(map[string]Config{"shop": c}); err != nil {
		t.Fatal(err)
	}
	perIP(t, l, Rate{PerSecond: 0.01, Burst: 2})

	if r := l.AllowRequest(request(t0, "192.0.2.2")); r == nil || r.Reason != "per_key" {
		t.Errorf("the key's bucket was filled by a reload: %+v", r)
	}
	if r := l.AllowRequest(request(t0, "192.0.2.1")); r == nil || r.Reason != "per_key" {
		t.Errorf("second request of the address: %+v", r)
	}
	if r := l.AllowRequest(request(t0, "192.0.2.1")); r == nil || r.Reason != "per_ip" {
		t.Errorf("the address's bucket was filled by a reload: %+v", r)
	}
	b := batch(t0, "event", "session")
	apply(t, l, b)
	if got := fate(b); got != "event:rate_limited/category session" {
		t.Errorf("%s: an unchanged limit keeps its level, a changed one begins full", got)
	}
	b = batch(t0, "transaction")
	apply(t, l, b)
	if got := fate(b); got != "transaction:rate_limited/quota" {
		t.Errorf("%s: a quota goes on counting", got)
	}
	if err := l.Configure(map[string]Config{"shop": {PerKey: Rate{PerSecond: -1}}}); err == nil {
		t.Error("a negative rate was accepted")
	}
	if r := l.AllowRequest(request(t0, "192.0.2.3")); r == nil {
		t.Error("a refused configuration changed something")
	}
}

func TestLimitedListsWhoAndWhy(t *testing.T) {
	l := limiter(t, Options{}, Config{
		PerKey:     Rate{PerSecond: 1, Burst: 1},
		Categories: map[schemas.Category]Rate{"error": {PerSecond: 1, Burst: 1}},
	})
	perIP(t, l, Rate{PerSecond: 1, Burst: 1})
	for range 4 {
		l.AllowRequest(request(t0, "203.0.113.77"))
	}
	l.AllowRequest(request(t0, "2001:db8:1:2:3::4"))
	for range 3 {
		apply(t, l, batch(t0, "event"))
	}
	got := ""
	for _, e := range l.Limited(t0) {
		got += fmt.Sprintf("%s %s %s %d; ", e.Project, e.Reason, e.Subject, e.Refused)
	}
	want := "shop per_ip 203.0.113.0/24 3; shop category error 2; shop per_key web 1; "
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if n := len(l.Limited(t0.Add(6 * time.Minute))); n != 0 {
		t.Errorf("%d entries six minutes later", n)
	}
}

func TestLimitedIsBoundedAndKeepsTheBusy(t *testing.T) {
	l := limiter(t, Options{ShowAddresses: true}, Config{})
	perIP(t, l, Rate{PerSecond: 0.001, Burst: 1})
	for i := range 20_000 / slower {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(i+1))
		req := request(t0, "")
		req.ClientIP = netip.AddrFrom4(a)
		l.AllowRequest(req)
		l.AllowRequest(req)
		if i%20 == 0 {
			l.AllowRequest(request(t0, "203.0.113.77"))
		}
	}
	list := l.Limited(t0)
	if len(list) != maxRefusals {
		t.Errorf("%d entries, want %d", len(list), maxRefusals)
	}
	if list[0].Subject != "203.0.113.77" {
		t.Errorf("the busiest is missing from the top: %+v", list[0])
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	l := limiter(t, Options{Registerer: reg}, Config{Categories: map[schemas.Category]Rate{"error": {PerSecond: 1}}})
	perIP(t, l, Rate{PerSecond: 50, Burst: 300})
	l.AllowRequest(request(t0, "192.0.2.1"))
	if got := testutil.ToFloat64(l.metrics.keys); got != 2 {
		t.Errorf("breakwater_limit_keys %v, want 2", got)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if _, err := New(Options{Registerer: reg}); err == nil {
		t.Error("a second registration was not reported")
	}
}

func Example() {
	l, _ := New(Options{})
	_ = l.SetPerIP(Rate{PerSecond: 50, Burst: 2})
	for range 3 {
		req := &ingest.Request{ReceivedAt: t0, ClientIP: netip.MustParseAddr("192.0.2.1")}
		if r := l.AllowRequest(req); r != nil {
			fmt.Println(r.Status, r.Reason, r.RetryAfter)
			continue
		}
		fmt.Println("let in")
	}
	// Output:
	// let in
	// let in
	// 429 per_ip 1s
}

func BenchmarkDecisionPerAddress(b *testing.B) {
	l := limiter(b, Options{}, Config{PerKey: Rate{PerSecond: 1e6, Burst: 1e6}})
	perIP(b, l, Rate{PerSecond: 50, Burst: 300})
	var next atomic.Uint64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		req := request(t0, "")
		i := next.Add(1) << 40
		for pb.Next() {
			i++
			var a [16]byte
			binary.BigEndian.PutUint64(a[:], i%1_000_000+1<<60)
			req.ClientIP = netip.AddrFrom16(a)
			req.ReceivedAt = req.ReceivedAt.Add(time.Microsecond)
			l.AllowRequest(req)
		}
	})
	b.ReportMetric(float64(l.Keys()), "addresses")
}

func BenchmarkDecisionRefused(b *testing.B) {
	l := limiter(b, Options{}, Config{})
	perIP(b, l, Rate{PerSecond: 0.001, Burst: 1})
	req := request(t0, "192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		l.AllowRequest(req)
	}
}

func BenchmarkStage(b *testing.B) {
	l := limiter(b, Options{}, Config{
		Categories: map[schemas.Category]Rate{"error": {PerSecond: 1e6, Burst: 1e6}},
		Quota:      map[schemas.Category]Quota{"error": {Limit: 1 << 60, Period: Month}},
	})
	bt := batch(t0, "event", "session")
	b.ReportAllocs()
	for b.Loop() {
		bt.Request.ReceivedAt = bt.Request.ReceivedAt.Add(time.Microsecond)
		if err := l.Apply(bt); err != nil {
			b.Fatal(err)
		}
	}
}
