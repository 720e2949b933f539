package scrub

import (
	"strings"
	"testing"
)

// TestEveryWordOfTheDefaults asks for each word of Sentry's default scrubbers
// by itself, from a list written down a second time: a word that gets lost in
// the scrubber's own list fails here.
func TestEveryWordOfTheDefaults(t *testing.T) {
	cfg := everything()
	cfg.Fields, cfg.Rules = nil, nil
	r := mustCompile(t, cfg)
	scrubs := func(payload string) bool {
		t.Helper()
		out, _, err := r.Item("event", []byte(payload))
		if err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		return !strings.Contains(string(out), "CNRY")
	}
	for _, w := range strings.Fields("password secret passwd api_key api-key apikey auth credentials mysql_pwd privatekey private-key private_key") {
		for _, form := range []string{w, strings.ToUpper(w), "my" + w + "s"} {
			if !scrubs(`{"extra":{"` + form + `":"CNRY"}}`) {
				t.Errorf("the key %s keeps its value", form)
			}
			if !scrubs(`{"extra":{"note":"CNRY ` + form + `"}}`) {
				t.Errorf("a value with %s stays", form)
			}
		}
	}
	for _, w := range []string{"otp", "OTP", "two-factor", "two_factor", "Two_Factor", "token", "access_token"} {
		if !scrubs(`{"extra":{"` + w + `":"CNRY"}}`) {
			t.Errorf("the key %s keeps its value", w)
		}
	}
	for _, v := range []string{"token=CNRY", "my_token_x:CNRY", "Bearer CNRY", "bearer  CNRY"} {
		if !scrubs(`{"extra":{"note":"` + v + `"}}`) {
			t.Errorf("%s stays", v)
		}
	}
	for _, payload := range []string{ // words that only count whole
		`{"extra":{"otpx":"CNRY"}}`, `{"extra":{"note":"CNRY otp"}}`, `{"extra":{"note":"CNRY token alone"}}`,
	} {
		if scrubs(payload) {
			t.Errorf("%s is scrubbed", payload)
		}
	}
	for _, c := range strings.Fields(`sentrysid sudo su session __session sessionid user_session symfony phpsessid fasthttpsessionid mysession
		irissessionid _vercel_jwt csrf xsrf _xsrf _csrf csrf-token csrf_token xsrf-token xsrf_token fastcsrf _iris_csrf`) {
		for _, payload := range []string{
			`{"request":{"cookies":{"` + c + `":"CNRY"}}}`, `{"request":{"cookies":[["` + c + `","CNRY"]]}}`, `{"request":{"cookies":"a=1; ` + c + `=CNRY"}}`,
			`{"request":{"headers":{"Cookie":"` + strings.ToUpper(c) + `=CNRY; b=2"}}}`, `{"request":{"headers":[["cookie","` + c + `=CNRY"]]}}`,
		} {
			if !scrubs(payload) {
				t.Errorf("%s stays", payload)
			}
		}
	}
	if scrubs(`{"request":{"cookies":{"theme":"CNRY"}}}`) {
		t.Error("every cookie is scrubbed")
	}
	// Exempt: what grouping and symbolication need, and the user agent.
	for _, payload := range []string{
		`{"debug_meta":{"images":[{"code_file":"/home/CNRY/auth/a.js","debug_id":"password"}]}}`,
		`{"exception":{"values":[{"value":"auth CNRY password","stacktrace":{"frames":[{"filename":"auth.js"}]}}]}}`,
		`{"exception":{"values":[{"stacktrace":{"frames":[{"filename":"/home/CNRY/auth.js"}]}}]}}`,
		`{"exception":{"values":[{"stacktrace":{"frames":[{"abs_path":"/Users/CNRY/auth.js"}]}}]}}`,
		`{"request":{"headers":{"User-Agent":"CNRY auth 10.0.0.1"}}}`,
	} {
		if scrubs(payload) {
			t.Errorf("%s is scrubbed", payload)
		}
	}
	if out, _, err := r.Item("event", []byte(`{"logentry":{"formatted":"auth CNRY"}}`)); err != nil || !strings.Contains(string(out), "auth CNRY") {
		t.Errorf("a sentence is replaced whole: %s, %v", out, err)
	}
	out, _, err := r.Item("span", []byte(`{"items":[{"attributes":{"http.request.header.cookie":{"value":"theme=CNRY","type":"string"}}}]}`))
	if err != nil || strings.Contains(string(out), "CNRY") {
		t.Errorf("a span's cookie header stays: %s, %v", out, err)
	}
}
