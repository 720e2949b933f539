package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"

	"github.com/oklog/ulid/v2"
)

// A record lies in its segment as one frame:
//
//	 0  magic    4  "BWR1"
//	 4  kind     1  native or moved; 3 bytes zero
//	 8  length   4  of the payload
//	12  sum      4  CRC32C of the payload
//	16  id      16  ULID: 48 bits of milliseconds, 64 of sequence, 16 of chance
//	32  check    4  CRC32C of the bytes above, begun with the segment's salt
//	36  payload
//
// The check lets a reader find the next frame after a damaged one. The salt is
// in the segment's name and no client ever sees it, so a payload that contains
// the text of a frame is not taken for one.
const (
	frameHeader = 36
	// maxPayload bounds what a length may claim, in bytes.
	maxPayload = 1 << 30
)

type frameKind uint8

const (
	kindNative frameKind = 1 // as it was appended
	kindMoved  frameKind = 2 // copied forward by a merge
)

var (
	frameMagic = []byte("BWR1")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

type recordID [16]byte

func makeID(ms int64, seq uint64, chance uint16) (id recordID) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(ms))
	copy(id[:6], b[2:])
	binary.BigEndian.PutUint64(id[6:], seq)
	binary.BigEndian.PutUint16(id[14:], chance)
	return id
}

func (id recordID) seq() uint64 { return binary.BigEndian.Uint64(id[6:14]) }

// frame is one record's header, read.
type frame struct {
	kind   frameKind
	length uint32
	sum    uint32
	id     recordID
}

// sealFrame fills the first frameHeader bytes of b, which holds room for the
// header and then the payload. sum is the payload's CRC32C.
func sealFrame(b []byte, kind frameKind, id recordID, sum, salt uint32) {
	copy(b, frameMagic)
	b[4], b[5], b[6], b[7] = byte(kind), 0, 0, 0
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-frameHeader))
	binary.LittleEndian.PutUint32(b[12:], sum)
	copy(b[16:32], id[:])
	binary.LittleEndian.PutUint32(b[32:], crc32.Update(salt, castagnoli, b[:32]))
}

// readFrame reads a header; ok is false when it is not one of this segment.
func readFrame(b []byte, salt uint32) (f frame, ok bool) {
	if len(b) < frameHeader || !bytes.Equal(b[:4], frameMagic) ||
		binary.LittleEndian.Uint32(b[32:]) != crc32.Update(salt, castagnoli, b[:32]) {
		return frame{}, false
	}
	f = frame{kind: frameKind(b[4]), length: binary.LittleEndian.Uint32(b[8:]), sum: binary.LittleEndian.Uint32(b[12:])}
	copy(f.id[:], b[16:32])
	return f, f.length <= maxPayload
}

func checksum(payload []byte) uint32 { return crc32.Checksum(payload, castagnoli) }

func (id recordID) String() string { return ulid.ULID(id).String() }

func (id recordID) ms() int64 {
	var b [8]byte
	copy(b[2:], id[:6])
	return int64(binary.BigEndian.Uint64(b[:]))
}
