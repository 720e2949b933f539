package scrub

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

func fuzzConfigs(tb testing.TB) []*Rules {
	all := everything()
	all.Fields = []string{"phone", "zip"}
	all.SafeFields = []string{"author", "a.b"}
	return []*Rules{mustCompile(tb, all), mustCompile(tb, DefaultConfig()), mustCompile(tb, Config{IP: true})}
}

var fuzzTypes = []string{"event", "log", "span", "session", "profile", "raw_security", "user_report", "x"}

// FuzzScrubJSON: what goes in as JSON comes out as JSON, a second run changes
// nothing, the input is not written to, and nothing panics.
func FuzzScrubJSON(f *testing.F) {
	seen := map[string]int{}
	for _, s := range fixtures(f) {
		if !opaqueTypes[s.typ] && s.typ != "replay_recording" && len(s.payload) < 8<<10 && seen[s.typ] < 3 {
			seen[s.typ]++
			f.Add(byte(len(s.typ)), s.payload)
		}
	}
	for _, s := range []string{
		`{"tags":[["password","x"],{"value":"y","key":"secret"}],"_meta":{"tags":{"":{"val":"x@y.example"}}}}`,
		`{"request":{"data":"{\"token\":\"x\"}","query_string":"?a=1&secret=%41","cookies":"su=1;b"},"message":"password=x Bearer y"}`,
		`{"a":"\ud800 4111111111111111 \u0070assword\\"}`, `"http://u:p@h?a=b&password#token=c"`, `{"items":[{"attributes":{"a":{"value":"::1"}}}]}`,
	} {
		f.Add(byte(0), []byte(s))
	}
	configs := fuzzConfigs(f)
	f.Fuzz(func(t *testing.T, pick byte, payload []byte) {
		r := configs[int(pick)%len(configs)]
		typ := fuzzTypes[int(pick)/len(configs)%len(fuzzTypes)]
		checkRun(t, r, typ, payload)
	})
}

type failer interface {
	Fatalf(format string, args ...any)
}

func checkRun(t failer, r *Rules, typ string, payload []byte) {
	before := bytes.Clone(payload)
	out, hits, err := r.Item(typ, payload)
	if !bytes.Equal(before, payload) {
		t.Fatalf("the input was written to")
	}
	if err != nil {
		if !sameSlice(out, payload) {
			t.Fatalf("an error with another payload: %v", err)
		}
		return
	}
	if len(payload) > 0 && !jsontext.Value(out).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) {
		t.Fatalf("%s of %q: no JSON: %q", typ, payload, out)
	}
	if sameSlice(out, payload) != bytes.Equal(out, payload) {
		t.Fatalf("a copy without a change")
	}
	again, second, err := r.Item(typ, out)
	if err != nil || !bytes.Equal(again, out) {
		t.Fatalf("%s of %q\nonce  %q (%v)\ntwice %q (%v, %v)", typ, payload, out, hits, again, second, err)
	}
}

// FuzzReplay: recordings never panic, never grow without bound, and what is
// scrubbed once stays.
func FuzzReplay(f *testing.F) {
	for _, s := range fixtures(f) {
		if s.typ == "replay_recording" {
			f.Add(s.payload)
		}
	}
	f.Add([]byte("{\"segment_id\":0}\n[{\"type\":5,\"data\":{\"payload\":{\"secret\":\"x\"}}}]"))
	r := mustCompile(f, everything())
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		out, _, err := r.Item("replay_recording", payload)
		if !bytes.Equal(before, payload) {
			t.Fatal("the input was written to")
		}
		if err != nil {
			return
		}
		again, _, err := r.Item("replay_recording", out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("twice: %v", err)
		}
	})
}

// TestTwiceIsOnce joins pieces that rules find, and near misses, into random
// documents: scrubbing must reach its end in one run.
func TestTwiceIsOnce(t *testing.T) {
	pieces := []string{
		"4111111111111111", "4111 1111 1111 1111", "378282246310005", "GB82WEST12345698765432", "DE89 3704 0044 0532 0130 00", "078-05-1120",
		"-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----", "abc", "pg://a:b@", "//:x@h", "/Users/", "/home/jane/", `C:\Users\`, "jane", "password", "secret=", "token", "token:",
		"otp", "auth", "Bearer ", "bearer abc", "x@example.com", "%40example.com", "203.0.113.5", "2001:db8::1", "::", "?", "a=b", "&", "#", "password=x", "api_key=%41%20", filtered, "[email]", "[ip]",
		"{{auto}}", " ", ":", "=", "/", "@", ".", "-", "\n", "\"", "é", "{\"password\":\"x\"}", "[\"secret\",1]", "; csrf=1", "1", "_",
	}
	keys := []string{"a", "password", "token", "cookies", "Cookie", "message", "request", "data", "query_string", "url", "user", "ip_address", "tags", "key", "value", "name", "extra", "x@example.com", "app_version", "attributes", "items", "_meta", "body", "zip", "author", "", "val"}
	configs := fuzzConfigs(t)
	text := rapid.Custom(func(t *rapid.T) string {
		out := ""
		for _, p := range rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, "pieces") {
			out += p
		}
		return out
	})
	var value func(t *rapid.T, depth int) string
	value = func(t *rapid.T, depth int) string {
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		switch {
		case depth == 0 || kind < 3:
			return quote(text.Draw(t, "text"))
		case kind == 3:
			return rapid.SampledFrom([]string{"1", "null", "true", "4111111111111111", "1.5"}).Draw(t, "scalar")
		}
		out := ""
		for range rapid.IntRange(0, 3).Draw(t, "members") {
			if out != "" {
				out += ","
			}
			if kind == 4 {
				out += quote(rapid.SampledFrom(keys).Draw(t, "key")) + ":"
			}
			out += value(t, depth-1)
		}
		if kind == 4 {
			return "{" + out + "}"
		}
		return "[" + out + "]"
	}
	rapid.Check(t, func(t *rapid.T) {
		r := rapid.SampledFrom(configs).Draw(t, "config")
		typ := rapid.SampledFrom(fuzzTypes).Draw(t, "type")
		checkRun(t, r, typ, []byte(value(t, 4)))
	})
}
