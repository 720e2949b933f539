package limit

import (
	"math"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBucketHoldsItsRateUnder64Callers(t *testing.T) {
	for _, tc := range []struct {
		name   string
		rate   Rate
		n      int
		during time.Duration
	}{
		{"items one by one", Rate{PerSecond: 100, Burst: 1000}, 1, time.Minute},
		{"containers of seven", Rate{PerSecond: 100, Burst: 50}, 7, time.Minute},
		{"containers larger than the burst", Rate{PerSecond: 100, Burst: 5}, 40, time.Minute},
		{"an uneven rate", Rate{PerSecond: 333.3, Burst: 10}, 1, 20 * time.Second},
		{"a fast rate", Rate{PerSecond: 50000, Burst: 100}, 1, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := newGCRA(tc.rate)
			var b bucket
			var clock, given atomic.Int64
			clock.Store(t0.UnixNano())
			during := tc.during / slower
			end := t0.Add(during).UnixNano()
			step := int64(float64(time.Second) / tc.rate.PerSecond / 3) // three tries per token
			var wg sync.WaitGroup
			for range 64 {
				wg.Go(func() {
					for {
						now := clock.Add(step)
						if now > end {
							return
						}
						if _, ok := b.take(g, now, tc.n); ok {
							given.Add(int64(tc.n))
						}
					}
				})
			}
			wg.Wait()
			want := tc.rate.PerSecond*during.Seconds() + float64(tc.rate.Burst)
			if got := float64(given.Load()); math.Abs(got-want) > 0.05*want {
				t.Errorf("gave %v tokens, want %v within 5%%", got, want)
			}
		})
	}
}

// Many callers at the same instant: each token is given once.
func TestEachTokenIsGivenOnce(t *testing.T) {
	const burst = 200_000 / slower
	g := newGCRA(Rate{PerSecond: 1, Burst: burst})
	var b bucket
	var given atomic.Int64
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for range burst / 16 {
				if _, ok := b.take(g, t0.UnixNano(), 1); ok {
					given.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if given.Load() != burst {
		t.Errorf("%d tokens given of %d", given.Load(), burst)
	}
}

func TestBucketSaysWhenToComeBack(t *testing.T) {
	g := newGCRA(Rate{PerSecond: 2, Burst: 4})
	now := t0.UnixNano()
	var b bucket
	if _, ok := b.take(g, now, 4); !ok {
		t.Fatal("a full bucket gave no burst")
	}
	wait, ok := b.take(g, now, 1)
	if ok || wait != 500*time.Millisecond {
		t.Fatalf("got %v, %v; want a wait of 500ms", wait, ok)
	}
	if _, ok := b.take(g, now+int64(wait), 1); !ok {
		t.Error("no token after the announced wait")
	}
	if wait, _ := b.take(g, now+int64(wait), 3); wait != 1500*time.Millisecond {
		t.Errorf("three tokens: wait %v, want 1.5s", wait)
	}
}

func TestBurstDefaultsToOneSecond(t *testing.T) {
	for rate, want := range map[float64]int{0.5: 1, 1: 1, 2.5: 3, 100: 100} {
		if got := newGCRA(Rate{PerSecond: rate}).burst; got != want {
			t.Errorf("rate %v: burst %d, want %d", rate, got, want)
		}
	}
}

func TestAddressKey(t *testing.T) {
	same := [][2]string{
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9"},
		{"192.0.2.7", "::ffff:192.0.2.7"},
		{"fe80::1%eth0", "fe80::2%eth1"},
	}
	for _, p := range same {
		if addressKey(netip.MustParseAddr(p[0])) != addressKey(netip.MustParseAddr(p[1])) {
			t.Errorf("%s and %s must share a bucket", p[0], p[1])
		}
	}
	other := [][2]string{
		{"2001:db8:1:2::1", "2001:db8:1:3::1"},
		{"192.0.2.7", "192.0.2.8"},
		{"192.0.2.7", "0:0:c000:207::"},
		{"0.0.0.0", "::1"},
	}
	for _, p := range other {
		if addressKey(netip.MustParseAddr(p[0])) == addressKey(netip.MustParseAddr(p[1])) {
			t.Errorf("%s and %s must not share a bucket", p[0], p[1])
		}
	}
	for _, a := range []string{"::", "::1", "0.0.0.0"} {
		if addressKey(netip.MustParseAddr(a)) == 0 {
			t.Errorf("%s has the key of an empty slot", a)
		}
	}
}

func TestFloodOfAddressesDoesNotFreeTheLimitedOne(t *testing.T) {
	lost := 0
	tb := newTable(4096, func() { lost++ })
	g := newGCRA(Rate{PerSecond: 50, Burst: 300})
	now := t0.UnixNano()
	culprit := addressKey(netip.MustParseAddr("198.51.100.1"))
	given := 0
	for i := range 1_000_000 / slower {
		now += int64(10 * slower * time.Microsecond) // 10 s in all
		if i%(100/slower) == 0 {                     // 1,000 requests a second
			if _, ok := tb.take(g, culprit, now, 1); ok {
				given++
			}
		}
		tb.take(g, 1<<63|uint64(i), now, 1)
	}
	if want := 300 + 50*10; math.Abs(float64(given-want)) > 0.05*float64(want) {
		t.Errorf("the limited address got %d requests, want %d within 5%%", given, want)
	}
	if n := tb.len(); n > 4096 {
		t.Errorf("%d addresses in memory, want at most 4096", n)
	}
	if lost != 0 {
		t.Logf("%d buckets lost a little information", lost)
	}
}

func TestTableGrowsBeforeItForgets(t *testing.T) {
	lost := 0
	tb := newTable(1<<17, func() { lost++ })
	g := newGCRA(Rate{PerSecond: 0.001, Burst: 1}) // a taken token stays away
	now := t0.UnixNano()
	const n = 50_000 // well under the capacity
	for i := range n {
		tb.take(g, uint64(i)+1, now, 1)
	}
	again := 0
	for i := range n {
		if _, ok := tb.take(g, uint64(i)+1, now, 1); ok {
			again++
		}
	}
	if again > n/1000 || lost > n/1000 {
		t.Errorf("%d of %d addresses were forgotten (%d evictions)", again, n, lost)
	}
}

func TestMemoryOfAMillionAddresses(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	tb := newTable(DefaultMaxAddresses, func() {})
	g := newGCRA(Rate{PerSecond: 0.01, Burst: 1}) // nothing becomes full again: the worst case
	const n = 1_000_000 / slower
	for i := range n {
		tb.take(g, uint64(i)+1, t0.UnixNano(), 1)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	mib := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / (1 << 20)
	t.Logf("%d addresses in %.1f MiB", tb.len(), mib)
	if mib > 150 {
		t.Errorf("%.1f MiB for 1,000,000 addresses, want at most 150", mib)
	}
	if tb.len() < n*99/100 {
		t.Errorf("only %d of %d addresses remembered", tb.len(), n)
	}
}
