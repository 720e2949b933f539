package ingest

import (
	"io"
	"sync"
)

// piece is how much of a long payload is read into one place, in bytes.
const piece = 64 << 10

var pieces = sync.Pool{New: func() any { return new([piece]byte) }}

// Gather reads on behind head, until the end or one byte beyond limit, head
// included; more says that it was that. What comes goes into pieces that are
// used again and again, and is joined at the end: a buffer that doubles as it
// grows would leave as much garbage behind as it holds, a payload that is too
// large as much as one that is taken. charge is asked for each piece before it
// is used. With more, and a hard limit, which says that the payload will be
// refused, nothing is joined and p is nil. Errors are charge's, and what
// reading fails with.
func Gather(head []byte, r io.Reader, limit int64, hard bool, charge func(int64) error) (p []byte, more bool, err error) {
	var list []*[piece]byte
	defer func() {
		for _, b := range list {
			pieces.Put(b)
		}
	}()
	have, room := int64(len(head)), []byte(nil)
	for have <= limit {
		if len(room) == 0 {
			if err := charge(min(piece, limit+1-have)); err != nil {
				return nil, false, err
			}
			list = append(list, pieces.Get().(*[piece]byte))
			room = list[len(list)-1][:min(piece, limit+1-have)]
		}
		n, err := r.Read(room)
		room, have = room[n:], have+int64(n)
		if err == io.EOF { // io.Reader's own word
			break
		}
		if err != nil {
			return nil, false, err
		}
	}
	if more = have > limit; more && hard {
		return nil, true, nil
	}
	return join(head, list, have), more, nil
}

// join makes one of head and the pieces, of size bytes.
func join(head []byte, list []*[piece]byte, size int64) []byte {
	if int64(len(head)) == size {
		return head
	}
	p := append(make([]byte, 0, size), head...)
	for _, b := range list {
		p = append(p, b[:min(piece, size-int64(len(p)))]...)
	}
	return p
}
