package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"breakwater/cmd/breakwater/config"
	"breakwater/ingest"
)

// maxAsked bounds how many projects, keys and origins are walked through.
const maxAsked = 20

// visit is one project, key and origin at the public address.
type visit struct {
	project config.Project
	key     string
	origin  string
	subject string
}

// door sends what browsers and apps send, and compares with what arrived.
func (x *exam) door(ctx context.Context) (reached bool) {
	client := &http.Client{
		Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{TLSClientConfig: publicTLS(), DisableCompression: true},
	}
	before := time.Now()
	a, err := call(ctx, client, http.MethodGet, x.o.Public+"/api/0/relays/live/", nil, nil)
	if err != nil {
		x.fault("door", x.o.Public, "public_unreachable", bare(err))
		return false
	}
	if a.status/100 == 3 {
		x.fault("door", x.o.Public, "proxy_redirects", "to "+a.header.Get("Location"))
		return false
	}
	if at, err := http.ParseTime(a.header.Get("Date")); err == nil {
		x.clock(x.o.Public, at, before, time.Now())
	}
	visits := x.visits()
	for i, v := range visits {
		d := doorway{x, client, v}
		good := d.preflight(ctx)
		good = d.post(ctx) && good
		if good && i == 0 { // what a proxy does, it does to every project
			d.headerAuth(ctx)
			d.gzip(ctx)
			d.binary(ctx)
			d.large(ctx)
		}
		d.tunnel(ctx)
		if good && i == 0 {
			x.proxies(ctx)
		}
	}
	return true
}

// visits are the project, key and origin to ask for: every key once, and every
// origin of a project with its first key.
func (x *exam) visits() (list []visit) {
	for _, p := range x.o.Config.Projects[:min(len(x.o.Config.Projects), maxAsked)] {
		origins := x.o.Origins
		if len(origins) == 0 {
			origins = originsOf(p)
		}
		for i, k := range p.Keys[:min(len(p.Keys), maxAsked)] {
			for _, o := range origins[:min(len(origins), maxAsked)] {
				name := p.Name + "/" + k.Name
				if k.Name == "" {
					name = p.Name + "/" + k.Public[:6] + "…"
				}
				list = append(list, visit{p, k.Public, o, name + " from " + o})
				if i > 0 {
					break
				}
			}
		}
	}
	return list
}

// originsOf are pages that the configuration allows, wildcards made concrete.
func originsOf(p config.Project) (list []string) {
	for _, o := range p.AllowedOrigins {
		if o == "*" {
			o = "example.com"
		}
		o = strings.Replace(o, "*.", "www.", 1)
		if !strings.Contains(o, "://") {
			o = "https://" + o
		}
		if u, err := url.Parse(o); err == nil && u.Host != "" && !strings.Contains(o, "*") {
			list = append(list, o)
		}
	}
	if len(list) == 0 {
		list = []string{"https://example.com"}
	}
	return list
}

type doorway struct {
	*exam
	client *http.Client
	visit
}

// path is the endpoint with the canary's name, and the key unless it goes elsewhere.
func (d *doorway) url(endpoint, mode string, withKey bool) string {
	q := url.Values{ingest.CanaryParam: {d.canary + mode}, "sentry_version": {"7"}}
	if withKey {
		q.Set("sentry_key", d.key)
	}
	return d.o.Public + "/api/" + strconv.FormatUint(d.project.ID, 10) + "/" + endpoint + "/?" + q.Encode()
}

