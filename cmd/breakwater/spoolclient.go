package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"breakwater/cmd/breakwater/config"
	"breakwater/relay"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/relay/spool/jetstream"
)

// adminTarget says which gateway a command speaks to.
type adminTarget struct {
	URL   string `help:"Private address of a running gateway; by default that of the configuration." placeholder:"http://HOST:PORT"`
	Token string `help:"Admin token; by default that of the configuration." env:"BREAKWATER_ADMIN_TOKEN" placeholder:"TOKEN"`
}

// spoolTarget is a running gateway, or a spool at rest.
type spoolTarget struct {
	adminTarget `embed:""`
	Dir         string `help:"Directory of a spool that no gateway uses, instead of a running gateway." type:"path" placeholder:"DIR"`
}

// admin speaks to a private API: over the network, or, for a spool at rest, to
// the same handlers in this process.
type admin struct {
	base   string
	token  string
	client *http.Client
	// rest is the directory of a spool at rest, "" for a running gateway.
	rest  string
	close func() error
}

// running is the address and token to use, and whether anybody answers there.
func (t adminTarget) running(cfg *config.Config) (base, token string, up bool) {
	base, token = strings.TrimRight(t.URL, "/"), t.Token
	if token == "" {
		token = cfg.Server.AdminToken.Reveal()
	}
	if base == "" {
		host, port, err := net.SplitHostPort(cfg.Server.AdminListen)
		if err != nil {
			return "", token, false
		}
		if host == "" || host == "0.0.0.0" || host == "::" {
			host = "127.0.0.1"
		}
		base = "http://" + net.JoinHostPort(host, port)
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Get(base + "/-/healthy")
	if err != nil {
		return base, token, !errors.Is(err, syscall.ECONNREFUSED)
	}
	_ = resp.Body.Close()
	return base, token, true
}

// open finds the gateway, or opens the spool at rest.
func (t spoolTarget) open(c *cli) (*admin, error) {
	cfg, err := config.Load(c.Config, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	if t.Dir != "" && t.URL != "" {
		return nil, errors.New("give --url or --dir, not both")
	}
	dir := t.Dir
	if dir == "" {
		base, token, up := t.running(cfg)
		if up || t.URL != "" {
			return &admin{base: base, token: token, client: &http.Client{}, close: func() error { return nil }}, nil
		}
		if cfg.Spool.Engine == config.EngineJetStream {
			fmt.Fprintf(os.Stderr, "no gateway answers at %s; opening the stream %s, which other gateways may be working on\n", base, cfg.Spool.JetStream.Stream)
			return openStreamAtRest(cfg)
		}
		dir = cfg.Spool.Dir
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("no gateway answers at %s, and there is no spool in %s: give --url or --dir", base, dir)
		}
		fmt.Fprintf(os.Stderr, "no gateway answers at %s; opening %s at rest\n", base, dir)
	}
	return openAtRest(dir, cfg)
}

// openAtRest takes a spool's lock and serves it in this process. Nothing
// expires and nothing is given up while it is open.
func openAtRest(dir string, cfg *config.Config) (*admin, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("there is no spool in %s: %w", dir, err)
	}
	log := zerolog.New(os.Stderr).Level(zerolog.WarnLevel).With().Timestamp().Logger()
	s, err := disk.Open(disk.Config{
		Dir: dir, MaxSize: max(cfg.Spool.MaxSize.Bytes(), 1<<40), MinFree: -1, MaxAge: -1, ProjectShare: 1, DeadLetterSize: 1 << 62, Logger: log,
	})
	if errors.Is(err, spool.ErrLocked) {
		return nil, fmt.Errorf("%w: a gateway is running on it; ask that one with --url, or stop it first", err)
	}
	if err != nil {
		return nil, err
	}
	h := atRest(s, newBacklogAPI(s, importedOf(dir), projectsOf(cfg), nil, log), log)
	return &admin{base: "http://127.0.0.1", client: &http.Client{Transport: handlerTransport{h}}, rest: dir, close: s.Close}, nil
}

