package ingest

import (
	"testing"
	"time"
)

func TestDateOfAnswers(t *testing.T) {
	var d dates
	at := time.Date(2026, 11, 6, 8, 49, 37, 999e6, time.FixedZone("", 3600))
	first := d.at(at)
	if first[0] != "Fri, 06 Nov 2026 07:49:37 GMT" {
		t.Error(first)
	}
	if same := d.at(at.Add(-900 * time.Millisecond)); &same[0] != &first[0] {
		t.Error("written anew within a second")
	}
	if next := d.at(at.Add(time.Millisecond)); next[0] != "Fri, 06 Nov 2026 07:49:38 GMT" || first[0] == next[0] {
		t.Error(next, first)
	}
}
