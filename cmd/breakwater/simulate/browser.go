package simulate

import (
	"fmt"
	"strconv"
	"time"

	"breakwater/schemas"
)

const (
	textPlain  = "text/plain;charset=UTF-8" // what the browser SDK and sendBeacon say
	webClient  = "sentry.javascript.react"
	webVersion = "11.12.0"
)

func millis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// seconds is a timestamp as the SDKs write them: Unix time with milliseconds.
func seconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

func (g *generator) webEnvelope(p person, body []byte, items tally, events int) request {
	return request{
		path:        "envelope/?sentry_version=7&sentry_key=" + g.key + "&sentry_client=" + webClient + "%2F" + webVersion,
		contentType: textPlain, userAgent: p.browser.userAgent, address: p.address, body: body, items: items, events: events,
	}
}

// traceHeader is the trace object of an envelope's header.
func (g *generator) traceHeader(p person) string {
	return fmt.Sprintf(`"trace":{"environment":"production","release":%q,"public_key":%q,"trace_id":%q,"sampled":"true","sample_rand":"0.42302","sample_rate":"1"}`, p.release, g.key, p.trace)
}

func webSDK() string { return `"sdk":{"name":"` + webClient + `","version":"` + webVersion + `"}` }

// browserEvent is an error of @sentry/react, captured or uncaught.
func (g *generator) browserEvent(p person, b bug) request {
	id, now := g.hex(16), g.now()
	mechanism := `{"type":"generic","handled":true}`
	if !b.handled {
		mechanism = `{"type":"auto.browser.global_handlers.onerror","handled":false}`
	}
	body := fmt.Appendf(nil, `{"event_id":%q,"sent_at":%q,%s,%s}`+"\n"+`{"type":"event"}`+"\n", id, millis(now), webSDK(), g.traceHeader(p))
	body = fmt.Appendf(body, `{"exception":{"values":[{"type":%q,"value":%q,"stacktrace":{"frames":[`, b.kind, b.value)
	body = b.frames(body, "checkout")
	body = fmt.Appendf(body, `]},"mechanism":%s}]},"level":"error","event_id":%q,"platform":"javascript","request":{"url":"https://shop.example%s","headers":{"Referer":"https://shop.example/","User-Agent":%q}},`,
		mechanism, id, p.path, p.browser.userAgent)
	body = fmt.Appendf(body, `"contexts":{"trace":{"trace_id":%q,"span_id":%q},"react":{"version":"19.3.1"},"culture":{"locale":"en-GB","timezone":"Europe/London","calendar":"gregory"}},`, p.trace, g.hex(8))
	body = fmt.Appendf(body, `"breadcrumbs":[{"timestamp":%s,"category":"navigation","data":{"from":"/","to":%q}},{"timestamp":%s,"category":"ui.click","message":"main > button.primary"},{"timestamp":%s,"category":"fetch","type":"http","data":{"method":"GET","url":"https://shop.example/api/offers","status_code":200}}],`,
		seconds(now.Add(-9*time.Second)), p.path, seconds(now.Add(-2*time.Second)), seconds(now.Add(-time.Second)))
	body = fmt.Appendf(body, `"transaction":%q,"user":{"id":%q},"timestamp":%s,"environment":"production","release":%q,"sdk":{"integrations":["EventFilters","FunctionToString","BrowserApiErrors","Breadcrumbs","GlobalHandlers","LinkedErrors","Dedupe","HttpContext","CultureContext","BrowserSession"],"name":"%s","version":"%s","packages":[{"name":"npm:@sentry/react","version":"%s"}],"settings":{"infer_ip":"auto"}},"tags":{"simulated":"true"}}`,
		p.route, p.id, seconds(now), p.release, webClient, webVersion, webVersion)
	return g.webEnvelope(p, body, tally{schemas.CategoryError: 1}, 1)
}

// sessionState is a session between its updates.
type sessionState struct {
	id      string
	started time.Time
	errors  int
}

func (g *generator) newSession(p person) sessionState {
	return sessionState{id: g.hex(16), started: g.now()}
}

// session is one update, an envelope of its own as browsers send it.
func (g *generator) session(p person, s *sessionState, init bool, status string) request {
	now := g.now()
	body := fmt.Appendf(nil, `{"sent_at":%q,%s}`+"\n"+`{"type":"session"}`+"\n", millis(now), webSDK())
	body = append(body, g.sessionPayload(p, s, init, status, now)...)
	return g.webEnvelope(p, body, tally{schemas.CategorySession: 1}, 0)
}

func (g *generator) sessionPayload(p person, s *sessionState, init bool, status string, now time.Time) []byte {
	id := s.id[:8] + "-" + s.id[8:12] + "-4" + s.id[13:16] + "-8" + s.id[17:20] + "-" + s.id[20:]
	return fmt.Appendf(nil, `{"sid":%q,"init":%t,"started":%q,"timestamp":%q,"status":%q,"errors":%d,"did":%q,"attrs":{"release":%q,"environment":"production","ip_address":"{{auto}}","user_agent":%q}}`,
		id, init, millis(s.started), millis(now), status, s.errors, p.id, p.release, p.browser.userAgent)
}

