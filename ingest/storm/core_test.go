package storm

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"breakwater/ingest"
)

var t0 = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

func anID(n uint64) (id ID) {
	binary.LittleEndian.PutUint64(id[:8], n*0x9e3779b97f4a7c15)
	binary.LittleEndian.PutUint64(id[8:], n)
	return id
}

func core(cfg Config) *project { return newProject("shop", cfg.withDefaults()) }

func TestFirstThenOneIn(t *testing.T) {
	p := core(Config{First: 3, ThenOneIn: 4})
	o := occurrence{id: anID(1)}
	var got string
	for range 15 {
		v := p.decide(&o, t0, 1, nil)
		switch {
		case !v.forward:
			got += "-"
		case v.oneIn > 1:
			got += fmt.Sprintf("(1/%d,%d)", v.oneIn, v.since)
		default:
			got += "+"
		}
	}
	if want := "+++---(1/4,3)---(1/4,3)---(1/4,3)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	p.decide(&o, t0, 1, nil)
	// The next window begins with `first` again; its first says what was kept back.
	v := p.decide(&o, t0.Add(time.Minute), 1, nil)
	if !v.forward || v.oneIn != 1 || v.since != 1 {
		t.Errorf("first of the next window: %+v", v)
	}
	// Another release of the same bug has a count of its own.
	if v := p.decide(&occurrence{id: anID(1), release: "shop@2"}, t0, 1, nil); !v.forward || v.oneIn != 1 {
		t.Errorf("first of another release: %+v", v)
	}
}

// A million of one error and a thousand others from four releases: the others
// all pass, the one is held to its budget, and every count adds up.
func TestStormOfAMillion(t *testing.T) {
	p := core(Config{})
	rnd := rand.New(rand.NewPCG(1, 2))
	const storm = 1_000_000 / slower
	at := make([]int, storm+1000) // which error comes when: 0 is the storm
	for i := range 1000 {
		at[i] = i + 1
	}
	rnd.Shuffle(len(at), func(i, j int) { at[i], at[j] = at[j], at[i] })
	forwarded := map[int]int{}
	var suppressed, told uint64
	now := t0
	for _, which := range at {
		now = now.Add(40 * time.Microsecond) // 25,000 a second
		v := p.decide(&occurrence{id: anID(uint64(which)), release: fmt.Sprintf("shop@%d", which%4)}, now, 1, nil)
		if v.forward {
			forwarded[which]++
			told += uint64(v.since)
		} else {
			suppressed++
		}
	}
	if len(forwarded) != 1001 {
		t.Errorf("%d fingerprints got through, want 1001", len(forwarded))
	}
	var sum uint64
	for which, n := range forwarded {
		sum += uint64(n)
		if which != 0 && n != 1 {
			t.Errorf("error %d was forwarded %d times", which, n)
		}
	}
	if budget := 50*(1+storm/25_000/60) + storm/100; forwarded[0] > budget || forwarded[0] < budget*9/10 {
		t.Errorf("the storm was forwarded %d times, want about %d", forwarded[0], budget)
	}
	if sum+suppressed != storm+1000 {
		t.Errorf("%d forwarded + %d suppressed ≠ %d", sum, suppressed, storm+1000)
	}
	g := p.groups(ByCount, 2, time.Time{})
	if g[0].Count != storm || g[0].Forwarded != uint64(forwarded[0]) || g[0].Suppressed != suppressed || !g[0].Storming {
		t.Errorf("group %+v", g[0])
	}
	e := p.table.find((&occurrence{id: anID(0), release: "shop@0"}).key())
	if told+uint64(e.since) != suppressed {
		t.Errorf("the tags told of %d suppressed, %d are left to tell, %d were", told, e.since, suppressed)
	}
	st := p.sweep(now.Add(2*time.Minute), false)
	if len(st) != 1 || st[0].seen != storm || st[0].forwarded != uint64(forwarded[0]) {
		t.Errorf("summary %+v", st)
	}
}

