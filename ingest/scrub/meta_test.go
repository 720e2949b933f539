package scrub

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestRemarks holds the _meta that scrubbing adds, in Sentry's form.
func TestRemarks(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"substituted", `{"user":{"email":"x@example.com"}}`, `{"user":{"email":{"":{"rem":[["@email:replace","s",0,7]],"len":13}}}}`},
		{"in the middle", `{"extra":{"s":"é 4111111111111111 078-05-1120"}}`, `{"extra":{"s":{"":{"rem":[["@creditcard:filter","s",2,12],["@usssn:filter","s",13,23]],"len":30}}}}`},
		{"removed", `{"extra":{"secret":[1]},"user":{"ip_address":"x"}}`, `{"extra":{"secret":{"":{"rem":[["@password:filter","x"]]}}},"user":{"ip_address":{"":{"rem":[["@anything:remove","x"]]}}}}`},
		{"lists", `{"breadcrumbs":[{"message":"x"},{"message":"203.0.113.5","data":{"a":["b","203.0.113.5"]}}]}`, `{"breadcrumbs":{"1":{"message":{"":{"rem":[["@ip:replace","s",0,4]],"len":11}},"data":{"a":{"1":{"":{"rem":[["@ip:replace","s",0,4]],"len":11}}}}}}}`},
		{"escaped key", `{"extra":{"a\"b":"203.0.113.5"}}`, `{"extra":{"a\"b":{"":{"rem":[["@ip:replace","s",0,4]],"len":11}}}}`},
		{"a changed key", `{"extra":{"x@example.com":"203.0.113.5"}}`, `{"extra":{"[email]":{"":{"rem":[["@ip:replace","s",0,4]],"len":11}}}}`},
		{"pair", `{"tags":[["secret","x"]]}`, `{"tags":{"0":{"1":{"":{"rem":[["@password:filter","s",0,10]],"len":1}}}}}`},
		{"sentence", `{"message":"call 078-05-1120"}`, `{"message":{"":{"rem":[["@usssn:replace","s",5,13]],"len":16}}}`},
		{
			"merged", `{"_meta":{"user":{"email":{"":{"rem":[["a","s",0,1]],"len":99}},"id":{"":{"len":3}}}},"user":{"email":"x@example.com","name":"x@example.com"}}`,
			`{"user":{"email":{"":{"rem":[["a","s",0,1],["@email:replace","s",0,7]],"len":99}},"id":{"":{"len":3}},"name":{"":{"rem":[["@email:replace","s",0,7]],"len":13}}}}`,
		},
		{"merged into nothing", `{"_meta":null,"user":{"email":"x@example.com"}}`, `{"user":{"email":{"":{"rem":[["@email:replace","s",0,7]],"len":13}}}}`},
		{
			"original values are scrubbed, remarks are not", `{"_meta":{"user":{"email":{"":{"val":"x@example.com","rem":[["@password:filter","s"]],"err":["invalid_data"]}},"password":{"":{"val":"hunter2"}}}}}`,
			`{"user":{"email":{"":{"val":"[email]","rem":[["@password:filter","s"]],"err":["invalid_data"]}},"password":{"":{"val":"[Filtered]"}}}}`,
		},
	}
	r := mustCompile(t, everything())
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out, _, err := r.Item("event", []byte(c.in))
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				Meta json.RawMessage `json:"_meta"`
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if string(got.Meta) != c.want {
				t.Fatalf("\n got %s\nwant %s", got.Meta, c.want)
			}
			again, _, err := r.Item("event", out)
			if err != nil || !sameSlice(again, out) {
				t.Fatalf("a second run made %s (%v)", again, err)
			}
		})
	}
	t.Run("other types have none", func(t *testing.T) {
		if out, _, _ := r.Item("log", []byte(`{"items":[{"body":"x@example.com"}]}`)); strings.Contains(string(out), "_meta") {
			t.Fatal(string(out))
		}
	})
	t.Run("bounded", func(t *testing.T) {
		var b strings.Builder
		for i := range 5000 {
			fmt.Fprintf(&b, `,"k%d":"203.0.113.5"`, i)
		}
		out, hits, err := r.Item("event", []byte(`{"extra":{"a":1`+b.String()+`}}`))
		if err != nil || strings.Count(string(out), "@ip:replace") != maxRemarks || strings.Contains(string(out), "203.0") || hits[0].N != 5000 {
			t.Fatalf("%d remarks, hits %v, %v", strings.Count(string(out), "@ip:replace"), hits, err)
		}
	})
}

