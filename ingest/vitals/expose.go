package vitals

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"google.golang.org/protobuf/encoding/protowire"
)

// The formats that are remembered.
const (
	asProto = iota
	asText
	asOpenMetrics
	formats
)

func formatOf(f expfmt.Format) (int, bool) {
	switch f.FormatType() {
	case expfmt.TypeProtoDelim:
		return asProto, true
	case expfmt.TypeTextPlain:
		return asText, true
	case expfmt.TypeOpenMetrics:
		return asOpenMetrics, true
	}
	return 0, false
}

// Exposes tells whether WriteMetrics knows a format: delimited protobuf, text
// and OpenMetrics.
func (v *Vitals) Exposes(f expfmt.Format) bool { _, ok := formatOf(f); return ok }

// WriteMetrics writes the families with a series per page in an exposition
// format, without an end mark. It writes what a Gatherer and an encoder of
// Prometheus' library would; but a series that has not changed since it was
// last asked for in this format is not made again, which at a thousand label
// sets is most of what a scrape costs. The names are those of ASCII metrics, so
// no escaping scheme changes them.
//
// Errors are those of w, a format that Exposes does not know, and a series that
// cannot be written, which would be a mistake of ours.
func (v *Vitals) WriteMetrics(w io.Writer, f expfmt.Format) error {
	format, ok := formatOf(f)
	if !ok {
		return fmt.Errorf("metrics cannot be written as %s", f)
	}
	for _, fam := range v.m.pages {
		if err := fam.write(w, format); err != nil {
			return err
		}
	}
	return nil
}

// write takes the lock for making what is out of date, not for sending it:
// a slow scraper must not hold up a new series.
func (f *family) write(w io.Writer, format int) error {
	parts, size, err := f.refresh(format)
	if err != nil || len(parts) == 0 {
		return err
	}
	if _, err := w.Write(f.head(format, size)); err != nil {
		return fmt.Errorf("writing %s: %w", f.name, err)
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	return nil
}

// refresh returns every series as it is now, and their length together.
func (f *family) refresh(format int) (parts [][]byte, size int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	parts = make([][]byte, len(f.series))
	var e encoder
	for i, s := range f.series {
		if s.changed.Load() && s.changed.Swap(false) {
			s.written = [formats][]byte{}
		}
		if s.written[format] == nil {
			if s.written[format], err = e.series(f, s, format); err != nil {
				s.changed.Store(true)
				return nil, 0, fmt.Errorf("writing %s: %w", f.name, err)
			}
		}
		parts[i] = s.written[format]
		size += len(parts[i])
	}
	return parts, size, nil
}

// head is what stands before the series of a family.
func (f *family) head(format, size int) []byte {
	if format == asProto {
		b := messageField(nil, 1, []byte(f.name))
		b = messageField(b, 2, []byte(f.help))
		b = uintField(b, 3, uint64(f.typ))
		return append(binary.AppendUvarint(nil, uint64(len(b)+size)), b...)
	}
	var b bytes.Buffer
	one := &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: &f.typ}
	// Without a metric the writers refuse; with one, its comments come first.
	zero := 0.0
	if f.typ == dto.MetricType_COUNTER {
		one.Metric = []*dto.Metric{{Counter: &dto.Counter{Value: &zero}}}
	} else {
		one.Metric = []*dto.Metric{{Histogram: &dto.Histogram{SampleSum: &zero}}}
	}
	_ = lines(&b, one, format) // into memory, of two constants
	return b.Bytes()[:b.Len()-len(withoutComments(b.Bytes()))]
}

func lines(w *bytes.Buffer, f *dto.MetricFamily, format int) (err error) {
	if format == asOpenMetrics {
		_, err = expfmt.MetricFamilyToOpenMetrics(w, f)
	} else {
		_, err = expfmt.MetricFamilyToText(w, f)
	}
	return err
}

// withoutComments leaves out the lines about the family.
func withoutComments(b []byte) []byte {
	for len(b) > 0 && b[0] == '#' {
		_, b, _ = bytes.Cut(b, []byte{'\n'})
	}
	return b
}

// encoder keeps its memory from one series to the next.
type encoder struct {
	raw     []byte
	scratch scratch
	text    bytes.Buffer
}

func (e *encoder) series(f *family, s *series, format int) ([]byte, error) {
	if format == asProto {
		e.raw = s.metric.append(e.raw[:0], &e.scratch)
		return messageField(make([]byte, 0, 1+protowire.SizeBytes(len(e.raw))), 4, e.raw), nil
	}
	var m dto.Metric
	if err := s.metric.Write(&m); err != nil {
		return nil, err
	}
	e.text.Reset()
	if err := lines(&e.text, &dto.MetricFamily{Name: &f.name, Help: &f.help, Type: &f.typ, Metric: []*dto.Metric{&m}}, format); err != nil {
		return nil, err
	}
	return bytes.Clone(withoutComments(e.text.Bytes())), nil
}
