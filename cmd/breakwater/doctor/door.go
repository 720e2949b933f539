package doctor

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
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

// headerAuth sends the key in X-Sentry-Auth, as React Native's SDK does.
func (d *doorway) headerAuth(ctx context.Context) {
	since := d.count(ctx)
	a, err := call(ctx, d.client, http.MethodPost, d.url("envelope", "", false),
		d.headers("X-Sentry-Auth", "Sentry sentry_version=7, sentry_client=breakwater-doctor/1, sentry_key="+d.key), d.envelope(""))
	if err != nil {
		d.fault("key in a header", d.subject, "public_unreachable", bare(err))
		return
	}
	if at := d.arrived(ctx, since); at != nil && a.status == http.StatusUnauthorized && !slices.Contains(at.Headers, "x-sentry-auth") {
		d.fault("key in a header", d.subject, "proxy_auth_header", a.text())
	} else if d.taken("key in a header", a, at, len(d.envelope(""))) {
		d.ok("key in a header", d.subject, "X-Sentry-Auth arrives")
	}
}

// gzip sends a compressed envelope, as apps do.
func (d *doorway) gzip(ctx context.Context) {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	_, _ = zw.Write(d.envelope(""))
	_ = zw.Close()
	since := d.count(ctx)
	a, err := call(ctx, d.client, http.MethodPost, d.url("envelope", "", true), d.headers("Content-Encoding", "gzip"), buf.Bytes())
	if err != nil {
		d.fault("gzip", d.subject, "public_unreachable", bare(err))
		return
	}
	at := d.arrived(ctx, since)
	if at != nil && (a.status == http.StatusBadRequest || at.ContentEncoding != "gzip") {
		d.fault("gzip", d.subject, "proxy_encoding", fmt.Sprintf("arrived with Content-Encoding %q, %d of %d bytes; %s", at.ContentEncoding, at.Bytes, buf.Len(), a.text()))
	} else if d.taken("gzip", a, at, buf.Len()) {
		d.ok("gzip", d.subject, "")
	}
}

// binary sends a replay recording: compressed bytes with line feeds and zeros
// between, which whatever takes a body for text destroys.
func (d *doorway) binary(ctx context.Context) {
	var z bytes.Buffer
	zw := zlib.NewWriter(&z)
	_, _ = zw.Write(bytes.Repeat([]byte(`[{"type":5,"data":{"tag":"canary"}}]`), 20))
	_ = zw.Close()
	recording := append([]byte(`{"segment_id":0}`+"\n"), z.Bytes()...)
	recording = append(recording, 0, '\n', 0xff, 0xfe, '\r', '\n', 0x80)
	id := ingest.CanaryEventID(d.canary, 900)
	body := fmt.Appendf(nil, `{"event_id":%q}`+"\n"+`{"type":"replay_event"}`+"\n"+`{"type":"replay_event","replay_id":%q,"event_id":%q,"segment_id":0,"timestamp":%d,"replay_start_timestamp":%d,"urls":[],"error_ids":[],"trace_ids":[],"platform":"javascript"}`+"\n"+`{"type":"replay_recording","length":%d}`+"\n",
		id, id, id, d.o.Now().Unix(), d.o.Now().Unix(), len(recording))
	body = append(body, recording...)
	since := d.count(ctx)
	h := d.headers()
	h.Del("Content-Type") // as the browser SDK does with binary items
	a, err := call(ctx, d.client, http.MethodPost, d.url("envelope", "", true), h, body)
	if err != nil {
		d.fault("binary replay", d.subject, "public_unreachable", bare(err))
		return
	}
	at := d.arrived(ctx, since)
	if at == nil {
		d.taken("binary replay", a, at, len(body))
		return
	}
	sum := sha256.Sum256(recording)
	for _, it := range at.Items {
		if it.Type == "replay_recording" && it.SHA256 == hex.EncodeToString(sum[:]) {
			d.ok("binary replay", d.subject, "arrives byte for byte")
			return
		}
	}
	d.fault("binary replay", d.subject, "proxy_body_changed", fmt.Sprintf("%d bytes were sent, %d arrived; %s", len(body), at.Bytes, a.text()))
}

// large sends 2 MiB that cannot be compressed: an attachment.
func (d *doorway) large(ctx context.Context) {
	size := min(2<<20, int(d.o.Config.Limits.AttachmentSize), int(d.o.Config.Limits.RequestSize)*9/10)
	data := make([]byte, size)
	_, _ = rand.Read(data)
	body := fmt.Appendf(nil, `{"event_id":%q}`+"\n"+`{"type":"attachment","length":%d,"filename":"canary.bin"}`+"\n", ingest.CanaryEventID(d.canary, 901), size)
	since := d.count(ctx)
	body = append(body, data...)
	a, err := call(ctx, d.client, http.MethodPost, d.url("envelope", "", true), d.headers(), body)
	if err != nil { // a proxy that cuts the connection while the body is on its way
		if d.arrived(ctx, since) == nil {
			d.fault("large body", d.subject, "proxy_body_limit", bare(err))
		} else {
			d.fault("large body", d.subject, "public_unreachable", bare(err))
		}
		return
	}
	if d.taken("large body", a, d.arrived(ctx, since), len(body)) {
		d.ok("large body", d.subject, bytesText(int64(size)))
	}
}

// tunnel posts to the tunnel's path, with the project in the envelope only.
func (d *doorway) tunnel(ctx context.Context) {
	path := d.o.Config.Server.TunnelPath
	if path == "" {
		return
	}
	since := d.count(ctx)
	u, err := url.Parse(d.o.Public)
	if err != nil {
		return
	}
	dsn := fmt.Sprintf("%s://%s@%s/%d", u.Scheme, d.key, u.Host, d.project.ID)
	a, err := call(ctx, d.client, http.MethodPost, d.o.Public+path+"?"+ingest.CanaryParam+"="+d.canary, d.headers(), d.envelope(dsn))
	if err != nil {
		d.fault("tunnel", d.subject, "public_unreachable", bare(err))
		return
	}
	at := d.arrived(ctx, since)
	if at != nil && strings.TrimSuffix(at.Path, "/") != strings.TrimSuffix(path, "/") {
		d.fault("tunnel", d.subject, "tunnel_rewritten", fmt.Sprintf("%s arrives as %s", path, at.Path))
	} else if d.taken("tunnel", a, at, len(d.envelope(dsn))) {
		d.ok("tunnel", d.subject, path)
	}
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
