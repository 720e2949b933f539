package otlp

import (
	"bytes"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"breakwater/ingest"
)

// wire appends a length-delimited field.
func wire(b []byte, n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), v)
}

// group is a request of one resource and one scope with records.
func group(resource, records []byte) []byte {
	return wire(nil, 1, wire(wire(nil, 1, resource), 2, records))
}

// decodeSoon decodes a request that would take minutes if its
// parts were looked at once for each other part.
func decodeSoon(t *testing.T, p *Protocol, contentType string, body []byte) *ingest.Batch {
	t.Helper()
	req := request()
	req.Header = http.Header{"Content-Type": {contentType}}
	done := make(chan *ingest.Batch, 1)
	go func() {
		b, err := p.Decode(t.Context(), req, bytes.NewReader(body))
		if err != nil {
			t.Error(err)
		}
		done <- b
	}()
	select {
	case b := <-done:
		return b
	case <-time.After(30 * time.Second):
		t.Fatalf("%d bytes are not decoded in 30 seconds", len(body))
		return nil
	}
}

// What a resource has is asked for with every record under it.
func TestManyAttributesUnderManyRecords(t *testing.T) {
	many := func(n int) string { return strings.TrimSuffix(strings.Repeat("{},", n), ",") }
	b := decodeSoon(t, Logs(), "application/json", []byte(logs(many(40_000), many(maxRecords))))
	if got := fates(b); got != "10000 log" {
		t.Error(got)
	}
}

// A long list under each name that every record asks its resource for.
func TestLongValuesUnderManyRecords(t *testing.T) {
	list := wire(nil, 5, bytes.Repeat([]byte{0x0a, 2, 0x10, 1}, 4<<10))
	var resource []byte
	for _, name := range []string{"service.version", "deployment.environment.name", "session.id", "url.full", "http.route", "os.name", "browser.mobile"} {
		resource = wire(resource, 1, wire(wire(nil, 1, []byte(name)), 2, list))
	}
	b := decodeSoon(t, Logs(), "application/x-protobuf", group(resource, bytes.Repeat([]byte{0x12, 0}, maxRecords)))
	if total := b.Items[0].Quantity + b.Items[len(b.Items)-1].Quantity; len(b.Items) != 2 || total != maxRecords {
		t.Error(fates(b))
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
	b := decodeSoon(t, Metrics(), "application/x-protobuf", group(bytes.Repeat([]byte{0x0a, 0}, 1000), wire(nil, 2, wire(wire(nil, 1, []byte(name)), 9, histogram))))
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
