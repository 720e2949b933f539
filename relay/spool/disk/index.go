package disk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"

	"breakwater/relay/spool"
)

// The index file of a segment repeats the heads of its records, so that a
// start reads a fiftieth of the bytes. It is only a copy: when it is missing,
// does not add up or disagrees with its segment, it is made again.
//
//	"BWIX" · valid size of the segment (8) · records (4) · per record: offset,
//	size, kind, id, head · CRC32C of all, begun with the salt
const indexHeader = 16

var errIndex = errors.New("index does not fit its segment")

// found is one record of a segment on its way into memory. Its bytes are only
// good during the call that hands it out.
type found struct {
	off, size uint32
	kind      frameKind
	id        recordID
	headBytes []byte
}

func (b *indexBuilder) encode(size int64, salt uint32) []byte {
	out := make([]byte, indexHeader, indexHeader+len(b.body)+4)
	copy(out, "BWIX")
	binary.LittleEndian.PutUint64(out[4:], uint64(size))
	binary.LittleEndian.PutUint32(out[12:], b.count)
	out = append(out, b.body...)
	return binary.LittleEndian.AppendUint32(out, crc32.Update(salt, castagnoli, out))
}

// readIndex checks an index file and returns the segment's valid size and the
// records' bytes.
func readIndex(raw []byte, salt uint32, fileSize int64) (size int64, body []byte, err error) {
	if len(raw) < indexHeader+4 || string(raw[:4]) != "BWIX" {
		return 0, nil, errIndex
	}
	end := len(raw) - 4
	if binary.LittleEndian.Uint32(raw[end:]) != crc32.Update(salt, castagnoli, raw[:end]) {
		return 0, nil, errIndex
	}
	size = int64(binary.LittleEndian.Uint64(raw[4:]))
	if size > fileSize || size < 0 {
		return 0, nil, errIndex
	}
	return size, raw[indexHeader:end], nil
}

// walkIndex hands out the records of a checked index.
func walkIndex(body []byte, fn func(found) error) error {
	d := spool.Decoder{B: body}
	for len(d.B) > 0 {
		fixed := d.Take(25)
		if len(fixed) < 25 {
			return errIndex
		}
		f := found{off: binary.LittleEndian.Uint32(fixed), size: binary.LittleEndian.Uint32(fixed[4:]), kind: frameKind(fixed[8])}
		copy(f.id[:], fixed[9:])
		f.headBytes = d.Bytes()
		if d.Bad {
			return errIndex
		}
		if err := fn(f); err != nil {
			return err
		}
	}
	return nil
}

// writeIndex writes a sealed segment's index. A failure costs only time at
// the next start.
func (s *Spool) writeIndex(name string, b *indexBuilder, size int64, salt uint32, sync bool) (int64, error) {
	path := filepath.Join(s.dir, name+extIndex)
	raw := b.encode(size, salt)
	f, err := s.fs.Create(path)
	if err != nil {
		if f, err = s.fs.Open(path); err != nil {
			return 0, fmt.Errorf("writing index: %w", err)
		}
		if err := f.Truncate(0); err != nil {
			return 0, errors.Join(err, f.Close())
		}
	}
	_, err = f.WriteAt(raw, 0)
	if err == nil && sync {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = s.fs.Remove(path) // half an index would be found out, but why keep it
		return 0, fmt.Errorf("writing index: %w", err)
	}
	return int64(len(raw)), nil
}
