package relaytest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Push is the push API of Loki as far as a gateway meets it, with the limits
// and the answers of its default configuration: entries that are good are
// stored even when others of the request are refused with 400. Give Options to
// an Upstream.
type Push struct {
	// Tenant is what X-Scope-OrgID must be; "" asks for none.
	Tenant string
	// Authorization is what requests must carry; "" asks for none.
	Authorization string
	// MaxContent is the length from which requests are answered 413. 100 MiB.
	MaxContent int
	Now        func() time.Time // time.Now

	mu      sync.Mutex
	streams map[string]*pushStream
	entries []Entry
	repeats int
}

// Entry is one stored line.
type Entry struct {
	Labels map[string]string
	At     time.Time
	Line   string
}

type pushStream struct {
	newest time.Time
	seen   map[string]bool
}

// Loki's defaults.
const (
	rejectOld    = 7 * 24 * time.Hour // reject_old_samples_max_age
	rejectNew    = 10 * time.Minute   // creation_grace_period
	behind       = time.Hour          // half of max_chunk_age
	maxLine      = 256 << 10          // max_line_size
	maxLabels    = 15                 // max_label_names_per_series
	maxLabelText = 2048               // max_label_value_length
	maxStreams   = 5000               // max_global_streams_per_user
)

var pushLabel = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// Options are those of the upstream that plays the API.
func (p *Push) Options() Options {
	return Options{Raw: true, Expect: p.expect, Answer: func(*Request) string { return "" }}
}

func (p *Push) now() time.Time {
	if p.Now != nil {
		return p.Now()
	}
	return time.Now()
}

func (p *Push) expect(r *Request) error {
	limit := p.MaxContent
	if limit == 0 {
		limit = 100 << 20
	}
	switch {
	case r.Path != "/loki/api/v1/push":
		return refuse(http.StatusNotFound, "404 page not found")
	case r.Method != http.MethodPost:
		return refuse(http.StatusMethodNotAllowed, "method not allowed")
	case p.Authorization != "" && r.Header.Get("Authorization") != p.Authorization:
		return refuse(http.StatusUnauthorized, "unauthorized")
	case p.Tenant != "" && r.Header.Get("X-Scope-OrgID") != p.Tenant:
		return refuse(http.StatusUnauthorized, "no org id")
	case r.Header.Get("Content-Type") != "application/json":
		return refuse(http.StatusUnsupportedMediaType, "content type %s", r.Header.Get("Content-Type"))
	case len(r.Body) > limit:
		return refuse(http.StatusRequestEntityTooLarge, "request body too large")
	}
	var req struct {
		Streams []struct {
			Stream map[string]string `json:"stream"`
			Values [][]string        `json:"values"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(r.Body, &req); err != nil {
		return fmt.Errorf("couldn't parse push request: %w", err)
	}
	if !r.Step.Taken() {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var first error
	total, bad := 0, 0
	for _, s := range req.Streams {
		for _, v := range s.Values {
			total++
			if err := p.take(s.Stream, v); err != nil {
				if bad++; first == nil {
					first = err
				}
			}
		}
	}
	if total == 0 {
		return errors.New("no entries") // the real one takes it; a gateway should not send it
	}
	if first != nil {
		var no *refusal
		if errors.As(first, &no) {
			return first
		}
		return fmt.Errorf("%w, total ignored: %d out of %d", first, bad, total)
	}
	return nil
}

// take stores one entry; p.mu is held.
func (p *Push) take(labels map[string]string, v []string) error {
	key, err := streamKey(labels)
	if err != nil {
		return err
	}
	if len(v) != 2 {
		return errors.New("an entry is a time and a line")
	}
	ns, err := strconv.ParseInt(v[0], 10, 64)
	if err != nil {
		return fmt.Errorf("time %q", v[0])
	}
	at, now := time.Unix(0, ns), p.now()
	s := p.streams[key]
	switch {
	case now.Sub(at) > rejectOld:
		return fmt.Errorf("entry for stream '%s' has timestamp too old: %v", key, at.UTC())
	case at.Sub(now) > rejectNew:
		return fmt.Errorf("entry for stream '%s' has timestamp too new: %v", key, at.UTC())
	case len(v[1]) > maxLine:
		return fmt.Errorf("max entry size '%d' bytes exceeded for stream '%s'", maxLine, key)
	case s == nil && len(p.streams) >= maxStreams:
		return refuse(http.StatusTooManyRequests, "maximum active stream limit exceeded")
	case s != nil && s.newest.Sub(at) > behind:
		return fmt.Errorf("entry too far behind, entry timestamp is: %v, oldest acceptable timestamp is: %v", at.UTC(), s.newest.Add(-behind).UTC())
	}
	if s == nil {
		if p.streams == nil {
			p.streams = map[string]*pushStream{}
		}
		s = &pushStream{seen: map[string]bool{}}
		p.streams[key] = s
	}
	if at.After(s.newest) {
		s.newest = at
	}
	if s.seen[v[0]+v[1]] { // the same time and line twice is one entry
		p.repeats++
		return nil
	}
	s.seen[v[0]+v[1]] = true
	p.entries = append(p.entries, Entry{Labels: labels, At: at, Line: v[1]})
	return nil
}

func streamKey(labels map[string]string) (string, error) {
	if len(labels) == 0 {
		return "", errors.New("error at least one label pair is required per stream")
	}
	if len(labels) > maxLabels {
		return "", fmt.Errorf("entry for stream has %d label names; limit %d", len(labels), maxLabels)
	}
	var parts []string
	for name, value := range labels {
		if !pushLabel.MatchString(name) || len(name) > 1024 {
			return "", fmt.Errorf("error parsing labels: %q", name)
		}
		if len(value) > maxLabelText {
			return "", fmt.Errorf("label value of %q too long", name)
		}
		parts = append(parts, name+"="+strconv.Quote(value))
	}
	sort.Strings(parts)
	return "{" + strings.Join(parts, ",") + "}", nil
}

// Entries are the stored lines in their order, and how many came again.
func (p *Push) Entries() (entries []Entry, repeats int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Entry(nil), p.entries...), p.repeats
}

// Streams is how many streams there are.
func (p *Push) Streams() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.streams)
}
