package jetstream

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// spillFile is a payload on its way to the object store, in a local file.
type spillFile struct {
	s        *Spool
	proj     *project // whose share it counts against
	mu       sync.Mutex
	f        *os.File
	size     int64
	finished bool
	gone     bool
}

var errFinished = errors.New("spill is finished")

// Spill opens a file for a payload too large for memory; see spool.Spool.
func (s *Spool) Spill(project string) (spool.Spill, error) {
	s.mu.Lock()
	closed, proj := s.closed, s.project(project)
	s.mu.Unlock()
	if closed {
		return nil, spool.ErrClosed
	}
	f, err := os.CreateTemp(s.dir, "*.spill")
	if err != nil {
		return nil, fmt.Errorf("spilling: %w", err)
	}
	return &spillFile{s: s, proj: proj, f: f}, nil
}

// Write adds to the payload. It fails with a *spool.FullError where there is
// no room; the caller then discards the spill.
func (f *spillFile) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone || f.finished {
		return 0, errFinished
	}
	s := f.s
	s.mu.Lock()
	err := s.roomLocked(f.proj, int64(len(b)))
	if err == nil {
		s.occupy(f.proj, int64(len(b)))
	}
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	f.size += int64(len(b))
	n, err := f.f.Write(b)
	if err != nil {
		return n, &spool.FullError{Why: "disk", After: fullRetry, Err: fmt.Errorf("spilling: %w", err)}
	}
	return n, nil
}

// Finish ends writing. Append puts the bytes into the object store.
func (f *spillFile) Finish() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return errFinished
	}
	f.finished = true
	return nil
}

// Size is the payload's length in bytes.
func (f *spillFile) Size() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.size
}

// Open reads the payload from its start.
func (f *spillFile) Open() (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return nil, errFinished
	}
	return os.Open(f.f.Name())
}

// Discard removes the file; after Append took it, it does nothing.
func (f *spillFile) Discard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return
	}
	f.gone = true
	if err := errors.Join(f.f.Close(), os.Remove(f.f.Name())); err != nil {
		f.s.log.Warn().Err(err).Msg("spilled payload could not be removed")
	}
	f.s.mu.Lock()
	f.s.occupy(f.proj, -f.size)
	f.s.mu.Unlock()
}

// occupy counts n bytes of a file that is in no append yet, or that is gone (n
// below 0). Under mu.
func (s *Spool) occupy(p *project, n int64) {
	s.spilled += n
	p.queued += n
}

func discardSpills(rec *schemas.Record) {
	for i := range rec.Envelope.Items {
		if f, ok := rec.Envelope.Items[i].Payload.(*spillFile); ok {
			f.Discard()
		}
	}
}

// bodySize is what the payloads take that are not spilled: those that are
// have been counted.
func bodySize(rec *schemas.Record) (n int64) {
	for i := range rec.Envelope.Items {
		if _, ok := rec.Envelope.Items[i].Payload.(*spillFile); !ok {
			n += rec.Envelope.Items[i].Payload.Size()
		}
	}
	return n
}

// envelopeObject ends the name of an object that holds a whole envelope.
const envelopeObject = ".envelope"

// chunkSize is the part of a payload that goes into one message. Servers with a
// small max_payload get smaller ones than the 128 KiB of the object store.
func (s *Spool) chunkSize() uint32 { return uint32(min(s.conn.MaxPayload()/2, 128<<10)) }

// objectPart is the largest payload that may lie in a message with others.
const objectPart = 64 << 10