// clientReport says what the SDK dropped by itself.
func (g *generator) clientReport(p person) request {
	body := fmt.Appendf(nil, "{}\n{\"type\":\"client_report\"}\n"+`{"timestamp":%s,"discarded_events":[{"reason":"before_send","category":"error","quantity":%d}]}`, seconds(g.now()), 1+g.rnd.IntN(3))
	return g.webEnvelope(p, body, tally{schemas.CategoryInternal: 1}, 0)
}

// transaction is a page load by the static trace lifecycle, without vitals: the
// visit's beacon brings them.
func (g *generator) transaction(p person) request {
	id, now, span := g.hex(16), g.now(), g.hex(8)
	start := now.Add(-time.Duration(g.lognormal(900, 0.4)) * time.Millisecond)
	body := fmt.Appendf(nil, `{"event_id":%q,"sent_at":%q,%s,%s}`+"\n"+`{"type":"transaction"}`+"\n", id, millis(now), webSDK(), g.traceHeader(p))
	body = fmt.Appendf(body, `{"contexts":{"trace":{"span_id":%q,"trace_id":%q,"data":{"sentry.origin":"auto.pageload.browser","sentry.op":"pageload","sentry.sample_rate":1},"op":"pageload","status":"ok","origin":"auto.pageload.browser"}},"spans":[`, span, p.trace)
	for i, op := range []string{"browser.dns", "browser.request", "browser.response", "resource.script", "resource.css"} {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"description":"https://shop.example%s","op":%q,"parent_span_id":%q,"span_id":%q,"start_timestamp":%s,"timestamp":%s,"status":"ok","trace_id":%q,"origin":"auto.ui.browser.metrics"}`,
			p.path, op, span, g.hex(8), seconds(start.Add(time.Duration(i*40)*time.Millisecond)), seconds(start.Add(time.Duration(i*40+35)*time.Millisecond)), p.trace)
	}
	body = fmt.Appendf(body, `],"start_timestamp":%s,"timestamp":%s,"transaction":%q,"type":"transaction","transaction_info":{"source":"route"},"event_id":%q,"platform":"javascript","environment":"production","release":%q,"sdk":{"name":"%s","version":"%s"}}`,
		seconds(start), seconds(now), p.route, id, p.release, webClient, webVersion)
	return g.webEnvelope(p, body, tally{schemas.CategoryTransaction: 1}, 1)
}

// spans is a container of the streaming trace lifecycle.
func (g *generator) spans(p person) request {
	n, now, segment := 4+g.rnd.IntN(8), g.now(), g.hex(8)
	body := fmt.Appendf(nil, `{"sent_at":%q,%s,%s}`+"\n"+`{"type":"span","item_count":%d,"content_type":"application/vnd.sentry.items.span.v2+json"}`+"\n"+`{"version":2,"ingest_settings":{"infer_ip":"auto","infer_user_agent":"auto"},"items":[`,
		millis(now), g.traceHeader(p), webSDK(), n)
	for i := range n {
		if i > 0 {
			body = append(body, ',')
		}
		start := now.Add(-time.Duration(500-20*i) * time.Millisecond)
		body = fmt.Appendf(body, `{"name":"GET /api/offers","span_id":%q,"trace_id":%q,"parent_span_id":%q,"start_timestamp":%s,"end_timestamp":%s,"is_segment":false,"status":"ok","attributes":{"sentry.op":{"value":"http.client","type":"string"},"sentry.origin":{"value":"auto.http.browser","type":"string"},"sentry.release":{"value":%q,"type":"string"},"sentry.environment":{"value":"production","type":"string"},"http.response.status_code":{"value":200,"type":"integer"}}}`,
			g.hex(8), p.trace, segment, seconds(start), seconds(start.Add(18*time.Millisecond)), p.release)
	}
	body = append(body, "]}"...)
	return g.webEnvelope(p, body, tally{schemas.CategorySpan: n}, 0)
}

// logs is a container of log lines.
func (g *generator) logs(p person) request {
	n, now := 2+g.rnd.IntN(6), g.now()
	body := fmt.Appendf(nil, `{%s}`+"\n"+`{"type":"log","item_count":%d,"content_type":"application/vnd.sentry.items.log+json"}`+"\n"+`{"version":2,"ingest_settings":{"infer_ip":"auto","infer_user_agent":"auto"},"items":[`, webSDK(), n)
	for i := range n {
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"timestamp":%s,"level":"info","body":"cart saved","trace_id":%q,"severity_number":9,"attributes":{"entries":{"value":%d,"type":"integer"},"sentry.release":{"value":%q,"type":"string"},"sentry.environment":{"value":"production","type":"string"},"sentry.timestamp.sequence":{"value":%d,"type":"integer"}}}`,
			seconds(now), p.trace, g.rnd.IntN(40), p.release, i)
	}
	body = append(body, "]}"...)
	return g.webEnvelope(p, body, tally{schemas.CategoryLog: n}, 0)
}
