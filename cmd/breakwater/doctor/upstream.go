package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest"
	"breakwater/schemas"
)

// upstreams asks each one directly, so that a fault between the gateway and it
// is told from one before the gateway.
func (x *exam) upstreams(ctx context.Context) {
	n := 0
	for _, p := range x.o.Config.Projects {
		for _, u := range p.Upstreams {
			subject := p.Name + "/" + u.Name
			switch {
			case u.Held():
				x.warn("upstream", subject, "upstream_held", "")
			case u.Type == "sentry":
				n++
				x.upstream(ctx, subject, u, n)
			case u.URL != "":
				x.reach(ctx, subject, u)
			case u.Address != "":
				x.dial(ctx, "upstream", subject, u.Network, u.Address)
			}
		}
	}
}

// regions are the ingest hosts of Sentry's own service (protocol §1.1).
var regions = []string{".ingest.us.sentry.io", ".ingest.de.sentry.io", ".ingest.sentry.io"}

// upstream sends one canary to a Sentry or a server that speaks its protocol.
func (x *exam) upstream(ctx context.Context, subject string, u config.Upstream, n int) {
	dsn, err := schemas.ParseDSN(u.DSN.Reveal())
	if err != nil {
		x.fault("upstream", subject, "config_invalid", err.Error())
		return
	}
	if x.loops(ctx, dsn) {
		x.fault("upstream", subject, "upstream_loop", dsn.Host)
		return
	}
	before := time.Now()
	a, err := x.canaryTo(ctx, dsn, u, n)
	if err != nil {
		x.fault("upstream", subject, map[string]string{
			"dns": "upstream_dns", "expired": "upstream_certificate", "name": "upstream_certificate", "chain": "upstream_certificate",
			"timeout": "upstream_timeout", "refused": "upstream_refused",
		}[trouble(err)], bare(err))
		return
	}
	if at, err := http.ParseTime(a.header.Get("Date")); err == nil {
		x.clock(dsn.Host, at, before, time.Now())
	}
	name := refusal(a)
	if name == "upstream_project" || name == "upstream_key" || name == "upstream_not_found" {
		if other := x.otherRegion(ctx, dsn, u, n); other != "" {
			x.add(Result{
				Check: "upstream", Subject: subject, Status: Fault, Name: "upstream_region", Detail: dsn.Host + " " + a.text() + "; " + other + " takes it",
				Cause: known("upstream_region").Cause, Fix: "put " + other + " in the dsn",
			})
			return
		}
	}
	switch name {
	case "":
		x.ok("upstream", subject, "takes the canary: "+dsn.String())
	case "upstream_redirect":
		x.fault("upstream", subject, name, "to "+a.header.Get("Location"))
	case "upstream_limited":
		x.fault("upstream", subject, name, strings.TrimSpace(a.header.Get("X-Sentry-Rate-Limits")+" Retry-After: "+a.header.Get("Retry-After")))
	default:
		x.fault("upstream", subject, name, a.text())
	}
}

// refusal is the word for an answer, "" for one that took the event. Sentry
// itself says "ProjectId" whatever is wrong (protocol §1.7); other servers tell
// more, and are listened to.
func refusal(a *answer) string {
	said := strings.ToLower(string(a.body[:min(len(a.body), 2000)]) + a.header.Get("X-Sentry-Error"))
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(said, w) {
				return true
			}
		}
		return false
	}
	switch {
	case a.status/100 == 2:
		return ""
	case a.status/100 == 3:
		return "upstream_redirect"
	case a.status == http.StatusTooManyRequests:
		return "upstream_limited"
	case a.status/100 == 5:
		return "upstream_failing"
	case has("disabled", "closed", "suspended", "archived", "inactive", "deleted"):
		return "upstream_closed"
	case has("sentry_key", "public key", "dsn public", "invalid key", "unknown key", "api key") && !has("with_reason: projectid"):
		return "upstream_key"
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, has("projectid", "project not found"):
		return "upstream_project"
	case a.status == http.StatusNotFound, a.status == http.StatusMethodNotAllowed:
		return "upstream_not_found"
	}
	return "upstream_rejects"
}

