package health

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// update is one state of a session.
func (h *harness) update(n int, release, status string, init bool, errs int) {
	h.item("session", "", fmt.Sprintf(`{"sid":"%032x","did":"user-%d","init":%t,"started":%q,"timestamp":%q,"status":%q,"errors":%d,"attrs":{"release":%q,"environment":"production"}}`,
		n+1, n, init, h.now.Add(-time.Minute).Format(time.RFC3339), h.now.Format(time.RFC3339), status, errs, release))
}

// Sessions that live through a restart are counted as if there had been none:
// once for each thing, with the users of the day and the order of the releases.
func TestRestartForgetsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "health.bin")
	const sessions = 500
	before := newHarness(t, Config{ReleaseSlots: 2})
	for _, old := range []string{"shop@1", "shop@2", "shop@3"} {
		before.update(9000, old, "ok", true, 0)
	}
	for n := range sessions {
		before.update(n, "shop@3", "ok", true, 0)
		before.update(n, "shop@3", "ok", false, 1)
	}
	users := before.sum("release_users_estimate", "release", "shop@3")
	if err := before.SaveFile(path); err != nil {
		t.Fatal(err)
	}
	after := newHarness(t, Config{ReleaseSlots: 2})
	after.now = before.now.Add(time.Minute)
	if err := after.LoadFile(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Error("the snapshot is still there: a crash would load it again")
	}
	for n := range sessions { // the same again, and their ends
		after.update(n, "shop@3", "ok", true, 0)
		after.update(n, "shop@3", "exited", false, 1)
	}
	total := func(status string) float64 {
		return before.sum("release_sessions_total", "release", "shop@3", "status", status) + after.sum("release_sessions_total", "release", "shop@3", "status", status)
	}
	for status, want := range map[string]float64{started: sessions, errored: sessions, exited: sessions, crashed: 0} {
		if got := total(status); got != want {
			t.Errorf("%v sessions %s, want %v", got, status, want)
		}
	}
	if got := after.sum("release_users_estimate", "release", "shop@3"); got < users || got > users*1.02 {
		t.Errorf("%v users after the restart, %v before", got, users)
	}
	after.update(9001, "shop@1", "ok", true, 0) // gone before the restart, and no newcomer after it
	if got := after.projects["shop"].releases.Values(); !slices.Equal(got, []string{"shop@2", "shop@3"}) {
		t.Errorf("the places are %v", got)
	}
	if first := after.projects["shop"].firstSeen["shop@3"]; !first.Equal(before.now) {
		t.Errorf("shop@3 was first seen at %v, want %v", first, before.now)
	}
}

// A restart with fewer places for releases leaves them to the newest, and counts
// the users of the others together.
func TestRestartWithFewerPlaces(t *testing.T) {
	before := newHarness(t, Config{ReleaseSlots: 3})
	for n := range 300 {
		before.update(n, fmt.Sprint("shop@", 1+n/100), "ok", true, 0)
	}
	var saved bytes.Buffer
	if err := before.Save(&saved); err != nil {
		t.Fatal(err)
	}
	after := newHarness(t, Config{ReleaseSlots: 1})
	if err := after.Load(&saved); err != nil {
		t.Fatal(err)
	}
	after.update(900, "shop@2", "ok", true, 0)
	if got := after.projects["shop"].releases.Values(); !slices.Equal(got, []string{"shop@3"}) {
		t.Errorf("the places are %v", got)
	}
	for release, want := range map[string]float64{"shop@3": 100, "__other__": 201} {
		if got := after.sum("release_users_estimate", "release", release); got < 0.97*want || got > 1.03*want {
			t.Errorf("%s: %v users, want %v", release, got, want)
		}
	}
}

func TestUsersOfYesterdayAreLeft(t *testing.T) {
	var saved bytes.Buffer
	before := newHarness(t, Config{})
	before.update(1, "shop@1", "ok", true, 0)
	if err := before.Save(&saved); err != nil {
		t.Fatal(err)
	}
	after := newHarness(t, Config{})
	after.now = before.now.Add(24 * time.Hour)
	if err := after.Load(&saved); err != nil {
		t.Fatal(err)
	}
	if got := after.sum("release_users_estimate"); got != 0 {
		t.Errorf("%v users of today", got)
	}
	after.update(1, "shop@1", "ok", true, 0)
	if got := after.sum("release_sessions_total", "status", started); got != 0 {
		t.Errorf("a start of yesterday counts %v times again", got)
	}
}

func TestBrokenSnapshots(t *testing.T) {
	var saved bytes.Buffer
	before := newHarness(t, Config{})
	before.update(1, "shop@1", "crashed", true, 0)
	if err := before.Save(&saved); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"cut": saved.String()[:saved.Len()-9], "another version": `{"version":9}`, "odd hashes": `{"version":1,"seen":"AQI="}`, "no JSON": "x",
		"a bad sketch": `{"version":1,"projects":[{"name":"shop","users":[{"environment":"production","release":"shop@1","users":"AwQ="}]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "health.bin")
			if err := os.WriteFile(path, []byte(raw), 0o600); err != nil {
				t.Fatal(err)
			}
			h := newHarness(t, Config{})
			if err := h.LoadFile(path); err == nil {
				t.Error("no error")
			}
			if _, err := os.Stat(path + ".broken"); err != nil {
				t.Errorf("not put aside: %v", err)
			}
			h.update(1, "shop@1", "crashed", true, 0)
			if h.sum("release_sessions_total", "status", crashed) != 1 {
				t.Error("something was taken over")
			}
		})
	}
	if err := newHarness(t, Config{}).LoadFile(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("a first start: %v", err)
	}
}
