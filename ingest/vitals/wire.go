package vitals

import (
	"math"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
)

// Series in Prometheus' binary format, message io.prometheus.client.Metric,
// written without building its structs first: a scrape of a thousand label sets
// would allocate and walk half a million of them. Field numbers are those of
// metrics.proto.

// scratch is memory for what is nested, used again for the next series.
type scratch struct {
	value, part []byte
	spans       []span
	deltas      []int64
}

func (h *histogram) append(b []byte, s *scratch) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := uintField(s.value[:0], 1, h.count)
	v = doubleField(v, 2, h.sum)
	total := uint64(0)
	for i, n := range h.classic {
		bound, exemplar := math.Inf(1), h.of(i)
		if i < len(h.bounds) {
			bound = h.bounds[i]
		} else if exemplar == nil {
			break
		}
		total += n
		s.part = doubleField(uintField(s.part[:0], 1, total), 2, bound)
		if exemplar != nil {
			s.part = exemplarField(s.part, 3, exemplar)
		}
		v = messageField(v, 3, s.part)
	}
	v = uintField(v, 5, protowire.EncodeZigZag(nativeSchema))
	v = doubleField(v, 6, h.zeroThreshold)
	v = uintField(v, 7, h.zero)
	s.spans, s.deltas = h.nativeRow(s.spans[:0], s.deltas[:0])
	for _, p := range s.spans {
		s.part = uintField(uintField(s.part[:0], 1, protowire.EncodeZigZag(int64(p.offset))), 2, uint64(p.length))
		v = messageField(v, 12, s.part)
	}
	for _, d := range s.deltas {
		v = uintField(v, 13, protowire.EncodeZigZag(d))
	}
	v = timeField(v, 15, h.created.Unix(), h.created.Nanosecond())
	for _, x := range h.all() {
		v = exemplarField(v, 16, x)
	}
	s.value = v
	return messageField(labelFields(b, 1, h.labels), 7, v)
}

func (c *counter) append(b []byte, s *scratch) []byte {
	s.value = doubleField(s.value[:0], 1, c.value())
	s.value = timeField(s.value, 3, c.created.Unix(), c.created.Nanosecond())
	return messageField(labelFields(b, 1, c.labels), 3, s.value)
}

func uintField(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func doubleField(b []byte, field protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), math.Float64bits(v))
}

func messageField(b []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), message)
}

func labelFields(b []byte, field protowire.Number, labels []*dto.LabelPair) []byte {
	for _, l := range labels {
		name, value := l.GetName(), l.GetValue()
		b = protowire.AppendTag(b, field, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(2+protowire.SizeBytes(len(name))+protowire.SizeBytes(len(value)))) // two tags of one byte
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), name)
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), value)
	}
	return b
}

// timeField writes a google.protobuf.Timestamp; zero fields are left out there.
func timeField(b []byte, field protowire.Number, seconds int64, nanos int) []byte {
	var space [24]byte
	t := space[:0]
	if seconds != 0 {
		t = uintField(t, 1, uint64(seconds))
	}
	if nanos != 0 {
		t = uintField(t, 2, uint64(nanos))
	}
	return messageField(b, field, t)
}

func exemplarField(b []byte, field protowire.Number, x *dto.Exemplar) []byte {
	var space [128]byte
	m := labelFields(space[:0], 1, x.Label)
	m = doubleField(m, 2, x.GetValue())
	m = timeField(m, 3, x.GetTimestamp().GetSeconds(), int(x.GetTimestamp().GetNanos()))
	return messageField(b, field, m)
}
