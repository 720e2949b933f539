package schemas

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// likePlain holds DecodeBeacon to plainBeacon, for a body that is meant as JSON.
func likePlain(t *testing.T, body []byte) (valid bool) {
	t.Helper()
	text := bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")))
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return false
	}
	want, wantRejected, wantErr := plainBeacon(text)
	sent := bytes.Clone(body)
	got, rejected, err := DecodeBeacon(sent, "", nil)
	for i := range sent { // the caller's again: nothing of the beacon may be in there
		sent[i] = '!'
	}
	if wantErr != nil {
		if err == nil || err.Error() != wantErr.Error() || errors.Is(err, ErrBeaconDepth) != errors.Is(wantErr, ErrBeaconDepth) || got != nil || rejected != nil {
			t.Fatalf("%q: error %v, want %v", body, err, wantErr)
		}
		return false
	}
	if err != nil {
		t.Fatalf("%q: error %v", body, err)
	}
	if diff := cmp.Diff(want, got) + cmp.Diff(wantRejected, rejected); diff != "" {
		t.Fatalf("%q: %s", body, diff)
	}
	if text[0] == '[' { // a form's vitals are such an array
		form, rejected, err := DecodeBeacon([]byte("vitals="+url.QueryEscape(string(text))), "", nil)
		if diff := cmp.Diff(want, form) + cmp.Diff(wantRejected, rejected); err != nil || diff != "" {
			t.Fatalf("%q in a form: %v %s", body, err, diff)
		}
	}
	return true
}

// TestDecodeBeaconLikePlain holds DecodeBeacon to the plain reading of captured
// beacons, as they are, cut and with bytes changed, and of beacons made at random.
func TestDecodeBeaconLikePlain(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	bodies := [][]byte{benchBeacon}
	for _, f := range fixtures(t) {
		if f.Kind == "web-vitals" && f.Method == "POST" {
			bodies = append(bodies, f.body(t))
		}
	}
	valid := 0
	for i := range 4000 {
		body := bodies[i%len(bodies)]
		if i >= len(bodies) && i%4 > 0 {
			body = randomBeacon(r)
		}
		if i >= len(bodies) && i%8 < 4 {
			body = damaged(r, body)
		}
		if likePlain(t, body) {
			valid++
		}
	}
	if valid < 1000 || valid > 3500 {
		t.Errorf("%d of 4000 bodies are beacons: that compares only one side", valid)
	}
}