// openStreamAtRest serves a stream in this process. It delivers nothing, and
// nothing expires by it.
func openStreamAtRest(cfg *config.Config) (*admin, error) {
	log := zerolog.New(os.Stderr).Level(zerolog.ErrorLevel).With().Timestamp().Logger()
	sc := streamConfig(cfg)
	sc.Dir, sc.MaxAge, sc.AllowUnsynced, sc.Logger = "", -1, true, log // who looks need not ask whether the servers sync
	ctx, cancel := context.WithTimeout(context.Background(), atRestWait)
	defer cancel()
	s, err := jetstream.Open(ctx, sc)
	if err != nil {
		return nil, streamFault(err)
	}
	h := atRest(s, newBacklogAPI(s, dataFile(cfg, importedFile), projectsOf(cfg), nil, log), log)
	return &admin{base: "http://127.0.0.1", client: &http.Client{Transport: handlerTransport{h}}, rest: "stream " + cfg.Spool.JetStream.Stream, close: s.Close}, nil
}

// atRestWait is how long a command waits for a stream's servers.
const atRestWait = 15 * time.Second

// handlerTransport hands requests to a handler; answers are streamed.
type handlerTransport struct{ h http.Handler }

// RoundTrip serves one request.
func (t handlerTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	pr, pw := io.Pipe()
	w := &pipeWriter{w: pw, header: http.Header{}, ready: make(chan struct{})}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r = r.Clone(r.Context())
	r.RequestURI, r.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:0"
	go func() {
		defer func() {
			p := recover()
			w.WriteHeader(http.StatusInternalServerError)
			if p != nil {
				_ = pw.CloseWithError(io.ErrUnexpectedEOF)
				return
			}
			_ = pw.Close()
		}()
		t.h.ServeHTTP(w, r)
		w.WriteHeader(http.StatusOK)
	}()
	select {
	case <-w.ready:
	case <-r.Context().Done():
		_ = pr.CloseWithError(r.Context().Err())
		return nil, r.Context().Err()
	}
	return &http.Response{
		StatusCode: w.status, Status: fmt.Sprintf("%d %s", w.status, http.StatusText(w.status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: pr, ContentLength: -1, Request: r,
	}, nil
}

// pipeWriter is the answer of a handler in this process. One goroutine writes.
type pipeWriter struct {
	w      *io.PipeWriter
	header http.Header
	status int
	ready  chan struct{}
}

// Header is the answer's header.
func (w *pipeWriter) Header() http.Header { return w.header }

// WriteHeader lets the client have the answer.
func (w *pipeWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.header = w.header.Clone() // what the handler still sets comes too late, as over the network
		close(w.ready)
	}
}

// Write blocks until the client reads.
func (w *pipeWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.w.Write(b)
}

// Flush does nothing: nothing is held back.
func (*pipeWriter) Flush() {}

// do sends a request; an answer that is not good is an error in its own words.
func (a *admin) do(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) (*http.Response, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	if a.token != "" {
		req.Header.Set("Authorization", "Bearer "+a.token)
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // for people
	return nil, newAPIError(resp, text)
}

// apiError is a refusal of the private API.
type apiError struct {
	status int
	said   string
	body   []byte
}

func newAPIError(resp *http.Response, text []byte) *apiError {
	var said struct {
		Detail  string `json:"detail"`
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	_ = json.Unmarshal(text, &said)
	e := &apiError{status: resp.StatusCode, body: text}
	for _, s := range []string{said.Detail, said.Message, said.Error, string(text), resp.Status} {
		if e.said = relay.Printable(s, 500); e.said != "" {
			break
		}
	}
	return e
}

func (e *apiError) Error() string {
	if e.status == http.StatusUnauthorized {
		return "the gateway wants its admin token: give --token, or the configuration that has it (" + e.said + ")"
	}
	return fmt.Sprintf("%s (%d)", e.said, e.status)
}

// get reads JSON into v.
func (a *admin) get(ctx context.Context, path string, query url.Values, v any) error {
	resp, err := a.do(ctx, http.MethodGet, path, query, "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(v)
}

// post sends JSON and reads JSON.
func (a *admin) post(ctx context.Context, path string, query url.Values, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := a.do(ctx, http.MethodPost, path, query, "application/json", bytes.NewReader(b))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
