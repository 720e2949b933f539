package sentry

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/zlib"

	"breakwater/ingest"
	"breakwater/schemas"
)

// pixel is a transparent GIF of 1×1, for browsers that report by an image's address.
var pixel = []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")

// Store decodes the single events of the endpoint from before envelopes: JSON,
// base64 of JSON, base64 of zlib of JSON, or zlib of JSON; by GET in the query
// parameter sentry_data, answered with a 1×1 GIF. An envelope, by its content
// type, is read as one.
type Store struct{ Envelope *Envelope }

var _ ingest.Protocol = (*Store)(nil)

// Decode makes an envelope of one item, event or transaction. Rejections: an
// empty body, one over Config.EventSize, what is no JSON object, a bad event id.
func (s *Store) Decode(ctx context.Context, req *ingest.Request, body io.Reader) (*ingest.Batch, error) {
	if strings.HasPrefix(strings.ToLower(req.Header.Get("Content-Type")), "application/x-sentry-envelope") && s.Envelope != nil {
		return s.Envelope.Decode(ctx, req, body)
	}
	cfg := req.Settings()
	var raw []byte
	var reply *ingest.Reply
	if req.Method == "GET" {
		if data := req.Query["sentry_data"]; len(data) > 0 {
			raw = []byte(data[0])
		}
		reply = &ingest.Reply{ContentType: "image/gif", Body: pixel}
	} else {
		buf := buffer{req: req, free: freeMemory}
		var err error
		// Base64 takes a third more room than what it carries.
		if raw, err = buf.readAll(nil, body, cfg.EventSize/3*4+4); err != nil {
			return nil, tooLarge(err)
		}
	}
	raw, err := DecodeStore(raw, cfg.EventSize)
	if err != nil {
		return nil, err
	}
	if schemas.TooDeep(raw, cfg.JSONDepth) {
		return nil, ingest.RejectDepth
	}
	b, err := storeBatch(req, raw)
	if err != nil {
		return nil, err
	}
	b.Reply = reply
	return b, nil
}

// storeBatch wraps the event. Here a bad event id is the client's error: there
// is no header to fall back on.
func storeBatch(req *ingest.Request, raw []byte) (*ingest.Batch, error) {
	ev, err := schemas.ParseEvent(raw)
	if err != nil {
		return nil, ingest.RejectJSON.With(err)
	}
	if v, ok := ev.Get("event_id"); ok && v.Kind() != 'n' && string(v) != `""` {
		s, _ := ev.String("event_id")
		if _, ok := parseID(s); !ok {
			return nil, ingest.RejectEventID
		}
	}
	typ := "event"
	if t, _ := ev.String("type"); t == "transaction" {
		typ = t
	}
	b := &ingest.Batch{Request: req, Header: schemas.EmptyHeader()}
	b.Items = []*ingest.Item{ingest.NewItem(schemas.Item{Header: schemas.NewItemHeader(typ), Payload: schemas.Bytes(raw)})}
	nameEvent(b)
	return b, nil
}

// DecodeStore undoes the encodings of the store endpoint, which clients do not
// declare. limit bounds the event in bytes. Errors are rejections.
func DecodeStore(raw []byte, limit int64) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 {
		return nil, ingest.RejectEmpty
	}
	if raw[0] != '{' {
		plain := unbase64(raw)
		if plain == nil {
			plain = raw // zlib without base64, or nothing we know
		}
		if len(plain) == 0 || plain[0] != '{' {
			var err error
			if plain, err = inflate(plain, limit); err != nil {
				return nil, err
			}
		}
		raw = bytes.TrimSpace(plain)
	}
	if int64(len(raw)) > limit {
		return nil, ingest.RejectTooLarge
	}
	return raw, nil
}

// unbase64 reads the standard and the URL alphabet, with or without padding
// and line breaks; nil when it is neither.
func unbase64(raw []byte) []byte {
	text := make([]byte, 0, len(raw))
	for _, c := range raw {
		switch c {
		case '\r', '\n', ' ', '=':
		case '-':
			text = append(text, '+')
		case '_':
			text = append(text, '/')
		default:
			text = append(text, c)
		}
	}
	n, err := base64.RawStdEncoding.Decode(text, text)
	if err != nil {
		return nil
	}
	return text[:n]
}

func inflate(raw []byte, limit int64) ([]byte, error) {
	zr, err := zlib.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, ingest.RejectJSON.With(err)
	}
	defer zr.Close()
	plain, err := io.ReadAll(io.LimitReader(zr, limit+1))
	if err != nil {
		return nil, ingest.RejectCompression.With(err)
	}
	if int64(len(plain)) > limit {
		return nil, ingest.RejectTooLarge
	}
	return plain, nil
}

// tooLarge makes the private word for it a client's answer.
func tooLarge(err error) error {
	if errors.Is(err, errTooLarge) {
		return ingest.RejectTooLarge
	}
	return err
}
