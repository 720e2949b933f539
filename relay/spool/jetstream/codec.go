package jetstream

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/goccy/go-json"
	"github.com/klauspost/compress/zstd"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// A message is a pack: records of one project that were stored together.
//
//	message magic · 0 and the pack, or 1 and the pack as zstd frames
//	pack    life of the gateway that stored it · project · number · records
//	record  id · destinations to go · marks it brings from an earlier message ·
//	        received · items · objects · meta (JSON) · envelope, or 1 and nothing
//	        where the last object is the envelope
//	envelope header · items (header, and bytes or the number of an object)
//
// Lengths are varints. The last byte of magic is the version of this form.
//
// # Versions
//
// Gateways of two versions work on one stream while one replaces the other, so:
//
//   - A message that is not of a version a gateway knows is left alone: it gives
//     the lease back for 30 s, counts it and says so, does not list, end, expire
//     or remove it, and removes no payload from the object store while there is
//     one. A gateway that knows it delivers it.
//   - Whoever changes the form so that older gateways would misread it takes the
//     next version, keeps reading all before it, and says so in the CHANGELOG.
//     testdata holds a message of each version that ever was; all must decode.
//   - Further members of the meta (JSON), of marks and of a dead letter's note
//     need no new version: older gateways ignore them, and so drop them when they
//     store a record again (a retry). What must not be lost is a new version.
const magic = "BWP\x01"

var (
	errMalformed = spool.ErrMalformed
	// errVersion is a message of another version, or none of ours.
	errVersion = fmt.Errorf("%w: its version is not known", errMalformed)
	// errNewer is one of another version.
	errNewer = fmt.Errorf("%w: it is newer", errVersion)
)

// object names a payload in the object store.
type object struct {
	name string
	size int64
}

// stored is one record of a pack. The slices lie in the message's bytes.
type stored struct {
	id      string
	targets []string        // destinations this copy is for
	carried map[string]mark // of destinations that ended before it moved here
	recv    int64           // ReceivedAt, ms since 1970
	items   int64           // sum of the quantities
	objects []object
	meta    []byte
	env     []byte // nil when the last object is the envelope
	size    int64  // bytes in the pack and in objects
	broken  bool   // cannot be read; nothing else is known of it
}

type pack struct {
	life    string
	project string
	records []stored
	size    int64 // bytes in memory
	broken  int   // records that cannot be read
}

// whole is the number of the object that holds an envelope whose small items
// together are too many for a message.
const whole = -1

// encodeRecord writes rec for the destinations given. objs[i] is set where an
// item's payload lies in the object store, objs[whole] where all else does.
func encodeRecord(rec *schemas.Record, targets []string, carried map[string]mark, objs map[int]object) ([]byte, error) {
	m := rec.Meta
	m.ID = ""
	meta, err := json.Marshal(&m)
	if err != nil {
		return nil, fmt.Errorf("encoding meta: %w", err)
	}
	b, err := appendHead(make([]byte, 0, len(meta)+1024), rec.Meta.ID, targets, carried)
	if err != nil {
		return nil, err
	}
	b = binary.AppendVarint(b, m.ReceivedAt.UnixMilli())
	b = binary.AppendUvarint(b, uint64(max(m.Items(), 0)))
	b = binary.AppendUvarint(b, uint64(len(objs)))
	for i := range rec.Envelope.Items {
		if o, ok := objs[i]; ok {
			b = spool.AppendBytes(b, o.name)
			b = binary.AppendUvarint(b, uint64(o.size))
		}
	}
	if o, ok := objs[whole]; ok {
		b = spool.AppendBytes(b, o.name)
		b = binary.AppendUvarint(b, uint64(o.size))
		b = spool.AppendBytes(b, meta)
		return append(b, 1), nil
	}
	b = spool.AppendBytes(b, meta)
	return spool.AppendEnvelope(append(b, 0), &rec.Envelope, isObject(objs))
}

func isObject(objs map[int]object) func(int) bool {
	return func(i int) bool { _, ok := objs[i]; return ok }
}

// appendHead writes what a record begins with.
func appendHead(b []byte, id string, targets []string, carried map[string]mark) ([]byte, error) {
	b = spool.AppendBytes(b, id)
	b = binary.AppendUvarint(b, uint64(len(targets)))
	for _, t := range targets {
		b = spool.AppendBytes(b, t)
	}
	var marks []byte
	if len(carried) > 0 {
		var err error
		if marks, err = json.Marshal(carried); err != nil {
			return nil, fmt.Errorf("encoding marks: %w", err)
		}
	}
	return spool.AppendBytes(b, marks), nil
}

// packers is on how many cores packs are compressed at most.
const packers = 4

// Records of one pack resemble each other: errors of one application. Every
// byte saved is saved in the log and in the store of each replica.
var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(packers), zstd.WithWindowSize(512<<10))
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxUnpacked)) // neither fails with these options
)

const (
	maxUnpacked  = 64 << 20
	leastToPack  = 512 // bytes of a pack below which compressing gains nothing
	plainPack    = 0
	squeezedPack = 1
)

// encodePack joins encoded records into a message.
func encodePack(life, project string, records ...[]byte) []byte {
	b, start := plain(life, project, records...)
	if len(b) < leastToPack {
		return b
	}
	squeezed := append(make([]byte, 0, start+len(b)/2), magic...)
	squeezed = squeeze(append(squeezed, squeezedPack), b[start:])
	if len(squeezed) < len(b)*9/10 {
		return squeezed
	}
	return b
}

// leastPart is what is worth a frame of its own.
const leastPart = 64 << 10

// squeeze appends a pack as zstd frames. A large one is compressed in parts on
// several cores, because those who wait for it also wait for this; to a reader
// frames in a row are one text (RFC 8878, section 3).
func squeeze(to, pack []byte) []byte {
	n := min(len(pack)/leastPart, runtime.GOMAXPROCS(0), packers)
	if n < 2 {
		return packer.EncodeAll(pack, to)
	}
	parts := make([][]byte, n)
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			part := pack[len(pack)*i/n : len(pack)*(i+1)/n]
			parts[i] = packer.EncodeAll(part, make([]byte, 0, len(part)/2))
		})
	}
	wg.Wait()
	return append(to, slices.Concat(parts...)...)
}

// plain is encodePack without compressing. The pack begins at start.
func plain(life, project string, records ...[]byte) (b []byte, start int) {
	size := len(magic) + 1 + len(life) + len(project) + 20
	for _, r := range records {
		size += len(r) + binary.MaxVarintLen32
	}
	b = append(make([]byte, 0, size), magic...)
	b = append(b, plainPack)
	start = len(b)
	b = spool.AppendBytes(b, life)
	b = spool.AppendBytes(b, project)
	b = binary.AppendUvarint(b, uint64(len(records)))
	for _, r := range records {
		b = spool.AppendBytes(b, r)
	}
	return b, start
}