func TestFloodOfFingerprintsCannotHideTheBusy(t *testing.T) {
	p := core(Config{MaxFingerprints: 10_000})
	now := t0
	var busy [20]uint64
	for i := range 1_000_000 / slower {
		now = now.Add(50 * time.Microsecond)
		p.decide(&occurrence{id: anID(1000 + uint64(i)), release: fmt.Sprint("r", i)}, now, 1, nil)
		if i%100 == 0 {
			k := uint64(i / 100 % len(busy))
			p.decide(&occurrence{id: anID(k)}, now, 1, nil)
			busy[k]++
		}
		if n := p.table.len(); n > 10_000 {
			t.Fatalf("%d fingerprints remembered, want at most 10000", n)
		}
	}
	for k, want := range busy {
		e := p.table.find((&occurrence{id: anID(uint64(k))}).key())
		if e == nil || e.total != want {
			t.Errorf("busy fingerprint %d: %+v, want a count of %d", k, e, want)
		}
	}
	if n := len(p.table.names); n > maxReleases+1 {
		t.Errorf("%d release names", n)
	}
}

// An attacker who repeats each made-up fingerprint until it is protected can
// only push out those that are seen less often than his own.
func TestFloodOfRepeatedFingerprints(t *testing.T) {
	p := core(Config{MaxFingerprints: 1000, First: 5})
	now := t0
	var want uint64
	for i := range 20_000 / slower {
		for range 6 {
			now = now.Add(time.Millisecond)
			p.decide(&occurrence{id: anID(1000 + uint64(i))}, now, 1, nil)
		}
		if i%10 == 0 {
			p.decide(&occurrence{id: anID(1)}, now, 1, nil)
			want++
		}
	}
	if e := p.table.find((&occurrence{id: anID(1)}).key()); e == nil || e.total != want {
		t.Errorf("the busy one: %+v, want %d", e, want)
	}
	if p.table.protected.len > 800 || p.table.len() > 1000 {
		t.Errorf("%d protected of %d", p.table.protected.len, p.table.len())
	}
}

// Of the protected ones too, the one not seen for longest goes first.
func TestProtectedAreKeptBySight(t *testing.T) {
	p := core(Config{MaxFingerprints: 100, First: 1})
	see := func(id uint64) {
		for range 3 {
			p.decide(&occurrence{id: anID(id)}, t0, 1, nil)
		}
	}
	see(1)
	for i := range uint64(60) {
		see(10 + i)
	}
	p.decide(&occurrence{id: anID(1)}, t0, 1, nil) // seen again: now the freshest
	for i := range uint64(75) {
		see(1000 + i) // 80 may be protected
	}
	if e := p.table.find((&occurrence{id: anID(1)}).key()); e == nil || !e.protected {
		t.Errorf("one seen lately lost its place: %+v", e)
	}
	if e := p.table.find((&occurrence{id: anID(10)}).key()); e != nil && e.protected {
		t.Error("one not seen for long kept its place")
	}
}

