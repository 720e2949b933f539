package vitals

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Snapshots have room for keys of 128 bits, and were written with them: what was saved
// so is the same ids.
func TestSnapshotsOfLongerKeys(t *testing.T) {
	a := newHarness(t, Config{})
	a.beacon("/p", one("LCP", 900, "observed"))
	a.later(time.Minute)
	a.beacon("/p", one("LCP", 5000, "waits"))
	var saved, longer bytes.Buffer
	if err := a.Save(&saved); err != nil {
		t.Fatal(err)
	}
	var s snapshot
	if err := json.Unmarshal(saved.Bytes(), &s); err != nil || len(s.Waiting) != 1 || len(s.Seen) != keySize {
		t.Fatalf("%d waiting, %d bytes of observed ids: %v", len(s.Waiting), len(s.Seen), err)
	}
	s.Waiting[0].Key[1] |= 0xfedcba98 << 32
	copy(s.Seen[keySize-4:], "long")
	if err := json.NewEncoder(&longer).Encode(&s); err != nil {
		t.Fatal(err)
	}
	b := newHarness(t, Config{})
	if err := b.Load(&longer); err != nil {
		t.Fatal(err)
	}
	b.beacon("/p", one("LCP", 900, "observed"), one("LCP", 6100, "waits"))
	b.later(time.Hour)
	if got := b.buckets("web_vitals_lcp_seconds"); got != "8:1 " {
		t.Errorf("observed %q, want the one that waited, with its later value", got)
	}
	if n := b.sum("web_vitals_late_updates_total"); n != 1 {
		t.Errorf("%v late updates, want 1", n)
	}
}

func TestBrokenSnapshotIsPutAside(t *testing.T) {
	var good bytes.Buffer
	a := newHarness(t, Config{})
	a.beacon("/p", one("LCP", 5000, "p"))
	if err := a.Save(&good); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vitals.json")
	if err := os.WriteFile(path, good.Bytes()[:good.Len()-9], 0o600); err != nil {
		t.Fatal(err)
	}
	b := newHarness(t, Config{})
	if err := b.LoadFile(path); err == nil {
		t.Error("a cut snapshot was taken for a whole one")
	}
	if _, err := os.Stat(path + ".broken"); err != nil {
		t.Errorf("it was not put aside: %v", err)
	}
	b.beacon("/p", one("LCP", 5000, "p"))
	b.Flush()
	if n := b.sum("web_vitals_lcp_seconds"); n != 1 {
		t.Errorf("%v observations after the broken snapshot, want 1", n)
	}
}

// What validation lets in can be loaded again, down to the smallest value; what
// it would not have let in cannot come by a snapshot.
func TestSnapshotsAreValidated(t *testing.T) {
	a := newHarness(t, Config{})
	a.beacon("/p", one("LCP", 5e-324, "least"), one("INP", 0, "none"))
	a.beacon("/p", one("FCP", 60_000, "most"), one("CLS", 10, "most"))
	var saved bytes.Buffer
	if err := a.Save(&saved); err != nil {
		t.Fatal(err)
	}
	b := newHarness(t, Config{})
	if err := b.Load(bytes.NewReader(saved.Bytes())); err != nil || b.Pending() != 4 {
		t.Errorf("%d of 4 waiting: %v", b.Pending(), err)
	}
	wrong := bytes.Replace(saved.Bytes(), []byte(`"value":60`), []byte(`"value":60.5`), 1)
	c := newHarness(t, Config{})
	if err := c.Load(bytes.NewReader(wrong)); err == nil || c.Pending() != 0 {
		t.Errorf("a value over the limit was loaded: %d waiting", c.Pending())
	}
}
