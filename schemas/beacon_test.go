package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"

	"github.com/go-playground/validator/v10"
	gojson "github.com/goccy/go-json"
	"github.com/google/go-cmp/cmp"
)

func TestDecodeBeaconFixtures(t *testing.T) {
	n := 0
	for _, f := range fixtures(t) {
		if f.Kind != "web-vitals" || f.Method != "POST" {
			continue
		}
		t.Run(f.ID, func(t *testing.T) {
			b, rejected, err := DecodeBeacon(f.body(t), f.ContentType, url.Values{"release": {"shop@1.2.3"}, "mode": {"x"}})
			if err != nil || len(rejected) > 0 {
				t.Fatalf("error %v, rejected %v", err, rejected)
			}
			if len(b.Vitals) == 0 || len(f.Vitals) > 0 && len(b.Vitals) != len(f.Vitals) {
				t.Fatalf("%d vitals, index has %d", len(b.Vitals), len(f.Vitals))
			}
			for i, want := range f.Vitals {
				got := b.Vitals[i]
				if got.Name != want.Name || got.Value != want.Value || got.Delta != want.Delta || got.Rating != want.Rating || got.NavigationType != want.NavigationType {
					t.Errorf("vital %d: got %+v, want %+v", i, got, want)
				}
			}
			for _, v := range b.Vitals {
				if !KnownVital(v.Name) || !v.HasValue || !strings.HasPrefix(v.ID, "v6-") {
					t.Errorf("incomplete vital %+v", v)
				}
				if strings.Contains(f.ID, "attribution") && (len(v.Attribution) == 0 || v.NavigationURL == "" || v.NavigationID == "") {
					t.Errorf("attribution %s, navigation %q %q", v.Attribution, v.NavigationURL, v.NavigationID)
				}
			}
			if b.Release != "shop@1.2.3" || len(b.Ignored) > 0 {
				t.Errorf("release %q, ignored %v", b.Release, b.Ignored)
			}
			n += len(b.Vitals)
		})
	}
	if n < 50 {
		t.Errorf("only %d vitals in the fixtures", n)
	}
}

