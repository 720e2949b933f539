package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// countSyncs lets strace count the fsyncs of processes until the returned
// function is called, which says how many there were.
func countSyncs(dir string, pids []int) (stop func() (float64, error), err error) {
	type trace struct {
		cmd  *exec.Cmd
		file string
	}
	var traces []trace
	end := func() (errs error) {
		for _, t := range traces {
			errs = errors.Join(errs, t.cmd.Process.Signal(os.Interrupt))
			_ = t.cmd.Wait() // it ends with the signal's number
		}
		return errs
	}
	for _, pid := range pids {
		t := trace{file: filepath.Join(dir, fmt.Sprintf("fsyncs.%d", pid))}
		t.cmd = exec.Command("strace", "-f", "-c", "-e", "trace=fsync,fdatasync", "-o", t.file, "-p", strconv.Itoa(pid))
		if err := t.cmd.Start(); err != nil {
			return nil, errors.Join(fmt.Errorf("%w: strace: %w", errTools, err), end())
		}
		traces = append(traces, t)
		if err := until(10*time.Second, "attaching strace", func() bool { return traced(pid) }); err != nil {
			return nil, errors.Join(err, end())
		}
	}
	return func() (n float64, err error) {
		if err := end(); err != nil {
			return 0, err
		}
		for _, t := range traces {
			raw, err := os.ReadFile(t.file)
			if err != nil {
				return 0, err
			}
			for line := range strings.Lines(string(raw)) {
				f := strings.Fields(line) // % time, seconds, usecs/call, calls, [errors], syscall
				if len(f) < 5 || f[len(f)-1] != "fsync" && f[len(f)-1] != "fdatasync" {
					continue
				}
				calls, err := strconv.ParseFloat(f[3], 64)
				if err != nil {
					return 0, fmt.Errorf("%s: %w", t.file, err)
				}
				n += calls
			}
		}
		return n, nil
	}, nil
}

// traced tells whether somebody traces the process.
func traced(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return err == nil && bytes.Contains(raw, []byte("\nTracerPid:")) && !bytes.Contains(raw, []byte("\nTracerPid:\t0\n"))
}

// writtenBy is what a process caused to be written to disks, in bytes.
func writtenBy(pid int) (float64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := bytes.Cut(raw, []byte("\nwrite_bytes: "))
	if !ok {
		return 0, fmt.Errorf("/proc/%d/io says nothing of write_bytes", pid)
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return strconv.ParseFloat(string(line), 64)
}

// networkOf is what came to and left the network namespace of a process, by
// any interface but loopback.
func networkOf(pid int) (received, sent float64, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(raw)) {
		name, counts, ok := strings.Cut(line, ":")
		f := strings.Fields(counts)
		if !ok || strings.TrimSpace(name) == "lo" || len(f) < 9 {
			continue
		}
		in, err1 := strconv.ParseFloat(f[0], 64)
		out, err2 := strconv.ParseFloat(f[8], 64)
		if err := errors.Join(err1, err2); err != nil {
			return 0, 0, err
		}
		received, sent = received+in, sent+out
	}
	return received, sent, nil
}

// redisCommands is how many commands Redis has carried out, those inside
// scripts among them.
func redisCommands(addr string) (float64, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Write([]byte("INFO stats\r\n")); err != nil {
		return 0, err
	}
	for s := bufio.NewScanner(conn); s.Scan(); {
		if n, ok := strings.CutPrefix(s.Text(), "total_commands_processed:"); ok {
			return strconv.ParseFloat(n, 64)
		}
	}
	return 0, errors.New("redis does not tell how many commands it processed")
}