// putLarge puts what does not fit into a message into the object store:
// payloads in files, then large ones in memory, then the whole envelope. All
// chunks are confirmed when it returns.
func (s *Spool) putLarge(ctx context.Context, rec *schemas.Record) (map[int]object, error) {
	objs := map[int]object{}
	total := 4096 + len(rec.Meta.Counts)*64
	env := &rec.Envelope
	var inline []int
	for i := range env.Items {
		if env.Items[i].Header.Object == nil {
			env.Items[i].Header = schemas.NewItemHeader(env.Items[i].Header.Type)
		}
		total += len(env.Items[i].Header.Bytes()) + 16
		b, ok := env.Items[i].InMemory()
		if ok {
			total += len(b)
			inline = append(inline, i)
			continue
		}
		if err := s.putItem(ctx, rec, i, objs); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(inline, func(a, b int) int { return int(env.Items[b].Payload.Size() - env.Items[a].Payload.Size()) })
	for _, i := range inline {
		size := int(env.Items[i].Payload.Size())
		if total <= s.packSize() || size < objectPart {
			break
		}
		if err := s.putItem(ctx, rec, i, objs); err != nil {
			return nil, err
		}
		total -= size
	}
	if total <= s.packSize() {
		return objs, nil
	}
	raw, err := spool.AppendEnvelope(nil, env, isObject(objs))
	if err == nil {
		var o object
		if o, err = s.putObject(ctx, rec.Meta.ID+envelopeObject, bytes.NewReader(raw), int64(len(raw))); err == nil {
			objs[whole] = o
		}
	}
	if err != nil {
		s.dropObjects(objs)
		return nil, err
	}
	return objs, nil
}

func (s *Spool) putItem(ctx context.Context, rec *schemas.Record, i int, objs map[int]object) error {
	body := rec.Envelope.Items[i].Payload
	r, err := body.Open()
	if err != nil {
		s.dropObjects(objs)
		return fmt.Errorf("storing item %d: %w", i, err)
	}
	defer r.Close()
	o, err := s.putObject(ctx, rec.Meta.ID+"."+strconv.Itoa(i), r, body.Size())
	if err != nil {
		s.dropObjects(objs)
		return err
	}
	objs[i] = o
	return nil
}

// putObject stores one payload in chunks and waits until all are confirmed.
func (s *Spool) putObject(ctx context.Context, name string, r io.Reader, size int64) (object, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.times.giveUp+time.Duration(size>>20)*time.Second) // a second for each MiB
	defer cancel()
	info, err := s.large.Put(ctx, jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: s.chunkSize()}}, r)
	switch {
	case err == nil && int64(info.Size) != size:
		err = fmt.Errorf("storing a payload: %d of %d bytes came", info.Size, size)
	case err == nil:
		s.mu.Lock()
		s.stats.add(size)
		s.mu.Unlock()
		return object{name, size}, nil
	case asFull(err) != nil:
		return object{}, asFull(err)
	case away(err):
		s.lost(err)
		return object{}, &spool.FullError{Why: "unavailable", After: retryAfter, Err: err}
	}
	return object{}, fmt.Errorf("storing a payload: %w", err)
}

// dropObjects removes payloads nobody needs, in the background. What a failure
// leaves behind the sweep finds.
func (s *Spool) dropObjects(objs map[int]object) {
	var names []string
	for _, o := range objs {
		names = append(names, o.name)
	}
	if len(names) > 0 {
		s.chore(func() { s.removeObjects(names) })
	}
}

func (s *Spool) removeObjects(names []string) {
	ctx, cancel := s.choreContext(10 * time.Second)
	defer cancel()
	for _, name := range names {
		if err := s.removeObject(ctx, name); err != nil {
			s.log.Debug().Err(err).Msg("a stored payload could not be removed yet")
		}
	}
	s.touch()
}

// removeObject removes an object and the note of its removal, which the object
// store would keep for ever.
func (s *Spool) removeObject(ctx context.Context, name string) error {
	err := s.large.Delete(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return err
	}
	stream, err := s.js.Stream(ctx, "OBJ_"+s.names.large())
	if err != nil {
		return err
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject("$O."+s.names.large()+".M."+base64.URLEncoding.EncodeToString([]byte(name))))
}

// objectBody is a payload in the object store.
type objectBody struct {
	s *Spool
	o object
}

func (s *Spool) body(o object) schemas.Body { return objectBody{s, o} }

// Size is the payload's length in bytes.
func (b objectBody) Size() int64 { return b.o.size }

// Open reads the payload from its start; the reader fails where its digest
// does not fit.
func (b objectBody) Open() (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(b.s.ctx, time.Minute)
	r, err := b.s.large.Get(ctx, b.o.name)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("opening payload %s: %w", b.o.name, err)
	}
	return &objectReader{r, cancel}, nil
}

type objectReader struct {
	jetstream.ObjectResult
	cancel context.CancelFunc
}

func (r *objectReader) Close() error {
	defer r.cancel()
	return r.ObjectResult.Close()
}

// recordOf is the record an object belongs to.
func recordOf(name string) string { id, _, _ := strings.Cut(name, "."); return id }
