package verify

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const stack = ".."

// compose reads a file as Compose does, by its schema, with nothing but the
// file's own defaults for variables.
func compose(t *testing.T, file string) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(stack)
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, file)}}, Environment: types.Mapping{},
	}, func(o *loader.Options) { o.SetProjectName("breakwater", true) })
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p
}

// Both files are what Compose takes; what they mount is there, their images
// have versions, their ports are open on this machine only.
func TestCompose(t *testing.T) {
	for _, file := range []string{"compose.yaml", "compose.cluster.yaml"} {
		p := compose(t, file)
		for name, s := range p.Services {
			if i := strings.LastIndex(s.Image, ":"); s.Build == nil && (i < 0 || s.Image[i+1:] == "latest") {
				t.Errorf("%s: %s: image %q has no version", file, name, s.Image)
			}
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s: %s: port %s is open to everybody", file, name, port.Published)
				}
			}
			for _, v := range s.Volumes {
				if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && err != nil {
					t.Errorf("%s: %s mounts %v", file, name, err)
				}
				if v.Type == types.VolumeTypeBind && !v.ReadOnly {
					t.Errorf("%s: %s may write %s", file, name, v.Source)
				}
			}
			if s.Build != nil {
				if _, err := os.Stat(filepath.Join(s.Build.Context, "Dockerfile")); err != nil {
					t.Errorf("%s: %s: %v", file, name, err)
				}
			}
		}
	}
}

// mounted is the file on this machine that a service sees at a path.
func mounted(t *testing.T, s types.ServiceConfig, at string) string {
	t.Helper()
	i := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == at })
	if i < 0 {
		t.Fatalf("%s mounts nothing at %s", s.Name, at)
	}
	raw, err := os.ReadFile(s.Volumes[i].Source)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// numbered are the services whose name is a word and a number.
func numbered(p *types.Project, word string) (list []types.ServiceConfig) {
	for _, name := range p.ServiceNames() {
		if strings.HasPrefix(name, word+"-") {
			list = append(list, p.Services[name])
		}
	}
	return list
}

// The gateways of compose.cluster.yaml take their file with the variables they
// get; whom the files name by host and port is a service that listens there.
func TestComposeCluster(t *testing.T) {
	p := compose(t, "compose.cluster.yaml")
	gateways, servers := numbered(p, "gateway"), numbered(p, "nats")
	if len(gateways) != 3 || len(servers) != 3 {
		t.Fatalf("%d gateways, %d servers", len(gateways), len(servers))
	}
	folders := map[string]bool{}
	for i, g := range gateways {
		text := mounted(t, g, "/etc/breakwater.yml")
		if i == 0 {
			var env []string
			for name, value := range g.Environment {
				if name != "BREAKWATER_CONFIG" {
					env = append(env, name+"="+*value)
				}
			}
			check(t, text, append(env, "BREAKWATER_DATA_DIR=/data"))
			check(t, text, append(env, "BREAKWATER_DATA_DIR=/data", "BUGSINK_DSN=http://d3a0b1c2d3e4f5061728394a5b6c7d8f@bugsink:8000/1"))
		}
		c := parseConfig(t, text)
		if c.Server.ShutdownDelay == "" { // nginx asks nobody whether he is ready
			c.Server.ShutdownDelay = "0s"
		}
		if c.Server.ShutdownTimeout == "" {
			c.Server.ShutdownTimeout = "30s"
		}
		if grace := time.Duration(*g.StopGracePeriod); grace < c.stop(t)+10*time.Second {
			t.Errorf("%s is killed after %s and may need %s and a moment", g.Name, grace, c.stop(t))
		}
		if c.Server.Listen != ":8080" || c.Server.AdminListen != ":8081" || c.Spool.Engine != "jetstream" || c.Spool.JetStream.Replicas != len(servers) {
			t.Errorf("%s: %+v", g.Name, c)
		}
		if !strings.Contains(text, `trusted_proxies: ["`+p.Networks["default"].Ipam.Config[0].Subnet+`"]`) {
			t.Errorf("%s does not believe the balancer's network", g.Name)
		}
		named(t, p, g.Name, text, map[string]string{"nats": "4222", "redis": "6379"})
		for _, v := range g.Volumes {
			if v.Target == "/data" {
				folders[v.Source] = true
			}
		}
	}
	if len(folders) != len(gateways) {
		t.Errorf("gateways share a folder: %v", names(folders))
	}
	for _, s := range servers {
		if s.Environment["NATS_NAME"] == nil || *s.Environment["NATS_NAME"] != s.Name {
			t.Errorf("%s is called %v", s.Name, s.Environment["NATS_NAME"])
		}
		if s.Image != load(t, "cluster").set(t, "nats").Spec.Template.Spec.Containers[0].Image {
			t.Errorf("%s is %s, another one than in Kubernetes", s.Name, s.Image)
		}
	}
	conf := mounted(t, servers[0], "/etc/nats/nats.conf")
	named(t, p, "nats.conf", conf, map[string]string{"nats": "6222"})
	natsTakes(t, conf)
	if !strings.Contains(conf, "sync_interval: always") {
		t.Error("nats.conf does not sync always")
	}
	redisTakes(t, mounted(t, p.Services["redis"], "/etc/redis.conf"))
	balancer := mounted(t, p.Services["balancer"], "/etc/nginx/nginx.conf")
	named(t, p, "nginx.conf", balancer, map[string]string{"gateway": "8080"})
	nginxTakes(t, balancer)
	prometheus := mounted(t, p.Services["prometheus"], "/etc/prometheus/prometheus.yml")
	named(t, p, "prometheus.yml", prometheus, map[string]string{"gateway": "8081", "alertmanager": "9093"})
	promtoolTakes(t, prometheus, mounted(t, p.Services["prometheus"], "/etc/prometheus/breakwater.rules.yml"))
}

// named finds host:port of services in a text: all of a word's services, at
// the port that they have.
func named(t *testing.T, p *types.Project, what, text string, port map[string]string) {
	t.Helper()
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`\b([a-z]+(?:-\d)?):(\d{4})\b`).FindAllStringSubmatch(text, -1) {
		word, _, _ := strings.Cut(m[1], "-")
		if _, ok := p.Services[m[1]]; !ok || port[word] != m[2] {
			t.Errorf("%s names %s, which is no service's address", what, m[0])
		}
		seen[m[1]] = true
	}
	for word := range port {
		for name := range p.Services {
			if (name == word || strings.HasPrefix(name, word+"-")) && !seen[name] {
				t.Errorf("%s does not know %s", what, name)
			}
		}
	}
}

// nginxTakes asks nginx to check the file, with this machine in place of the
// services, whose names it would look up.
func nginxTakes(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	text = regexp.MustCompile(`gateway-\d:`).ReplaceAllString(text, "127.0.0.1:")
	text = strings.ReplaceAll(text, "listen 80;", "listen "+freeAddress(t)+";")
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte("pid "+dir+"/pid;\nerror_log stderr;\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "nginx", "-t", "-p", dir, "-c", file)
}

// promtoolTakes asks Prometheus' own checker.
func promtoolTakes(t *testing.T, text, rules string) {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string]string{"prometheus.yml": text, "breakwater.rules.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "promtool", "check", "config", filepath.Join(dir, "prometheus.yml"))
}

// run runs a program of the system, which `make deps` installs.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command("env", append([]string{name}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s %s: %v (`make deps` installs it where it is missing)\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}
