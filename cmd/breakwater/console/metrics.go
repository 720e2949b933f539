package console

import (
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"
)

// Exposer writes the metric families of which there are many series, which it
// can do for less than a Gatherer.
type Exposer interface {
	// Exposes tells whether it knows a format.
	Exposes(f expfmt.Format) bool
	// WriteMetrics writes whole families and no end mark.
	WriteMetrics(w io.Writer, f expfmt.Format) error
}

// maxScrapes bounds the scrapes at one time: each walks every series.
const maxScrapes = 4

// gzipWriters compress fast: a scrape is large, repetitive and often on
// loopback, so a smaller answer is not worth three times the time.
var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return w
}}

// metricsHandler serves /metrics: in text, OpenMetrics or protobuf with native
// histograms, as the scraper asks. What is unusual (name[], a format that many
// does not know) takes the way of Prometheus' own library over all of both.
func metricsHandler(o Options) http.Handler {
	opts := promhttp.HandlerOpts{
		EnableOpenMetrics: true, // exemplars
		ErrorHandling:     promhttp.ContinueOnError,
		ErrorLog:          promLog{o.Logger},
	}
	all := promhttp.HandlerFor(prometheus.Gatherers{o.Gatherer, o.Pages}, opts)
	if o.Exposer == nil {
		all = promhttp.HandlerFor(o.Gatherer, opts)
	}
	slots := make(chan struct{}, maxScrapes)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		default:
			http.Error(w, "too many scrapes at once", http.StatusServiceUnavailable)
			return
		}
		format := expfmt.NegotiateAccept(r.Header, expfmt.DefaultOpenMetricsAcceptedFormats()...)
		if o.Exposer == nil || !o.Exposer.Exposes(format) || len(r.URL.Query()["name[]"]) > 0 {
			all.ServeHTTP(w, r)
			return
		}
		if err := scrape(o, w, r, format); err != nil {
			promLog{o.Logger}.Println("error writing metrics:", err)
		}
	})
}

// scrape writes everything in one format.
func scrape(o Options, w http.ResponseWriter, r *http.Request, format expfmt.Format) error {
	families, err := o.Gatherer.Gather()
	if err != nil {
		promLog{o.Logger}.Println("error gathering metrics:", err)
		if len(families) == 0 {
			http.Error(w, "metrics cannot be gathered: "+err.Error(), http.StatusInternalServerError)
			return nil
		}
	}
	h := w.Header()
	h.Set("Content-Type", string(format))
	h.Add("Vary", "Accept")
	h.Add("Vary", "Accept-Encoding")
	var out io.Writer = w
	if takesGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
		zw := gzipWriters.Get().(*gzip.Writer)
		zw.Reset(w)
		defer gzipWriters.Put(zw)
		defer zw.Close() //nolint:errcheck // an error here is a scraper that went away
		out = zw
	}
	enc := expfmt.NewEncoder(out, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	if err := o.Exposer.WriteMetrics(out, format); err != nil {
		return err
	}
	if end, ok := enc.(expfmt.Closer); ok {
		return end.Close() // OpenMetrics has an end mark
	}
	return nil
}

// takesGzip reads Accept-Encoding; "gzip;q=0" is a no.
func takesGzip(h http.Header) bool {
	for _, line := range h["Accept-Encoding"] {
		for part := range strings.SplitSeq(line, ",") {
			name, params, _ := strings.Cut(strings.TrimSpace(part), ";")
			if name == "gzip" {
				q := strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q=")
				return q == "" || strings.Trim(q, "0.") != ""
			}
		}
	}
	return false
}
