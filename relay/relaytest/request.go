package relaytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"breakwater/schemas"
)

// Request is one request as the upstream read it.
type Request struct {
	At                  time.Time // by Options.Now
	Method, Path, Query string
	Header              http.Header
	Project             string // the path's segment after /api/
	Wire                int64  // bytes of the body as they came
	Body                []byte // decompressed; only with Options.Raw
	Envelope            schemas.EnvelopeHeader
	EventID             string
	Items               []Item
	Err                 error  // why it could not be read, or is not wanted
	Status              int    // answered; 0 when there was no answer
	Taken               bool   // the upstream stored it
	Step                Step   // how it was treated
	answer              string // of Options.Answer, where a recorder makes one
}

// Item is one item of a request. Payload is nil with Options.IDsOnly.
type Item struct {
	Header  schemas.ItemHeader
	Size    int64
	Payload []byte
}

// Types lists the items' types, in order.
func (r *Request) Types() []string {
	types := make([]string, len(r.Items))
	for i := range r.Items {
		types[i] = r.Items[i].Header.Type
	}
	return types
}

// refusal is a fault of a request with the status it is answered.
type refusal struct {
	status int
	why    string
}

func (r *refusal) Error() string { return r.why }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// read reads the body, decompressed, and parses it.
func (u *Upstream) read(req *Request, r *http.Request, rate int) {
	wire := &counter{r: r.Body}
	body := io.Reader(wire)
	if rate > 0 {
		body = &slow{r: wire, rate: rate, wait: func(d time.Duration) { sleep(r, d, u.closing) }}
	}
	plain, err := decode(body, r.Header.Get("Content-Encoding"))
	if err == nil {
		limited := &io.LimitedReader{R: plain, N: u.opts.MaxBody + 1}
		if err = u.parse(req, r, limited); err == nil {
			_, err = io.Copy(io.Discard, limited) // a trailer's checksum counts too
		}
		if limited.N <= 0 {
			err = refuse(http.StatusRequestEntityTooLarge, "body is larger than %d bytes", u.opts.MaxBody)
		}
		plain.Close()
	}
	_, _ = io.Copy(io.Discard, wire) // so that the connection can be kept
	req.Wire = wire.n
	var no *refusal
	if err != nil && !errors.As(err, &no) {
		err = refuse(http.StatusBadRequest, "%v", err)
	}
	req.Err = err
}

// parse reads the content; anything odd is an error.
func (u *Upstream) parse(req *Request, r *http.Request, body io.Reader) error {
	if u.opts.Raw {
		b, err := io.ReadAll(body)
		req.Body = b
		return err
	}
	if err := u.authenticate(req, r); err != nil {
		return err
	}
	er := schemas.NewReader(body)
	h, err := er.Header()
	if err != nil {
		return fmt.Errorf("invalid event envelope: %w", err)
	}
	req.Envelope, req.EventID = h, h.EventID()
	if err := checkHeader(req, h); err != nil {
		return err
	}
	for {
		ih, payload, err := er.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("invalid event envelope: %w", err)
		}
		it := Item{Header: ih}
		var keep bytes.Buffer
		dst := io.Discard
		if !u.opts.IDsOnly {
			dst = &keep
		}
		if it.Size, err = io.Copy(dst, payload); err != nil {
			return fmt.Errorf("invalid event envelope: %w", err)
		}
		if !u.opts.IDsOnly {
			it.Payload = keep.Bytes()
		}
		if ih.Length < 0 {
			return errors.New("item without length; a gateway writes one")
		}
		req.Items = append(req.Items, it)
	}
}

// authenticate demands what a gateway owes its upstream: the envelope
// endpoint, X-Sentry-Auth, nothing private of the client's.
func (u *Upstream) authenticate(req *Request, r *http.Request) error {
	_, rest, ok := strings.Cut(r.URL.Path, "/api/")
	project, tail, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || tail != "envelope/" || project == "" {
		return refuse(http.StatusNotFound, "no such path: %s", r.URL.Path)
	}
	req.Project = project
	switch {
	case r.Method != http.MethodPost:
		return refuse(http.StatusMethodNotAllowed, "method %s", r.Method)
	case r.Header.Get("Cookie") != "" || r.Header.Get("Authorization") != "":
		return errors.New("a Cookie or Authorization header was forwarded")
	case r.Header.Get("Content-Type") != "application/x-sentry-envelope":
		return fmt.Errorf("content type %q", r.Header.Get("Content-Type"))
	case strings.Contains(r.URL.RawQuery, "sentry_"):
		return refuse(http.StatusUnauthorized, "multiple authorization payloads detected")
	}
	auth := authFields(r.Header.Get("X-Sentry-Auth"))
	if auth["sentry_key"] == "" || auth["sentry_version"] != "7" || auth["sentry_client"] == "" {
		return refuse(http.StatusUnauthorized, "bad x-sentry-auth header")
	}
	if u.opts.Key != "" && auth["sentry_key"] != u.opts.Key {
		return refuse(http.StatusForbidden, "event submission rejected with_reason: ProjectId")
	}
	return nil
}

func authFields(v string) map[string]string {
	fields := map[string]string{}
	rest, ok := strings.CutPrefix(v, "Sentry ")
	if !ok {
		return fields
	}
	for _, f := range strings.Split(rest, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		fields[k] = v
	}
	return fields
}

// checkHeader demands that a dsn in the envelope agrees with the request, as
// Sentry does.
func checkHeader(req *Request, h schemas.EnvelopeHeader) error {
	if _, ok := h.Get("dsn"); !ok {
		return nil
	}
	d, err := schemas.ParseDSN(h.DSN())
	switch {
	case err != nil:
		return refuse(http.StatusUnauthorized, "bad envelope authentication header")
	case d.ProjectID != req.Project:
		return errors.New("invalid event envelope: project id mismatch")
	case d.PublicKey != authFields(req.Header.Get("X-Sentry-Auth"))["sentry_key"]:
		return errors.New("invalid event envelope: public key mismatch")
	}
	return nil
}

// decode undoes a Content-Encoding.
func decode(r io.Reader, encoding string) (io.ReadCloser, error) {
	switch encoding {
	case "", "identity":
		return io.NopCloser(r), nil
	case "gzip":
		return gzip.NewReader(r)
	case "deflate":
		return zlib.NewReader(r)
	case "br":
		return io.NopCloser(brotli.NewReader(r)), nil
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, refuse(http.StatusUnsupportedMediaType, "content encoding %q", encoding)
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// slow reads at most rate bytes per second.
type slow struct {
	r    io.Reader
	rate int
	wait func(time.Duration)
}

func (s *slow) Read(b []byte) (int, error) {
	const tick = 20 * time.Millisecond
	s.wait(tick)
	return s.r.Read(b[:min(len(b), max(1, int(float64(s.rate)*tick.Seconds())))])
}
