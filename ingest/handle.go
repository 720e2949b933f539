package ingest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"breakwater/schemas"
)

// handler is the path of every request that brings items.
func (d *door) handler(ep *Endpoint) echo.HandlerFunc {
	usual := d.metrics.usually(ep)
	return func(c echo.Context) error {
		v, r := visitOf(c), c.Request()
		v.endpoint, v.usual = ep.Name, usual
		v.refuse = ep.Refuse
		if ep.Credentials {
			echoOrigin(c.Response().Header(), r, v.opaque)
		}
		req := d.newRequest(c, v, ep)
		batch, err := d.receive(c, req, ep)
		if batch != nil && batch.Done != nil {
			defer batch.Done()
		}
		if req.Project != nil {
			v.project = req.Project.Name
		}
		if err != nil {
			if errors.Is(err, RejectOrigin) {
				keepOriginOut(c.Response().Header())
			}
			if ep.Limited == nil || AsRejection(err).Status != http.StatusTooManyRequests {
				return err
			}
			if batch == nil {
				batch = &Batch{}
			}
			if batch.Reply == nil {
				reply := ep.Limited()
				batch.Reply = &reply
			}
			v.outcome = schemas.RateLimited
		}
		if batch.Reply != nil {
			return d.respond(c, *batch.Reply, batch.EventID)
		}
		return d.respond(c, ep.Reply, batch.EventID)
	}
}

// receive takes a request in or says why not:
//
//	authenticate → origin → rates → size → decompress → decode → stages → record → append
//
// Whatever way it goes, each item is counted once: a request refused before
// its items are known counts as one of category unknown.
func (d *door) receive(c echo.Context, req *Request, ep *Endpoint) (batch *Batch, err error) {
	v := visitOf(c)
	defer req.release()

	batch, err = d.read(c, req, ep)
	d.mark(v, stepRead)
	if err != nil {
		rej := AsRejection(err)
		d.refuse(req, rej)
		return nil, rej
	}
	defer batch.conclude(&err)
	v.sighting.decoded(batch)
	batch.skipParts(d.opts.Parts)
	err = d.decide(batch)
	vitals := vitals{total: batch.Measurements()}
	if err == nil {
		vitals.used, err = d.record(req, batch)
	}
	d.mark(v, stepDecide)
	if err == nil {
		err = d.append(c.Request().Context(), batch)
	}
	d.mark(v, stepAppend)
	v.sighting.judged(batch)
	d.account(req, batch, vitals)
	v.outcome = batch.outcome(vitals)
	var wait time.Duration
	if len(batch.Limits) > 0 {
		wait = announce(c.Response().Header(), batch.Limits, d.opts.Now())
	}
	if err != nil {
		return batch, err
	}
	return batch, verdict(batch, vitals, wait)
}

// conclude lets the protocol have the last word. It runs however the request
// ended, a panic included: who claimed something gives it back.
func (b *Batch) conclude(err *error) {
	if b.Conclude == nil {
		return
	}
	if p := recover(); p != nil {
		b.dropAll(schemas.Invalid, RejectInternal.Reason)
		_ = b.Conclude(b, RejectInternal)
		panic(p) // rescued, and reported, further out
	}
	*err = b.Conclude(b, *err)
}

// read is everything before the batch is known.
func (d *door) read(c echo.Context, req *Request, ep *Endpoint) (batch *Batch, err error) {
	r := c.Request()
	if err := d.authenticate(c, req, ep); err != nil {
		return nil, err
	}
	if d.settings.Gate != nil {
		if rej := d.settings.Gate.AllowRequest(req); rej != nil {
			return nil, rej
		}
	}
	body, err := openBody(r, req, ep)
	if err != nil {
		return nil, err
	}
	defer func() {
		if p := recover(); p != nil {
			batch, err = nil, d.panicked(p)
		}
		visitOf(c).bytes = body.wire.n
		body.Close()
	}()
	if batch, err = ep.Protocol.Decode(r.Context(), req, body); err != nil {
		return nil, err
	}
	if req.Project == nil { // a protocol that forgot to ask for the dsn
		return nil, RejectNoAuth
	}
	batch.Request = req
	if batch.Header.Object == nil && len(batch.Items) > 0 {
		batch.Header = schemas.EmptyHeader()
	}
	return batch, nil
}

// authenticate finds the project and checks the page's origin, now or when the
// envelope's header has been read.
func (d *door) authenticate(c echo.Context, req *Request, ep *Endpoint) error {
	dir := d.opts.Projects.Load()
	head := Head{Mode: ep.Auth, Header: req.Header, Query: req.Query, Key: req.Param("key")}
	for _, p := range req.Params {
		if p.Name == "project" {
			head.Project, head.HasProject = p.Value, true
		}
	}
	page := ep.Auth == AuthKey || ep.Auth == AuthTunnel // its own credentials are for somebody else
	if page {
		delete(req.Header, "Authorization")
	}
	p, k, err := d.opts.Auth.Authenticate(dir, head)
	if !page {
		delete(req.Header, "Authorization")
	}
	if err != nil {
		return err
	}
	if ep.Auth.takesDSN() {
		req.byDSN = func(dsn string) error { return d.authenticateDSN(dir, head, req, dsn) }
	}
	if p == nil {
		if !ep.Auth.takesDSN() {
			return RejectNoAuth
		}
		return nil
	}
	return admit(req, p, k)
}

