package disk

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"path/filepath"
	"sync"

	"breakwater/relay/spool"
	"breakwater/schemas"
)

// The spool's folders.
const (
	dirBlobs   = "blobs"   // payloads of records
	dirSpill   = "spill"   // payloads of requests that are still coming in
	dirDamaged = "damaged" // bytes that made no record
)

func (s *Spool) path(name string) string { return filepath.Join(s.dir, name) }

// spillFile is a payload on its way to disk.
type spillFile struct {
	s        *Spool
	proj     *project // whose share it counts against
	ref      blobRef
	f        file
	mu       sync.Mutex
	path     string // where it lies now
	finished bool
	gone     bool // discarded, or taken by Append
}

var (
	errFinished     = errors.New("spill is finished")
	errOtherProject = errors.New("spill is another project's")
)

// Spill opens a file for a payload too large for memory; see spool.Spool.
func (s *Spool) Spill(project string) (spool.Spill, error) {
	s.mu.Lock()
	closed, proj := s.closed, s.project(project)
	s.mu.Unlock()
	if closed {
		return nil, spool.ErrClosed
	}
	f := &spillFile{s: s, proj: proj}
	for i := 0; i < len(f.ref.name); i += 8 {
		v := rand.Uint64()
		for j := range 8 {
			f.ref.name[i+j] = byte(v >> (8 * j))
		}
	}
	f.path = filepath.Join(s.path(dirSpill), hex.EncodeToString(f.ref.name[:])+".tmp")
	var err error
	if f.f, err = s.fs.Create(f.path); err != nil {
		return nil, fmt.Errorf("spilling: %w", s.asFull(err))
	}
	return f, nil
}

func (s *Spool) asFull(err error) error {
	if isNoSpace(err) {
		return &spool.FullError{Why: "disk", After: fullRetry, Err: err}
	}
	return err
}

// Write adds to the payload. It fails with a *spool.FullError where there is
// no room; the caller then discards the spill.
func (f *spillFile) Write(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f == nil || f.gone || f.finished {
		return 0, errFinished
	}
	s := f.s
	s.mu.Lock()
	err := s.room(f.proj, int64(len(b)))
	if err == nil {
		s.occupy(f.proj, int64(len(b)))
	}
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := f.f.WriteAt(b, f.ref.size)
	f.ref.sum = crc32.Update(f.ref.sum, castagnoli, b[:n])
	f.ref.size += int64(n)
	if err != nil {
		s.mu.Lock()
		s.occupy(f.proj, int64(n-len(b)))
		s.mu.Unlock()
		return n, fmt.Errorf("spilling: %w", s.asFull(err))
	}
	return n, nil
}

// Finish ends writing. The file stays open until Append syncs it.
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
	return f.ref.size
}

// Open reads the payload from its start.
func (f *spillFile) Open() (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return (&fileBody{f.s.fs, f.path, f.ref.size}).Open()
}

// Discard removes the file, unless a record has it.
func (f *spillFile) Discard() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.gone {
		f.remove()
	}
}

func (f *spillFile) remove() {
	f.gone = true
	if f.f != nil {
		_ = f.f.Close()
		f.f = nil
	}
	if err := f.s.fs.Remove(f.path); err != nil {
		f.s.log.Warn().Err(err).Msg("spilled payload could not be removed")
	}
	f.s.mu.Lock()
	f.s.occupy(f.proj, -f.ref.size)
	f.s.mu.Unlock()
}

// occupy counts n bytes of a file that is in no record yet, or that is none's
// any more (n below 0). Under mu.
func (s *Spool) occupy(p *project, n int64) {
	s.used.Add(n)
	p.queued += n
}

// take makes the payload durable under its lasting name.
func (f *spillFile) take() (blobRef, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone || f.f == nil {
		return blobRef{}, errors.New("spill is discarded or already in a record")
	}
	err := f.f.Sync()
	if cerr := f.f.Close(); err == nil {
		err = cerr
	}
	f.f = nil
	if err != nil {
		return blobRef{}, fmt.Errorf("spilling: %w", f.s.asFull(err))
	}
	to := filepath.Join(f.s.path(dirBlobs), f.ref.file())
	if err := f.s.fs.Rename(f.path, to); err != nil {
		return blobRef{}, fmt.Errorf("spilling: %w", f.s.asFull(err))
	}
	f.path = to
	return f.ref, nil
}

// takeSpills gives each payload that is not in memory a file of the spool.
func (s *Spool) takeSpills(rec *schemas.Record) ([]*blobRef, error) {
	var blobs []*blobRef
	if n := len(rec.Envelope.Items); n > 0 {
		blobs = make([]*blobRef, n)
	}
	for i := range rec.Envelope.Items {
		it := &rec.Envelope.Items[i]
		if _, ok := it.InMemory(); ok {
			continue
		}
		f, ok := it.Payload.(*spillFile)
		if !ok || f.s != s {
			var err error
			if f, err = s.copySpill(rec.Meta.Project, it.Payload); err != nil {
				return nil, err
			}
			it.Payload = f
		}
		if f.proj.name != rec.Meta.Project {
			return nil, errOtherProject
		}
		r, err := f.take()
		if err != nil {
			return nil, err
		}
		blobs[i] = &r
	}
	return blobs, nil
}

// copySpill brings a payload from elsewhere into a file of ours.
func (s *Spool) copySpill(project string, b schemas.Body) (*spillFile, error) {
	r, err := b.Open()
	if err != nil {
		return nil, fmt.Errorf("spilling: %w", err)
	}
	defer r.Close()
	sp, err := s.Spill(project)
	if err != nil {
		return nil, err
	}
	f := sp.(*spillFile)
	if _, err := io.Copy(f, r); err != nil {
		f.Discard()
		return nil, err
	}
	return f, nil
}

// discardSpills removes the files of a record that was not stored.
func (s *Spool) discardSpills(rec *schemas.Record) {
	for i := range rec.Envelope.Items {
		if f, ok := rec.Envelope.Items[i].Payload.(*spillFile); ok && f.s == s {
			f.Discard()
		}
	}
}

// keepSpills tells the files of a stored record that they are the spool's now.
func keepSpills(rec *schemas.Record) {
	for i := range rec.Envelope.Items {
		if f, ok := rec.Envelope.Items[i].Payload.(*spillFile); ok {
			f.mu.Lock()
			f.gone = true
			f.mu.Unlock()
		}
	}
}
