package logs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"breakwater/cmd/breakwater/config"
	"breakwater/relay/relaytest"
)

func open(t *testing.T, outputs ...config.Output) *Logs {
	t.Helper()
	l, err := New(Options{Config: config.Logs{Level: "debug", Outputs: outputs}, Stderr: devNull(t), Stdout: devNull(t), Hostname: "gateway-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Register(prometheus.NewPedanticRegistry()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(0) })
	return l
}

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func fileOutput(path string) config.Output {
	o := config.DefaultOutput()
	o.Type, o.Path = "file", path
	return o
}

func syslogOutput(network, addr, ca string) config.Output {
	o := config.DefaultOutput()
	o.Type, o.Network, o.Address, o.CAFile = "syslog", network, addr, ca
	return o
}

func wait(t *testing.T, cond func() error) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = cond(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

// idle waits until an output has written all it was given.
func idle(t *testing.T, l *Logs) {
	t.Helper()
	wait(t, func() error {
		for _, s := range l.Status() {
			if s.Queued > 0 {
				return fmt.Errorf("%+v", s)
			}
		}
		return nil
	})
}

// A real rsyslog gets every line by each way; killed and started again it gets
// the lines that come afterwards, and those that waited.
func TestRsyslogGetsEveryLine(t *testing.T) {
	r := relaytest.StartRsyslog(t)
	networks := []string{"udp", "tcp", "tls"}
	l := open(t, syslogOutput("udp", r.Addr("udp"), ""), syslogOutput("tcp", r.Addr("tcp"), ""), syslogOutput("tls", r.Addr("tls"), r.CAFile()))
	log := l.Logger()
	arrived := func(network string, from, to int) {
		t.Helper()
		wait(t, func() error {
			text := strings.Join(r.Lines(network), "\n")
			for n := from; n < to; n++ {
				if !strings.Contains(text, fmt.Sprintf(`"n":%d,`, n)) {
					return fmt.Errorf("%s: line %d is missing", network, n)
				}
			}
			return nil
		})
	}
	all := func(from, to int) {
		for n := from; n < to; n++ {
			log.Info().Int("n", n).Str("text", "a line\nwith a break and ü").Msg("counted")
			if n%100 == 99 { // a server's buffer for datagrams is small, and nobody promises more
				arrived("udp", max(from, n-99), n+1)
			}
		}
		for _, network := range networks {
			arrived(network, from, to)
		}
	}
	all(0, 1000)
	for _, network := range networks {
		line := r.Lines(network)[0]
		head, text, _ := strings.Cut(line, "{")
		if !strings.HasPrefix(head, "daemon.info ") || !strings.HasSuffix(head, fmt.Sprintf(" gateway-1 breakwater %d log ", os.Getpid())) || !json.Valid([]byte("{"+text)) {
			t.Errorf("%s: %q", network, line)
		}
	}
	r.Kill()
	for n := 1000; n < 1050; n++ { // while it is away
		log.Warn().Int("n", n).Msg("counted")
		if n > 1005 {
			continue
		}
		wait(t, func() error { // one by one: lines that are written together would be lost together
			for _, s := range l.Status() {
				if s.Up && s.Queued > 0 {
					return fmt.Errorf("%+v", s)
				}
			}
			return nil
		})
	}
	wait(t, func() error {
		for _, s := range l.Status() {
			if s.Up {
				log.Warn().Msg("is it there?") // a refused datagram that was noticed too late is lost without a word
				return fmt.Errorf("%s does not know that it is away", s.Output)
			}
		}
		return nil
	})
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	all(1050, 1100)
	for _, s := range l.Status() {
		if s.Dropped != 0 || !s.Up {
			t.Errorf("%+v", s)
		}
	}
	for _, network := range []string{"tcp", "tls"} { // the first line to a dead server may be lost, no other
		text, lost := strings.Join(r.Lines(network), "\n"), 0
		for n := 1000; n < 1050; n++ {
			if !strings.Contains(text, fmt.Sprintf(`"n":%d,`, n)) {
				lost++
			}
		}
		if lost > 1 {
			t.Errorf("%s: %d of 50 lines are lost", network, lost)
		}
	}
}

// An output that takes nothing costs its own lines only: no write waits, the
// others get every line and are told.
func TestOutputThatIsStuck(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections and some bytes, nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	path := filepath.Join(t.TempDir(), "log.jsonl")
	l := open(t, syslogOutput("tcp", silent.Addr().String(), ""), syslogOutput("tcp", closed.Addr().String(), ""), fileOutput(path))
	log := l.Logger()
	text := strings.Repeat("x", 1000)
	const n = 30_000
	for i := range n {
		log.Info().Int("n", i).Str("text", text).Msg("counted")
		if i%1000 == 999 { // only the file must keep up
			wait(t, func() error {
				if s := l.Status()[2]; s.Queued > 0 {
					return fmt.Errorf("%+v", s)
				}
				return nil
			})
		}
	}
	status := l.Status()
	for _, i := range []int{0, 1} {
		if s := status[i]; s.Dropped == 0 || s.Queued > maxLines {
			t.Errorf("%+v", s)
		}
		if got := testutil.ToFloat64(l.dropped.WithLabelValues(status[i].Output)); got != float64(status[i].Dropped) {
			t.Errorf("the metric counts %v dropped lines, the output %d", got, status[i].Dropped)
		}
	}
	if s := status[2]; s.Dropped != 0 || !s.Up || s.Written < n {
		t.Errorf("%+v", s)
	}
	if s := status[1]; s.Up || !strings.Contains(s.Error, "refused") || testutil.ToFloat64(l.up.WithLabelValues(s.Output)) != 0 {
		t.Errorf("%+v", s)
	}
	counted, told := 0, ""
	for _, line := range lines(t, path) {
		if strings.Contains(line, "counted") {
			counted++
		} else {
			told += line + "\n"
		}
	}
	if counted != n || !strings.Contains(told, "log output fails") || !strings.Contains(told, closed.Addr().String()) {
		t.Errorf("%d lines in the file; it was told %s", counted, told)
	}
}

// A reader of standard output that stands still does not stop the gateway.
func TestPipeThatNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	l, err := New(Options{Config: config.Logs{Level: "info", Outputs: []config.Output{config.DefaultOutput()}}, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	log := l.Logger()
	for range 2 * maxLines {
		log.Info().Msg("counted")
	}
	if s := l.Status()[0]; s.Dropped == 0 {
		t.Errorf("%+v", s)
	}
	l.Close(10 * time.Millisecond)
	_ = w.Close()
}

// Files turn over by size, keep so many old ones, and are opened anew when
// asked.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log.jsonl")
	o := fileOutput(path)
	o.MaxSize, o.Keep = 1<<20, 2
	l := open(t, o)
	log := l.Logger()
	text := strings.Repeat("x", 10_000)
	for range 450 {
		log.Info().Str("text", text).Msg("counted")
		idle(t, l)
	}
	wait(t, func() error { // old ones are removed in the background
		files, err := filepath.Glob(filepath.Join(dir, "log*"))
		if err != nil || len(files) != 3 {
			return fmt.Errorf("files %v, %w", files, err)
		}
		return nil
	})
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	log.Info().Msg("before")
	idle(t, l)
	l.Reopen()
	log.Info().Msg("after")
	idle(t, l)
	moved := lines(t, path+".moved")
	if last := moved[len(moved)-1]; !strings.Contains(last, "before") {
		t.Errorf("the moved file ends with %.200s", last)
	}
	if now := lines(t, path); len(now) != 1 || !strings.Contains(now[0], "after") {
		t.Errorf("the new file holds %.300q", now)
	}
}

// Closing writes what is queued and leaves no goroutine but the one that the
// library for rotation keeps.
func TestCloseWritesTheRest(t *testing.T) {
	before := goleak.IgnoreCurrent()
	path := filepath.Join(t.TempDir(), "log.jsonl")
	l := open(t, fileOutput(path))
	log := l.Logger()
	for i := range 5000 {
		log.Info().Int("n", i).Msg("counted")
	}
	l.Close(20 * time.Second)
	if got := lines(t, path); len(got) != 5000 {
		t.Errorf("%d lines", len(got))
	}
	log.Info().Msg("too late")
	if s := l.Status()[0]; s.Dropped != 1 {
		t.Errorf("%+v", s)
	}
	goleak.VerifyNone(t, before, goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun"))
}

// Where no other output works, standard error hears of it.
func TestToldOnStandardError(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	l, err := New(Options{Config: config.Logs{Level: "info", Outputs: []config.Output{syslogOutput("tcp", closed.Addr().String(), "")}}, Stderr: w})
	if err != nil {
		t.Fatal(err)
	}
	log := l.Logger()
	log.Info().Msg("counted")
	b := make([]byte, 4096)
	n, err := r.Read(b)
	if err != nil || !bytes.Contains(b[:n], []byte("log output fails")) || !json.Valid(b[:n]) {
		t.Errorf("%s %v", b[:n], err)
	}
	l.Close(0)
	_ = w.Close()
}

func BenchmarkLine(b *testing.B) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	_ = closed.Close()
	for name, outputs := range map[string][]config.Output{
		"file":                     {fileOutput(filepath.Join(b.TempDir(), "log"))},
		"file and a dead server":   {fileOutput(filepath.Join(b.TempDir(), "log")), syslogOutput("tcp", closed.Addr().String(), "")},
		"file and a server of UDP": {fileOutput(filepath.Join(b.TempDir(), "log")), syslogOutput("udp", closed.Addr().String(), "")},
	} {
		b.Run(name, func(b *testing.B) {
			l, err := New(Options{Config: config.Logs{Level: "info", Outputs: outputs}})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close(0)
			log := l.Logger()
			for b.Loop() {
				log.Info().Str("project", "shop").Msg("counted")
			}
		})
	}
}
