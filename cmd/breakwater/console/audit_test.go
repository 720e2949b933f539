package console

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// The history survives a restart and half a line, and neither memory nor file
// grow without bound.
func TestAuditHistory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	a := newAudit(path, zerolog.Nop())
	add := func(n int) {
		a.add(Entry{At: time.Unix(int64(n), 0).UTC(), Actor: "token", Action: "drop", Target: fmt.Sprint(n), Affected: n})
	}
	for n := range 5 {
		add(n)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString(`{"id":"half`)
	_ = f.Close()
	a = newAudit(path, zerolog.Nop())
	list, next := a.newest("", 3)
	if len(list) != 3 || list[0].Target != "4" || next == "" {
		t.Fatalf("%+v %q", list, next)
	}
	if list, next = a.newest(next, 3); len(list) != 2 || list[1].Target != "0" || next != "" {
		t.Errorf("%+v %q", list, next)
	}
	// fsync makes this the slow part: lines beyond the bound are counted, not waited for.
	a.lines = 2 * auditKept
	add(5)
	raw, err := os.ReadFile(path)
	if err != nil || strings.Count(string(raw), "\n") != 6 || strings.Contains(string(raw), "half") {
		t.Errorf("%v, after writing anew: %s", err, raw)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	a.path = "" // memory alone
	for n := range 3 * auditKept {
		add(n)
	}
	if len(a.list) != auditKept {
		t.Errorf("%d entries in memory", len(a.list))
	}
	// A disk that does not take it stops nothing.
	a.path = filepath.Join(t.TempDir(), "nowhere", "audit.jsonl")
	if id := a.add(Entry{Action: "drop"}); id == "" {
		t.Error("not added")
	}
}
