package filter

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"breakwater/ingest"
	"breakwater/schemas"
)

const chrome = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"

func filters(t testing.TB, c Config) *Filter {
	t.Helper()
	f := New()
	if err := f.Configure(map[string]Config{"shop": c}); err != nil {
		t.Fatal(err)
	}
	return f
}

func request() *ingest.Request {
	return &ingest.Request{
		Project: &ingest.Project{Name: "shop"}, UserAgent: chrome,
		ClientIP: netip.MustParseAddr("203.0.113.7"), Header: http.Header{},
	}
}

// run sends one item through and says how it ended: "" for kept.
func run(t testing.TB, c Config, req *ingest.Request, typ, payload string, attrs ...string) string {
	t.Helper()
	b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader()}
	b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(typ, attrs...), Payload: schemas.Bytes(payload)}))
	if err := filters(t, c).Apply(b); err != nil {
		t.Fatal(err)
	}
	it := b.Items[0]
	if !it.Alive() && it.Outcome != schemas.Filtered {
		t.Errorf("outcome %s", it.Outcome)
	}
	return it.Reason
}

func exception(typ, value string) string {
	return fmt.Sprintf(`{"exception":{"values":[{"type":%q,"value":%q}]}}`, typ, value)
}

func thrownIn(paths ...string) string {
	var frames []string
	for _, p := range paths {
		frames = append(frames, fmt.Sprintf(`{"filename":%q}`, p))
	}
	return `{"exception":{"values":[{"type":"Error","value":"x","stacktrace":{"frames":[` + strings.Join(frames, ",") + `]}}]}}`
}

// everything has all filters on, with lists that match only what they name.
var everything = Config{
	BrowserExtensions: true, WebCrawlers: true, Localhost: true,
	LegacyBrowsers: []string{"ie", "edge", "safari", "firefox", "chrome", "opera", "android", "opera_mini", "default"},
	ErrorMessages:  []string{"*ResizeObserver loop*"}, Releases: []string{"shop@0.*"}, ClientIPs: []string{"192.0.2.0/24"},
	Transactions: HealthChecks, CSPDisallowed: DisallowedSources, ReactHydrationErrors: true, ChunkLoadErrors: true,
}

func TestOrdinaryTrafficPasses(t *testing.T) {
	for name, payload := range map[string]string{
		"a usual error":             `{"release":"shop@1.0","request":{"url":"https://shop.example/cart","headers":{"User-Agent":"` + chrome + `"}},"user":{"ip_address":"{{auto}}"},"exception":{"values":[{"type":"TypeError","value":"x is undefined","stacktrace":{"frames":[{"filename":"https://shop.example/a.js"}]}}]}}`,
		"an empty event":            `{}`,
		"odd kinds":                 `{"exception":7,"request":[],"user":"x","release":{},"message":[]}`,
		"not JSON":                  `{"exception`,
		"a local client IP is fine": `{"user":{"ip_address":"10.0.0.1"}}`,
	} {
		for _, typ := range []string{"event", "transaction", "feedback", "security"} {
			if got := run(t, everything, request(), typ, payload); got != "" {
				t.Errorf("%s as %s: %s", name, typ, got)
			}
		}
	}
}

func TestNativeClientsMatchNothing(t *testing.T) {
	for _, agent := range []string{
		"okhttp/4.12.0", "sentry-cocoa/8.36.0", "sentry.cocoa.react-native/6.1.0", "sentry.java.android.react-native/7.14.0", "sentry.native.android/0.7.9",
		"ShopBot/1 CFNetwork/1410.0.3 Darwin/22.6.0", "Dalvik/2.1.0 (Linux; U; Android 2.3; Spider Build/1)", "Spider;okhttp/3.0", "",
	} {
		req := request()
		req.UserAgent = agent
		for _, typ := range []string{"event", "session", "sessions", "span"} {
			if got := run(t, everything, req, typ, `{"attrs":{"release":"a@1"}}`); got != "" {
				t.Errorf("%q as %s: %s", agent, typ, got)
			}
		}
	}
}

