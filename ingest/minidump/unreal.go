package minidump

import (
	"bufio"
	"context"
	"errors"
	"io"

	"breakwater/ingest"
	"breakwater/schemas"
)

// RejectUnreal refuses a body that cannot be a crash of Unreal Engine.
var RejectUnreal = &ingest.Rejection{Status: 400, Detail: "invalid unreal crash report", Outcome: schemas.Invalid, Reason: "invalid_unreal"}

// Unreal decodes crashes of Unreal Engine 4 and 5: a container of dump, logs and
// context, packed by zlib, that the gateway passes on unopened. The zero value
// is ready.
type Unreal struct{}

var _ ingest.Protocol = (*Unreal)(nil)

// Decode makes one item of the body. The user and the version that the engine
// names in the address travel in the envelope's header. Errors:
// ingest.RejectEmpty, RejectUnreal, ingest.RejectTooLarge, and what reading
// fails with.
func (*Unreal) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	br := bufio.NewReaderSize(body, 4<<10)
	head, err := br.Peek(3)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case len(head) == 0:
		return nil, ingest.RejectEmpty
	case !isZlib(head) && string(head) != "CR1":
		return nil, RejectUnreal.Because("it begins neither like zlib nor with CR1")
	}
	file, err := keepFile(req, br)
	if err != nil {
		return nil, err
	}
	b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader(), EventID: schemas.NewEventID()}
	b.Items = []*ingest.Item{ingest.NewItem(schemas.Item{
		Header: schemas.NewItemHeader("unreal_report", "content_type", "application/octet-stream"), Payload: file,
	})}
	for param, name := range map[string]string{"UserID": "unreal_user_id", "AppVersion": "unreal_app_version"} {
		if v := req.Query[param]; len(v) > 0 && v[0] != "" {
			b.Header.SetString(name, clip(v[0]))
		}
	}
	answer(b)
	return b, nil
}

// isZlib recognises the header of RFC 1950.
func isZlib(head []byte) bool {
	return len(head) >= 2 && head[0]&0x0f == 8 && head[0]>>4 <= 7 && (uint16(head[0])<<8|uint16(head[1]))%31 == 0
}
