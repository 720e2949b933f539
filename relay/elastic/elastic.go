package elastic

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"breakwater/relay"
	"breakwater/schemas"
)

// Config of one cluster. Zero fields take the default named beside them.
type Config struct {
	// URL is the cluster's address, with a path when it is behind one.
	URL string
	// Index is an index or data stream; {project} stands for Project in lower
	// case, with - for what an index cannot be named with.
	Index   string
	Project string
	// APIKey is an API key as Elasticsearch shows it: encoded, or id:key.
	APIKey string
	// Username and Password, instead of an API key.
	Username, Password string
	// Encoding of requests: gzip (default) or none.
	Encoding string
	// FullEvent adds the whole payload to each document, as one text.
	FullEvent bool
	// Timeout of one request. 10 s.
	Timeout time.Duration
	// Concurrency is how many requests are sent at the same time. 8.
	Concurrency int
	// MaxBatch bounds the documents of one request, in bytes before
	// compression. 4 MiB.
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
	// maxAnswer bounds an answer: 500 records of some documents each, with the
	// reason of every refusal.
	maxAnswer = 4 << 20
)

// Destination delivers to one index. It is safe for concurrent use.
type Destination struct {
	cfg     Config
	index   string
	client  *relay.Client
	batches relay.Batcher[*part]
	bound   relay.Bound[*part]
}

var _ relay.Destination = (*Destination)(nil)

// part is a record's share of a request.
type part struct {
	docs   []relay.Document
	lines  [][]byte // action and document of each
	finals []schemas.Final
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
		c.MaxBatch = 4 << 20
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	header := http.Header{}
	if c.APIKey != "" {
		key := c.APIKey
		if strings.Contains(key, ":") {
			key = base64.StdEncoding.EncodeToString([]byte(key))
		}
		header.Set("Authorization", "ApiKey "+key)
	}
	client, err := relay.NewClient(relay.ClientConfig{
		// Only what is read is asked for: an answer repeats each document's address otherwise.
		URL:      strings.TrimRight(c.URL, "/") + "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason",
		Encoding: c.Encoding, Header: header, Username: c.Username, Password: c.Password,
		Connections: c.Concurrency, MaxAnswer: maxAnswer, Version: c.Version, RootCAs: c.RootCAs,
	})
	if err != nil {
		return nil, err
	}
	d := &Destination{cfg: c, index: IndexName(c.Index, c.Project), client: client}
	if d.index == "" {
		return nil, errors.New("index has no name")
	}
	d.bound.Post = d.post
	d.bound.Start(c.MaxBatch)
	d.batches = relay.Batcher[*part]{Send: d.bound.Send, Senders: c.Concurrency, MaxJobs: maxRecords, MaxBytes: c.MaxBatch}
	return d, nil
}

// IndexName puts a project's name into the name of an index.
func IndexName(index, project string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return '-'
	}, strings.ToLower(project))
	return strings.TrimLeft(strings.ReplaceAll(index, "{project}", clean), "-_+")
}

// Target shows where it delivers to.
func (d *Destination) Target() string { return strings.TrimRight(d.cfg.URL, "/") + "/" + d.index }

// Close closes idle connections.
func (d *Destination) Close() error { return d.client.Close() }

// Deliver stores the documents of a record, together with those of other
// records that are delivered at the same time.
func (d *Destination) Deliver(ctx context.Context, m *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	docs, finals, err := relay.Documents(m, env, d.cfg.FullEvent)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return finals, nil
	}
	p := &part{docs: docs, finals: finals}
	size := 0
	for i := range docs {
		lines := d.lines(&docs[i])
		p.lines = append(p.lines, lines)
		size += len(lines)
	}
	return d.batches.Do(ctx, p, size)
}

// lines are the action and the document.
func (d *Destination) lines(doc *relay.Document) []byte {
	line := doc.Line()
	out := make([]byte, 0, len(line)+len(d.index)+128)
	out = append(out, `{"create":{"_index":`...)
	out = append(out, schemas.QuoteString(d.index)...)
	out = append(out, `,"_id":`...)
	out = append(out, schemas.QuoteString(doc.ID)...)
	out = append(out, "}}\n"...)
	out = append(out, fmt.Sprintf(`{"@timestamp":%q,`, doc.Timestamp)...)
	out = append(out, line[1:]...)
	return append(out, '\n')
}

// post is one request; it is split and repeated when it is too large.
func (d *Destination) post(ctx context.Context, jobs []*relay.Job[*part]) {
	attempt, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	var body []byte
	for _, j := range jobs {
		for _, l := range j.Value.lines {
			body = append(body, l...)
		}
	}
	a, err := d.client.Post(attempt, "application/x-ndjson", body, d.cfg.Timeout)
	switch {
	case err != nil:
		fail(jobs, err)
	case a.Status == http.StatusRequestEntityTooLarge && len(jobs) > 1:
		d.bound.Halve(ctx, jobs, len(body))
	case !a.Good():
		fail(jobs, d.client.Fault(a, explain(a.Body), d.cfg.Now()))
	default:
		d.settle(jobs, a)
	}
}

func fail(jobs []*relay.Job[*part], err *relay.DeliverError) {
	for _, j := range jobs {
		j.Err = err
	}
}
