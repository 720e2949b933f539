package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"breakwater/relay/spool"
)

// fileSystem is every call the spool makes to a file system, so that tests can
// put one underneath that loses power, fills up or fails.
type fileSystem interface {
	// MkdirAll makes a directory and its parents.
	MkdirAll(dir string) error
	// Create makes a new file for writing and reading; it is an error if it exists.
	Create(path string) (file, error)
	// Open opens an existing file for writing and reading.
	Open(path string) (file, error)
	// Rename replaces the target when it exists.
	Rename(from, to string) error
	// Remove deletes a file.
	Remove(path string) error
	// ReadDir lists the plain files of a directory, sorted by name.
	ReadDir(dir string) ([]fileInfo, error)
	// SyncDir makes created, renamed and removed names durable.
	SyncDir(dir string) error
	// Lock takes the directory's writer lock or fails with spool.ErrLocked.
	Lock(path string) (io.Closer, error)
	// Free is how many bytes an unprivileged process may still write.
	Free(dir string) (int64, error)
}

// file is an open file. All writing is positioned: after a failed write the
// next one goes to the same place.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Sync makes the file's bytes and its length durable.
	Sync() error
	Size() (int64, error)
}

// fileInfo is one file of a directory.
type fileInfo struct {
	name string
	size int64
}

// osFS is the real file system.
type osFS struct{}

type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f osFile) Sync() error { return datasync(f.File) }

func (osFS) MkdirAll(dir string) error { return os.MkdirAll(dir, 0o700) }

func (osFS) Create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Open(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }

func (osFS) Remove(path string) error { return os.Remove(path) }

func (osFS) ReadDir(dir string) ([]fileInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	files := make([]fileInfo, 0, len(entries))
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		st, err := e.Info()
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files = append(files, fileInfo{e.Name(), st.Size()})
	}
	return files, nil
}

func (osFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// Lock uses flock: the kernel lets go of it when the process dies, however it dies.
func (osFS) Lock(path string) (io.Closer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("locking %s: %w", path, err)
		}
		pid, _ := io.ReadAll(io.LimitReader(f, 32))
		if s := strings.TrimSpace(string(pid)); s != "" {
			return nil, fmt.Errorf("%s: %w (held by process %s)", filepath.Dir(path), spool.ErrLocked, s)
		}
		return nil, fmt.Errorf("%s: %w", filepath.Dir(path), spool.ErrLocked)
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil && !errors.Is(err, syscall.ENOSPC) {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (osFS) Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil //nolint:unconvert // the types differ between systems
}

// isNoSpace tells a full disk (or a spent quota) from a broken one.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// readAll reads a whole file that the spool wrote itself.
func readAll(fs fileSystem, path string) ([]byte, error) { return readInto(nil, fs, path) }

// readInto is readAll with a buffer that may be used.
func readInto(b []byte, fs fileSystem, path string) ([]byte, error) {
	f, err := fs.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	n, err := f.Size()
	if err != nil {
		return nil, err
	}
	if int64(cap(b)) < n {
		b = make([]byte, n)
	}
	b = b[:n]
	if m, err := f.ReadAt(b, 0); err != nil && !(errors.Is(err, io.EOF) && int64(m) == n) {
		return nil, err
	}
	return b, nil
}
