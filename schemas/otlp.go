package schemas

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// OTLPSignal is what an OTLP request carries.
type OTLPSignal int

// The signals of OTLP 1.x that the gateway takes.
const (
	OTLPLogs OTLPSignal = iota
	OTLPTraces
	OTLPMetrics
)

// otlpNames are the members, in JSON, on the way from a request to its
// records. In protobuf the fields have the same numbers for every signal: 1 for
// the resources of a request, 1 and 2 for a resource and its scopes, 1 and 2 for
// a scope and its records.
var otlpNames = [...][3]string{
	OTLPLogs:    {"resourceLogs", "scopeLogs", "logRecords"},
	OTLPTraces:  {"resourceSpans", "scopeSpans", "spans"},
	OTLPMetrics: {"resourceMetrics", "scopeMetrics", "metrics"},
}

// MaxOTLPDepth bounds nesting of an OTLP request in JSON; attribute values may
// be lists of lists.
const MaxOTLPDepth = 100

// MaxOTLPRecord bounds a record, a resource and a scope, in bytes as they were
// sent: decoded, protobuf can take forty times as much.
const MaxOTLPRecord = 128 << 10

// MaxOTLPParts bounds the fields of a record or resource in protobuf: its
// attributes, events and links together. SDKs keep 128 of each.
const MaxOTLPParts = 2000

// Errors of WalkOTLP, beside JSON errors.
var (
	ErrOTLPDepth = errors.New("OTLP request is nested too deeply")
	ErrOTLPWire  = errors.New("OTLP request is not valid protobuf")

	errTooLong = errors.New("more than a record may have")
	errNotHex  = errors.New("an id is not hexadecimal")
)

// OTLPRecord is one log record, span or metric, not decoded yet, with what it
// stands under.
type OTLPRecord struct {
	// Resource and Scope are shared by the records under them; nil when there
	// is none.
	Resource *resourcepb.Resource
	Scope    *commonpb.InstrumentationScope

	raw  []byte
	json bool
	err  error // of the resource or scope
}

// Bytes is the record as it was sent. It shares memory with the request.
func (r *OTLPRecord) Bytes() []byte { return r.raw }

// Decode reads the record into its official type. An error is one of this
// record, or of its resource or scope; its neighbours may be fine.
func (r *OTLPRecord) Decode(m proto.Message) error {
	if r.err != nil {
		return r.err
	}
	return decodeOTLP(r.raw, r.json, m)
}

func decodeOTLP(raw []byte, asJSON bool, m proto.Message) error {
	if len(raw) > MaxOTLPRecord {
		return errTooLong
	}
	if asJSON {
		return UnmarshalOTLP(raw, m)
	}
	parts := 0
	for b := raw; len(b) > 0; parts++ {
		_, _, n := protowire.ConsumeField(b)
		if n < 0 {
			return ErrOTLPWire
		}
		if parts == MaxOTLPParts {
			return errTooLong
		}
		b = b[n:]
	}
	return proto.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: MaxOTLPDepth}.Unmarshal(raw, m)
}

// WalkOTLP calls visit for every record (which is good until visit returns) of an Export…ServiceRequest, in JSON or
// in protobuf, until it returns false. Errors are those of the whole request:
// not JSON, not protobuf, too deep; a record that cannot be read is for
// OTLPRecord.Decode to tell. A request without records is no error.
func WalkOTLP(body []byte, asJSON bool, signal OTLPSignal, visit func(*OTLPRecord) bool) error {
	w := otlpWalk{names: otlpNames[signal], visit: visit}
	if !asJSON {
		return w.wire(body)
	}
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if TooDeep(body, MaxOTLPDepth) {
		return ErrOTLPDepth
	}
	if !Valid(body) {
		return whyInvalid(body, "an OTLP request")
	}
	if jsontext.Value(body).Kind() != '{' {
		return ErrNotObject
	}
	w.json(body)
	return nil
}

type otlpWalk struct {
	names [3]string
	visit func(*OTLPRecord) bool
}

