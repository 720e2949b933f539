package jetstream

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// Servers that were just started may not know each other yet when the first
// gateway makes its streams: it tries again. What no time mends fails at once.
func TestWhoIsOnlyAway(t *testing.T) {
	for text, want := range map[string]bool{
		"no suitable peers for placement, peer offline":         true,
		"no suitable peers for placement, insufficient storage": false,
		"no suitable peers for placement":                       false,
	} {
		err := fmt.Errorf("making a stream: %w", &jetstream.APIError{Code: 400, ErrorCode: 10005, Description: text})
		if away(err) != want {
			t.Errorf("%q is tried again: %v", text, !want)
		}
	}
}
