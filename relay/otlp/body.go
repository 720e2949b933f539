package otlp

import (
	"encoding/json"
	"fmt"
	"mime"
	"strconv"
	"strings"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"breakwater/schemas"
)

// requestBody is the request of all span items together, and how many spans it has.
// Items that are none get their final here.
func requestBody(env *schemas.Envelope, finals []schemas.Final) (body []byte, spans int64, err error) {
	all := &tracepb.TracesData{}
	for i := range env.Items {
		it := &env.Items[i]
		raw, inMemory := it.InMemory()
		if it.Header.Type != schemas.OTLPSpans || !inMemory {
			finals[i] = schemas.Final{Outcome: schemas.DeadLetter, Reason: "unsupported"}
			continue
		}
		var data tracepb.TracesData
		if err := schemas.UnmarshalOTLP(raw, &data); err != nil {
			return nil, 0, fmt.Errorf("reading stored spans: %w", err)
		}
		for _, r := range data.GetResourceSpans() {
			for _, s := range r.GetScopeSpans() {
				spans += int64(len(s.GetSpans()))
			}
		}
		all.ResourceSpans = append(all.ResourceSpans, data.GetResourceSpans()...)
	}
	if body, err = proto.Marshal(all); err != nil {
		return nil, 0, fmt.Errorf("writing spans: %w", err)
	}
	return body, spans, nil
}

// rejectedSpans reads an ExportTraceServiceResponse: how many spans were
// refused. An answer that is none refuses nothing: the status said so.
func rejectedSpans(text []byte, contentType string) int64 {
	if isJSON(contentType) {
		var r struct {
			PartialSuccess struct {
				RejectedSpans json.RawMessage `json:"rejectedSpans"`
			} `json:"partialSuccess"`
		}
		if json.Unmarshal(text, &r) != nil {
			return 0
		}
		n, err := strconv.ParseInt(strings.Trim(string(r.PartialSuccess.RejectedSpans), `"`), 10, 64)
		if err != nil || n < 0 {
			return 0
		}
		return n
	}
	partial, _ := field(text, 1)
	_, n := field(partial, 1)
	return max(int64(n), 0)
}

// statusMessage reads a google.rpc.Status: the upstream's own words.
func statusMessage(text []byte, contentType string) string {
	said := ""
	if isJSON(contentType) {
		var r struct{ Message, Detail string }
		if json.Unmarshal(text, &r) == nil {
			if said = r.Message; said == "" {
				said = r.Detail
			}
		}
	} else {
		words, _ := field(text, 2)
		said = string(words)
	}
	return said
}

func isJSON(contentType string) bool {
	typ, _, _ := mime.ParseMediaType(contentType)
	return typ == "application/json"
}

// field is the last field of a number in a protobuf message; nothing on text
// that is none.
func field(b []byte, want protowire.Number) (bytes []byte, varint uint64) {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return nil, 0
		}
		b = b[n:]
		size := protowire.ConsumeFieldValue(num, typ, b)
		if size < 0 {
			return nil, 0
		}
		if num == want {
			switch typ {
			case protowire.BytesType:
				bytes, _ = protowire.ConsumeBytes(b)
			case protowire.VarintType:
				varint, _ = protowire.ConsumeVarint(b)
			}
		}
		b = b[size:]
	}
	return bytes, varint
}
