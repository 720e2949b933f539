package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// writeBalancer makes the balancer's configuration of the one that people
// get: only addresses, paths and a log are put in.
func (r *rig) writeBalancer(public []string) error {
	raw, err := os.ReadFile(r.opts.nginx)
	if err != nil {
		return err
	}
	var swaps []string
	for i := range max(len(public), 3) {
		name := fmt.Sprintf("server gateway-%d:8080", i+1)
		if !strings.Contains(string(raw), name) {
			return fmt.Errorf("%s has no %q", r.opts.nginx, name)
		}
		if i < len(public) {
			swaps = append(swaps, name, "server "+public[i])
		} else {
			swaps = append(swaps, name, "server "+public[0]+" down; # ")
		}
	}
	var paths strings.Builder
	for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&paths, "    %s_temp_path %s;\n", what, filepath.Join(r.dir, "nginx-"+what))
	}
	swaps = append(swaps,
		"listen 80;", "listen "+r.front+";",
		"http {", "http {\n"+paths.String()+`    map $upstream_addr $crossed { default 0; "~[,:] " 1; }
    log_format crossed '$http_x_event_id $upstream_addr $upstream_status';`,
		"access_log off;", "access_log "+filepath.Join(r.dir, crossed)+" crossed if=$crossed;")
	return os.WriteFile(filepath.Join(r.dir, "nginx.conf"), []byte(strings.NewReplacer(swaps...).Replace(string(raw))), 0o600)
}

func (r *rig) openBalancer() (err error) {
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx" // not in the path of people who are not root
	}
	main := fmt.Sprintf("daemon off; master_process off; pid %s; error_log %s;", filepath.Join(r.dir, "nginx.pid"), filepath.Join(r.dir, "nginx.err"))
	if os.Geteuid() == 0 {
		main += " user root;" // its files are in a folder of ours
	}
	r.balancer, err = r.member("balancer", r.net.nodes["balancer"], nil, nginx, "-p", r.dir, "-c", filepath.Join(r.dir, "nginx.conf"), "-g", main)
	if err != nil {
		return err
	}
	if err := r.balancer.up(); err != nil {
		return err
	}
	return untilListening(r.front)
}

var errTools = errors.New("a program is missing")

// needs tells which programs of the system are missing.
func (o rigOptions) needs() error {
	names := []string{}
	if o.redis {
		names = append(names, "redis-server")
	}
	if !o.loopback {
		names = append(names, "ip")
	}
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("%w: %s (make deps installs it)", errTools, name)
		}
	}
	if _, err := exec.LookPath("nginx"); err != nil {
		if _, err := os.Stat("/usr/sbin/nginx"); err != nil {
			return fmt.Errorf("%w: nginx (make deps installs it)", errTools)
		}
	}
	return nil
}