func (x *exam) canaryTo(ctx context.Context, dsn schemas.DSN, u config.Upstream, n int) (*answer, error) {
	c := &http.Client{
		Timeout: u.Timeout.Duration(), Transport: x.o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	id := ingest.CanaryEventID(x.canaryID(), 100+n)
	body := canaryEvent(id, dsn.String(), x.o.Now())
	if x.o.Quiet {
		body = canaryReport(id, x.o.Now())
	}
	h := http.Header{
		"Content-Type": {"application/x-sentry-envelope"}, "User-Agent": {"breakwater-doctor"},
		"X-Sentry-Auth": {"Sentry sentry_version=7, sentry_client=breakwater-doctor/1, sentry_key=" + dsn.PublicKey},
	}
	return call(ctx, c, http.MethodPost, dsn.EnvelopeURL(), h, body)
}

// canaryID is the canary's id, or one of the same form where the gateway could
// not be asked for one.
func (x *exam) canaryID() string {
	if x.canary == "" {
		return fmt.Sprintf("%016x%016x", uint64(x.o.Now().UnixNano()), 0)
	}
	return x.canary
}

// otherRegion tries Sentry's other regions with the same DSN, and names the
// host that takes it.
func (x *exam) otherRegion(ctx context.Context, dsn schemas.DSN, u config.Upstream, n int) string {
	for _, suffix := range regions {
		org, ok := strings.CutSuffix(dsn.Host, suffix)
		if !ok {
			continue
		}
		for _, other := range regions {
			if other == suffix {
				continue
			}
			moved := dsn
			moved.Host = org + other
			if a, err := x.canaryTo(ctx, moved, u, n); err == nil && a.status/100 == 2 {
				return moved.Host
			}
		}
		return ""
	}
	return ""
}

// loops asks an upstream under a canary's name: if the gateway sees it, the
// upstream is the gateway.
func (x *exam) loops(ctx context.Context, dsn schemas.DSN) bool {
	if x.canary == "" {
		return false
	}
	before := len(x.seen(ctx).Sightings)
	c := &http.Client{Timeout: 10 * time.Second, Transport: x.o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	u := dsn.EnvelopeURL() + "?" + url.Values{ingest.CanaryParam: {x.canary}}.Encode()
	if _, err := call(ctx, c, http.MethodOptions, u, http.Header{"Origin": {"https://example.com"}}, nil); err != nil {
		return false
	}
	return len(x.seen(ctx).Sightings) > before
}

// reach asks an upstream of another kind whether it is there at all.
func (x *exam) reach(ctx context.Context, subject string, u config.Upstream) {
	c := &http.Client{Timeout: u.Timeout.Duration(), Transport: x.o.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	h := http.Header{}
	for name, value := range u.Headers {
		h.Set(name, value.Reveal())
	}
	if u.APIKey != "" {
		h.Set("Authorization", "ApiKey "+u.APIKey.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.URL, http.NoBody)
	if err == nil && u.Username != "" {
		req.SetBasicAuth(u.Username, u.Password.Reveal())
		h.Set("Authorization", req.Header.Get("Authorization"))
	}
	a, err := call(ctx, c, http.MethodGet, u.URL, h, nil)
	switch {
	case err != nil:
		x.fault("upstream", subject, map[string]string{
			"dns": "upstream_dns", "expired": "upstream_certificate", "name": "upstream_certificate", "chain": "upstream_certificate",
			"timeout": "upstream_timeout", "refused": "upstream_refused",
		}[trouble(err)], bare(err))
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden:
		x.fault("upstream", subject, "upstream_key", a.text())
	case a.status/100 == 5:
		x.fault("upstream", subject, "upstream_failing", a.text())
	default:
		x.ok("upstream", subject, u.Type+" answers")
	}
}

// spool sends one event for each project all the way: door, disk, upstreams.
func (x *exam) spool(ctx context.Context) {
	if x.canary == "" {
		x.skip("spool", "the gateway does not run")
		return
	}
	all := true
	for i, p := range x.o.Config.Projects[:min(len(x.o.Config.Projects), maxAsked)] {
		if len(p.Keys) > 0 {
			all = x.roundTrip(ctx, p, i) && all
		}
	}
	x.passed["errors"] = all && x.report.Faults == 0
}

func (x *exam) roundTrip(ctx context.Context, p config.Project, i int) bool {
	id := ingest.CanaryEventID(x.canary, i)
	body := canaryEvent(id, "", x.o.Now())
	if x.o.Quiet {
		body = canaryReport(id, x.o.Now())
	}
	local := "http://" + loopback(x.o.Config.Server.Listen)
	if x.o.Config.Server.TLS.Enabled() {
		local = "https" + strings.TrimPrefix(local, "http")
	}
	u := fmt.Sprintf("%s/api/%d/envelope/?sentry_key=%s&%s=%s%s", local, p.ID, p.Keys[0].Public, ingest.CanaryParam, x.canary, ingest.CanaryKeep)
	c := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{TLSClientConfig: publicTLS()}}
	start := time.Now()
	a, err := call(ctx, c, http.MethodPost, u, http.Header{"User-Agent": {"breakwater-doctor"}}, body)
	switch {
	case err != nil:
		x.fault("spool", p.Name, "public_unreachable", bare(err))
		return false
	case a.status == http.StatusTooManyRequests:
		x.fault("spool", p.Name, "request_limited", a.text())
		return false
	case a.status == http.StatusServiceUnavailable && !x.onDisk():
		x.fault("spool", p.Name, "stream_quorum", a.text())
		return false
	case a.status == http.StatusServiceUnavailable:
		x.fault("spool", p.Name, "disk_full", a.text())
		return false
	case a.status != http.StatusOK:
		x.fault("spool", p.Name, "request_refused", a.text())
		return false
	}
	where := "on disk after "
	if !x.onDisk() {
		where = "on the disks of the stream after "
	}
	x.ok("spool", p.Name, where+round(time.Since(start)).String())
	good := true
	for _, up := range p.Upstreams {
		if !up.Held() && !up.TakesSpans() { // a canary is an error
			good = x.delivered(ctx, p.Name+"/"+up.Name, id, start) && good
		}
	}
	return good
}

// delivered waits for an event at one destination.
func (x *exam) delivered(ctx context.Context, dst, id string, start time.Time) bool {
	last := ""
	err := x.until(ctx, min(x.o.Patience, 15*time.Second), func() (bool, error) {
		for _, at := range x.seen(ctx).Attempts {
			if at.Destination == dst && at.EventID == id {
				last = at.Result
			}
		}
		return last == "delivered", nil
	})
	switch {
	case err == nil:
		x.ok("delivery", dst, "after "+round(time.Since(start)).String())
	case last == "" && x.gone(ctx, dst, id):
		x.ok("delivery", dst, "another gateway has delivered it")
		return true
	case last == "":
		x.fault("delivery", dst, "spool_stuck", "no attempt within "+min(x.o.Patience, 15*time.Second).String())
	default:
		x.fault("delivery", dst, "delivery_failed", "last attempt: "+last)
	}
	return err == nil
}

// gone tells whether an event is neither waiting nor dead. In a spool that
// several gateways share another one may have delivered it, and this one does
// not see how.
func (x *exam) gone(ctx context.Context, dst, id string) bool {
	if x.onDisk() {
		return false
	}
	project, name, _ := strings.Cut(dst, "/")
	for _, dead := range []string{"false", "true"} {
		var page struct {
			Records []struct{} `json:"records"`
		}
		q := url.Values{"project": {project}, "destination": {name}, "event_id": {id}, "dead": {dead}}
		if err := getJSON(ctx, x.client, x.o.Private+"/api/v1/spool/records?"+q.Encode(), x.bearer(), &page); err != nil || len(page.Records) > 0 {
			return false
		}
	}
	return true
}
