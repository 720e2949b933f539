package loki

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// Config of one Loki. Zero fields take the default named beside them.
type Config struct {
	// URL is its address; /loki/api/v1/push is added unless it ends in /push.
	URL string
	// Tenant is sent as X-Scope-OrgID, unless empty.
	Tenant             string
	Username, Password string
	// Labels are added to every line.
	Labels map[string]string
	// Encoding of requests: gzip (default) or none.
	Encoding string
	// FullEvent adds the whole payload to each line, as one text.
	FullEvent bool
	// Timeout of one request. 10 s.
	Timeout time.Duration
	// Concurrency is how many requests are sent at the same time. 8.
	Concurrency int
	// MaxBatch bounds the lines of one request, in bytes before compression. 1 MiB.
	MaxBatch int
	// Version of the gateway, for the User-Agent. "dev".
	Version string
	// RootCAs replaces the system's certificate authorities.
	RootCAs *x509.CertPool
	Now     func() time.Time // time.Now
}

const (
	// maxRecords bounds the records of one request.
	maxRecords = 500
	// maxLine is what a line may have, in bytes: Loki's default limit is 256 KiB.
	maxLine = 250 << 10
	// maxEnvironments is how many are told apart.
	maxEnvironments = 10
	// other stands for the environments beyond that, as in the metrics.
	other = "__other__"
)

// Destination delivers to one Loki. It is safe for concurrent use.
type Destination struct {
	cfg     Config
	client  *relay.Client
	batches relay.Batcher[*part]
	bound   relay.Bound[*part]

	mu           sync.Mutex
	environments map[string]bool
}

var _ relay.Destination = (*Destination)(nil)

// part is a record's share of a request.
type part struct {
	lines  []line
	finals []schemas.Final
}

type line struct {
	labels map[string]string
	stream string // the labels as JSON, which sorts them: one text per stream
	at     int64
	text   string
}

// New makes a destination. It does not connect. Errors never hold secrets.
func New(c Config) (*Destination, error) {
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	if c.Concurrency <= 0 {
		c.Concurrency = 8
	}
	if c.MaxBatch <= 0 {
		c.MaxBatch = 1 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.URL = strings.TrimRight(c.URL, "/")
	if !strings.HasSuffix(c.URL, "/push") {
		c.URL += "/loki/api/v1/push"
	}
	header := http.Header{}
	if c.Tenant != "" {
		header["X-Scope-OrgID"] = []string{c.Tenant}
	}
	client, err := relay.NewClient(relay.ClientConfig{
		URL: c.URL, Encoding: c.Encoding, Header: header, Username: c.Username, Password: c.Password,
		Connections: c.Concurrency, Version: c.Version, RootCAs: c.RootCAs,
	})
	if err != nil {
		return nil, err
	}
	d := &Destination{cfg: c, client: client, environments: map[string]bool{}}
	d.bound.Post = d.post
	d.bound.Start(c.MaxBatch)
	d.batches = relay.Batcher[*part]{Send: d.bound.Send, Senders: c.Concurrency, MaxJobs: maxRecords, MaxBytes: c.MaxBatch}
	return d, nil
}

// Target shows where it delivers to.
func (d *Destination) Target() string { return d.client.Target() }

// Close closes idle connections.
func (d *Destination) Close() error { return d.client.Close() }

// Deliver stores the lines of a record, together with those of other records
// that are delivered at the same time.
func (d *Destination) Deliver(ctx context.Context, m *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	docs, finals, err := relay.Documents(m, env, d.cfg.FullEvent)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return finals, nil
	}
	p, size := &part{finals: finals}, 0
	for i := range docs {
		l := line{labels: d.labels(&docs[i]), at: m.ReceivedAt.UnixNano(), text: string(docs[i].LineWithin(maxLine))}
		stream, err := json.Marshal(l.labels)
		if err != nil {
			return nil, fmt.Errorf("writing labels: %w", err)
		}
		l.stream = string(stream)
		p.lines = append(p.lines, l)
		size += len(l.text) + 32
	}
	return d.batches.Do(ctx, p, size)
}

// labels are those of a document: closed lists, the project, a bounded number
// of environments, and what the configuration says.
func (d *Destination) labels(doc *relay.Document) map[string]string {
	labels := map[string]string{"job": "breakwater"}
	maps.Copy(labels, d.cfg.Labels)
	labels["project"], labels["kind"], labels["level"] = doc.Project, doc.Kind, doc.Level
	if env := d.environment(doc.Environment); env != "" {
		labels["environment"] = env
	}
	return labels
}

func (d *Destination) environment(name string) string {
	if name == "" || !schemas.ValidEnvironment(name) {
		return ""
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.environments[name]:
		return name
	case len(d.environments) < maxEnvironments:
		d.environments[name] = true
		return name
	}
	return other
}

// post is one request. What Loki refuses for some of its lines is sent again
// in halves: the good lines are known there already and count as one.
func (d *Destination) post(ctx context.Context, jobs []*relay.Job[*part]) {
	attempt, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	body := encode(jobs)
	a, err := d.client.Post(attempt, "application/json", body, time.Second)
	if err != nil && a != nil && a.Good() {
		err = nil // the status is all that counts
	}
	var fault *relay.DeliverError
	switch {
	case err != nil:
		fault = err
	case a.Good():
		for _, j := range jobs {
			j.Finals = j.Value.finals
		}
		return
	case len(jobs) > 1 && (a.Status == http.StatusBadRequest || a.Status == http.StatusRequestEntityTooLarge):
		tooMany := 0
		if a.Status == http.StatusRequestEntityTooLarge {
			tooMany = len(body)
		}
		d.bound.Halve(ctx, jobs, tooMany)
		return
	default:
		fault = d.client.Fault(a, string(a.Body), d.cfg.Now())
		if a.Status == http.StatusInternalServerError {
			fault.Class, fault.Down = relay.Temporary, true
		}
	}
	for _, j := range jobs {
		j.Err = fault
	}
}

// encode is the body of a request: lines by stream, in the order they came.
func encode(jobs []*relay.Job[*part]) []byte {
	type stream struct {
		Stream map[string]string `json:"stream"`
		Values [][2]string       `json:"values"`
	}
	byLabels := map[string]*stream{}
	var order []string
	for _, j := range jobs {
		for _, l := range j.Value.lines {
			s := byLabels[l.stream]
			if s == nil {
				s = &stream{Stream: l.labels}
				byLabels[l.stream] = s
				order = append(order, l.stream)
			}
			s.Values = append(s.Values, [2]string{strconv.FormatInt(l.at, 10), l.text})
		}
	}
	list := make([]*stream, 0, len(order))
	for _, key := range order {
		s := byLabels[key]
		slices.SortStableFunc(s.Values, func(a, b [2]string) int { return len(a[0]) - len(b[0]) + compare(a[0], b[0]) })
		list = append(list, s)
	}
	body, _ := json.Marshal(map[string]any{"streams": list}) // texts only: nothing here can fail
	return body
}

// compare orders numbers of the same length.
func compare(a, b string) int {
	if len(a) != len(b) {
		return 0
	}
	return strings.Compare(a, b)
}
