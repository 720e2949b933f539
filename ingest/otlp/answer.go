package otlp

import (
	"net/http"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"breakwater/ingest"
	"breakwater/schemas"
)

// rejectedNames are the members of a partial success that count, in JSON; in
// protobuf they are all field 1, the message field 2.
var rejectedNames = [...]string{schemas.OTLPLogs: "rejectedLogRecords", schemas.OTLPTraces: "rejectedSpans", schemas.OTLPMetrics: "rejectedDataPoints"}

// answer is an Export…ServiceResponse. Without refused records it is empty, as
// the specification wants it.
func answer(signal schemas.OTLPSignal, json bool, refused int, err error) *ingest.Reply {
	if err != nil {
		return nil
	}
	const why = "records could not be read, or were too many"
	if json {
		body := "{}"
		if refused > 0 {
			body = `{"partialSuccess":{"` + rejectedNames[signal] + `":"` + strconv.Itoa(refused) + `","errorMessage":"` + why + `"}}`
		}
		return &ingest.Reply{ContentType: "application/json", Body: []byte(body)}
	}
	var body []byte
	if refused > 0 {
		partial := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(refused))
		partial = protowire.AppendString(protowire.AppendTag(partial, 2, protowire.BytesType), why)
		body = protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
	}
	return &ingest.Reply{ContentType: "application/x-protobuf", Body: body}
}

// Refuse is a google.rpc.Status in the request's encoding. In JSON the
// gateway's own words stand beside it.
func Refuse(h http.Header, rej *ingest.Rejection) *ingest.Reply {
	code := grpcCode(rej.Status)
	if json, ok := encodingOf(h.Get("Content-Type")); ok && !json {
		body := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(code))
		body = protowire.AppendString(protowire.AppendTag(body, 2, protowire.BytesType), rej.Detail)
		return &ingest.Reply{ContentType: "application/x-protobuf", Body: body}
	}
	return &ingest.Reply{
		ContentType: "application/json",
		Body:        rej.JSON(`"code":` + strconv.Itoa(code) + `,"message":` + string(schemas.QuoteString(rej.Detail)) + `,`),
	}
}

// grpcCode is gRPC's word for an HTTP status.
func grpcCode(status int) int {
	switch status {
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound:
		return 5
	case http.StatusMethodNotAllowed:
		return 12 // UNIMPLEMENTED
	case http.StatusRequestTimeout:
		return 4 // DEADLINE_EXCEEDED
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return 8 // RESOURCE_EXHAUSTED
	case http.StatusServiceUnavailable:
		return 14 // UNAVAILABLE
	case http.StatusInternalServerError:
		return 13
	}
	return 3 // INVALID_ARGUMENT
}
