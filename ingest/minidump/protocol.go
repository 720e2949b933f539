package minidump

import (
	"bufio"
	"context"
	"errors"
	"io"
	"mime"

	"breakwater/ingest"
	"breakwater/schemas"
)

// dumpField is the multipart field that holds the dump.
const dumpField = "upload_file_minidump"

// Protocol decodes minidump uploads. The zero value is ready.
type Protocol struct{}

var _ ingest.Protocol = (*Protocol)(nil)

// Decode makes an attachment of the dump and of each other file, and an event
// of what the fields say. The answer is the event's id as a dashed UUID.
// Errors: RejectMultipart, RejectMissing, ingest.RejectEmpty, those of the
// dump, and what reading fails with.
func (*Protocol) Decode(_ context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	boundary, isForm, err := boundaryOf(req.Header)
	if err != nil {
		return nil, err
	}
	u := &upload{req: req, batch: &ingest.Batch{Request: req, Header: schemas.EmptyHeader()}, left: req.Settings().AttachmentSize}
	br := bufio.NewReaderSize(body, 4<<10)
	if _, err := br.Peek(1); errors.Is(err, io.EOF) {
		return nil, ingest.RejectEmpty
	}
	if isForm {
		err = walk(br, boundary, u.part)
	} else {
		err = u.dump("Minidump", br)
	}
	if err != nil {
		return nil, err
	}
	if !u.hasDump {
		return nil, RejectMissing
	}
	if err := u.fields.event(u); err != nil {
		return nil, err
	}
	answer(u.batch)
	return u.batch, nil
}

// answer sets the reply of crash uploaders.
func answer(b *ingest.Batch) {
	b.Header.SetString("event_id", b.EventID)
	b.Reply = &ingest.Reply{ContentType: "text/plain; charset=utf-8", Body: []byte(schemas.DashedEventID(b.EventID))}
}

// Refused is the answer to what a rate limit refused: an id like any other.
func Refused() ingest.Reply {
	return ingest.Reply{ContentType: "text/plain; charset=utf-8", Body: []byte(schemas.DashedEventID(schemas.NewEventID()))}
}

// upload is one request on its way to a batch.
type upload struct {
	req     *ingest.Request
	batch   *ingest.Batch
	fields  fields
	hasDump bool
	parts   int
	files   int
	left    int64 // bytes that further files may have together
}

// manyParts is from how many parts on a form takes a processor long, however
// small they are.
const manyParts = 64

// part takes one part of the form.
func (u *upload) part(p *part) error {
	if u.parts++; u.parts == manyParts {
		if err := u.req.Work(); err != nil {
			return err
		}
	}
	switch {
	case p.name == dumpField && !u.hasDump:
		name := p.filename
		if name == "" {
			name = "Minidump"
		}
		return u.dump(name, p.body)
	case isPacked(p.name):
		return u.fields.packed(u, p)
	case p.file:
		return u.attach(p, attachmentType(p))
	}
	return u.fields.add(u.req, p)
}

// attachmentType tells what a file is by its name (protocol §4.2).
func attachmentType(p *part) string {
	if p.filename == "view-hierarchy.json" {
		return "event.view_hierarchy"
	}
	return ""
}

// dump stores the minidump.
func (u *upload) dump(name string, r io.Reader) error {
	body, err := keepDump(u.req, r)
	if err != nil {
		return err
	}
	u.hasDump = true
	u.batch.Items = append(u.batch.Items, ingest.NewItem(schemas.Item{
		Header:  schemas.NewItemHeader("attachment", "attachment_type", "event.minidump", "content_type", "application/x-dmp", "filename", dumpName(name)),
		Payload: body,
	}))
	return nil
}

// attach stores a further file. One too many, or too large, ends alone.
func (u *upload) attach(p *part, typ string) error {
	attrs := []string{"filename", p.filename}
	if typ != "" {
		attrs = append(attrs, "attachment_type", typ)
	}
	if ct, _, err := mime.ParseMediaType(p.contentType); err == nil {
		attrs = append(attrs, "content_type", ct)
	}
	it := ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader("attachment", attrs...), Payload: schemas.Bytes(nil)})
	u.batch.Items = append(u.batch.Items, it)
	if u.files++; u.files > u.req.Settings().AttachmentsPerEnvelope {
		u.end(it, "too_many:attachment")
		return nil
	}
	body, err := u.req.Keep(p.body, inlineFile, u.left)
	if errors.Is(err, ingest.ErrPayloadTooLarge) {
		u.end(it, "too_large:attachment")
		return nil
	}
	if err != nil {
		return err
	}
	u.left -= body.Size()
	it.Payload = body
	return nil
}

func (u *upload) end(it *ingest.Item, reason string) {
	it.Outcome, it.Reason = schemas.Invalid, reason
	if u.batch.Refusal == nil {
		u.batch.Refusal = ingest.RejectTooLarge
	}
}