func TestExplain(t *testing.T) {
	r := mustCompile(t, everything())
	after, hits, err := r.Explain("event", []byte(`{"extra":{"x@example.com":["a",{"secret":1}]},"request":{"data":"{\"password\":\"x\"}"}}`))
	if err != nil || !strings.HasPrefix(string(after), `{"extra":{"[email]":["a",{"secret":null}]},"request":{"data":"{\"password\":\"[Filtered]\"}"}`) {
		t.Fatal(string(after), err)
	}
	want := []Hit{{"extra.[email]", "email"}, {"extra.[email].1.secret", "password"}, {"request.data", "password"}}
	if fmt.Sprint(hits) != fmt.Sprint(want) {
		t.Errorf("hits %v, want %v", hits, want)
	}
}

// TestUntouched: without a hit the same bytes come back, and no memory is taken;
// under the race detector, which makes pools forget at random, only the first.
func TestUntouched(t *testing.T) {
	r := mustCompile(t, everything())
	payload, _, err := r.Item("event", fixture(t, "sentry-browser/tracing-stream", "event"))
	if err != nil {
		t.Fatal(err)
	}
	hits := make([]int, len(r.names))
	allocs := testing.AllocsPerRun(100, func() {
		if out, err := r.scrub("event", payload, addresses{remove: true}, hits, nil); err != nil || !sameSlice(out, payload) {
			t.Fatal("changed", err)
		}
	})
	if allocs > 0.1 && !raceDetector {
		t.Errorf("%v allocations for a clean event", allocs)
	}
}

// TestBounds: what would cost too much is refused or stays cheap.
func TestBounds(t *testing.T) {
	r := mustCompile(t, everything())
	deep := strings.Repeat(`[`, maxDepth+1) + strings.Repeat(`]`, maxDepth+1)
	if out, _, err := r.Item("x", []byte(deep)); err == nil || string(out) != deep {
		t.Errorf("too deep: %v", err)
	}
	// Each of these is a megabyte that takes hours when it is looked at quadratically.
	for name, text := range map[string]string{
		"pairs":      `[` + strings.Repeat(strings.Repeat(`["password",`, 200)+`1`+strings.Repeat(`,1]`, 200)+`,`, 400) + "1]",
		"addresses":  `"` + strings.Repeat("a%40", 250_000) + `"`,
		"tokens":     `"` + strings.Repeat("token", 200_000) + ` :"`,
		"slashes":    `"` + strings.Repeat("//a:", 250_000) + `"`,
		"pem":        `"` + strings.Repeat("-----BEGIN PUBLIC KEY-----", 40_000) + `"`,
		"digits":     `"` + strings.Repeat("4-", 500_000) + `"`,
		"colons":     `"` + strings.Repeat(":", 1_000_000) + `"`,
		"queries":    `"` + strings.Repeat("?a=%", 250_000) + `"`,
		"embedded":   `{"request":{"data":` + quote(`[`+strings.Repeat(`"x@example.com",`, 60_000)+`1]`) + `}}`,
		"backslash":  `"` + strings.Repeat(`\\`, 500_000) + `"`,
		"paths":      `"` + strings.Repeat("/home/", 160_000) + `"`,
		"assigned":   `"` + strings.Repeat("password=", 110_000) + `"`,
		"ibans":      `"` + strings.Repeat("GB82 ", 200_000) + `"`,
		"ssn":        `"` + strings.Repeat("123-45-", 140_000) + `"`,
		"key values": `[` + strings.Repeat(strings.Repeat(`{"value":`, 200)+"1"+strings.Repeat("}", 200)+",", 500) + `1]`,
	} {
		t.Run(name, func(t *testing.T) {
			for _, typ := range []string{"event", "log", "x"} {
				if _, _, err := r.Item(typ, []byte(text)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}
