package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestCleanLabel(t *testing.T) {
	for in, want := range map[string]string{
		" production ":                "production",
		"a\nb\x00c":                   "abc",
		"caf\u00e9":                   "caf\u00e9",
		"\xff\xfe":                    "\uFFFD",
		strings.Repeat("x", 100):      strings.Repeat("x", 20),
		strings.Repeat("\u00e9", 100): strings.Repeat("\u00e9", 10),
	} {
		got := CleanLabel(in, 20)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("CleanLabel(%q) = %q, want %q", in, got, want)
		}
	}
	if got := CleanLabel(strings.Repeat("\u20ac", 100), 20); got != strings.Repeat("\u20ac", 6) {
		t.Errorf("cut inside a rune: %q", got)
	}
}

func TestFirstSlotsKeepTheFirst(t *testing.T) {
	s := NewFirstSlots(2)
	for _, c := range [][2]string{{"a", "a"}, {"b", "b"}, {"c", OtherLabel}, {"a", "a"}, {OtherLabel, OtherLabel}} {
		if got := s.Label(c[0]); got != c[1] {
			t.Errorf("Label(%q) = %q, want %q", c[0], got, c[1])
		}
	}
}

func TestNewestSlotsTakeTheOldestPlace(t *testing.T) {
	s, now := NewNewestSlots(2), time.Unix(0, 0)
	s.Label("1", now)
	s.Label("2", now)
	if label, retired := s.Label("3", now); label != "3" || retired != "1" {
		t.Fatalf("third value: label %q, retired %q", label, retired)
	}
	if label, retired := s.Label("1", now); label != OtherLabel || retired != "" {
		t.Errorf("a retired value came back: label %q, retired %q", label, retired)
	}
	if got := s.Values(); !slices.Equal(got, []string{"2", "3"}) || s.Current("1") || !s.Current("3") {
		t.Errorf("places are held by %v", got)
	}
}

func TestNewestSlotsRestoredWithFewerPlaces(t *testing.T) {
	s, now := NewNewestSlots(2), time.Unix(0, 0)
	s.Restore([]string{"1"}, []string{"2", "3", "4"})
	for _, old := range []string{"1", "2"} {
		if label, retired := s.Label(old, now); label != OtherLabel || retired != "" {
			t.Errorf("%s, older than those that hold the places: label %q, retired %q", old, label, retired)
		}
	}
	if got := s.Values(); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("places are held by %v", got)
	}
}

func TestNewestSlotsSurviveForgedNames(t *testing.T) {
	s, now := NewNewestSlots(3), time.Unix(0, 0)
	for range 1000 {
		s.Label("live", now)
	}
	retired := 0
	for i := range 100_000 {
		if _, gone := s.Label(fmt.Sprint("forged-", i), now); gone != "" {
			retired++
		}
	}
	if !s.Current("live") {
		t.Error("forged names pushed out the release that is live")
	}
	if retired > slotBurst {
		t.Errorf("%d retirements in one instant, want at most %d", retired, slotBurst)
	}
	if _, gone := s.Label("next", now.Add(time.Hour)); gone == "" || !s.Current("next") {
		t.Error("after an hour a new release finds no place")
	}
}

func TestSeenForgetsOldestFirst(t *testing.T) {
	s := NewSeen[uint64](100)
	for h := range uint64(1000) {
		if !s.Add(h) {
			t.Fatalf("%d is new and was taken for known", h)
		}
		if s.Add(h) {
			t.Fatalf("%d was added twice", h)
		}
	}
	for h := uint64(900); h < 1000; h++ {
		if !s.Has(h) {
			t.Errorf("%d is among the newest and forgotten", h)
		}
	}
	if s.Len() > 200 || s.Has(0) {
		t.Errorf("%d hashes held; the first known: %t", s.Len(), s.Has(0))
	}
	r := NewSeen[uint64](100)
	for _, h := range s.Hashes() {
		r.Add(h)
	}
	for h := uint64(900); h < 1000; h++ {
		if !r.Has(h) {
			t.Errorf("%d lost in the copy", h)
		}
	}
}