func (w *otlpWalk) json(body jsontext.Value) {
	resources, _ := Lookup(body, w.names[0])
	for r := range Elements(resources) {
		group := OTLPRecord{json: true}
		if raw, ok := Lookup(r, "resource"); ok && raw.Kind() != 'n' {
			group.Resource = &resourcepb.Resource{}
			group.err = decodeOTLP(raw, true, group.Resource)
		}
		scopes, _ := Lookup(r, w.names[1])
		for s := range Elements(scopes) {
			under := group
			if raw, ok := Lookup(s, "scope"); ok && raw.Kind() != 'n' {
				under.Scope = &commonpb.InstrumentationScope{}
				under.err = errors.Join(under.err, decodeOTLP(raw, true, under.Scope))
			}
			records, _ := Lookup(s, w.names[2])
			for raw := range Elements(records) {
				if under.raw = raw; !w.visit(&under) {
					return
				}
			}
		}
	}
}

// errEnough ends a walk that visit has had enough of.
var errEnough = errors.New("enough")

func (w *otlpWalk) wire(body []byte) error {
	err := eachField(body, 1, func(r []byte) error {
		group := OTLPRecord{}
		if err := eachField(r, 1, func(raw []byte) error {
			group.Resource = &resourcepb.Resource{}
			group.err = decodeOTLP(raw, false, group.Resource)
			return nil
		}); err != nil {
			return err
		}
		return eachField(r, 2, func(s []byte) error {
			under := group
			if err := eachField(s, 1, func(raw []byte) error {
				under.Scope = &commonpb.InstrumentationScope{}
				under.err = errors.Join(group.err, decodeOTLP(raw, false, under.Scope))
				return nil
			}); err != nil {
				return err
			}
			return eachField(s, 2, func(raw []byte) error {
				if under.raw = raw; !w.visit(&under) {
					return errEnough
				}
				return nil
			})
		})
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// eachField calls visit for every length-delimited field of a number.
func eachField(b []byte, want protowire.Number, visit func([]byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return ErrOTLPWire
		}
		b = b[n:]
		if num != want || typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return ErrOTLPWire
			}
			b = b[n:]
			continue
		}
		value, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return ErrOTLPWire
		}
		b = b[n:]
		if err := visit(value); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalOTLP reads one message of OTLP's JSON form, which is protobuf's but
// for trace and span ids: they are hex, not base64. Unknown members are
// ignored, lone surrogates become U+FFFD.
func UnmarshalOTLP(raw []byte, m proto.Message) error {
	plain, err := turnIDs(raw, func(id string) (string, error) {
		b, err := hex.DecodeString(id)
		if err != nil {
			return "", errNotHex
		}
		return base64.StdEncoding.EncodeToString(b), nil
	})
	if err != nil {
		return err
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true, RecursionLimit: MaxOTLPDepth}.Unmarshal(plain, m)
}

// MarshalOTLP writes a message in OTLP's JSON form: lower camel case names,
// numbers for enumerations, hex for trace and span ids.
func MarshalOTLP(m proto.Message) ([]byte, error) {
	raw, err := protojson.MarshalOptions{UseEnumNumbers: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("writing OTLP: %w", err)
	}
	return turnIDs(raw, func(id string) (string, error) {
		b, err := base64.StdEncoding.DecodeString(id)
		return hex.EncodeToString(b), err
	})
}

// turnIDs copies JSON, without white space, and turns the ids in it. No
// attribute can be taken for one: its name stands behind "key".
func turnIDs(raw []byte, turn func(string) (string, error)) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsonLenient...)
	out := bytes.NewBuffer(make([]byte, 0, len(raw)))
	enc := jsontext.NewEncoder(out, jsontext.AllowDuplicateNames(true))
	isID := false
	for {
		tok, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading OTLP: %w", err)
		}
		kind, n := dec.StackIndex(dec.StackDepth())
		text := ""
		if tok.Kind() == '"' {
			text = string(bytes.ToValidUTF8([]byte(tok.String()), []byte("\uFFFD")))
			if isID {
				if text, err = turn(text); err != nil {
					return nil, err
				}
			}
			tok = jsontext.String(text)
		}
		isID = kind == '{' && n%2 == 1 && (text == "traceId" || text == "spanId" || text == "parentSpanId")
		if err := enc.WriteToken(tok); err != nil {
			return nil, fmt.Errorf("writing OTLP: %w", err)
		}
	}
}