// pick is one of some texts.
func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// randomBeacon is JSON with the names and values that a beacon turns on, at
// places where they may stand or not.
func randomBeacon(r *rand.Rand) []byte {
	var b strings.Builder
	space := func() { b.WriteString(pick(r, "", "", "", "", " ", "\n\t", "\r\n  ")) }
	var value func(depth int)
	list := func(brackets string, depth int, one func()) {
		b.WriteByte(brackets[0])
		space()
		for i := range r.IntN(7 - min(depth, 3)*2 + 1) {
			if i > 0 {
				b.WriteByte(',')
				space()
			}
			one()
			space()
		}
		b.WriteByte(brackets[1])
	}
	names := func(of ...string) func() {
		return func() {
			name := pick(r, of...)
			if name != "" && r.IntN(12) == 0 { // the same in other letters
				name = `\u00` + strconv.FormatUint(uint64(name[0]), 16) + name[1:]
			}
			b.WriteString(`"` + name + `"`)
			space()
			b.WriteByte(':')
			space()
		}
	}
	metricNames := []string{"name", "name", "value", "delta", "id", "rating", "navigationType", "navigationId", "navigationURL", "navigationStartTime", "attribution", "entries", "nam", "Name", "", `\\name`}
	metric := names(metricNames...)
	outer := names(append([]string{"vitals", "vitals", "route", "url", "release", "environment", "device", "os", "sample_rate", "trace_id", "vital"}, metricNames...)...)
	value = func(depth int) {
		switch n := r.IntN(20); {
		case n < 3 && depth < 4:
			list("{}", depth, func() { metric(); value(depth + 1) })
		case n < 5 && depth < 4:
			list("[]", depth, func() { value(depth + 1) })
		case n < 10:
			b.WriteString(pick(r, "0", "-0", "1", "-1", "0.25", "1834.2", "1834.199999988079", "0.00012345678901234", "12345678901234567", "9007199254740993", "1e5", "1E-7", "2.5e+300", "1e400", "-1e400", "1e-400", "77"))
		case n < 12:
			b.WriteString(pick(r, "true", "false", "null"))
		default:
			b.WriteString(`"` + pick(r, "", "LCP", "LCP", "CLS", "ttid", "L\\u0043P", "good", "poor", "navigate", "soft-navigation", "mobile", "fridge", "v6-1", "v6-1", "77", "null", "{}", "0.5", " 1 ", "2", "a/b", "none", "latest",
				"é", "\xff", `\\`, `a\\b`, `a\"b`, `\ud83d`, `\ud83d\ude00`, "\U0001f600", "ABABABABABABABABABABABABABABABAB", "https://shop.example/product/42",
				strings.Repeat("x", 1+r.IntN(140)), strings.Repeat("w", 62+r.IntN(5)), strings.Repeat("ü", 30+r.IntN(5)), strings.Repeat(`\u0041`, 8+r.IntN(8)), strings.Repeat("u", 8185+r.IntN(15)), strings.Repeat("r", 2040+r.IntN(15))) + `"`)
		}
	}
	entry := func() {
		if r.IntN(8) == 0 {
			value(3)
			return
		}
		list("{}", 0, func() { metric(); value(2) })
	}
	space()
	switch r.IntN(20) {
	case 0: // too many
		b.WriteString("[" + strings.Repeat(`{"name":"LCP","id":"v6-1"},7,`, 90+r.IntN(20)) + strings.Repeat(`{"name":"CLS"},[{"name":"x"}],`, 15) + "{}]")
	case 1: // deep
		n := 95 + r.IntN(10)
		b.WriteString(`{"name":"LCP","attribution":` + strings.Repeat(pick(r, "[", `{"a":`), n) + "1")
		b.WriteString(strings.Repeat(pick(r, "]", "}"), n) + "}")
	case 2, 3, 4, 5, 6, 7:
		list("[]", 0, entry)
	default:
		list("{}", 0, func() {
			if outer(); r.IntN(3) == 0 {
				list("[]", 0, entry)
				return
			}
			value(1)
		})
	}
	return []byte(b.String())
}

// damaged is a text with a few bytes changed, or cut.
func damaged(r *rand.Rand, body []byte) []byte {
	body = bytes.Clone(body)
	if len(body) == 0 {
		return body
	}
	for range 1 + r.IntN(2) {
		at := r.IntN(len(body))
		switch r.IntN(5) {
		case 0:
			return body[:at]
		case 1:
			body = append(body[:at:at], body[at+1:]...)
			if len(body) == 0 {
				return body
			}
		case 2:
			body = append(body[:at:at], append([]byte(pick(r, "\"", "{", "}", "[", "]", ",", ":", "0", "\\", " ")), body[at:]...)...)
		default:
			body[at] = pick(r, "\"", "{", "}", "[", "]", ",", ":", "0", "e", ".", "-", "\\", "u", " ", "\n", "\x00", "\x1f", "\x7f", "\x80", "\xff")[0]
		}
	}
	return body
}

// TestShortDecimal: what it reads is what strconv reads, to the bit.
func TestShortDecimal(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	read := 0
	for range 100_000 {
		text := strconv.FormatUint(r.Uint64()>>r.IntN(64), 10)
		text = text[:min(len(text), 1+r.IntN(20))]
		if r.IntN(4) > 0 {
			text += "." + strings.Repeat("0", r.IntN(6)) + strconv.FormatUint(r.Uint64()>>r.IntN(64), 10)
		}
		text = text[:min(len(text), 1+r.IntN(20))]
		if f, ok := shortDecimal([]byte(strings.TrimSuffix(text, "."))); ok {
			read++
			if want, err := strconv.ParseFloat(strings.TrimSuffix(text, "."), 64); err != nil || math.Float64bits(f) != math.Float64bits(want) {
				t.Fatalf("%s: %v, want %v", text, f, want)
			}
		}
	}
	if read < 25_000 {
		t.Errorf("only %d of 100000 numbers are short", read)
	}
}
