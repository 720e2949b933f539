package ingest

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics of the public listener.
type metrics struct {
	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	inFlight    atomic.Int64 // a gauge adds by trying, which two processors keep each other from
	connections prometheus.Gauge
	cut         prometheus.Counter
	panics      prometheus.Counter

	answers *Known[answer, series]
}

// answer is a kind of answer, series are where its kind is counted.
type (
	answer struct {
		endpoint, method string
		code             int
	}
	series struct {
		requests prometheus.Counter
		duration prometheus.Observer
	}
)

// newMetrics registers the listener's metrics; m is what requests hold in memory.
func newMetrics(reg prometheus.Registerer, m *memory) (*metrics, error) {
	x := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "breakwater_http_requests_total",
			Help: "Requests answered on the public listener. A rise of 4xx is a client's fault or a limit, of 5xx ours: see breakwater_items_outcome_total for the reasons.",
		}, []string{"endpoint", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                           "breakwater_http_request_duration_seconds",
			Help:                           "Time from the request's header to the end of the answer, the client's upload and the fsync included.",
			Buckets:                        []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
			NativeHistogramBucketFactor:    1.1,
			NativeHistogramMaxBucketNumber: 100,
		}, []string{"endpoint"}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "breakwater_http_connections",
			Help: "Open connections of the public listener. At server.max_connections further clients wait.",
		}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_http_connections_cut_total",
			Help: "Connections cut off in the middle of a request because their address had more than limits.sending_per_ip of them: a crowd of slow ones, or many clients behind one address, such as a balancer that is not among server.trusted_proxies.",
		}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "breakwater_http_panics_total",
			Help: "Requests ended by a fault of the gateway, answered 500. Any is worth a report; the log has the stack.",
		}),
	}
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "breakwater_http_requests_in_flight",
		Help: "Requests being read or answered on the public listener now.",
	}, func() float64 { return float64(x.inFlight.Load()) })
	held := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "breakwater_http_body_bytes",
		Help: "Bytes that bodies, decoders and what is made of bodies hold in memory now. At the memory budget further requests are answered 503.",
	}, func() float64 { return float64(m.held.Load()) })
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "breakwater_http_large_batches_waiting",
		Help: "Requests of OTLP and Faro that wait for their turn to make more than 256 KiB of logs and events; two may at a time, one where there are two processors. One that waits for 20 seconds is answered 503.",
	}, func() float64 { return float64(m.waiting.Load()) })
	for _, c := range []prometheus.Collector{x.requests, x.duration, inFlight, x.connections, x.cut, x.panics, held, waiting} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics of the public listener: %w", err)
		}
	}
	x.answers = NewKnown(func(a answer) series {
		return series{x.requests.WithLabelValues(a.endpoint, a.method, codeLabel(a.code)), x.duration.WithLabelValues(a.endpoint)}
	})
	return x, nil
}

// open makes the zero values of an endpoint.
func (m *metrics) open(ep *Endpoint) {
	m.duration.WithLabelValues(ep.Name)
	for _, method := range ep.methods() {
		m.requests.WithLabelValues(ep.Name, method, strconv.Itoa(max(ep.Reply.Status, http.StatusOK)))
	}
	m.requests.WithLabelValues(ep.Name, http.MethodOptions, "200")
}

// usual is the answer that an endpoint gives nearly always, and where it is counted.
type usual struct {
	answer
	series
}

// usually looks up where the usual answer of an endpoint is counted; at each answer it
// would cost as much as counting.
func (m *metrics) usually(ep *Endpoint) *usual {
	a := answer{ep.Name, methodLabel(ep.methods()[0]), max(ep.Reply.Status, http.StatusOK)}
	return &usual{a, m.answers.Get(a)}
}

// answered counts an answer; u is the endpoint's usual one, nil for none.
func (m *metrics) answered(u *usual, endpoint, method string, code int, took time.Duration) {
	var x series
	if u != nil && u.code == code && u.method == method {
		x = u.series
	} else {
		x = m.answers.Get(answer{endpoint, methodLabel(method), code})
	}
	x.requests.Inc()
	x.duration.Observe(took.Seconds())
}

// methodLabel keeps the label's values few, whatever a stranger calls a method.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodPost, http.MethodOptions:
		return method
	}
	return "other"
}

// codeLabel names the statuses we send.
func codeLabel(code int) string {
	switch code {
	case 200:
		return "200"
	case 204:
		return "204"
	case 201, 202, 400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 503:
		return strconv.Itoa(code)
	}
	return "other"
}
