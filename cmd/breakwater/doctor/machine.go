package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"breakwater/cmd/breakwater/config"
)

// configuration tells whether there is one to go on with.
func (x *exam) configuration() bool {
	name := x.o.Path
	if name == "" {
		name = "embedded defaults"
	}
	if x.o.Problem != nil || x.o.Config == nil {
		ps := config.AsProblems(x.o.Problem)
		for _, p := range ps {
			x.add(Result{Check: "configuration", Subject: p.Place(), Status: Fault, Name: "config_invalid", Detail: p.Key + ": " + p.Reason, Cause: known("config_invalid").Cause, Fix: p.Fix})
		}
		if len(ps) == 0 {
			x.fault("configuration", name, "config_invalid", fmt.Sprint(x.o.Problem))
		}
		return false
	}
	clean := true
	for _, w := range x.o.Config.Warnings() {
		x.add(Result{Check: "configuration", Subject: w.Key, Status: Warning, Detail: w.Reason, Fix: w.Fix})
		clean = false
	}
	if x.o.Path != "" {
		if info, err := os.Stat(x.o.Path); err == nil && info.Mode().Perm()&0o004 != 0 && x.hasSecrets() {
			x.warn("configuration", x.o.Path, "config_readable", "mode "+info.Mode().Perm().String())
			clean = false
		}
	}
	if clean {
		x.ok("configuration", name, fmt.Sprintf("projects: %d", len(x.o.Config.Projects)))
	}
	return true
}

// hasSecrets tells whether the file itself holds some: those from the
// environment are not in it, but which is which is no longer known here.
func (x *exam) hasSecrets() bool {
	c := x.o.Config
	if c.Server.AdminToken != "" {
		return true
	}
	for _, p := range c.Projects {
		if slices.ContainsFunc(p.Upstreams, func(u config.Upstream) bool { return u.DSN != "" || u.APIKey != "" || u.Password != "" }) {
			return true
		}
	}
	return false
}

// machine looks at the folders and at the disk below them.
func (x *exam) machine() {
	dir := x.o.Config.Spool.Dir
	if !x.onDisk() { // of the gateway's own files: what settles, quotas, payloads on their way
		dir = x.o.Config.DataDir()
	}
	probe, err := nearest(dir)
	if err != nil {
		x.fault("machine", dir, "dir_not_writable", err.Error())
		return
	}
	f, err := os.CreateTemp(probe, ".breakwater-doctor-*")
	if err != nil {
		name := "dir_not_writable"
		if errors.Is(err, unix.ENOSPC) {
			name = "disk_full"
		}
		x.fault("machine", dir, name, err.Error())
		return
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if x.onDisk() {
		x.space(dir, probe)
		x.fsync(dir, f)
	} else {
		x.ok("machine", dir, "can be written to")
	}
}

// nearest is the folder, or the closest one above it that exists: the gateway
// makes the rest at its first start.
func nearest(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		info, err := os.Stat(abs)
		switch {
		case err == nil && info.IsDir():
			return abs, nil
		case err == nil:
			return "", fmt.Errorf("%s is not a folder", abs)
		case !errors.Is(err, fs.ErrNotExist) || filepath.Dir(abs) == abs:
			return "", err
		}
		abs = filepath.Dir(abs)
	}
}

func (x *exam) space(dir, probe string) {
	var st unix.Statfs_t
	if err := unix.Statfs(probe, &st); err != nil {
		x.fault("machine", dir, "dir_not_writable", err.Error())
		return
	}
	size := int64(st.Bsize) //nolint:unconvert // its type differs between systems
	free, all := int64(st.Bavail)*size, int64(st.Blocks)*size
	s := x.o.Config.Spool
	detail := fmt.Sprintf("%s free of %s; min_free %s, max_size %s", bytesText(free), bytesText(all), s.MinFree, s.MaxSize)
	switch {
	case free < int64(s.MinFree) || free < 1<<20:
		x.fault("machine", dir, "disk_full", detail)
	case all < int64(s.MaxSize):
		x.warn("machine", dir, "disk_small", detail)
	default:
		x.ok("machine", dir, detail)
	}
}

// slowFsync is the median above which people wait noticeably for their 200.
const slowFsync = 50 * time.Millisecond

// fsync measures what every answer waits for: 4 KB written and synced, 15 times.
func (x *exam) fsync(dir string, f *os.File) {
	block := make([]byte, 4096)
	times := make([]time.Duration, 0, 15)
	for range cap(times) {
		start := time.Now()
		if _, err := f.Write(block); err != nil {
			x.fault("machine", dir, "disk_full", err.Error())
			return
		}
		if err := f.Sync(); err != nil {
			x.fault("machine", dir, "dir_not_writable", err.Error())
			return
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	detail := fmt.Sprintf("fsync of 4 KB: median %s, worst %s", round(times[len(times)/2]), round(times[len(times)-1]))
	if times[len(times)/2] > slowFsync {
		x.warn("machine", dir, "fsync_slow", detail)
		return
	}
	x.ok("machine", dir, detail)
}

func round(d time.Duration) time.Duration {
	if d > 10*time.Millisecond {
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

func bytesText(n int64) string {
	for _, u := range []struct {
		size int64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", n)
}
