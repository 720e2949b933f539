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
	ref      blobRef
	f        file
	mu       sync.Mutex
	path     string // where it lies now
	finished bool
	gone     bool // discarded, or taken by Append
}

var errFinished = errors.New("spill is finished")

// Spill opens a file for a payload too large for memory; see spool.Spool.
func (s *Spool) Spill() (spool.Spill, error) {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return nil, spool.ErrClosed
	}
	f := &spillFile{s: s}
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
	err := s.room(&project{}, int64(len(b)), 0)
	s.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := f.f.WriteAt(b, f.ref.size)
	f.ref.sum = crc32.Update(f.ref.sum, castagnoli, b[:n])
	f.ref.size += int64(n)
	s.used.Add(int64(n))
	if err != nil {
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
	f.s.used.Add(-f.ref.size)
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
			if f, err = s.copySpill(it.Payload); err != nil {
				return nil, err
			}
			it.Payload = f
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
func (s *Spool) copySpill(b schemas.Body) (*spillFile, error) {
	r, err := b.Open()
	if err != nil {
		return nil, fmt.Errorf("spilling: %w", err)
	}
	defer r.Close()
	sp, err := s.Spill()
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
