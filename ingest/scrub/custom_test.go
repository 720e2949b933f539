package scrub

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"testing"
)

func TestCustomRules(t *testing.T) {
	mac := hmac.New(sha1.New, []byte("salt"))
	mac.Write([]byte("jane@example.com"))
	hashed := strings.ToUpper(hex.EncodeToString(mac.Sum(nil)))
	cases := []struct {
		name string
		rule Rule
		typ  string
		in   string
		want string
	}{
		{"everywhere", Rule{Pattern: `CUST-\d+`}, "event", `{"extra":{"a":"x CUST-1 CUST-22"},"message":"CUST-3","event_id":"CUST-4"}`, `{"extra":{"a":"x [Filtered] [Filtered]"},"message":"[Filtered]","event_id":"CUST-4"}`},
		{"mask", Rule{Pattern: `é\d+`, Action: Mask}, "x", `{"a":"é12 \u00e93"}`, `{"a":"*** **"}`},
		{"remove a piece", Rule{Pattern: `\d+`, Action: Remove}, "x", `{"a":"a1b2"}`, `{"a":"ab"}`},
		{"remove a value", Rule{Path: "$user.email", Action: Remove}, "event", `{"user":{"email":"a"},"email":"b"}`, `{"user":{"email":null},"email":"b"}`},
		{"hash", Rule{Path: "$user.email", Pattern: "@email", Action: Hash}, "event", `{"user":{"email":"jane@example.com"}}`, `{"user":{"email":"` + hashed + `"}}`},
		{"header", Rule{Path: "$http.headers.x-Id"}, "event", `{"request":{"headers":{"X-Id":"1","Y":"2"}}}`, `{"request":{"headers":{"X-Id":"[Filtered]","Y":"2"}}}`},
		{"header pair", Rule{Path: "$http.headers.*.x-id"}, "event", `{"request":{"headers":[["X-Id","1"],["Y","2"]]}}`, `{"request":{"headers":[["X-Id","[Filtered]"],["Y","2"]]}}`},
		{"exception value", Rule{Path: "$error.value", Pattern: "@creditcard"}, "event", `{"exception":{"values":[{"type":"4111111111111111","value":"card 4111111111111111"}]}}`, `{"exception":{"values":[{"type":"4111111111111111","value":"card [Filtered]"}]}}`},
		{"frame variables", Rule{Path: "$frame.vars.**"}, "event", `{"stacktrace":{"frames":[{"function":"f","vars":{"a":{"b":"c"},"n":5,"t":true}}]}}`, `{"stacktrace":{"frames":[{"function":"f","vars":null}]}}`},
		{"debug_meta by name", Rule{Path: "debug_meta.images.*.code_file"}, "event", `{"debug_meta":{"images":[{"code_file":"a","debug_id":"b"}]}}`, `{"debug_meta":{"images":[{"code_file":"[Filtered]","debug_id":"b"}]}}`},
		{"debug_meta not by wildcard", Rule{Path: "**", Pattern: "a"}, "event", `{"debug_meta":{"x":"a"},"extra":{"x":"a"}}`, `{"debug_meta":{"x":"a"},"extra":{"x":"[Filtered]"}}`},
		{"suffix", Rule{Path: "data.phone"}, "x", `{"data":{"phone":"1"},"a":{"data":{"phone":"2","x":{"phone":"3"}}}}`, `{"data":{"phone":"[Filtered]"},"a":{"data":{"phone":"[Filtered]","x":{"phone":"3"}}}}`},
		{"anywhere below", Rule{Path: "data.**.phone"}, "x", `{"a":{"data":{"phone":"2","x":{"y":{"phone":"3"}}}},"phone":"4"}`, `{"a":{"data":{"phone":"[Filtered]","x":{"y":{"phone":"[Filtered]"}}}},"phone":"4"}`},
		{"quoted", Rule{Path: "attributes.'user.name'.value"}, "span", `{"items":[{"attributes":{"user.name":{"value":"x","type":"string"}}}]}`, `{"items":[{"attributes":{"user.name":{"value":"[Filtered]","type":"string"}}}]}`},
		{"alternatives", Rule{Path: "a || b.c"}, "x", `{"a":"1","b":{"c":"2","d":"3"}}`, `{"a":"[Filtered]","b":{"c":"[Filtered]","d":"3"}}`},
		{"log body", Rule{Path: "$log.body"}, "log", `{"items":[{"body":"x","attributes":{"body":{"value":"y"}}}]}`, `{"items":[{"body":"[Filtered]","attributes":{"body":{"value":"y"}}}]}`},
		{"numbers", Rule{Path: "zip", Pattern: `^\d{5}$`}, "x", `{"zip":12345,"zip2":12345,"a":{"zip":123456}}`, `{"zip":null,"zip2":12345,"a":{"zip":123456}}`},
		{"uuid", Rule{Pattern: "@uuid", Action: Mask}, "x", `{"a":"x 9ec79c33-ec99-42ab-8353-589fcb2e04dc"}`, `{"a":"x ************************************"}`},
		{"beside the built-in rules", Rule{Pattern: "x+"}, "x", `{"a":"xx 203.0.113.5 xxx"}`, `{"a":"[Filtered] [ip] [Filtered]"}`},
		{"in JSON in a body", Rule{Path: "request.data.zip"}, "event", `{"request":{"data":"{\"zip\":\"1\"}"}}`, `{"request":{"data":"{\"zip\":\"[Filtered]\"}"}}`},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			cfg := DefaultConfig()
			cfg.Salt = []byte("salt")
			c.rule.Name = "mine"
			cfg.Rules = []Rule{c.rule}
			out, hits, err := mustCompile(t, cfg).Item(c.typ, []byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := withoutMeta(string(out)); got != c.want {
				t.Fatalf("\n got %s\nwant %s", got, c.want)
			}
			mine := 0
			for _, h := range hits {
				if h.Rule == "mine" {
					mine = h.N
				}
			}
			if mine == 0 {
				t.Errorf("the rule is not counted: %v", hits)
			}
		})
	}
}

func TestConfigFaults(t *testing.T) {
	cases := map[string]Config{
		`action "burn"`:     {Rules: []Rule{{Name: "a", Action: "burn"}}},
		"needs a salt":      {Rules: []Rule{{Name: "a", Action: Hash}}},
		"pattern: error":    {Rules: []Rule{{Name: "a", Pattern: "("}}},
		"not a built-in":    {Rules: []Rule{{Name: "a", Pattern: "@nothing"}}},
		"is not known here": {Rules: []Rule{{Name: "a", Path: "$attachments.x"}}},
		"is not closed":     {Rules: []Rule{{Name: "a", Path: "'x"}}},
		`"a..b"`:            {Rules: []Rule{{Name: "a", Path: "a..b"}}},
		`"a && b"`:          {Rules: []Rule{{Name: "a", Path: "a && b"}}},
		"is taken":          {Rules: []Rule{{Name: "email"}}},
		"letters, digits":   {Rules: []Rule{{Name: ""}}},
		"opaque":            {Opaque: "hide"},
		"more than 500":     {Fields: make([]string, 501)},
		"more than 100":     {Rules: make([]Rule, 101)},
	}
	for want, c := range cases {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want a fault with %q, got %v", want, err)
		}
	}
	if err := everything().Validate(); err != nil {
		t.Error(err)
	}
}
