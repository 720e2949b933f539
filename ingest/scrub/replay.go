package scrub

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"

	"breakwater/schemas"
)

// Bounds of a replay recording, as Sentry has them.
const (
	maxInflated     = 100 << 20
	maxInflateRatio = 1000
	// ratioFree is what a recording may inflate to whatever its ratio: short
	// pages of spaces pack very well.
	ratioFree = 1 << 20
)

var errInflate = errors.New("recording expands too far")

var recordingHeader = &node{flags: freeFlags, kids: kids{"segment_id": kept}}

// recording scrubs {"segment_id":0} and a newline, then JSON or zlib data with
// JSON inside. Binary data may hold newlines: only the first one counts.
func (r *Rules) recording(payload []byte, ip addresses, hits []int, trace func([]segment, ruleID)) ([]byte, error) {
	var head []byte
	body := payload
	if nl := bytes.IndexByte(payload, '\n'); nl > 0 && payload[0] == '{' {
		var err error
		if head, err = r.json(recordingHeader, payload[:nl], ip, hits, trace, false); err != nil {
			return payload, err
		}
		body = payload[nl+1:]
	}
	if len(body) == 0 {
		return payload, nil
	}
	var out []byte
	var err error
	if body[0] == '[' || body[0] == '{' {
		out, err = r.json(recording, body, ip, hits, trace, false)
	} else {
		out, err = r.deflated(body, ip, hits, trace)
	}
	if err != nil {
		return payload, err
	}
	if sameSlice(out, body) && (head == nil || sameSlice(head, payload[:len(head)])) {
		return payload, nil
	}
	whole := make([]byte, 0, len(head)+1+len(out))
	if head != nil {
		whole = append(append(whole, head...), '\n')
	}
	return append(whole, out...), nil
}

// IsRecording tells whether a payload has the form of a replay recording.
func IsRecording(payload []byte) bool {
	head, body, ok := bytes.Cut(payload, []byte{'\n'})
	if !ok || len(body) == 0 {
		return false
	}
	o, err := schemas.ParseObject(head)
	if err != nil {
		return false
	}
	if _, ok = o.Get("segment_id"); !ok {
		return false
	}
	if body[0] == '[' {
		return true
	}
	_, err = zlib.NewReader(bytes.NewReader(body))
	return err == nil
}

// Readable is a payload for people: of a recording the text that is packed in
// it. What cannot be unpacked comes back as it is.
func Readable(typ string, payload []byte) []byte {
	head, body, ok := bytes.Cut(payload, []byte{'\n'})
	if typ != "replay_recording" || !ok {
		return payload
	}
	plain := new(bytes.Buffer)
	plain.Write(head)
	plain.WriteByte('\n')
	if inflate(plain, body) != nil {
		return payload
	}
	return plain.Bytes()
}

func sameSlice(a, b []byte) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// A writer takes a megabyte; recordings come every few seconds from every page.
var deflaters = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}

var inflateBuffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// inflate unpacks zlib data, within bounds; every error wraps ErrOpaque.
func inflate(plain *bytes.Buffer, body []byte) error {
	src := bytes.NewReader(body)
	zr, err := zlib.NewReader(src)
	if err != nil {
		return fmt.Errorf("%w: inflating: %w", ErrOpaque, err)
	}
	limit := min(maxInflated, max(ratioFree, int64(len(body))*maxInflateRatio))
	n, err := io.Copy(plain, io.LimitReader(zr, limit+1))
	switch {
	case err != nil:
		return fmt.Errorf("%w: inflating: %w", ErrOpaque, err)
	case n > limit:
		return fmt.Errorf("%w: %w", ErrOpaque, errInflate)
	case src.Len() > 0:
		return fmt.Errorf("%w: %d bytes behind the zlib data", ErrOpaque, src.Len())
	}
	return nil
}

func (r *Rules) deflated(body []byte, ip addresses, hits []int, trace func([]segment, ruleID)) ([]byte, error) {
	plain := inflateBuffers.Get().(*bytes.Buffer)
	defer func() {
		if plain.Cap() <= 8<<20 {
			plain.Reset()
			inflateBuffers.Put(plain)
		}
	}()
	if err := inflate(plain, body); err != nil {
		return nil, err
	}
	out, err := r.json(recording, plain.Bytes(), ip, hits, trace, false)
	if err != nil {
		return nil, err
	}
	if sameSlice(out, plain.Bytes()) {
		return body, nil
	}
	var packed bytes.Buffer
	packed.Grow(len(body))
	zw := deflaters.Get().(*zlib.Writer)
	defer deflaters.Put(zw)
	zw.Reset(&packed)
	if _, err := zw.Write(out); err != nil {
		return nil, fmt.Errorf("deflating: %w", err)
	}
	if err := zw.Close(); err != nil {
		return nil, fmt.Errorf("deflating: %w", err)
	}
	return packed.Bytes(), nil
}
