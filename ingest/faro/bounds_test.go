package faro

import (
	"fmt"
	"strings"
	"testing"
)

// Each exception gets the newest breadcrumbs before it; what they all choose
// from is sorted once.
func TestManyExceptionsAfterManyLogs(t *testing.T) {
	var logs []string
	for i := range maxEntries {
		logs = append(logs, fmt.Sprintf(`{"message":"m%d","timestamp":"2026-11-24T%02d:%02d:00.123Z"}`, i, i/60%24, i%60))
	}
	cost := func(exceptions int) float64 {
		body := `{"logs":[` + strings.Join(logs, ",") + `],"exceptions":[` +
			strings.TrimSuffix(strings.Repeat(`{"type":"E","timestamp":"2026-11-25T03:00:00Z"},`, exceptions), ",") + `]}`
		return testing.AllocsPerRun(1, func() {
			if b := must(t, body); len(b.Items) != exceptions+1 {
				t.Fatal(len(b.Items))
			}
		})
	}
	one, many := cost(1), cost(maxExceptions)
	t.Log(one, many)
	if each := (many - one) / (maxExceptions - 1); each > maxEntries {
		t.Errorf("%.0f allocations for each exception", each)
	}
}

// What all entries share is short, for each of them gets it.
func TestLongMeta(t *testing.T) {
	long := `"` + strings.Repeat("x", 200<<10) + `"`
	b := must(t, `{"meta":{"app":{"version":`+long+`,"release":`+long+`},"user":{"email":`+long+`}},"exceptions":[`+
		strings.TrimSuffix(strings.Repeat(`{"type":"E"},`, maxExceptions), ",")+`]}`)
	if len(b.Items) < maxExceptions/2 || b.Items[0].Payload.Size() > 64<<10 {
		t.Errorf("%d items, the first of %d bytes", len(b.Items), b.Items[0].Payload.Size())
	}
}
