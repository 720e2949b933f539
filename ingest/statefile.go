package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// SaveState writes what a part of the gateway carries over an orderly restart
// into a file that appears whole or not at all, readable by its owner only.
func SaveState(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("saving state: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
			err = fmt.Errorf("saving %s: %w", path, err)
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

// LoadState reads such a file, which is then removed: it is good for one start,
// or what it holds would count twice after a crash. No file is no error. A file
// that cannot be read is put aside as path.broken and reported.
func LoadState(path string, read func(io.Reader) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("loading state: %w", err)
	}
	err = read(bufio.NewReaderSize(f, 64<<10))
	_ = f.Close()
	if err != nil {
		return errors.Join(err, os.Rename(path, path+".broken"))
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("removing state that was loaded: %w", err)
	}
	return nil
}
