package console

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/rs/zerolog"
)

// auditKept is how many actions the history holds; the file is written anew
// when it has twice as many lines.
const auditKept = 1000

// Entry is one action that somebody took.
type Entry struct {
	ID string    `json:"id"`
	At time.Time `json:"at"`
	// Actor is how they proved who they are: loopback (no token is configured),
	// token, or session and the beginning of its id.
	Actor   string `json:"actor"`
	Address string `json:"address"`
	// Action is pause, resume, retry, drop, reload or sign_in.
	Action string `json:"action"`
	Target string `json:"target"`
	// Affected is how many records or destinations were touched.
	Affected int    `json:"affected"`
	Error    string `json:"error,omitempty"`
}

// audit is the history of actions: the newest auditKept in memory, and in a
// file that survives a restart. Every entry is a line of the log as well. It
// never stops an action: with a full disk dropping must still be possible.
type audit struct {
	path string
	log  zerolog.Logger

	mu    sync.Mutex
	list  []Entry // oldest first
	lines int     // in the file
}

// newAudit reads the history. A file that cannot be read is logged and left
// alone until it is next written anew.
func newAudit(path string, log zerolog.Logger) *audit {
	a := &audit{path: path, log: log}
	if path == "" {
		return a
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return a
	}
	if err != nil {
		log.Error().Err(err).Msg("audit history cannot be read")
		return a
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 64<<20))
	for lines.Scan() {
		a.lines++
		var e Entry
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.ID != "" { // half a line after a power cut
			a.keep(e)
		}
	}
	return a
}

func (a *audit) keep(e Entry) {
	a.list = append(a.list, e)
	if len(a.list) > auditKept {
		a.list = append(a.list[:0], a.list[len(a.list)-auditKept:]...)
	}
}

// add notes an action that was taken and returns its id.
func (a *audit) add(e Entry) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.ID = ulid.Make().String()
	a.keep(e)
	level := zerolog.InfoLevel
	if e.Error != "" {
		level = zerolog.WarnLevel
	}
	a.log.WithLevel(level).Str("error", e.Error).Str("audit", e.ID).Str("actor", e.Actor).Str("address", e.Address).Str("action", e.Action).
		Str("target", e.Target).Int("affected", e.Affected).Msg("action by hand")
	if err := a.write(e); err != nil {
		a.log.Error().Err(err).Str("audit", e.ID).Msg("audit history could not be written; the log has the action")
	}
	return e.ID
}

// write appends an entry durably, or the whole history when the file has
// grown long.
func (a *audit) write(e Entry) error {
	if a.path == "" {
		return nil
	}
	if a.lines >= 2*auditKept {
		return a.rewrite()
	}
	f, err := os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := f.Write(append(raw, '\n')); err != nil {
		return err
	}
	a.lines++
	return f.Sync()
}

// rewrite puts the newest entries in the file's place.
func (a *audit) rewrite() error {
	f, err := os.CreateTemp(filepath.Dir(a.path), "audit-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already when all went well
	w := bufio.NewWriter(f)
	enc := json.NewEncoder(w)
	for _, e := range a.list {
		err = errors.Join(err, enc.Encode(e))
	}
	if err = errors.Join(err, w.Flush(), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing the audit history anew: %w", err)
	}
	if err := os.Rename(f.Name(), a.path); err != nil {
		return err
	}
	a.lines = len(a.list)
	return nil
}

// newest returns up to n entries from before the one with the given id, the
// newest first; "" starts at the end.
func (a *audit) newest(before string, n int) (list []Entry, next string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list = []Entry{}
	for i := len(a.list) - 1; i >= 0; i-- {
		e := a.list[i]
		if before != "" && e.ID >= before {
			continue
		}
		if len(list) == n {
			return list, list[n-1].ID
		}
		list = append(list, e)
	}
	return list, ""
}

// find is the entry of an id.
func (a *audit) find(id string) (Entry, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := len(a.list) - 1; i >= 0; i-- {
		if a.list[i].ID == id {
			return a.list[i], true
		}
	}
	return Entry{}, false
}