func TestBrowserExtensions(t *testing.T) {
	on := Config{BrowserExtensions: true}
	for _, value := range []string{
		"top.GLOBALS is not defined", "Uncaught ReferenceError: originalCreateNotification", "canvas.contentDocument", "MyApp_RemoveAllHighlights",
		"http://tt.epicplay.com/a", "Can't find variable: ZiteReader", "jigsaw is not defined", "ComboSearch is not defined",
		"http://loading.retry.widdit.com/x", "atomicFindClose", "fb_xd_fragment", "bmi_SafeAddOnload", "EBCallBackMessageReceived", "window.__gCrWeb",
		"conduitPage", "null is not an object (evaluating 'elt.parentNode')", "plugin.setSuspendState is not a function",
		"Extension context invalidated.", "webkit-masked-url://hidden/", "TypeError: can't access dead object", "EXTENSION CONTEXT INVALIDATED",
	} {
		if got := run(t, on, request(), "event", exception("Error", value)); got != "browser-extensions" {
			t.Errorf("%q: %q", value, got)
		}
	}
	for _, path := range []string{
		"chrome-extension://abc/content.js", "chrome://browser/a.js", "moz-extension://x/a.js", "safari-extension://x/a.js", "safari-web-extension://x/a.js",
		"https://graph.facebook.com/x", "https://connect.facebook.net/en_US/sdk.js", "https://eatdifferent.com.woopra-ns.com/a.js",
		"https://static.woopra.com/js/woopra.js", "webkit-masked-url://hidden/", "http://127.0.0.1:4001/isrunning", "http://webappstoolbarba.texthelp.com/a",
		"http://metrics.itunes.apple.com.edgesuite.net/a", "https://ff.kis.v2.scr.kaspersky-labs.com/a.js",
	} {
		if got := run(t, on, request(), "event", thrownIn("https://shop.example/a.js", path, "<anonymous>", "[native code]")); got != "browser-extensions" {
			t.Errorf("%q: %q", path, got)
		}
	}
	for name, payload := range map[string]string{
		"an extension further down the stack":    thrownIn("chrome-extension://abc/a.js", "https://shop.example/a.js"),
		"the scheme inside a URL":                thrownIn("https://shop.example/chrome-extension://"),
		"the second exception":                   `{"exception":{"values":[{"type":"A","value":"x"},{"type":"B","value":"jigsaw is not defined"}]}}`,
		"a message without an exception":         `{"message":"jigsaw is not defined"}`,
		"an error about extensions of one's own": exception("Error", "Extension .docx is not allowed"),
	} {
		if got := run(t, on, request(), "event", payload); got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestLocalhost(t *testing.T) {
	on := Config{Localhost: true}
	url := func(u string) string { return fmt.Sprintf(`{"request":{"url":%q}}`, u) }
	header := func(k, v string) string { return fmt.Sprintf(`{"request":{"headers":{%q:%q}}}`, k, v) }
	for _, payload := range []string{
		url("http://localhost:3000/cart"), url("http://127.0.0.1/"), url("https://app.localhost/"), url("file:///home/me/index.html"), url("HTTP://LOCALHOST/"), url("http://[::1]:8080/"),
		`{"user":{"ip_address":"127.0.0.1"}}`, `{"user":{"ip_address":"::1"}}`,
		header("X-Forwarded-For", "127.0.0.1"), header("Host", "localhost:3000"), header("x-forwarded-host", "127.0.0.1:80"),
		`{"request":{"headers":[["Host","localhost"]]}}`,
		`{"request":{"url":"https://shop.example/","headers":{"X-Forwarded-For":"::1"}}}`,
	} {
		if got := run(t, on, request(), "event", payload); got != "localhost" {
			t.Errorf("%s: %q", payload, got)
		}
	}
	for _, payload := range []string{
		url("https://localhost.example/"), url("https://mylocalhost/"), url("https://shop.example/?u=localhost"), url("http://10.0.0.1/"), url("app:///index.html"),
		header("Host", "localhost.example"), `{"user":{"ip_address":"{{auto}}"}}`, `{}`,
		`{"request":{"url":"https://shop.example/","headers":{"Host":"localhost:8080"}}}`,
	} {
		req := request()
		req.ClientIP = netip.MustParseAddr("127.0.0.1") // a proxy on the same machine
		if got := run(t, on, req, "event", payload); got != "" {
			t.Errorf("%s: %s", payload, got)
		}
	}
}

func TestErrorMessages(t *testing.T) {
	on := Config{ErrorMessages: []string{"*ResizeObserver loop*", "TypeError: Failed to {fetch,load}", "AbortError", "[ab]? 100%"}}
	for _, payload := range []string{
		exception("Error", "ResizeObserver loop limit exceeded"), exception("TypeError", "failed to FETCH"), exception("TypeError", "Failed to load"),
		exception("AbortError", "The user aborted"), exception("", "AbortError"), `{"message":"resizeobserver loop completed"}`,
		`{"logentry":{"formatted":"a1 100%"}}`, `{"exception":{"values":[{"type":"A","value":"b"},{"type":"AbortError","value":"c"}]}}`,
		exception("Error", "first line\nResizeObserver loop\nlast line"),
	} {
		if got := run(t, on, request(), "event", payload); got != "error-message" {
			t.Errorf("%s: %q", payload, got)
		}
	}
	for _, payload := range []string{exception("TypeError", "Failed to fetch user"), exception("MyAbortError", "x"), `{"message":"c1 100%"}`, `{}`} {
		if got := run(t, on, request(), "event", payload); got != "" {
			t.Errorf("%s: %s", payload, got)
		}
	}
}

func TestReleases(t *testing.T) {
	on := Config{Releases: []string{"Shop@1.*", "*-dev"}}
	for release, want := range map[string]string{"shop@1.2.3": "release-version", "SHOP@1.": "release-version", "x-DEV": "release-version", "shop@2.0": "", "": "", "dev": ""} {
		if got := run(t, on, request(), "event", fmt.Sprintf(`{"release":%q}`, release)); got != want {
			t.Errorf("event of %q: %q, want %q", release, got, want)
		}
		if got := run(t, on, request(), "session", fmt.Sprintf(`{"attrs":{"release":%q}}`, release)); got != want {
			t.Errorf("session of %q: %q, want %q", release, got, want)
		}
		if got := run(t, on, request(), "raw_security", `{"csp-report":{}}`, "sentry_release", release); got != want {
			t.Errorf("report of %q: %q, want %q", release, got, want)
		}
	}
}

func TestClientIPs(t *testing.T) {
	on := Config{ClientIPs: []string{"192.0.2.7", "198.51.100.0/24", "2001:db8::/32", "::ffff:203.0.113.0/120"}}
	for addr, want := range map[string]string{
		"192.0.2.7": "ip-address", "::ffff:192.0.2.7": "ip-address", "198.51.100.200": "ip-address", "2001:db8:1::1": "ip-address", "203.0.113.9": "ip-address",
		"192.0.2.8": "", "2001:db9::1": "",
	} {
		req := request()
		req.ClientIP = netip.MustParseAddr(addr)
		for _, typ := range []string{"event", "transaction", "session", "sessions", "span", "feedback", "raw_security"} {
			if got := run(t, on, req, typ, `{}`); got != want {
				t.Errorf("%s from %s: %q, want %q", typ, addr, got, want)
			}
		}
		req.ClientIP = netip.Addr{}
		if got := run(t, on, req, "event", fmt.Sprintf(`{"user":{"ip_address":%q}}`, addr)); got != want {
			t.Errorf("user at %s: %q, want %q", addr, got, want)
		}
	}
}

func TestTransactions(t *testing.T) {
	on := Config{Transactions: append([]string{"GET /internal/*"}, HealthChecks...)}
	for name, want := range map[string]string{
		"GET /internal/x": "filtered-transaction", "/api/healthcheck": "filtered-transaction", "GET /livez": "filtered-transaction", "GET /livez/": "filtered-transaction",
		"/Health": "filtered-transaction", "/ping": "filtered-transaction", "/up": "filtered-transaction", "heartbeat": "filtered-transaction",
		"/healthy-food": "", "/shipping": "", "/startup": "", "/livez/x": "", "": "",
	} {
		payload := fmt.Sprintf(`{"transaction":%q}`, name)
		if got := run(t, on, request(), "transaction", payload); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
		if got := run(t, on, request(), "event", payload); got != "" {
			t.Errorf("an error in %q is not a transaction: %q", name, got)
		}
	}
}

func TestReactAndChunks(t *testing.T) {
	on := Config{ReactHydrationErrors: true, ChunkLoadErrors: true}
	for payload, want := range map[string]string{
		exception("Error", "Minified React error #423; visit https://reactjs.org/docs/error-decoder.html?invariant=423 for the full message"): "react-hydration-errors",
		exception("Error", "Minified React error #418; visit https://react.dev/errors/418?args[]= for the full message"):                      "react-hydration-errors",
		exception("Error", "Minified React error #301; visit https://react.dev/errors/301 for the full message"):                              "",
		exception("ChunkLoadError", "Loading chunk 175 failed."):                                                                              "chunk-load-error",
		exception("Error", "Uncaught (in promise): ChunkLoadError: Loading chunk 175 failed."):                                                "chunk-load-error",
		`{"message":"ChunkLoadError: Loading chunk 552 failed."}`:                                                                             "chunk-load-error",
		exception("Error", "Loading chunk 175 failed."):                                                                                       "",
	} {
		if got := run(t, on, request(), "event", payload); got != want {
			t.Errorf("%s: %q, want %q", payload, got, want)
		}
		if got := run(t, Config{}, request(), "event", payload); got != "" {
			t.Errorf("off, but %q", got)
		}
	}
}

func TestOrder(t *testing.T) {
	req := request()
	req.ClientIP = netip.MustParseAddr("192.0.2.1")
	payload := `{"release":"shop@0.1","transaction":"/ping","request":{"url":"http://localhost/","headers":{"User-Agent":"Mozilla/5.0 (compatible; MSIE 8.0; Googlebot/2.1)"}},
"csp":{"blocked_uri":"about"},"exception":[{"type":"ChunkLoadError","value":"Loading chunk * jigsaw is not defined ResizeObserver loop https://react.dev/errors/418 "}]}`
	c := everything
	var got []string
	for range len(Names) {
		name := run(t, c, req, "transaction", payload)
		got = append(got, name)
		switch name {
		case ReactHydration:
			c.ReactHydrationErrors = false
		case ChunkLoad:
			c.ChunkLoadErrors = false
		case InvalidCSP:
			c.CSPDisallowed = nil
		case IPAddress:
			c.ClientIPs = nil
		case ReleaseVersion:
			c.Releases = nil
		case ErrorMessage:
			c.ErrorMessages = nil
		case Localhost:
			c.Localhost = false
		case BrowserExtensions:
			c.BrowserExtensions = false
		case LegacyBrowsers:
			c.LegacyBrowsers = nil
		case WebCrawlers:
			c.WebCrawlers = false
		case Transaction:
			c.Transactions = nil
		}
	}
	// No event is a log or a metric: those two are alone with their items.
	want := slices.DeleteFunc(slices.Clone(Names), func(n string) bool { return n == LogMessage || n == TraceMetricName })
	if got := strings.TrimSpace(strings.Join(got, " ")); got != strings.Join(want, " ") {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDropsTogetherAndLeavesTheRest(t *testing.T) {
	b := &ingest.Batch{Request: request(), Header: schemas.EmptyHeader()}
	for _, it := range [][2]string{{"event", exception("Error", "jigsaw is not defined")}, {"attachment", "x"}, {"session", `{}`}, {"client_report", `{}`}, {"log", `{}`}, {"whatever", `{}`}, {"replay_event", `{}`}} {
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(it[0]), Payload: schemas.Bytes(it[1])}))
	}
	if err := filters(t, everything).Apply(b); err != nil {
		t.Fatal(err)
	}
	var alive []string
	for _, it := range b.Alive() {
		alive = append(alive, it.Header.Type)
	}
	if got := strings.Join(alive, " "); got != "session client_report log whatever" {
		t.Errorf("left: %s", got)
	}
}

func TestConfigureRefuses(t *testing.T) {
	f := filters(t, Config{Releases: []string{"bad"}})
	for name, c := range map[string]Config{
		"unknown browser": {LegacyBrowsers: []string{"netscape"}},
		"bad address":     {ClientIPs: []string{"192.0.2.0/33"}},
		"bad glob":        {ErrorMessages: []string{"{a,b"}},
	} {
		err := f.Configure(map[string]Config{"shop": c})
		if err == nil || !strings.HasPrefix(err.Error(), "project shop: filters.") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := &ingest.Batch{Request: request(), Header: schemas.EmptyHeader()}
	b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(`{"release":"bad"}`)}))
	if err := f.Apply(b); err != nil || b.Items[0].Alive() {
		t.Error("a refused configuration changed something")
	}
}

