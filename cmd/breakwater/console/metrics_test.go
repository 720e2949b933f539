package console

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/rs/zerolog"
)

// pages exposes one family in text only.
type pages struct{}

func (pages) Exposes(f expfmt.Format) bool { return f.FormatType() != expfmt.TypeProtoDelim }

func (pages) WriteMetrics(w io.Writer, _ expfmt.Format) error {
	_, err := io.WriteString(w, "# TYPE pages counter\npages 1\n")
	return err
}

func TestMetricsOfBothSources(t *testing.T) {
	reg, slow := prometheus.NewRegistry(), prometheus.NewRegistry()
	reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "rest"}))
	slow.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "pages_total"}))
	h := New(Options{Ready: func() error { return nil }, Gatherer: reg, Exposer: pages{}, Pages: slow, Token: func() string { return "" }, Logger: zerolog.Nop()})
	for _, c := range []struct{ name, url, accept, encoding, want, not string }{
		{"text", "/metrics", "text/plain", "", "rest 0\n# TYPE pages counter\npages 1\n", "# EOF"},
		{"compressed", "/metrics", "text/plain", "gzip", "pages 1\n", ""},
		{"OpenMetrics has an end", "/metrics", "application/openmetrics-text;version=1.0.0", "", "pages 1\n# EOF\n", ""},
		{"a format the exposer does not know", "/metrics", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "", "pages_total", "pages 1"},
		{"one family by name", "/metrics?name[]=pages_total", "text/plain", "", "pages_total 0\n", "rest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, c.url, nil)
			r.Header.Set("Accept", c.accept)
			r.Header.Set("Accept-Encoding", c.encoding)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			var body io.Reader = w.Body
			if (c.encoding == "gzip") != (w.Header().Get("Content-Encoding") == "gzip") {
				t.Fatalf("Content-Encoding %q", w.Header().Get("Content-Encoding"))
			}
			if c.encoding == "gzip" {
				zr, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				body = zr
			}
			got, err := io.ReadAll(body)
			if err != nil || w.Code != http.StatusOK {
				t.Fatal(w.Code, err)
			}
			if !strings.Contains(string(got), c.want) || c.not != "" && strings.Contains(string(got), c.not) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestTakesGzip(t *testing.T) {
	for line, want := range map[string]bool{
		"": false, "gzip": true, "deflate, gzip;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0": false, "identity": false, "br, gzip": true,
	} {
		if got := takesGzip(http.Header{"Accept-Encoding": {line}}); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