func (d *doorway) headers(pairs ...string) http.Header {
	h := http.Header{"Origin": {d.origin}, "User-Agent": {"breakwater-doctor"}, "Content-Type": {"text/plain;charset=UTF-8"}}
	for i := 0; i+1 < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// arrived is the last sighting at or after the n-th, nil when none is there.
func (d *doorway) arrived(ctx context.Context, since int) *ingest.Sighting {
	s := d.seen(ctx).Sightings
	if len(s) <= since {
		return nil
	}
	return &s[len(s)-1]
}

func (d *doorway) count(ctx context.Context) int { return len(d.seen(ctx).Sightings) }

// preflight is what a browser asks before a request with a header of its own.
func (d *doorway) preflight(ctx context.Context) bool {
	since := d.count(ctx)
	h := http.Header{"Origin": {d.origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"content-type,x-sentry-auth"}}
	a, err := call(ctx, d.client, http.MethodOptions, d.url("envelope", "", true), h, nil)
	if err != nil {
		d.fault("preflight", d.subject, "public_unreachable", bare(err))
		return false
	}
	allowed := strings.ToLower(a.header.Get("Access-Control-Allow-Headers"))
	good := a.status/100 == 2 && origin(a.header, d.origin) && (allowed == "*" || strings.Contains(allowed, "x-sentry-auth") && strings.Contains(allowed, "content-type"))
	switch {
	case good:
		d.ok("preflight", d.subject, "")
		return true
	case d.arrived(ctx, since) == nil:
		d.fault("preflight", d.subject, "proxy_preflight", a.text())
	default:
		d.fault("preflight", d.subject, "proxy_cors", a.text())
	}
	return false
}

func origin(h http.Header, want string) bool {
	got := h.Get("Access-Control-Allow-Origin")
	return got == "*" || got == want
}

// envelope is one with a client report that reports nothing: it costs no quota
// anywhere.
func (d *doorway) envelope(dsn string) []byte {
	head := "{}"
	if dsn != "" {
		head = fmt.Sprintf(`{"dsn":%q}`, dsn)
	}
	return []byte(head + "\n" + `{"type":"client_report"}` + "\n" + `{"timestamp":` + strconv.FormatInt(d.o.Now().Unix(), 10) + `,"discarded_events":[]}`)
}

// post is an envelope by the DSN, as a browser sends it.
func (d *doorway) post(ctx context.Context) bool {
	since := d.count(ctx)
	a, err := call(ctx, d.client, http.MethodPost, d.url("envelope", "", true), d.headers(), d.envelope(""))
	if err != nil {
		d.fault("envelope", d.subject, "public_unreachable", bare(err))
		return false
	}
	at := d.arrived(ctx, since)
	if !d.taken("envelope", a, at, len(d.envelope(""))) {
		return false
	}
	exposed := strings.ToLower(a.header.Get("Access-Control-Expose-Headers"))
	switch {
	case !origin(a.header, d.origin), exposed != "*" && !(strings.Contains(exposed, "x-sentry-rate-limits") && strings.Contains(exposed, "retry-after")):
		d.fault("envelope", d.subject, "proxy_cors", "Access-Control-Allow-Origin: "+a.header.Get("Access-Control-Allow-Origin")+"; Access-Control-Expose-Headers: "+exposed)
		return false
	case a.header.Get("X-Sentry-Rate-Limits") == "" || a.header.Get("Retry-After") == "":
		d.fault("envelope", d.subject, "proxy_limit_headers", "")
		return false
	}
	d.ok("envelope", d.subject, "taken; limits can be read")
	return true
}

// taken judges an answer that should be a 200 of the gateway's.
func (d *doorway) taken(check string, a *answer, at *ingest.Sighting, sent int) bool {
	switch {
	case a.status/100 == 2 && at != nil:
		return true
	case at == nil && a.status/100 == 3:
		d.fault(check, d.subject, "proxy_redirects", "to "+a.header.Get("Location"))
	case at == nil && a.status == http.StatusRequestEntityTooLarge:
		d.fault(check, d.subject, "proxy_body_limit", a.text())
	case at == nil:
		d.fault(check, d.subject, "proxy_route", a.text())
	case at.Bytes != int64(sent) && at.Status != http.StatusUnauthorized && at.Reason != "cors":
		d.fault(check, d.subject, "proxy_body_changed", fmt.Sprintf("%d bytes were sent, %d arrived; %s", sent, at.Bytes, a.text()))
	case at.Reason == "cors":
		d.fault(check, d.subject, "origin_refused", a.text())
	case a.status == http.StatusTooManyRequests:
		d.fault(check, d.subject, "request_limited", a.text())
	default:
		d.fault(check, d.subject, "request_refused", a.text())
	}
	return false
}

// proxies compares whom the gateway takes for the client with who is.
func (x *exam) proxies(ctx context.Context) {
	s := x.seen(ctx).Sightings
	if len(s) == 0 {
		return
	}
	at := s[len(s)-1]
	peer, err := netip.ParseAddr(at.Peer)
	if err != nil {
		return
	}
	through := "direct"
	if !x.direct() {
		through = "through a proxy at " + at.Peer
	}
	detail := fmt.Sprintf("%s; the gateway takes the client for %s", through, at.ClientIP)
	if len(at.Forwarded) > 0 {
		detail += "; X-Forwarded-For: " + strings.Join(at.Forwarded, ", ")
	}
	switch {
	case len(at.Forwarded) > 0 && !trusts(x.o.Config, peer):
		x.add(Result{
			Check: "proxies", Subject: at.Peer, Status: Fault, Name: "proxy_untrusted", Detail: detail,
			Cause: known("proxy_untrusted").Cause, Fix: fmt.Sprintf("server.trusted_proxies: [%s]", netip.PrefixFrom(peer, peer.BitLen())),
		})
	case len(at.Forwarded) == 0 && !x.direct():
		x.fault("proxies", at.Peer, "proxy_no_address", detail)
	default:
		x.ok("proxies", at.Peer, detail)
	}
}

// direct tells whether the public address is the listener's own.
func (x *exam) direct() bool {
	u, err := url.Parse(x.o.Public)
	return err == nil && u.Host == loopback(x.o.Config.Server.Listen)
}

func trusts(c *config.Config, peer netip.Addr) bool {
	return slices.ContainsFunc(c.Server.TrustedProxies, func(s string) bool {
		p, err := netip.ParsePrefix(s)
		return err == nil && p.Contains(peer)
	})
}

// canaryEvent is an event as an SDK makes it, marked as nobody's.
func canaryEvent(id, dsn string, now time.Time) []byte {
	head := fmt.Sprintf(`{"event_id":%q,"sent_at":%q}`, id, now.UTC().Format(time.RFC3339Nano))
	if dsn != "" {
		head = fmt.Sprintf(`{"event_id":%q,"sent_at":%q,"dsn":%q}`, id, now.UTC().Format(time.RFC3339Nano), dsn)
	}
	payload := fmt.Appendf(nil, `{"event_id":%q,"timestamp":%d,"platform":"other","level":"debug","environment":"breakwater-canary","release":"breakwater-canary@1.0.0","logger":"breakwater.doctor","message":{"formatted":"Breakwater canary: the path works"},"fingerprint":["breakwater-canary"],"tags":{"breakwater.canary":"true"}}`,
		id, now.Unix())
	return append(fmt.Appendf(nil, "%s\n"+`{"type":"event","length":%d}`+"\n", head, len(payload)), payload...)
}

// canaryReport is a client report that reports nothing, in an envelope with an
// id, so that its delivery is known.
func canaryReport(id string, now time.Time) []byte {
	payload := fmt.Appendf(nil, `{"timestamp":%d,"discarded_events":[]}`, now.Unix())
	return append(fmt.Appendf(nil, `{"event_id":%q,"sent_at":%q}`+"\n"+`{"type":"client_report","length":%d}`+"\n", id, now.UTC().Format(time.RFC3339Nano), len(payload)), payload...)
}
