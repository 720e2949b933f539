package scrub

import (
	"strings"
	"testing"
)

// TestValues holds what each rule does to one free string, Sentry's defaults
// and addresses on.
func TestValues(t *testing.T) {
	r := mustCompile(t, everything())
	const f = filtered
	cases := []struct{ name, in, want string }{
		{"visa", "4571234567890111", f},
		{"visa in quotes", "'4571234567890111'", "'" + f + "'"},
		{"visa in words", "foo 4571234567890111 bar", "foo " + f + " bar"},
		{"visa in groups", "4111-1111-1111-1111", f},
		{"visa with spaces", "4111 1111 1111 1111", f},
		{"mastercard", "5555555555554444", f},
		{"mastercard of the new range", "2223003122003222", f},
		{"amex", "378282246310005", f},
		{"amex in groups", "3782 822463 10005", f},
		{"discover", "6011111111111117", f},
		{"discover 65", "6500000000000002", f},
		{"jcb", "3530111333300000", f},
		{"diners", "38520000023237", f},
		{"microseconds are no card", "1453843029218310", "1453843029218310"},
		{"a longer number is no card", "41111111111111111", "41111111111111111"},
		{"iban", "GB82WEST12345698765432", f},
		{"printed iban", "pay DE89 3704 0044 0532 0130 00 now", "pay " + f + " now"},
		{"wrong printed iban", "DE88 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00"},
		{"no country of that name", "ZZ82WEST12345698765432", "ZZ82WEST12345698765432"},
		{"ssn", "is 078-05-1120.", "is " + f + "."},
		{"no ssn", "078-05-11201", "078-05-11201"},
		{"pem", "-----BEGIN RSA PRIVATE KEY-----\nMIIJ\nabc=\n-----END RSA PRIVATE KEY-----", "-----BEGIN RSA PRIVATE KEY-----\n" + f + "\n-----END RSA PRIVATE KEY-----"},
		{"public pem", "-----BEGIN PUBLIC KEY-----\nMIIJ\n-----END PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\n" + f + "\n-----END PUBLIC KEY-----"},
		{"cut pem", "x -----BEGIN EC PRIVATE KEY-----\nMIIJ", "x -----BEGIN EC PRIVATE KEY-----\n" + f},
		{"certificates are public", "-----BEGIN CERTIFICATE-----\nMIIJ\n-----END CERTIFICATE-----", "-----BEGIN CERTIFICATE-----\nMIIJ\n-----END CERTIFICATE-----"},
		{"url password", "pg://matt:pass@localhost/1", "pg://matt:" + f + "@localhost/1"},
		{"two url passwords", "foo redis://redis:foo@localhost:6379/0 bar pg://matt:foo@localhost/1", "foo redis://redis:" + f + "@localhost:6379/0 bar pg://matt:" + f + "@localhost/1"},
		{"url password without a user", "redis://:pa$$@host", "redis://:" + f + "@host"},
		{"url without a password", "postgres:///path", "postgres:///path"},
		{"json is not one url", `"a":"https://localhost","b":"foo@localhost","c":"pg://matt:pass@localhost/1"`, `"a":"https://localhost","b":"foo@localhost","c":"pg://matt:` + f + `@localhost/1"`},
		{"mac path", "open /Users/jane/app/main.go", "open /Users/" + f + "/app/main.go"},
		{"linux path", "/home/jane/.ssh/id", "/home/" + f + "/.ssh/id"},
		{"windows path", `C:\Users\Jane Doe\app.exe`, `C:\Users\` + f + `\app.exe`},
		{"documents and settings", `c:\Documents and Settings\jane\x`, `c:\Documents and Settings\` + f + `\x`},
		{"password word", "the password is hunter2", f},
		{"mysql_pwd", "MYSQL_PWD=x", f},
		{"private-key", "my Private-Key", f},
		{"auth is in author", "author unknown", f},
		{"token alone", "unexpected token", "unexpected token"},
		{"token assigned", "csrf_token_x=12", f},
		{"token later assigned", "token is x=1", "token is x=1"},
		{"otp", "otp", f},
		{"two-factor", "two-factor", f},
		{"an otp", "an otp", "an otp"},
		{"bearer", "Bearer abc.def", f},
		{"bearer in words", "sent bearer  abc.def ok", "sent " + f + " ok"},
		{"email", "to jane.doe+x@mail.example.com.", "to [email]."},
		{"email in a url", "https://h/p?a=1&email=jane@example.com&b=2", "https://h/p?a=1&email=[email]&b=2"},
		{"encoded email in a url", "https://h/p?email=jane%40example.com&b=2", "https://h/p?email=[email]&b=2"},
		{"encoded email in a path", "/u/jane%40example.com/x", "/u/[email]/x"},
		{"no email", "@sentry/react x@y", "@sentry/react x@y"},
		{"ipv4", "from 203.0.113.7:8080", "from [ip]:8080"},
		{"no ipv4", "1.2.3 999.1.1.1 1.2.3.4a", "1.2.3 999.1.1.1 1.2.3.4a"},
		{"ipv6", "from [2001:db8::8a2e:370:7334]:80", "from [[ip]]:80"},
		{"full ipv6", "2001:0db8:85a3:0000:0000:8a2e:0370:7334.", "[ip]."},
		{"ipv6 behind a colon", "ip:2001:db8::1", "ip:[ip]"},
		{"mapped ipv6", "::ffff:192.0.2.1", "[ip]"},
		{"zone", "fe80::1%eth0 up", "[ip] up"},
		{"loopback", "::1", "[ip]"},
		{"no ipv6", "std::vector a::before 12:30:59 :: Foo::Bar", "std::vector a::before 12:30:59 :: Foo::Bar"},
		{"sensitive parameters", "/p?a=1&api_key=x&session_secret=y#access_token=z", "/p?a=1&api_key=" + f + "&session_secret=" + f + "#access_token=" + f},
		{"encoded parameter name", "/p?pass%77ord=x", "/p?pass%77ord=" + f},
		{"parameter in a sentence", "GET /p?apikey=x failed", f},
		{"blank words", "undefined", "undefined"},
		{"two in one", "4111111111111111 078-05-1120", f + " " + f},
		{"neighbours", "x@example.com,203.0.113.7", "[email],[ip]"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := scrubString(t, r, c.in)
			if got != c.want {
				t.Fatalf("%q became %q, want %q", c.in, got, c.want)
			}
			if again := scrubString(t, r, got); again != got {
				t.Fatalf("a second run made %q of %q", again, got)
			}
		})
	}
}

// scrubString scrubs {"x": in} as an unknown type.
func scrubString(tb testing.TB, r *Rules, in string) string {
	tb.Helper()
	out, _, err := r.Item("x", []byte(`{"x":`+quote(in)+`}`))
	if err != nil {
		tb.Fatal(err)
	}
	return unquote(tb, out[5:len(out)-1])
}

// TestPayloads holds what becomes of whole payloads.
func TestPayloads(t *testing.T) {
	custom := everything()
	custom.Fields = []string{"phone", "Straße"}
	custom.SafeFields = []string{"author", "extra.form.secret_santa"}
	cases := []struct {
		name string
		cfg  Config
		typ  string
		in   string
		want string // without _meta
	}{
		{
			"keys", everything(), "event",
			`{"extra":{"Password":"x","my_secret":1,"api_keys":[1],"apiKey":{"a":1},"the_token":"x","auth":true,"otp":"1","t":null,"credentials":null}}`,
			`{"extra":{"Password":"[Filtered]","my_secret":null,"api_keys":null,"apiKey":null,"the_token":"[Filtered]","auth":true,"otp":"[Filtered]","t":null,"credentials":null}}`,
		},
		{"counts of tokens stay", everything(), "span", `{"data":{"gen_ai.usage.input_tokens":12,"max_tokens":3,"token":5}}`, `{"data":{"gen_ai.usage.input_tokens":12,"max_tokens":3,"token":null}}`},
		{
			"pairs", everything(), "event",
			`{"tags":[["password","x"],["a","b"],["mail","jane@example.com"]],"request":{"headers":[["X-Api-Key","x"],["User-Agent","127.0.0.1"],["X-Client-Ip","10.0.0.1"],["Cookie","a=b; sessionid=c"]]}}`,
			`{"tags":[["password","[Filtered]"],["a","b"],["mail","[email]"]],"request":{"headers":[["X-Api-Key","[Filtered]"],["User-Agent","127.0.0.1"],["X-Client-Ip","[ip]"],["Cookie","a=b; sessionid=[Filtered]"]]}}`,
		},
		{
			"key and value objects", everything(), "event",
			`{"tags":[{"key":"password","value":"x"},{"value":"y","key":"secret"},{"key":"a","value":"b"}],"attributes":[{"key":"token","value":{"stringValue":"x"}}]}`,
			`{"tags":[{"key":"password","value":"[Filtered]"},{"value":"[Filtered]","key":"secret"},{"key":"a","value":"b"}],"attributes":[{"key":"token","value":null}]}`,
		},
		{
			"request", everything(), "event",
			`{"request":{"url":"https://u:p@h/auth?token=x","query_string":"a=1&password=x","cookies":"su=1; c=2","data":"user=a&pwd=1&passwd=2","env":{"REMOTE_ADDR":"anything","SERVER_NAME":"s"},"fragment":"access_token=z"}}`,
			`{"request":{"url":"https://u:[Filtered]@h/auth?token=[Filtered]","query_string":"a=1&password=[Filtered]","cookies":"su=[Filtered]; c=2","data":"user=a&pwd=1&passwd=[Filtered]","env":{"REMOTE_ADDR":null,"SERVER_NAME":"s"},"fragment":"access_token=[Filtered]"}}`,
		},
		{
			"request as objects", everything(), "event",
			`{"request":{"query_string":{"a":"1","secret":"x"},"cookies":{"csrf":"x","a":"b"},"data":{"card":"4111111111111111"}}}`,
			`{"request":{"query_string":{"a":"1","secret":"[Filtered]"},"cookies":{"csrf":"[Filtered]","a":"b"},"data":{"card":"[Filtered]"}}}`,
		},
		{
			"request as pairs", everything(), "event",
			`{"request":{"query_string":[["a","1"],["secret","x"]],"cookies":[["__session","x"],["a","b"]]}}`,
			`{"request":{"query_string":[["a","1"],["secret","[Filtered]"]],"cookies":[["__session","[Filtered]"],["a","b"]]}}`,
		},
		{
			"json in a body", everything(), "event",
			`{"request":{"data":"{\"password\":\"x\",\"n\":1,\"c\":[\"4111111111111111\"],\"auth\":{\"a\":1}}"}}`,
			`{"request":{"data":"{\"password\":\"[Filtered]\",\"n\":1,\"c\":[\"[Filtered]\"],\"auth\":null}"}}`,
		},
		{
			"known addresses", everything(), "event",
			`{"user":{"ip_address":"not one","username":"203.0.113.9"},"sdk":{"client_ip":"x","settings":{"infer_ip":"auto"}},"spans":[{"sentry_tags":{"user.ip":"y"},"data":{"client.address":"{{auto}}"}}]}`,
			`{"user":{"ip_address":null,"username":"[ip]"},"sdk":{"client_ip":null,"settings":{"infer_ip":"never"}},"spans":[{"sentry_tags":{"user.ip":null},"data":{"client.address":null}}]}`,
		},
		{
			"kept for grouping", everything(), "event",
			`{"exception":{"values":[{"type":"AuthError","value":"4111111111111111 x@example.com","stacktrace":{"frames":[{"filename":"/Users/jane/auth.js","abs_path":"/home/jane/token=1","function":"password","vars":{"password":"x"}}]}}]},"fingerprint":["password"],"release":"auth@1.0","debug_meta":{"images":[{"code_file":"/Users/jane/x"}]},"modules":{"passport-auth":"1"}}`,
			`{"exception":{"values":[{"type":"AuthError","value":"4111111111111111 x@example.com","stacktrace":{"frames":[{"filename":"/Users/jane/auth.js","abs_path":"/home/jane/token=1","function":"password","vars":{"password":"[Filtered]"}}]}}]},"fingerprint":["password"],"release":"auth@1.0","debug_meta":{"images":[{"code_file":"/Users/jane/x"}]},"modules":{"passport-auth":"1"}}`,
		},
		{"a kept field that is an object is free", everything(), "event", `{"exception":{"value":{"password":"x"}}}`, `{"exception":{"value":{"password":"[Filtered]"}}}`},
		{
			"sentences", DefaultConfig(), "event",
			`{"message":"password for x@example.com is password=hunter2, card 4111111111111111, Bearer abc","logentry":{"formatted":"078-05-1120 token: abcdefgh1234 Unexpected token: <","params":["my secret"]}}`,
			`{"message":"password for [email] is password=[Filtered], card [creditcard], Bearer [token]","logentry":{"formatted":"[us-ssn] token: [Filtered] Unexpected token: <","params":["[Filtered]"]}}`,
		},
		{"routes", everything(), "event", `{"transaction":"/auth/reset-password/:token","culprit":"users/42"}`, `{"transaction":"/auth/reset-password/:token","culprit":"users/42"}`},
		{
			"versions and agents", everything(), "event",
			`{"contexts":{"browser":{"name":"Chrome","version":"156.0.0.0"},"x":{"app_version":"1.2.3.4","userAgent":"Chrome/156.0.0.0","host":"1.2.3.4"}}}`,
			`{"contexts":{"browser":{"name":"Chrome","version":"156.0.0.0"},"x":{"app_version":"1.2.3.4","userAgent":"Chrome/156.0.0.0","host":"[ip]"}}}`,
		},
		{
			"log", everything(), "log",
			`{"version":2,"ingest_settings":{"infer_ip":"auto"},"items":[{"body":"login with password, x@example.com","attributes":{"user.email":{"value":"x@example.com","type":"string"},"db.password":{"value":"x","type":"string"},"pin_secret":{"value":5,"type":"integer"},"client.address":{"value":"{{auto}}","type":"string"},"http.request.header.cookie":{"value":"a=b","type":"string"},"http.request.header.cookie.csrf":{"value":"b","type":"string"},"url.query":{"value":"?a=1&token=x","type":"string"},"gen_ai.prompt":{"value":"my password and 078-05-1120","type":"string"},"user_agent.original":{"value":"Chrome/156.0.0.0","type":"string"}}}]}`,
			`{"version":2,"ingest_settings":{"infer_ip":"never"},"items":[{"body":"login with password, [email]","attributes":{"user.email":{"value":"[email]","type":"string"},"db.password":{"value":"[Filtered]","type":"string"},"pin_secret":{"value":null,"type":"integer"},"client.address":{"value":null,"type":"string"},"http.request.header.cookie":{"value":"[Filtered]","type":"string"},"http.request.header.cookie.csrf":{"value":"[Filtered]","type":"string"},"url.query":{"value":"?a=1&token=[Filtered]","type":"string"},"gen_ai.prompt":{"value":"my password and [us-ssn]","type":"string"},"user_agent.original":{"value":"Chrome/156.0.0.0","type":"string"}}}]}`,
		},
		{"metrics keep names and values", everything(), "trace_metric", `{"items":[{"name":"auth.count","value":4111111111111111,"attributes":{"secret":{"value":"x"}}}]}`, `{"items":[{"name":"auth.count","value":4111111111111111,"attributes":{"secret":{"value":"[Filtered]"}}}]}`},
		{
			"session", everything(), "session",
			`{"sid":"a","did":"jane@example.com","attrs":{"release":"auth@1","ip_address":"{{auto}}","user_agent":"Chrome/156.0.0.0"}}`,
			`{"sid":"a","did":"[email]","attrs":{"release":"auth@1","ip_address":null,"user_agent":"Chrome/156.0.0.0"}}`,
		},
		{"user report", everything(), "user_report", `{"event_id":"1","email":"x@example.com","comments":"I forgot my password, call 078-05-1120"}`, `{"event_id":"1","email":"[email]","comments":"I forgot my password, call [us-ssn]"}`},
		{
			"client reports keep their words", everything(), "client_report",
			`{"timestamp":1,"discarded_events":[{"reason":"password","category":"error","quantity":4111111111111111,"user":"x@example.com"},{"reason":"for 203.0.113.7"}],"secret":"x"}`,
			`{"timestamp":1,"discarded_events":[{"reason":"password","category":"error","quantity":4111111111111111,"user":"[email]"},{"reason":"for [ip]"}],"secret":"[Filtered]"}`,
		},
		{
			"cookies in the environment of a request", everything(), "event",
			`{"request":{"env":{"HTTP_COOKIE":"a=b; sessionid=x","HTTP_AUTHORIZATION":"x","PATH":"/bin"}}}`,
			`{"request":{"env":{"HTTP_COOKIE":"a=b; sessionid=[Filtered]","HTTP_AUTHORIZATION":"[Filtered]","PATH":"/bin"}}}`,
		},
		{"fields", custom, "event", `{"extra":{"homePhone":"1","x":{"phones":[1]},"straße":"x","STRAßE 2":"y"}}`, `{"extra":{"homePhone":"[Filtered]","x":{"phones":null},"straße":"[Filtered]","STRAßE 2":"[Filtered]"}}`},
		{"safe fields", custom, "event", `{"extra":{"author":"auth 4111111111111111","authority":"x","form":{"secret_santa":"x secret"},"secret_santa":"y"}}`, `{"extra":{"author":"auth 4111111111111111","authority":"[Filtered]","form":{"secret_santa":"x secret"},"secret_santa":"[Filtered]"}}`},
		{"personal data in keys", everything(), "x", `{"users":{"jane@example.com":1,"4111111111111111":{"203.0.113.7":"a"}}}`, `{"users":{"[email]":1,"[Filtered]":{"[ip]":"a"}}}`},
		{"duplicate keys", everything(), "x", `{"password":"a","password":"b"}`, `{"password":"[Filtered]","password":"[Filtered]"}`},
		{"escapes beside a hit stay", everything(), "x", `{"a":"\ud800 \u00e9\/ 4111111111111111 \n\ud83d\ude00"}`, `{"a":"\ud800 \u00e9\/ [Filtered] \n\ud83d\ude00"}`},
		{"hidden by escapes", everything(), "x", `{"p\u0061ssword":"x","a":"4111\u002d1111-1111-1111","b":"my p\u0061ssword"}`, `{"p\u0061ssword":"[Filtered]","a":"[Filtered]","b":"[Filtered]"}`},
		{"broken utf-8 stays", everything(), "x", "{\"a\":\"\xff\xfe 4111111111111111 \xc3\"}", "{\"a\":\"\xff\xfe [Filtered] \xc3\"}"},
		{"white space and numbers stay", everything(), "x", "{ \"a\" : 1615889440.123456 ,\n \"b\":18446744073709551615,\"c\":\"x@example.com\" }\n", "{ \"a\" : 1615889440.123456 ,\n \"b\":18446744073709551615,\"c\":\"[email]\" }\n"},
		{"card as a number", everything(), "x", `{"n":4111111111111111,"m":4111111111111112,"o":1453843029218310}`, `{"n":null,"m":4111111111111112,"o":1453843029218310}`},
		{"csp report", everything(), "raw_security", `{"csp-report":{"document-uri":"https://h/auth?token=x","blocked-uri":"https://u:p@x/","effective-directive":"script-src","script-sample":"my password"}}`, `{"csp-report":{"document-uri":"https://h/auth?token=[Filtered]","blocked-uri":"https://u:[Filtered]@x/","effective-directive":"script-src","script-sample":"[Filtered]"}}`},
		{"nothing is on", Config{}, "event", `{"extra":{"password":"4111111111111111"},"user":{"ip_address":"203.0.113.7"}}`, `{"extra":{"password":"4111111111111111"},"user":{"ip_address":"203.0.113.7"}}`},
		{"only ip", Config{IP: true}, "event", `{"extra":{"password":"203.0.113.7 x@example.com"}}`, `{"extra":{"password":"[ip] x@example.com"}}`},
		{"only fields", Config{Fields: []string{"zip"}}, "event", `{"extra":{"ZIP code":"x","password":"y"}}`, `{"extra":{"ZIP code":"[Filtered]","password":"y"}}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := mustCompile(t, c.cfg)
			out, hits, err := r.Item(c.typ, []byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := withoutMeta(string(out)); got != c.want {
				t.Fatalf("\n got %s\nwant %s", got, c.want)
			}
			if c.in == c.want && (len(hits) > 0 || !sameSlice(out, out)) {
				t.Fatalf("hits without a change: %v", hits)
			}
			again, hits, err := r.Item(c.typ, out)
			if err != nil || !sameSlice(again, out) || len(hits) > 0 {
				t.Fatalf("a second run changed %s\nto %s (%v, %v)", out, again, hits, err)
			}
		})
	}
}

func withoutMeta(s string) string {
	if i := strings.Index(s, `,"_meta":`); i >= 0 {
		return s[:i] + "}"
	}
	return s
}