// A text a stranger chooses must not make a glob with many stars slow.
func TestGlobsAreNotSlow(t *testing.T) {
	g, err := newGlobs("*a*a*a*a*a*a*a*b", "{*a,*b,*c}*{x,y}*{*a,*b}z")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	g.match(strings.Repeat("a", 100_000))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func FuzzDecide(f *testing.F) {
	f.Add("event", `{"exception":[{"type":"a","value":"b"}]}`, chrome, "http://localhost")
	f.Add("raw_security", `{"csp-report":{"blocked-uri":"about"}}`, "Opera/", "Opera Mini/")
	f.Add("session", `{"attrs":{"release":"x"}}`, "MSIE ", `"Chromium";v="1`)
	flt := filters(f, everything)
	f.Fuzz(func(t *testing.T, typ, payload, agent, hint string) {
		req := request()
		req.UserAgent = agent
		req.Header.Set("Sec-CH-UA", hint)
		b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader()}
		b.Items = append(b.Items, ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(payload)}))
		if err := flt.Apply(b); err != nil {
			t.Error(err)
		}
		hinted(hint)
		parseSource(agent)
	})
}

// Whatever calls itself a browser: it is one of the families a project can name,
// or none, and what is remembered of it is what it said.
func FuzzUserAgent(f *testing.F) {
	for _, ua := range []string{
		"", chrome, "Opera/9.80 (J2ME/MIDP; Opera Mini/8.0) Presto/2.12", "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1)", "MSIE ", "Trident/7.0; rv:11.0",
		"Mozilla/5.0 (Linux; U; Android 2.3.6; en-us) AppleWebKit/533.1 Version/4.0 Mobile Safari/533.1", "Slackbot 1.0 (+https://api.slack.com/robots)", "CUBOT",
		"Dalvik/2.1.0", "sentry-cocoa/9", "a CFNetwork/1", "Chrome/99999999999999999999", "Safari/-1 Version/9223372036854775808", "bot/ bots; spider)", "\xff(\x00;",
	} {
		f.Add(ua, `"Chromium";v="110", "Google Chrome";v="110", "Microsoft Edge";v="x"`)
	}
	families := append([]string{""}, LegacyBrowserNames[:8]...)
	f.Fuzz(func(t *testing.T, ua, hints string) {
		got := agent{parseBrowser(ua), isCrawler(ua)}
		for _, b := range []browser{got.browser, hinted(hints)} {
			if !slices.Contains(families, b.family) || b.major < 0 || b.family == "" && b.major != 0 {
				t.Fatalf("%q, %q: %+v", ua, hints, b)
			}
		}
		for range 2 { // the second comes from memory
			if known := knownAgents.read(ua); known != got {
				t.Fatalf("%q is %+v, remembered as %+v", ua, got, known)
			}
		}
		if isNative(ua) && len(ua) <= maxAgent && got != (agent{}) {
			t.Fatalf("%q is no browser: %+v", ua, got)
		}
	})
}

func BenchmarkEvent4KiB(b *testing.B) {
	frame := `{"filename":"https://shop.example/assets/index-BxT3k9aQ.js","function":"render","in_app":true,"lineno":1,"colno":4711},`
	frames := strings.Repeat(frame, 28)
	payload := `{"release":"shop@1.0","request":{"url":"https://shop.example/cart","headers":{"User-Agent":"` + chrome + `"}},"exception":{"values":[{"type":"TypeError","value":"x is undefined","stacktrace":{"frames":[` + strings.TrimSuffix(frames, ",") + `]}}]}}`
	f := filters(b, everything)
	it := ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("event"), Payload: schemas.Bytes(payload)})
	it.Event() // parsed once for all stages
	bt := &ingest.Batch{Request: request(), Header: schemas.EmptyHeader(), Items: []*ingest.Item{it}}
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Apply(bt); err != nil || !it.Alive() {
			b.Fatal(err, it.Reason)
		}
	}
}
