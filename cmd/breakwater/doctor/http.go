package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// maxAnswer bounds what is read of any answer.
const maxAnswer = 64 << 20

// tags are left out of details: a proxy's own pages are HTML.
var tags = regexp.MustCompile(`<[^>]*>`)

// answer is a whole response.
type answer struct {
	status int
	header http.Header
	body   []byte
	tls    *tls.ConnectionState
}

// text is the start of the body on one line, for a detail.
func (a *answer) text() string {
	s := strings.Join(strings.Fields(tags.ReplaceAllString(string(a.body[:min(len(a.body), 600)]), " ")), " ")
	s = s[:min(len(s), 300)]
	if s == "" {
		return fmt.Sprintf("answered %d", a.status)
	}
	return fmt.Sprintf("answered %d: %s", a.status, s)
}

// call sends one request and reads its whole answer.
func call(ctx context.Context, c *http.Client, method, url string, header http.Header, body []byte) (*answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	return &answer{resp.StatusCode, resp.Header, raw, resp.TLS}, nil
}

// getJSON asks for a JSON document.
func getJSON(ctx context.Context, c *http.Client, url string, header http.Header, into any) error {
	a, err := call(ctx, c, http.MethodGet, url, header, nil)
	if err != nil {
		return err
	}
	if a.status/100 != 2 {
		return fmt.Errorf("%s", a.text())
	}
	return json.Unmarshal(a.body, into)
}

// until asks again and again, at growing distances, until done says so or the
// patience is over; the last word of done is returned.
func (x *exam) until(ctx context.Context, patience time.Duration, done func() (bool, error)) error {
	deadline := time.Now().Add(patience)
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		ok, err := done()
		if ok {
			return nil
		}
		if err == nil {
			err = errors.New("not yet")
		}
		if time.Now().Add(wait).After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

// trouble is the word for why a connection could not be made; prefix chooses
// among the public address, an upstream and others.
func trouble(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var verify *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return "dns"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "expired"
	case errors.As(err, &host):
		return "name"
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &verify):
		return "chain"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "refused"
}

// bare is an error without the address, which may hold a key.
func bare(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Error()
	}
	if u := errors.Unwrap(err); u != nil {
		return u.Error()
	}
	return err.Error()
}
