package minidump

import (
	"context"
	"io"

	"breakwater/ingest"
	"breakwater/schemas"
)

// Attachments decodes uploads of files for an event that was sent before; its
// id is the path's parameter "event". The zero value is ready.
type Attachments struct{}

var _ ingest.Protocol = (*Attachments)(nil)

// Decode makes an attachment of each file; fields are skipped. Errors:
// ingest.RejectEventID, RejectMultipart, ingest.RejectContentType for what is no
// multipart, ingest.RejectNothingUsable without a file, and what reading fails with.
func (*Attachments) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	id, ok := schemas.ParseEventID(req.Param("event"))
	if !ok {
		return nil, ingest.RejectEventID
	}
	boundary, isForm, err := boundaryOf(req.Header)
	if err != nil {
		return nil, err
	}
	if !isForm {
		return nil, ingest.RejectContentType.Because("send multipart/form-data")
	}
	u := &upload{req: req, batch: &ingest.Batch{Request: req, Header: schemas.EmptyHeader(), EventID: id}, left: req.Settings().AttachmentSize}
	err = walk(body, boundary, func(p *part) error {
		if !p.file {
			return nil
		}
		return u.attach(p, "")
	})
	if err != nil {
		return nil, err
	}
	if len(u.batch.Items) == 0 {
		return nil, ingest.RejectNothingUsable.Because("no file")
	}
	u.batch.Header.SetString("event_id", id)
	return u.batch, nil
}