func TestMemoryPerFingerprint(t *testing.T) {
	const n = 100_000 / slower
	var before, after runtime.MemStats
	p := core(Config{MaxFingerprints: n})
	title := make([]byte, maxTitle)
	for i := range title {
		title[i] = 'x'
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range 1_000_000 / slower * 2 {
		o := occurrence{id: anID(uint64(i)), release: "shop@1"}
		if p.decide(&o, t0, 1, nil).fresh {
			p.describe(o.key(), string(title))
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	per := float64(int64(after.HeapAlloc)-int64(before.HeapAlloc)) / n
	t.Logf("%d fingerprints, %.0f bytes each", p.table.len(), per)
	if p.table.len() != n {
		t.Errorf("%d fingerprints, want %d", p.table.len(), n)
	}
	if per > 240 {
		t.Errorf("%.0f bytes per fingerprint", per)
	}
	runtime.KeepAlive(p)
}

func TestIdleFingerprintsAreForgotten(t *testing.T) {
	p := core(Config{})
	p.decide(&occurrence{id: anID(1)}, t0, 1, nil)
	p.decide(&occurrence{id: anID(2)}, t0.Add(20*time.Hour), 1, nil)
	p.sweep(t0.Add(25*time.Hour), false)
	if g := p.groups(ByCount, 10, time.Time{}); len(g) != 1 || g[0].Fingerprint != anID(2).String() {
		t.Errorf("groups %+v", g)
	}
}

func TestReleaseNamesAreTidied(t *testing.T) {
	p := core(Config{MaxFingerprints: 100})
	for i := range 5000 {
		p.decide(&occurrence{id: anID(uint64(i)), release: fmt.Sprint("r", i)}, t0, 1, nil)
	}
	p.sweep(t0, false)
	if n := len(p.table.names); n > 101 {
		t.Errorf("%d names kept for 100 fingerprints", n)
	}
	p.decide(&occurrence{id: anID(9999), release: "shop@new"}, t0, 1, nil)
	for _, g := range p.groups(ByCount, 200, time.Time{}) {
		if g.Fingerprint == anID(9999).String() && g.Releases[0] != "shop@new" {
			t.Errorf("release %q", g.Releases)
		}
	}
}

func TestReloadKeepsCounts(t *testing.T) {
	p := core(Config{First: 2})
	for range 5 {
		p.decide(&occurrence{id: anID(1)}, t0, 1, nil)
	}
	for i := range 500 {
		p.decide(&occurrence{id: anID(10 + uint64(i))}, t0, 1, nil)
	}
	p.configure(Config{First: 2, MaxFingerprints: 100}.withDefaults())
	if n := p.table.len(); n != 100 {
		t.Errorf("%d fingerprints after the bound was lowered to 100", n)
	}
	if v := p.decide(&occurrence{id: anID(1)}, t0, 1, nil); v.forward {
		t.Error("the storm was forgotten by a reload")
	}
}

func TestClientIsToldToStop(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	type step struct {
		n    int
		id   uint64
		from string
		at   time.Duration
		want bool // told after the last of n
	}
	for _, tc := range []struct {
		name  string
		steps []step
	}{
		{"only one error, over and over", []step{{14, 1, "", 0, false}, {1, 1, "", 0, true}}},
		{"whoever meets the storm once is not told", []step{{100, 1, "", 0, true}, {10, 1, "192.0.2.2", 0, false}, {1, 1, "192.0.2.2", 0, true}}},
		{"another kind of error holds it back for a window", []step{
			{20, 1, "", 0, true},
			{1, 2, "", time.Second, false},
			{1, 1, "", time.Second, false},
			{1, 1, "", 59 * time.Second, false},
			{8, 1, "", 61 * time.Second, true},
		}},
		{"two storms at once", []step{{20, 1, "", 0, true}, {7, 2, "", 0, true}}},
		{"before the second is a storm", []step{{20, 1, "", 0, true}, {5, 2, "", 0, false}, {1, 1, "", 0, false}}},
		{"more kinds than are remembered", []step{{20, 1, "", 0, true}, {20, 2, "", 0, true}, {20, 3, "", 0, true}, {20, 4, "", 0, true}, {20, 5, "", 0, false}}},
		{"one /64 is one client", []step{{100, 1, "2001:db8::1", 0, true}, {1, 1, "2001:db8::2", 0, true}, {1, 1, "2001:db8:0:1::1", 0, false}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := core(Config{First: 5})
			for i, s := range tc.steps {
				from := addr
				if s.from != "" {
					from = netip.MustParseAddr(s.from)
				}
				var v verdict
				for range s.n {
					v = p.decide(&occurrence{id: anID(s.id), client: newClientID("k", from)}, t0.Add(s.at), 1, nil)
				}
				if v.stop != s.want {
					t.Errorf("step %d: told %v, want %v (%+v)", i+1, v.stop, s.want, v)
				}
			}
		})
	}
}

func TestForgottenClientsAreNotTold(t *testing.T) {
	p := core(Config{First: 5})
	one := newClientID("k", netip.MustParseAddr("192.0.2.1"))
	p.decide(&occurrence{id: anID(2), client: one}, t0, 1, nil) // another error, then it is forgotten
	for i := range maxClients {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0a000000+uint32(i))
		p.decide(&occurrence{id: anID(1), client: newClientID("k", netip.AddrFrom4(a))}, t0, 1, nil)
	}
	if p.clients.lru.Len() > maxClients {
		t.Errorf("%d clients", p.clients.lru.Len())
	}
	for range 50 {
		if p.decide(&occurrence{id: anID(1), client: one}, t0.Add(time.Second), 1, nil).stop {
			t.Fatal("told, though it had sent another error a second ago")
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, bc := range []struct {
		name string
		id   func(i uint64) uint64
	}{
		{"one", func(uint64) uint64 { return 1 }},
		{"of50000", func(i uint64) uint64 { return i * 7919 % 50_000 }},
		{"allnew", func(i uint64) uint64 { return i }},
	} {
		b.Run(bc.name, func(b *testing.B) {
			p := core(Config{})
			o := occurrence{release: "shop@1.4.2", project: &ingest.Project{}, client: newClientID("k", netip.MustParseAddr("192.0.2.1"))}
			now := t0
			b.ReportAllocs()
			for i := uint64(0); b.Loop(); i++ {
				now = now.Add(time.Microsecond)
				o.id = anID(bc.id(i))
				p.decide(&o, now, 1, nil)
			}
		})
	}
}