// authenticateDSN is the second chance, and the cross-check, of an envelope
// that names its DSN.
func (d *door) authenticateDSN(dir *Directory, head Head, req *Request, dsn string) error {
	known := req.Project != nil
	p, k, err := d.opts.Auth.ByDSN(dir, head, req.Project, req.Key, dsn)
	if err != nil || known {
		return err
	}
	if err := admit(req, p, k); err != nil || d.settings.Gate == nil {
		return err
	}
	// The address was charged before; without it the key alone is.
	keyOnly := *req
	keyOnly.ClientIP = noAddr
	if rej := d.settings.Gate.AllowRequest(&keyOnly); rej != nil {
		return rej
	}
	return nil
}

func admit(req *Request, p *Project, k *Key) error {
	req.Project, req.Key = p, k
	if !p.Origins.Allow(req.Origin) {
		return RejectOrigin
	}
	return nil
}

// decide runs the stages. A stage may refuse the request; one that fails, or
// panics, ends what is alive as a fault of ours.
func (d *door) decide(b *Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.panicked(p)
		}
		if err != nil {
			b.dropAll(schemas.Invalid, RejectInternal.Reason)
		}
	}()
	for _, stage := range d.settings.Stages {
		if err := stage.Apply(b); err != nil {
			var rej *Rejection
			if errors.As(err, &rej) {
				b.refused = rej
				b.dropAll(rej.Outcome, rej.Reason)
				return rej
			}
			d.opts.Logger.Error().Err(err).Str("stage", stage.Name()).Msg("stage failed")
			return RejectInternal.With(err)
		}
	}
	canaryEnd(b)
	return nil
}

// append makes what is alive durable. The client hanging up does not undo it:
// the report has arrived.
func (d *door) append(ctx context.Context, b *Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.panicked(p)
			b.dropAll(schemas.Invalid, RejectInternal.Reason)
		}
	}()
	if !b.anyAlive() {
		return nil
	}
	b.Request.Rest() // for the disk
	// A batch of several events is several records: upstreams take one event at a time.
	records, spans := b.records()
	for n, rec := range records {
		if err := d.opts.Sink.Append(context.WithoutCancel(ctx), rec); err != nil {
			rej := fullness(err)
			b.dropFrom(n, spans, rej.Outcome, rej.Reason)
			b.keepParts(d.opts.Parts, false)
			return rej
		}
	}
	b.keepParts(d.opts.Parts, true)
	return nil
}

// fullness is the answer when the sink refused: its own reason and time where
// it has them.
func fullness(err error) *Rejection {
	rej := RejectFull.With(err)
	var reason interface{ Reason() string }
	if errors.As(err, &reason) {
		rej.Reason = reason.Reason()
	}
	var after interface{ RetryAfter() time.Duration }
	if errors.As(err, &after) && after.RetryAfter() > 0 {
		rej.RetryAfter = after.RetryAfter()
	}
	return rej
}

// verdict is the answer when nothing went wrong on our side. Something kept,
// filtered or suppressed is success: clients must not learn of filters, nor
// send again. Everything rate-limited is 429. Nothing usable is what the
// decoder said.
func verdict(b *Batch, v vitals, wait time.Duration) error {
	limited, other := b.unmeasured.Outcome == schemas.RateLimited, false
	if !limited && v.total > 0 && v.used == 0 && len(b.Items) == 0 && b.measured() {
		return RejectNothingUsable
	}
	if len(b.Items) == 0 && !limited || v.used > 0 || b.anyAlive() {
		return nil
	}
	for _, it := range b.Items {
		switch it.Outcome {
		case schemas.RateLimited:
			limited = true
		case schemas.Invalid:
		default:
			other = true
		}
	}
	switch {
	case limited && !other:
		rej := *RejectLimited
		rej.RetryAfter = max(wait, time.Second)
		return &rej
	case !other && b.Refusal != nil:
		return b.Refusal
	}
	return nil
}

// newRequest fills the request of a visit, which is empty.
func (d *door) newRequest(c echo.Context, v *visit, ep *Endpoint) *Request {
	r, req := c.Request(), &v.req
	req.ID, req.Endpoint, req.Budget, req.Method, req.ReceivedAt = v.id, ep.Name, ep.Budget, r.Method, v.start
	req.conn, req.ClientIP = v.conn, clientAddr(v.conn, r, d.settings.Config.TrustedProxies)
	req.UserAgent, req.Origin, req.Header = headerOf(r.Header, "User-Agent"), originOf(r.Header), r.Header
	req.ctx, req.config, req.spiller, req.memory, req.Canary = r.Context(), &d.settings.Config, d.opts.Spiller, d.memory, v.canary != ""
	req.Query = d.queries.read(r.URL.RawQuery)
	if names := c.ParamNames(); len(names) > 0 {
		values := c.ParamValues()
		req.Params = req.params[:0]
		for i, name := range names {
			value := values[i]
			if r.URL.RawPath != "" {
				if plain, err := url.PathUnescape(value); err == nil {
					value = plain
				}
			}
			req.Params = append(req.Params, Param{name, value})
		}
	}
	return req
}
