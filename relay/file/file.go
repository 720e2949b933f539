package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"breakwater/relay"
	"breakwater/schemas"
)

// Config of one file.
type Config struct {
	// Path of the file. Its folder must exist.
	Path string
	// MaxSize is the size at which a new file is begun, in bytes; 0: never.
	MaxSize int64
	// Keep is how many old files are kept.
	Keep int
	// FullEvent adds the whole payload to each document, as one text.
	FullEvent bool
}

// maxRecords and maxBatch bound what one fsync is for.
const maxRecords, maxBatch = 512, 4 << 20

// Destination writes one file. It is safe for concurrent use; no other may
// write the same file.
type Destination struct {
	cfg     Config
	batches relay.Batcher[[]byte]

	mu     sync.Mutex // guards what follows; the one sender and Close take it
	file   *os.File
	size   int64
	closed bool
}

var _ relay.Destination = (*Destination)(nil)

// New makes a destination. It does not touch the file.
func New(c Config) (*Destination, error) {
	if c.Path == "" {
		return nil, errors.New("file has no path")
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	c.Path = path
	d := &Destination{cfg: c}
	d.batches = relay.Batcher[[]byte]{Send: d.send, Senders: 1, MaxJobs: maxRecords, MaxBytes: maxBatch}
	return d, nil
}

// Target shows where it writes to.
func (d *Destination) Target() string { return d.cfg.Path }

// Close closes the file.
func (d *Destination) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return d.forget()
}

// Deliver appends the documents of a record and returns when they are on disk.
func (d *Destination) Deliver(ctx context.Context, m *schemas.Meta, env *schemas.Envelope) ([]schemas.Final, error) {
	docs, finals, err := relay.Documents(m, env, d.cfg.FullEvent)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return finals, nil
	}
	var lines []byte
	for i := range docs {
		lines = append(append(lines, docs[i].Line()...), '\n')
	}
	if _, err := d.batches.Do(ctx, lines, len(lines)); err != nil {
		return nil, err
	}
	return finals, nil
}

// send writes a batch. A write is not stopped half-way: ctx is looked at
// before it.
func (d *Destination) send(ctx context.Context, jobs []*relay.Job[[]byte]) {
	err := ctx.Err()
	if err == nil {
		var b []byte
		for _, j := range jobs {
			b = append(b, j.Value...)
		}
		err = d.write(b)
	}
	if err == nil {
		return
	}
	for _, j := range jobs {
		j.Err = &relay.DeliverError{Class: relay.Temporary, Reason: "error", Down: true, Err: err}
	}
}

// write appends whole lines, durably, or leaves the file as it was.
func (d *Destination) write(b []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrClosed
	}
	if err := d.ready(int64(len(b))); err != nil {
		return err
	}
	_, err := d.file.Write(b)
	if err == nil {
		err = d.file.Sync()
	}
	if err != nil {
		// After a failed fsync the cached pages are not to be believed either.
		return errors.Join(err, d.file.Truncate(d.size), d.forget())
	}
	d.size += int64(len(b))
	return nil
}

// ready makes sure that the open file is the one at the path, and has room.
func (d *Destination) ready(n int64) error {
	if d.file != nil {
		at, err := os.Stat(d.cfg.Path)
		mine, err2 := d.file.Stat()
		if err != nil || err2 != nil || !os.SameFile(at, mine) {
			if err := d.forget(); err != nil {
				return err
			}
		} else {
			d.size = at.Size() // somebody may have cut it
		}
	}
	if d.file == nil {
		if err := d.open(); err != nil {
			return err
		}
	}
	if d.cfg.MaxSize > 0 && d.size > 0 && d.size+n > d.cfg.MaxSize {
		if err := errors.Join(d.forget(), rotate(d.cfg.Path, d.cfg.Keep)); err != nil {
			return err
		}
		return d.open()
	}
	return nil
}

// open opens or makes the file, and ends a half line that a kill left.
func (d *Destination) open() error {
	f, err := os.OpenFile(d.cfg.Path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size > 0 {
		last := make([]byte, 1)
		if _, err = f.ReadAt(last, size-1); err == nil && last[0] != '\n' {
			_, err = f.Write([]byte("\n"))
			size++
		}
	}
	if err == nil {
		err = syncDir(filepath.Dir(d.cfg.Path)) // the name must survive as well
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	d.file, d.size = f, size
	return nil
}

func (d *Destination) forget() error {
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}

// rotate renames path to path.1, path.1 to path.2, … and removes what is
// beyond keep.
func rotate(path string, keep int) error {
	old := func(n int) string { return fmt.Sprintf("%s.%d", path, n) }
	if keep <= 0 {
		return os.Remove(path)
	}
	if err := os.Remove(old(keep)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for n := keep - 1; n >= 0; n-- {
		from := path
		if n > 0 {
			from = old(n)
		}
		if err := os.Rename(from, old(n+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
