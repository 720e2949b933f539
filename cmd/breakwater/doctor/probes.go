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
	"net/url"
	"slices"
	"strings"

	"breakwater/ingest"
)

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
