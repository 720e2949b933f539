package vitals

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/proto"

	"breakwater/schemas"
)

// TestWhatIsRememberedIsWhatWouldBeWritten scrapes in every format between
// random observations, and holds what WriteMetrics says against the encoders of
// Prometheus' library over everything anew.
func TestWhatIsRememberedIsWhatWouldBeWritten(t *testing.T) {
	pages := prometheus.NewRegistry()
	h := newHarness(t, Config{SeriesPerProject: 60, Pages: pages})
	rng := rand.New(rand.NewPCG(7, 7))
	routes := []string{"/", "/cart", "/product/:id", `/a"quoted\route`, "/ünï"}
	for round := range 12 {
		for range rng.IntN(40) {
			b := &schemas.Beacon{Route: routes[rng.IntN(len(routes))], TraceID: strings.Repeat("ab", 16)}
			v := vital(rng.IntN(int(vitalCount)))
			b.Vitals = []schemas.Vital{one(specs[v].name, float64(rng.IntN(int(specs[v].max))), "")}
			h.Record(h.req, b)
		}
		if round == 6 { // a series that is gone is written no more
			f := h.m.ratings
			f.drop(f.series[0])
			f.drop(f.series[len(f.series)-1])
		}
		for _, format := range []expfmt.Format{
			expfmt.NewFormat(expfmt.TypeProtoDelim), expfmt.NewFormat(expfmt.TypeTextPlain), expfmt.NewFormat(expfmt.TypeOpenMetrics),
		} {
			if !h.Exposes(format) {
				t.Fatalf("%s is not known", format)
			}
			var ours, theirs bytes.Buffer
			if err := h.WriteMetrics(&ours, format); err != nil {
				t.Fatal(err)
			}
			families, err := pages.Gather()
			if err != nil {
				t.Fatal(err)
			}
			enc := expfmt.NewEncoder(&theirs, format)
			for _, f := range families {
				if err := enc.Encode(f); err != nil {
					t.Fatal(err)
				}
			}
			if got, want := canonical(t, ours.Bytes(), format), canonical(t, theirs.Bytes(), format); !slices.Equal(got, want) {
				t.Fatalf("round %d, %s: %d parts, want %d\n%.2000s\nwant\n%.2000s", round, format, len(got), len(want), got, want)
			}
		}
	}
}

// canonical takes an exposition apart, so that the order of families and series
// does not count.
func canonical(t *testing.T, b []byte, format expfmt.Format) (parts []string) {
	t.Helper()
	if format.FormatType() != expfmt.TypeProtoDelim {
		parts = strings.Split(string(b), "\n")
		slices.Sort(parts)
		return parts
	}
	dec := expfmt.NewDecoder(bytes.NewReader(b), format)
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		head := f.GetName() + "\x00" + f.GetHelp() + "\x00" + f.GetType().String() + "\x00"
		for _, m := range f.Metric {
			raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			parts = append(parts, head+string(raw))
		}
	}
	slices.Sort(parts)
	return parts
}

func TestOnlyWhatChangedIsWrittenAnew(t *testing.T) {
	h := newHarness(t, Config{})
	for _, route := range []string{"/a", "/b"} {
		h.beacon(route, one("LCP", 1000, ""))
	}
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	written := func() [2][]byte {
		if err := h.WriteMetrics(io.Discard, format); err != nil {
			t.Fatal(err)
		}
		s := h.m.hist[lcp].series
		return [2][]byte{s[0].written[asProto], s[1].written[asProto]}
	}
	before := written()
	h.beacon("/b", one("LCP", 2000, ""))
	after := written()
	if &before[0][0] != &after[0][0] {
		t.Error("a series that did not change was made again")
	}
	if bytes.Equal(before[1], after[1]) {
		t.Error("a series that changed was not made again")
	}
}

// Scrapes while pages report lose nothing: the one after the last report says
// what is true, whatever was remembered in between. Each series of each of them
// is of one moment: its count, sum, classic and native buckets agree.
func TestScrapesWhilePagesReport(t *testing.T) {
	pages := prometheus.NewRegistry()
	h := newHarness(t, Config{SeriesPerProject: 200, Pages: pages})
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	stop := make(chan struct{})
	var scrapes, reports sync.WaitGroup
	scrapes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				var b bytes.Buffer
				if err := h.WriteMetrics(&b, format); err != nil {
					t.Error(err)
					return
				}
				agree(t, &b, format)
			}
		}
	})
	for worker := range 4 {
		reports.Go(func() {
			for i := range 2000 {
				h.Record(h.req, &schemas.Beacon{Route: "/" + string(rune('a'+(worker+i)%20)), Vitals: []schemas.Vital{one("LCP", 8000, "")}})
			}
		})
	}
	reports.Wait()
	close(stop)
	scrapes.Wait()
	var ours bytes.Buffer
	if err := h.WriteMetrics(&ours, format); err != nil {
		t.Fatal(err)
	}
	dec, total := expfmt.NewDecoder(&ours, format), uint64(0)
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); err != nil {
			break
		}
		if f.GetName() == families[lcp] {
			for _, m := range f.Metric {
				total += m.GetHistogram().GetSampleCount()
			}
		}
	}
	if total != 8000 {
		t.Errorf("%d of 8000 observations in the last scrape", total)
	}
}

// agree holds the parts of each LCP series, all of 8 s, against each other.
func agree(t *testing.T, r io.Reader, format expfmt.Format) {
	dec := expfmt.NewDecoder(r, format)
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Error(err)
			return
		}
		if f.GetName() != families[lcp] {
			continue
		}
		for _, m := range f.Metric {
			s := m.GetHistogram()
			n, native, bucket := s.GetSampleCount(), s.GetZeroCount(), int64(0)
			for _, d := range s.PositiveDelta {
				bucket += d
				native += uint64(bucket)
			}
			if last := s.Bucket[len(s.Bucket)-1].GetCumulativeCount(); last != n || native != n || s.GetSampleSum() != 8*float64(n) {
				t.Errorf("count %d, %d in classic buckets, %d in native ones, sum %v", n, last, native, s.GetSampleSum())
			}
		}
	}
}
