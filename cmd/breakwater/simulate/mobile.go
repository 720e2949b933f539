package simulate

import (
	"fmt"
	"time"

	"breakwater/schemas"
)

const (
	appClient  = "sentry.javascript.react-native"
	appVersion = "8.28.0"
)

func appSDK() string { return `"sdk":{"name":"` + appClient + `","version":"` + appVersion + `"}` }

func (g *generator) appEnvelope(p person, body []byte, items tally, events int) request {
	r := g.webEnvelope(p, body, items, events)
	r.contentType = "application/x-sentry-envelope"
	r.path = "envelope/?sentry_version=7&sentry_key=" + g.key + "&sentry_client=" + appClient + "%2F" + appVersion
	return r
}

const device = `"device":{"model":"Pixel 8","family":"Pixel","arch":"arm64-v8a","battery_level":71,"orientation":"portrait","manufacturer":"Google","brand":"google","memory_size":7908401152,"simulator":false},"os":{"name":"Android","version":"14","rooted":false},"app":{"app_identifier":"com.example.shop","app_version":"1.4.2","app_build":"142","in_foreground":true},"react_native_context":{"turbo_module":false,"fabric":true,"react_native_version":"0.88.1","expo":false,"js_engine":"hermes","hermes_version":"0.12.0","hermes_debug_info":true}`

// item appends an item whose header says its length, as the native bridges do.
func item(body []byte, kind string, payload []byte) []byte {
	body = fmt.Appendf(body, "\n"+`{"type":%q,"content_type":"application/json","length":%d}`+"\n", kind, len(payload))
	return append(body, payload...)
}

// nativeCrash is a fatal error of @sentry/react-native with the session it ended.
func (g *generator) nativeCrash(p person, s *sessionState) request {
	id, now := g.hex(16), g.now()
	event := fmt.Appendf(nil, `{"exception":{"values":[{"type":"TypeError","value":"Cannot read property 'name' of null","stacktrace":{"frames":[{"filename":"app:///index.android.bundle","function":"u","in_app":true,"lineno":1,"colno":25761},{"filename":"native","function":"apply","in_app":true},{"filename":"app:///index.android.bundle","function":"OrderScreen","in_app":true,"lineno":1,"colno":%d}]},"mechanism":{"type":"onerror","handled":false}}]},"level":"fatal","event_id":%q,"platform":"javascript","timestamp":%s,"environment":"production","release":%q,%s,"tags":{"hermes":"True","event.origin":"javascript","simulated":"true"},"user":{"id":%q},"contexts":{"trace":{"trace_id":%q,"span_id":%q},%s}}`,
		1488864+g.zipf(5), id, seconds(now), p.release, appSDK(), p.id, p.trace, g.hex(8), device)
	body := fmt.Appendf(nil, `{"event_id":%q,"sent_at":%q,%s}`, id, millis(now), appSDK())
	body = item(body, "event", event)
	body = item(body, "session", g.sessionPayload(p, s, false, "crashed", now))
	return g.appEnvelope(p, body, tally{schemas.CategoryError: 1, schemas.CategorySession: 1}, 1)
}

// appStart is the first screen's transaction with its measurements.
func (g *generator) appStart(p person) request {
	id, now := g.hex(16), g.now()
	cold := g.lognormal(1100, 0.45)
	start := now.Add(-time.Duration(cold) * time.Millisecond)
	payload := fmt.Appendf(nil, `{"contexts":{"trace":{"span_id":%q,"trace_id":%q,"op":"ui.load","status":"ok","origin":"auto.app.start"},%s},"spans":[],"start_timestamp":%s,"timestamp":%s,"transaction":%q,"type":"transaction","event_id":%q,"platform":"javascript","environment":"production","release":%q,%s,"measurements":{"app_start_cold":{"value":%.1f,"unit":"millisecond"},"time_to_initial_display":{"value":%.1f,"unit":"millisecond"},"frames_total":{"value":%d,"unit":"none"},"frames_slow":{"value":%d,"unit":"none"},"frames_frozen":{"value":0,"unit":"none"}}}`,
		g.hex(8), p.trace, device, seconds(start), seconds(now), p.route, id, p.release, appSDK(), cold, cold+120, 60+g.rnd.IntN(200), g.rnd.IntN(9))
	body := fmt.Appendf(nil, `{"event_id":%q,"sent_at":%q,%s}`, id, millis(now), appSDK())
	return g.appEnvelope(p, item(body, "transaction", payload), tally{schemas.CategoryTransaction: 1}, 1)
}

// crashReport is a plain JSON report, from an app without an SDK.
func (g *generator) crashReport(p person) request {
	b := g.bug()
	body := fmt.Appendf(nil, `{"platform":"react-native","release":%q,"environment":"production","level":"fatal","timestamp":%q,"exceptions":[{"type":%q,"value":%q,"handled":false,"stack":%q}],"user":{"id":%q},"tags":{"simulated":"true"}}`,
		p.release, millis(g.now()), b.kind, b.value, fmt.Sprintf("%s: %s\n    at %s (address at index.android.bundle:1:%d)\n    at apply (native)", b.kind, b.value, b.function, b.column), p.id)
	return request{
		path: "crash/?key=" + g.key, contentType: "application/json", userAgent: phoneAgent, address: p.address,
		body: body, items: tally{schemas.CategoryError: 1}, events: 1,
	}
}
