package disk

import (
	"testing"
	"time"

	"breakwater/relay/spool"
	"breakwater/relay/spool/spooltest"
	"breakwater/schemas"
)

func seedPayload(f *testing.F) []byte {
	var e encoder
	ref := &blobRef{size: 7, sum: 9}
	rec := spooltest.Record(time.Unix(1, 0), []string{"a", "b"}, "one", "")
	b, err := e.appendPayload(nil, rec, []*blobRef{nil, ref})
	if err != nil {
		f.Fatal(err)
	}
	return b
}

// FuzzPayload reads records no writer made.
func FuzzPayload(f *testing.F) {
	seed := seedPayload(f)
	f.Add(seed)
	f.Add(seed[:len(seed)/2])
	f.Fuzz(func(t *testing.T, b []byte) {
		headBytes, _, err := splitPayload(b)
		if err != nil {
			return
		}
		h, err := parseHead(headBytes)
		if err != nil {
			return
		}
		_, _, _, _ = parseRouteKey(h.route)
		parseCounts(h.counts)
		if _, raw, err := decodeMeta(b, recordID{}); err == nil {
			_, _ = spool.DecodeEnvelope(raw, h.blobs, func(blobRef) schemas.Body { return schemas.Bytes(nil) })
		}
		moved, err := withState(nil, b, []byte("state"))
		if err != nil {
			t.Fatalf("a readable head cannot be given a state: %v", err)
		}
		headBytes, _, _ = splitPayload(moved)
		if again, err := parseHead(headBytes); err != nil || string(again.state) != "state" || again.recv != h.recv {
			t.Fatalf("the head changed with its state: %+v, %v", again, err)
		}
	})
}

// FuzzSegment scans files no writer made: it ends, and what it hands out lies
// in the file, in order.
func FuzzSegment(f *testing.F) {
	payload := seedPayload(f)
	frame := append(make([]byte, frameHeader), payload...)
	sealFrame(frame, kindNative, makeID(1, 2, 3), checksum(payload), 0)
	good := append(append([]byte(nil), segmentHeader...), frame...)
	f.Add(append(good, frame...))
	f.Add(append(good, frame[:50]...))
	f.Add(append(append(good, "BWR1 rubbish"...), frame...))
	f.Fuzz(func(t *testing.T, data []byte) {
		end := int64(0)
		sc := scanner{f: &simFile{newSimFS(), &simInode{data: data}, ""}, size: int64(len(data))}
		next := func(from, to int64) {
			if from < end || to <= from || to > int64(len(data)) {
				t.Fatalf("bytes %d to %d after %d, of %d", from, to, end, len(data))
			}
			end = to
		}
		sc.record = func(fd found) error { next(int64(fd.off), int64(fd.off)+int64(fd.size)); return nil }
		sc.damage = func(from, to int64, _ string) { next(from, to) }
		size, err := sc.run()
		if err != nil || size > int64(len(data)) || size < end {
			t.Fatalf("size %d of %d, last record ends at %d: %v", size, len(data), end, err)
		}
	})
}

// FuzzAcks reads acknowledgements and indexes no writer made.
func FuzzAcks(f *testing.F) {
	a := ack{op: opDone, dest: 1, off: 16, finals: []schemas.Final{{Outcome: schemas.Expired, Reason: "r"}}}
	f.Add(a.appendTo(nil))
	a = ack{op: opDead, reason: "no"}
	f.Add(a.appendTo(nil))
	var b indexBuilder
	b.add(16, 100, kindMoved, makeID(1, 2, 3), []byte("head"))
	f.Add(b.body)
	f.Fuzz(func(t *testing.T, data []byte) {
		readAcks(data, func(ack) {})
		d := spool.Decoder{B: data}
		if a, ok := decodeAck(&d); ok {
			again := spool.Decoder{B: a.appendTo(nil)}
			if _, ok := decodeAck(&again); !ok {
				t.Fatalf("%+v cannot be written and read", a)
			}
		}
		_ = walkIndex(data, func(found) error { return nil })
		_, _, _ = readIndex(data, 0, 1<<20)
	})
}
