package schemas

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
)

// OTLPText is an attribute's value as text: strings as they are, other plain
// values as they are written, lists and maps as JSON; "" for none.
func OTLPText(v *commonpb.AnyValue) string {
	switch x := v.GetValue().(type) {
	case nil:
		return ""
	case *commonpb.AnyValue_StringValue:
		return x.StringValue
	case *commonpb.AnyValue_BoolValue:
		return strconv.FormatBool(x.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.FormatInt(x.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		return strconv.FormatFloat(x.DoubleValue, 'g', -1, 64)
	}
	return string(OTLPJSON(v))
}

// OTLPJSON is an attribute's value as plain JSON: {"a": [1, "b"]}, not OTLP's
// tagged form. Numbers that JSON does not know (NaN) become strings.
func OTLPJSON(v *commonpb.AnyValue) jsontext.Value { return appendOTLP(nil, v, math.MaxInt) }

// OTLPJSONWithin is OTLPJSON for a reader of at most limit bytes: a value that
// is longer is not written much further, and is no JSON then.
func OTLPJSONWithin(v *commonpb.AnyValue, limit int) jsontext.Value {
	return appendOTLP(nil, v, limit)
}

// OTLPPlain is OTLPText of a text, a number or a truth value, "" of all else: it
// costs the same whatever the value is.
func OTLPPlain(v *commonpb.AnyValue) string {
	switch v.GetValue().(type) {
	case *commonpb.AnyValue_BytesValue, *commonpb.AnyValue_ArrayValue, *commonpb.AnyValue_KvlistValue:
		return ""
	}
	return OTLPText(v)
}

func appendOTLP(b jsontext.Value, v *commonpb.AnyValue, limit int) jsontext.Value {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return append(b, QuoteString(x.StringValue)...)
	case *commonpb.AnyValue_BoolValue:
		return strconv.AppendBool(b, x.BoolValue)
	case *commonpb.AnyValue_IntValue:
		return strconv.AppendInt(b, x.IntValue, 10)
	case *commonpb.AnyValue_DoubleValue:
		if n := jsontext.Value(strconv.AppendFloat(nil, x.DoubleValue, 'g', -1, 64)); n.IsValid() {
			return append(b, n...)
		}
		return append(b, QuoteString(strconv.FormatFloat(x.DoubleValue, 'g', -1, 64))...)
	case *commonpb.AnyValue_BytesValue:
		return append(b, QuoteString(base64.StdEncoding.EncodeToString(x.BytesValue))...)
	case *commonpb.AnyValue_ArrayValue:
		b = append(b, '[')
		for i, el := range x.ArrayValue.GetValues() {
			if len(b) > limit {
				break
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = appendOTLP(b, el, limit)
		}
		return append(b, ']')
	case *commonpb.AnyValue_KvlistValue:
		b = append(b, '{')
		for i, kv := range x.KvlistValue.GetValues() {
			if len(b) > limit {
				break
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(append(b, QuoteString(kv.GetKey())...), ':')
			b = appendOTLP(b, kv.GetValue(), limit)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

// OTLPNumber is an attribute's value as number; ok is false for all else, also
// for a text that looks like one.
func OTLPNumber(v *commonpb.AnyValue) (n float64, ok bool) {
	switch x := v.GetValue().(type) {
	case *commonpb.AnyValue_IntValue:
		return float64(x.IntValue), true
	case *commonpb.AnyValue_DoubleValue:
		return x.DoubleValue, true
	}
	return 0, false
}

// OTLPAttribute finds the first of several names that is there and not empty.
func OTLPAttribute(list []*commonpb.KeyValue, names ...string) *commonpb.AnyValue {
	for _, name := range names {
		for _, kv := range list {
			if kv.GetKey() == name && kv.GetValue().GetValue() != nil {
				return kv.GetValue()
			}
		}
	}
	return nil
}

// OTLPTime is a time in nanoseconds since 1970; ok is false for 0, which
// stands for unknown.
func OTLPTime(nanos uint64) (t time.Time, ok bool) {
	if nanos == 0 {
		return time.Time{}, false
	}
	return time.Unix(int64(nanos/1e9), int64(nanos%1e9)).UTC(), true
}
