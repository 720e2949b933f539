// Package redistest starts real Redis servers for tests: on the loopback
// interface, on a port that was free, with a folder of their own, keeping
// nothing on disk. They end with their test, by their process id.
package redistest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Server is one redis-server. It keeps its port over a Kill and a Start.
type Server struct {
	t    testing.TB
	port int
	args []string
	dir  string
	cmd  *exec.Cmd
	out  *strings.Builder
}

// patience bounds each wait; the machine may be busy.
const patience = time.Minute

// Start runs a server; args are further settings, such as "--maxmemory", "2mb".
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := &Server{t: t, args: args, dir: t.TempDir(), port: freePort(t)}
	t.Cleanup(s.Kill)
	s.Start()
	return s
}

// freePort finds a port that nobody listens on. It lies below the range of
// outgoing connections (32768 and up), so that only another server can take it.
func freePort(t testing.TB) int {
	t.Helper()
	for try := 0; ; try++ {
		port := 10000 + rand.IntN(5000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			_ = l.Close()
			return port
		}
		if try == 100 {
			t.Fatal(err)
		}
	}
}

// Addr is host and port, URL the same for a configuration.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// URL is redis://host:port.
func (s *Server) URL() string { return "redis://" + s.Addr() }

// Start runs it again, empty, after a Kill, and waits until it answers.
func (s *Server) Start() {
	s.t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		s.t.Fatal("redis-server is not installed (Debian: redis-server; make deps)")
	}
	s.out = &strings.Builder{}
	s.cmd = exec.Command(path, append([]string{
		"--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", s.dir, "--daemonize", "no",
	}, s.args...)...)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		reply, err := s.say("PING")
		if err == nil && strings.HasPrefix(reply, "+PONG") {
			return
		}
		if time.Now().After(end) {
			s.Kill()
			s.t.Fatalf("redis-server does not answer: %q %v\n%s", reply, err, s.out)
		}
	}
}

// say sends one command on a connection of its own and reads one packet.
func (s *Server) say(command string) (string, error) {
	c, err := net.DialTimeout("tcp", s.Addr(), patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return "", err
	}
	buf := make([]byte, 64<<10)
	n, err := c.Read(buf)
	return string(buf[:n]), err
}

// Say sends a command that is answered in one packet, such as FLUSHALL.
func (s *Server) Say(command string) string {
	s.t.Helper()
	reply, err := s.say(command)
	if err != nil {
		s.t.Fatalf("%s: %v", command, err)
	}
	return reply
}

// Kill ends it at once, with what it held.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
}

// Freeze stops its process where it is: connections stay, nothing is answered.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}
