package jetstream

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// A start that waits says so at once and then every ten seconds; one that is
// called off ends with context.Canceled and with what it waited for.
func TestOpenSaysWhatItWaitsFor(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody answers there afterwards
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var text bytes.Buffer
	clock, tries := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC), 0
	_, err = Open(ctx, Config{URL: "nats://" + addr, Dir: t.TempDir(), Logger: zerolog.New(&text), Now: func() time.Time {
		if tries++; tries == 14 { // of Open itself, of each try
			cancel()
		}
		clock = clock.Add(time.Second)
		return clock
	}})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, nats.ErrNoServers) {
		t.Errorf("a start that was called off ended with %v", err)
	}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"waited":1000`) || !strings.Contains(lines[1], `"waited":11000`) || !strings.Contains(lines[1], "no servers available") {
		t.Errorf("13 tries, a second each, were told as\n%s", text.String())
	}
}