// TestDecodeBeaconForms: the index has no vitals for bodies that are not JSON,
// so the values stand here.
func TestDecodeBeaconForms(t *testing.T) {
	for _, f := range fixtures(t) {
		if f.Kind != "web-vitals" || f.Method != "POST" || len(f.Vitals) > 0 {
			continue
		}
		body := f.body(t)
		want := map[string]string{}
		if strings.HasPrefix(f.ContentType, "multipart/") {
			form, err := multipart.NewReader(bytes.NewReader(body), strings.SplitAfter(f.ContentType, "boundary=")[1]).ReadForm(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range form.Value {
				want[k] = v[0]
			}
		} else {
			q, err := url.ParseQuery(string(body))
			if err != nil {
				t.Fatal(err)
			}
			for k := range q {
				want[k] = q.Get(k)
			}
		}
		for _, ct := range []string{f.ContentType, "", "text/plain", "application/json"} {
			b, rejected, err := DecodeBeacon(body, ct, nil)
			if err != nil || len(rejected) > 0 || len(b.Vitals) != 1 {
				t.Fatalf("%s as %q: %v %v", f.ID, ct, err, rejected)
			}
			v := b.Vitals[0]
			if v.Name != want["name"] || fmt.Sprint(v.Value) != want["value"] || v.ID != want["id"] || v.Rating != want["rating"] {
				t.Errorf("%s as %q: got %+v, want %v", f.ID, ct, v, want)
			}
		}
	}
}

func TestDecodeBeacon(t *testing.T) {
	lcp := Vital{Name: "LCP", Value: 1834.2, ID: "v5-1", HasValue: true}
	const m = `{"name":"LCP","value":1834.2,"id":"v5-1"}`
	wrapper := Beacon{
		Route: "/product/:id", URL: "https://shop.example/product/42", Release: "shop@1.4.2", Environment: "production", Device: "mobile", OS: "iOS 18",
		SampleRate: 0.5, TraceID: strings.Repeat("ab", 16), Vitals: []Vital{lcp},
	}
	const fields = `"route":"/product/:id","url":"https://shop.example/product/42","release":"shop@1.4.2","environment":"production","device":"mobile","os":"iOS 18","sample_rate":0.5,"trace_id":"ABABABABABABABABABABABABABABABAB"`
	query := url.Values{
		"route": {"/product/:id"}, "url": {"https://shop.example/product/42"}, "release": {"shop@1.4.2"}, "environment": {"production"},
		"device": {"mobile"}, "os": {"iOS 18"}, "sample_rate": {"0.5"}, "trace_id": {strings.Repeat("ab", 16)},
	}
	tests := []struct {
		name, in, ct string
		query        url.Values
		want         Beacon
		rejected     []Rejected
	}{
		{name: "alone", in: m, want: Beacon{Vitals: []Vital{lcp}}},
		{name: "array", in: `[` + m + `]`, want: Beacon{Vitals: []Vital{lcp}}},
		{name: "space and a byte order mark", in: "\xef\xbb\xbf \n[ " + m + " ]\n", want: Beacon{Vitals: []Vital{lcp}}},
		{name: "wrapper", in: `{` + fields + `,"vitals":[` + m + `]}`, want: wrapper},
		{name: "wrapper around one", in: `{` + fields + `,"vitals":` + m + `}`, want: wrapper},
		{name: "fields beside a lone metric", in: `{` + fields + `,` + m[1:], want: wrapper},
		{name: "fields in the query", in: m, query: query, want: wrapper},
		{name: "fields in the query, array", in: `[` + m + `]`, query: query, want: wrapper},
		{name: "the body wins over the query", in: `{"release":"a@1","vitals":[` + m + `]}`, query: url.Values{"release": {"b@2"}, "route": {"/x"}}, want: Beacon{Release: "a@1", Route: "/x", Vitals: []Vital{lcp}}},
		{name: "metric in the query, empty body", query: url.Values{"name": {"LCP"}, "value": {"1834.2"}, "id": {"v5-1"}}, want: Beacon{Vitals: []Vital{lcp}}},
		{name: "form with fields", in: "name=LCP&value=1834.2&id=v5-1&release=a%401&device=tablet", want: Beacon{Release: "a@1", Device: "tablet", Vitals: []Vital{lcp}}},
		{name: "form with JSON vitals", in: "release=a%401&vitals=" + url.QueryEscape("["+m+"]"), want: Beacon{Release: "a@1", Vitals: []Vital{lcp}}},
		{name: "multipart without content type", in: "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nLCP\r\n--x\r\nContent-Disposition: form-data; name=\"value\"\r\n\r\n1834.2\r\n--x\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nv5-1\r\n--x--\r\n", want: Beacon{Vitals: []Vital{lcp}}},
		{name: "nothing", in: `[]`, want: Beacon{Vitals: []Vital{}}},
		{name: "no vitals", in: `{"vitals":[]}`, want: Beacon{Vitals: []Vital{}}},
		{name: "vitals null", in: `{"vitals":null}`, rejected: []Rejected{{"", "not_object"}}},
		{name: "empty object", in: `{}`, rejected: []Rejected{{"", "no_name"}}},
		{
			name: "bad neighbours", in: `[1,"x",null,[],{"value":1},{"name":7,"value":1},` + m + `,{"name":"CLS","value":1,"id":"` + strings.Repeat("i", 129) + `"}]`, want: Beacon{Vitals: []Vital{lcp}},
			rejected: []Rejected{{"", "not_object"}, {"", "not_object"}, {"", "not_object"}, {"", "not_object"}, {"", "no_name"}, {"", "no_name"}, {"CLS", "bad_id"}},
		},
		{
			name: "values", in: `[{"name":"a","value":"1"},{"name":"b"},{"name":"c","value":null},{"name":"d","value":0},{"name":"e","value":-1},{"name":"f","value":1e400},{"name":"g","value":1e-400}]`,
			want: Beacon{Vitals: []Vital{{Name: "a"}, {Name: "b"}, {Name: "c"}, {Name: "d", HasValue: true}, {Name: "e", Value: -1, HasValue: true}, {Name: "f", Value: math.MaxFloat64, HasValue: true}, {Name: "g", HasValue: true}}},
		},
		{name: "form values that are not numbers", in: "name=LCP&value=NaN", want: Beacon{Vitals: []Vital{{Name: "LCP"}}}},
		{name: "form value hexadecimal", in: "name=LCP&value=0x10", want: Beacon{Vitals: []Vital{{Name: "LCP"}}}},
		{
			name: "soft navigation", in: `[{"name":"INP","value":8,"id":"v6-1","navigationType":"soft-navigation","navigationId":77,"navigationURL":"https://a/b","navigationStartTime":12.5,"attribution":{"a":[1]}},{"name":"INP","value":9,"navigationId":"77","navigationURL":"https://a/b","attribution":"x"}]`,
			want: Beacon{Vitals: []Vital{
				{Name: "INP", Value: 8, ID: "v6-1", HasValue: true, NavigationType: "soft-navigation", NavigationID: "77", NavigationURL: "https://a/b", NavigationStartTime: 12.5, Attribution: `{"a":[1]}`},
				{Name: "INP", Value: 9, HasValue: true, NavigationID: "77", NavigationURL: "https://a/b"},
			}},
		},
		{
			name: "ids that look like the one before", in: `[{"name":"LCP","id":"null"},{"name":"CLS","id":null},{"name":"INP","id":"a\\\\b"},{"name":"FCP","id":"a\\b"},{"name":"TTFB","id":"a\u005cb"}]`,
			want: Beacon{Vitals: []Vital{{Name: "LCP", ID: "null"}, {Name: "CLS"}, {Name: "INP", ID: `a\\b`}, {Name: "FCP", ID: `a\b`}, {Name: "TTFB", ID: `a\b`}}},
		},
		{
			name: "wrapper fields that break the schema", in: `{"route":["x"],"url":"` + strings.Repeat("u", 9000) + `","release":"a/b","environment":"none","device":"fridge","os":{},"sample_rate":2,"trace_id":"xyz","vitals":[` + m + `]}`,
			want: Beacon{Vitals: []Vital{lcp}, Ignored: []string{"route", "url", "release", "environment", "device", "os", "sample_rate", "trace_id"}},
		},
		{name: "wrapper fields null", in: `{"route":null,"device":null,"vitals":[` + m + `]}`, want: Beacon{Vitals: []Vital{lcp}}},
		{name: "sample rate as text", in: `{"sample_rate":"0.25","vitals":[` + m + `]}`, want: Beacon{SampleRate: 0.25, Vitals: []Vital{lcp}}},
		{name: "long name is cut", in: `{"name":"` + strings.Repeat("ü", 60) + `","value":1}`, want: Beacon{Vitals: []Vital{{Name: strings.Repeat("ü", 32), Value: 1, HasValue: true}}}},
		{name: "escapes in a name", in: `{"n\u0061me":"L\u0043P","value":1834.2,"id":"v5-1"}`, want: Beacon{Vitals: []Vital{lcp}}},
		{name: "duplicate members: the last", in: `{"name":"CLS","value":1,"id":"x","name":"LCP","value":1834.2,"id":"v5-1"}`, want: Beacon{Vitals: []Vital{lcp}}},
	}
	validate := validator.New()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b, rejected, err := DecodeBeacon([]byte(tt.in), tt.ct, tt.query)
			if err != nil {
				t.Fatal(err)
			}
			tt.want.Source = "beacon"
			if diff := cmp.Diff(&tt.want, b); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(tt.rejected, rejected); diff != "" {
				t.Error(diff)
			}
			if err := validate.Struct(b); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDecodeBeaconErrors(t *testing.T) {
	deep := strings.Repeat(`[`, MaxBeaconDepth+1)
	for name, tt := range map[string]struct {
		in string
		is error
	}{
		"empty":               {"", ErrBeaconEmpty},
		"space":               {" \n\t", ErrBeaconEmpty},
		"text":                {"hello", ErrBeaconForm},
		"broken escape":       {"name=%zz", ErrBeaconForm},
		"multipart cut":       {"--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nLC", ErrBeaconForm},
		"boundary alone":      {"--", ErrBeaconForm},
		"too many fields":     {strings.Repeat("a=1&", 100), ErrBeaconForm},
		"deep":                {deep, ErrBeaconDepth},
		"deep in attribution": {`{"name":"LCP","value":1,"attribution":` + deep + strings.Repeat("]", len(deep)) + `}`, ErrBeaconDepth},
		"cut JSON":            {`{"name":"LCP"`, nil},
		"two texts":           {`{"name":"LCP","value":1}{}`, ErrTrailing},
		"NaN":                 {`{"name":"LCP","value":NaN}`, nil},
	} {
		b, _, err := DecodeBeacon([]byte(tt.in), "", nil)
		if err == nil || b != nil || tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%s: got %v, want %v", name, err, tt.is)
		}
	}
}

func TestDecodeBeaconIsBounded(t *testing.T) {
	in := `[` + strings.Repeat(`{"name":"LCP","value":1,"id":"x"},`, 300) + `{}]`
	b, rejected, err := DecodeBeacon([]byte(in), "", nil)
	if err != nil || len(b.Vitals) != MaxBeaconEntries || len(rejected) != 101 || rejected[0] != (Rejected{"LCP", RejectedTooMany}) {
		t.Errorf("%d vitals, %d rejected, %v", len(b.Vitals), len(rejected), err)
	}
}

func TestDecodeBeaconAllocations(t *testing.T) {
	allocs := testing.AllocsPerRun(200, func() {
		if _, _, err := DecodeBeacon(benchBeacon, "text/plain", nil); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 2 {
		t.Errorf("%.0f allocations for one metric in a wrapper", allocs)
	}
}

func FuzzBeacon(f *testing.F) {
	for _, fx := range fixtures(f) {
		if fx.Kind == "web-vitals" && fx.Method == "POST" {
			f.Add(fx.body(f), fx.ContentType, "route=/a&device=mobile")
		}
	}
	f.Add(benchBeacon, "", "sample_rate=2")
	f.Add([]byte(`{"vitals":[null,{"name":"LCP","value":"1"}]}`), "x", "name=a")
	validate := validator.New()
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		f.Add(randomBeacon(r), "", "")
	}
	f.Fuzz(func(t *testing.T, body []byte, ct, query string) {
		likePlain(t, body)
		q, _ := url.ParseQuery(query)
		b, rejected, err := DecodeBeacon(body, ct, q)
		if err != nil {
			if b != nil {
				t.Fatal("a beacon beside an error")
			}
			return
		}
		if err := validate.Struct(b); err != nil {
			t.Fatal(err)
		}
		for _, v := range b.Vitals {
			if err := validate.Struct(v); err != nil || math.IsNaN(v.Value) || math.IsInf(v.Value, 0) || math.IsNaN(v.Delta) || len(v.Name) > 64 {
				t.Fatalf("%+v: %v", v, err)
			}
		}
		for _, r := range rejected {
			if len(r.Name) > 64 || r.Reason == "" {
				t.Fatalf("%+v", r)
			}
		}
	})
}

var benchBeacon = []byte(`{"route":"/product/:id","url":"https://shop.example/product/42","release":"shop@1.4.2","environment":"production","device":"mobile","sample_rate":1,` +
	`"vitals":[{"name":"LCP","value":1834.2,"id":"v5-1795470350758-2951193131796","delta":1834.2,"rating":"good","navigationType":"navigate","entries":[{"name":"x","startTime":12.5}],"attribution":{"target":"#root"}}]}`)

func BenchmarkDecodeBeacon(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := DecodeBeacon(benchBeacon, "text/plain", nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecodeBeaconGoccy is what the alternative costs: structs by
// reflection, and it knows neither lone metrics nor bad neighbours.
func BenchmarkDecodeBeaconGoccy(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var out Beacon
		if err := gojson.Unmarshal(benchBeacon, &out); err != nil {
			b.Fatal(err)
		}
	}
}
