package main

import (
	"errors"
	"testing"
	"time"
)

// The spool at max_size, and a disk without room: 503 with Retry-After and
// CORS and never a false 200, 200 again when the upstream is back, without a
// restart; and a kill -9 while nothing fits. Nothing lost, nothing damaged, the
// ledger closed.
func TestFull(t *testing.T) {
	for _, tc := range []struct {
		name, limit string
		files       bool
	}{{"max_size", "max_size", false}, {"disk", "disk", false}, {"disk with attachments", "disk", true}} {
		t.Run(tc.name, func(t *testing.T) {
			c := fullCmd{Gateway: binary(t), Limit: tc.limit, Files: tc.files, MiB: 12, Conns: 8, Stay: 300 * time.Millisecond, JSON: true}
			err := c.Run()
			if errors.Is(err, errCannotMount) {
				t.Skipf("only root may mount the small disk that is filled here: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}
