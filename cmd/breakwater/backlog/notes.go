package backlog

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
)

// keepNotes is how long it is remembered that a record was taken.
const keepNotes = 90 * 24 * time.Hour

// notes remember what was imported: a line each in a file, eight bytes each in
// memory while an import is under way.
type notes struct {
	f    *os.File
	seen map[uint64]struct{}
	now  func() time.Time
}

// noteOf names a record at one destination. Two different ones share a hash
// once in billions of imports; the second would be left out, so the file has
// the whole text for whoever looks.
func noteOf(record, project, destination string) string {
	return record + " " + project + "/" + destination
}

// openNotes reads the file, leaves out what is old, and opens it for more.
func openNotes(path string, now func() time.Time) (*notes, error) {
	n := &notes{seen: map[uint64]struct{}{}, now: now}
	kept, old, err := n.read(path)
	if err != nil {
		return nil, err
	}
	if old > 0 {
		if err := replace(path, kept); err != nil {
			return nil, err
		}
	}
	if n.f, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *notes) read(path string) (kept []string, old int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	oldest := n.now().Add(-keepNotes).Unix()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		at, note, ok := strings.Cut(sc.Text(), " ")
		secs, err := strconv.ParseInt(at, 10, 64)
		if !ok || err != nil || secs < oldest { // a line that a power cut tore is no note
			old++
			continue
		}
		kept = append(kept, sc.Text())
		n.seen[xxhash.Sum64String(note)] = struct{}{}
	}
	return kept, old, sc.Err()
}

// replace writes a file anew, in one step.
func replace(path string, lines []string) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, l := range lines {
		_, _ = w.WriteString(l + "\n") // kept for Flush
	}
	if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func (n *notes) has(note string) bool {
	_, ok := n.seen[xxhash.Sum64String(note)]
	return ok
}

// add notes what was taken; it survives a kill when it returns.
func (n *notes) add(list ...string) error {
	var b strings.Builder
	for _, note := range list {
		fmt.Fprintf(&b, "%d %s\n", n.now().Unix(), note)
		n.seen[xxhash.Sum64String(note)] = struct{}{}
	}
	_, err := io.WriteString(n.f, b.String())
	return err
}

// close makes the notes survive a power cut as well.
func (n *notes) close() error {
	return errors.Join(n.f.Sync(), n.f.Close(), syncDir(filepath.Dir(n.f.Name())))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
