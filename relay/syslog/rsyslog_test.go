package syslog_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"breakwater/relay"
	"breakwater/relay/relaytest"
	"breakwater/relay/spool"
	"breakwater/relay/spool/disk"
	"breakwater/relay/syslog"
)

func make1(t *testing.T, c syslog.Config) *syslog.Destination {
	t.Helper()
	d, err := syslog.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func server(r *relaytest.Rsyslog, network string) syslog.Server {
	return syslog.Server{Network: network, Address: r.Addr(network), RootCAs: r.CAPool()}
}

func TestPlainContract(t *testing.T) {
	for _, network := range []string{"udp", "tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			r := relaytest.StartRsyslog(t)
			p := relaytest.Plain{
				New: func(t *testing.T) (relay.Destination, func() string) {
					before := len(settled(r, network))
					return make1(t, syslog.Config{Server: server(r, network), Hold: 50 * time.Millisecond}), func() string {
						return strings.Join(settled(r, network)[before:], "\n")
					}
				},
				Away: func(t *testing.T) relay.Destination {
					r.Kill()
					t.Cleanup(func() {
						if err := r.Start(); err != nil {
							t.Error(err)
						}
					})
					return make1(t, syslog.Config{Server: server(r, network)})
				},
				Reason: "connection",
				Store:  true,
			}
			if network != "udp" {
				p.Stuck = stuck
			}
			relaytest.PlainContract(t, p)
		})
	}
}

// settled is what rsyslog has written when it writes no more.
func settled(r *relaytest.Rsyslog, network string) []string {
	last := -1
	for {
		lines := r.Lines(network)
		if len(lines) == last {
			return lines
		}
		last = len(lines)
		time.Sleep(200 * time.Millisecond) // rsyslog says nothing of when it is done
	}
}

// rsyslog understands the header, and the text is the document, whole.
func TestWhatRsyslogSees(t *testing.T) {
	r := relaytest.StartRsyslog(t)
	for _, network := range []string{"udp", "tcp", "tls"} {
		d := make1(t, syslog.Config{Server: server(r, network), Facility: "local3", Hostname: "gateway-1", FullEvent: true, Hold: 50 * time.Millisecond})
		rec := relaytest.MustRecord("{\"event_id\":\"9ec79c33ec9942ab8353589fcb2e04dc\"}\n{\"type\":\"event\"}\n" +
			`{"timestamp":1767323045.123,"level":"fatal","message":"line one\nline two ` + strings.Repeat("é", 300) + `"}`)
		if _, err := d.Deliver(t.Context(), &rec.Meta, &rec.Envelope); err != nil {
			t.Fatal(network, err)
		}
		wait(t, func() error {
			if n := len(r.Lines(network)); n != 1 {
				return fmt.Errorf("%s: %d lines", network, n)
			}
			return nil
		})
		line := r.Lines(network)[0]
		head, text, _ := strings.Cut(line, "{")
		if head != "local3.crit 2026-01-02T03:04:05.123000Z gateway-1 breakwater - message " {
			t.Errorf("%s: header %q", network, head)
		}
		var doc relay.Document
		if err := json.Unmarshal([]byte("{"+text), &doc); err != nil || !strings.HasPrefix(doc.Message, "line one\nline two é") || !json.Valid([]byte(doc.Event)) {
			t.Errorf("%s: %v in %s", network, err, text)
		}
	}
}

func wait(t *testing.T, cond func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if err = cond(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// The must of a stream to a syslog server: killed with -9 again and again
// under a steady stream, from the real spool through the real loop, no report
// is missing at the end.
func TestKilledRsyslogLeavesNoGap(t *testing.T) {
	for _, network := range []string{"tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			noGap(t, network)
		})
	}
}

func noGap(t *testing.T, network string) {
	r := relaytest.StartRsyslog(t)
	s, err := disk.Open(disk.Config{Dir: t.TempDir(), MaxSize: 1 << 30, MinFree: -1, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	loop, err := relay.New(relay.Config{BackoffBase: 10 * time.Millisecond, BackoffCap: 200 * time.Millisecond, CircuitBase: 50 * time.Millisecond, CircuitCap: 200 * time.Millisecond}, s)
	if err != nil {
		t.Fatal(err)
	}
	dst := spool.Destination{Project: "shop", Name: "up"}
	// On a busy machine rsyslog takes long from reading to writing: what it has read
	// and not written when it is killed must be in the hold still.
	d := make1(t, syslog.Config{Server: server(r, network), Hold: 2 * time.Second})
	if err := loop.Apply([]relay.DestinationConfig{{Destination: dst, Upstream: d, Concurrency: 256}}); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	sent := make(chan []string, 1)
	go func() {
		var ids []string
		tick := time.NewTicker(8 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				sent <- ids
				return
			case <-tick.C:
			}
			rec := relaytest.SampleRecord()
			if err := s.Append(t.Context(), rec); err != nil {
				t.Error(err)
			}
			ids = append(ids, rec.Meta.EventID)
		}
	}()
	for round := range 4 {
		had := len(r.Lines(network))
		wait(t, func() error { // it is in the middle of taking reports
			if n := len(r.Lines(network)); n < had+50 {
				return fmt.Errorf("round %d: %d lines, %d before", round, n, had)
			}
			return nil
		})
		if round%2 == 0 {
			r.Kill()
		} else {
			r.Stop()
		}
		time.Sleep(150 * time.Millisecond) // an outage of some length, while reports keep coming
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	ids := <-sent
	wait(t, func() error {
		if n := s.Stats().Records; n > 0 {
			return fmt.Errorf("%d records are not settled", n)
		}
		return nil
	})
	if err := loop.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	var text string
	wait(t, func() error { // what it took last it may have to write
		text = strings.Join(settled(r, network), "\n")
		missing := 0
		for _, id := range ids {
			if !strings.Contains(text, id) {
				missing++
			}
		}
		if missing > 0 {
			return fmt.Errorf("%d of %d reports are missing", missing, len(ids))
		}
		return nil
	})
	t.Logf("%d reports, %d lines, 4 restarts", len(ids), strings.Count(text, "\n")+1)
}
