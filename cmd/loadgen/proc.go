package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what the kernel says of one process.
type usage struct {
	CPU    float64 // seconds, user and system
	RSS    int64   // bytes now
	MaxRSS int64   // bytes at most, since start
}

// clockTicks is the kernel's USER_HZ: 100 on every Linux that Go runs on.
const clockTicks = 100

func usageOf(pid int) (usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+2:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	if err1 != nil || err2 != nil {
		return usage{}, fmt.Errorf("reading cpu of %d", pid)
	}
	u := usage{CPU: (user + system) / clockTicks}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return usage{}, err
	}
	for _, line := range strings.Split(string(status), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		kb, _ := strconv.ParseInt(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			u.RSS = kb << 10
		case "VmHWM:":
			u.MaxRSS = kb << 10
		}
	}
	return u, nil
}

// process is a child that is ended by its id, never by name.
type process struct {
	cmd  *exec.Cmd
	log  *os.File      // what it says goes to its end; nil: elsewhere
	said int64         // bytes that were in it before
	done chan struct{} // closed when it ended
	exit error         // how; after done
}

func start(env []string, logTo *os.File, argv ...string) (*process, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = logTo, logTo
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p, started := &process{cmd: cmd, log: logTo, said: size(logTo), done: make(chan struct{})}, make(chan error, 1)
	go func() {
		// The kernel ends the child with the thread that started it, so that
		// thread must not end earlier.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.exit = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill is kill -9; of one that ended it does nothing.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// size is how long a file is, 0 for none.
func size(f *os.File) int64 {
	if f == nil {
		return 0
	}
	fi, err := f.Stat()
	if err != nil {
		return 0
	}
	return fi.Size()
}

// endsIn is how long a process may take to end in order. A gateway whose stream is
// away gives up after its shutdown_timeout and a few seconds.
const endsIn = 90 * time.Second

// stop asks politely, then kills. A process that was just started and has said
// nothing may not catch signals yet: the signal itself ends it then, which is in
// order, too.
func (p *process) stop() error {
	deaf := p.log != nil && size(p.log) == p.said
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
		if st, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && st.Signaled() && st.Signal() == syscall.SIGTERM && deaf {
			return nil
		}
		return p.exit
	case <-time.After(endsIn):
		p.kill()
		return fmt.Errorf("did not stop in %v", endsIn)
	}
}
