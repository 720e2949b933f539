package otlp

import (
	"bytes"
	"math"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"breakwater/schemas"
)

// wire appends a length-delimited field.
func wire(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

// group is a request of one resource and one scope with records.
func group(resource, records []byte) []byte {
	return wire(nil, 1, wire(wire(nil, 1, resource), 2, records))
}

// What a resource has is searched for every record under it: a long list of
// attributes is searched at its start only, and a list is no name.
func TestResourcesAreSearchedShort(t *testing.T) {
	release := func(resource string) string {
		raw, _ := must(t, Logs(), logs(resource, `{"body":`+text("x")+`}`)).Items[0].InMemory()
		v, _ := schemas.Lookup(raw, "items")
		for el := range schemas.Elements(v) {
			v, _ = schemas.Lookup(el, "attributes", "sentry.release", "value")
		}
		return string(v)
	}
	version := attribute("service.version", text("1.2"))
	for _, tt := range []struct{ name, resource, want string }{
		{"within", strings.Repeat("{},", maxLooked-1) + version, `"1.2"`},
		{"beyond", strings.Repeat("{},", maxLooked) + version, ""},
		{"a list", attribute("service.version", `{"arrayValue":{"values":[{"intValue":1}]}}`), ""},
		{"bytes", attribute("service.version", `{"bytesValue":"AAAA"}`), ""},
	} {
		if got := release(tt.resource); got != tt.want {
			t.Errorf("%s: release %s, want %s", tt.name, got, tt.want)
		}
	}
}

// A data point of thirty bytes may stand for a hundred measurements.
func TestManyDataPoints(t *testing.T) {
	point := protowire.AppendFixed64(protowire.AppendTag(nil, 4, protowire.Fixed64Type), maxRepeats)
	point = protowire.AppendFixed64(protowire.AppendTag(point, 2, protowire.Fixed64Type), 1)
	for _, n := range []protowire.Number{11, 12} {
		point = protowire.AppendFixed64(protowire.AppendTag(point, n, protowire.Fixed64Type), math.Float64bits(7))
	}
	var histogram []byte
	points := 0
	for ; len(histogram) < 100<<10; points++ {
		histogram = wire(histogram, 1, point)
	}
	name := strings.Repeat("x", 20<<10) + ".web_vitals.lcp"
	req := request()
	req.Header = http.Header{"Content-Type": {"application/x-protobuf"}}
	b, err := Metrics().Decode(t.Context(), req, bytes.NewReader(group(bytes.Repeat([]byte{0x0a, 0}, 1000), wire(nil, 2, wire(wire(nil, 1, []byte(name)), 9, histogram)))))
	if err != nil {
		t.Fatal(err)
	}
	vitals, refused := 0, 0
	for _, bc := range b.Beacons {
		vitals += len(bc.Vitals)
	}
	for _, it := range b.Items {
		if it.Reason == reasonTooLarge {
			refused += it.Quantity
		}
	}
	if vitals > maxMeasured/vitalSize || vitals/maxRepeats+refused != points {
		t.Errorf("%d measurements, %d points of %d refused", vitals, refused, points)
	}
}
