package verify

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// gatewayConfig is what other files must agree with.
type gatewayConfig struct {
	Server struct {
		Listen          string `json:"listen"`
		AdminListen     string `json:"admin_listen"`
		ShutdownDelay   string `json:"shutdown_delay"`
		ShutdownTimeout string `json:"shutdown_timeout"`
	} `json:"server"`
	Limits struct {
		Redis struct {
			URL string `json:"url"`
		} `json:"redis"`
	} `json:"limits"`
	Spool struct {
		Engine    string `json:"engine"`
		Dir       string `json:"dir"`
		MaxSize   string `json:"max_size"`
		JetStream struct {
			URL      string `json:"url"`
			Replicas int    `json:"replicas"`
		} `json:"jetstream"`
	} `json:"spool"`
}

func parseConfig(t *testing.T, text string) (c gatewayConfig) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// stop is how long the gateway takes to end, at the most, without the moment
// it takes to write down what was measured.
func (c gatewayConfig) stop(t *testing.T) time.Duration {
	t.Helper()
	delay, err := time.ParseDuration(c.Server.ShutdownDelay)
	if err != nil {
		t.Fatal(err)
	}
	timeout, err := time.ParseDuration(c.Server.ShutdownTimeout)
	if err != nil {
		t.Fatal(err)
	}
	return delay + timeout
}

// gateway builds the binary of this tree, once.
var gateway = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "breakwater-verify-")
	if err != nil {
		return "", err
	}
	// As `make build` does: what is looked at here is what is shipped.
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "breakwater"), "./cmd/breakwater")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the gateway: %w\n%s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // another user runs it, too
		return "", err
	}
	return filepath.Join(dir, "breakwater"), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if bin, err := gateway(); err == nil {
		os.RemoveAll(filepath.Dir(bin))
	}
	os.Exit(code)
}

func binary(t *testing.T) string {
	t.Helper()
	bin, err := gateway()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// check asks the gateway itself whether it takes a file with these variables,
// and with no others.
func check(t *testing.T, text string, env []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "breakwater.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary(t), "check", "--json", "--config", file)
	cmd.Env = env
	out, err := cmd.Output()
	var answer struct {
		Status   string
		Problems []struct{ Key, Reason, Fix string }
	}
	if jerr := json.Unmarshal(out, &answer); jerr != nil {
		t.Fatalf("check: %v, %v: %s", err, jerr, out)
	}
	for _, p := range answer.Problems {
		t.Errorf("%s %s: %s", p.Key, p.Reason, p.Fix)
	}
	if answer.Status != "valid" && len(answer.Problems) == 0 {
		t.Errorf("check says %s", answer.Status)
	}
}

// environment is what a container gets, with the values of the example for secrets.
func environment(t *testing.T, set appsv1.StatefulSet) (list []string) {
	t.Helper()
	secrets := exampleSecret(t)
	for _, e := range set.Spec.Template.Spec.Containers[0].Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			value = secrets.StringData[e.ValueFrom.SecretKeyRef.Key]
		}
		if e.Name != "BREAKWATER_CONFIG" {
			list = append(list, e.Name+"="+value)
		}
	}
	return list
}

// The gateway takes its file with the variables its pod has, and the file says
// what the manifests do: ports, folders, room, times.
func TestConfiguration(t *testing.T) {
	for _, overlay := range overlays {
		t.Run(overlay, func(t *testing.T) {
			o := load(t, overlay)
			set := o.set(t, "breakwater")
			text := o.data(t, set, "breakwater.yaml")
			check(t, text, environment(t, set))

			c, pod := parseConfig(t, text), set.Spec.Template.Spec
			open := ports(pod)
			if c.Server.Listen != fmt.Sprintf(":%d", open["public"]) || c.Server.AdminListen != fmt.Sprintf(":%d", open["private"]) {
				t.Errorf("the gateway listens on %s and %s; the pod's ports are %v", c.Server.Listen, c.Server.AdminListen, open)
			}
			if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace < c.stop(t)+10*time.Second {
				t.Errorf("the pod is killed after %s; the gateway may need %s and a moment", grace, c.stop(t))
			}
			probe := pod.Containers[0].ReadinessProbe
			if seen := time.Duration(probe.PeriodSeconds*probe.FailureThreshold+probe.TimeoutSeconds) * time.Second; c.stop(t)-30*time.Second <= seen {
				t.Errorf("the door closes after %s; the probe needs up to %s to see it", c.Server.ShutdownDelay, seen)
			}
			if c.Spool.Dir != "/data/spool" || pod.Containers[0].VolumeMounts[0].MountPath != "/data" || !strings.Contains(strings.Join(environment(t, set), " "), "BREAKWATER_DATA_DIR=/data") {
				t.Errorf("the spool is in %s", c.Spool.Dir)
			}
			keeper := set
			if overlay == "cluster" {
				keeper = o.set(t, "nats")
			}
			room := resource.MustParse(strings.TrimSuffix(c.Spool.MaxSize, "B"))
			volume := keeper.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage()
			if share := room.AsApproximateFloat64() / volume.AsApproximateFloat64(); share < 0.5 || share > 0.85 {
				t.Errorf("spool.max_size is %.2f of the volume of %s", share, keeper.Name)
			}
		})
	}
}

// Every server that the gateways of the cluster name is there.
func TestServers(t *testing.T) {
	o := load(t, "cluster")
	c := parseConfig(t, o.data(t, o.set(t, "breakwater"), "breakwater.yaml"))
	nats := o.set(t, "nats")
	hosts := map[string]bool{}
	for i := range *nats.Spec.Replicas {
		hosts[fmt.Sprintf("nats-%d.%s:%d", i, nats.Spec.ServiceName, ports(nats.Spec.Template.Spec)["client"])] = true
	}
	if c.Spool.Engine != "jetstream" || c.Spool.JetStream.Replicas != len(hosts) {
		t.Errorf("engine %s with %d replicas on %d servers", c.Spool.Engine, c.Spool.JetStream.Replicas, len(hosts))
	}
	for one := range strings.SplitSeq(c.Spool.JetStream.URL, ",") {
		u, err := url.Parse(strings.NewReplacer("${", "", "}", "").Replace(one))
		if err != nil || !hosts[u.Host] || u.User.Username() != "gateway" {
			t.Errorf("no NATS server is at %s (%v)", one, err)
			continue
		}
		delete(hosts, u.Host)
	}
	if len(hosts) != 0 {
		t.Errorf("the gateways do not know %v", names(hosts))
	}
	u, err := url.Parse(strings.NewReplacer("${", "", "}", "").Replace(c.Limits.Redis.URL))
	if err != nil {
		t.Fatal(err)
	}
	if port, _ := strconv.Atoi(u.Port()); o.port(u.Hostname(), "redis") != int32(port) || port == 0 {
		t.Errorf("no Redis is at %s", u.Host)
	}
}

// The image is the server that the tests of the gateway run.
func TestNATSVersion(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`nats-io/nats-server/v2 v(\S+)`).FindSubmatch(mod)
	if m == nil {
		t.Fatal("go.mod has no nats-server")
	}
	if image := load(t, "cluster").set(t, "nats").Spec.Template.Spec.Containers[0].Image; image != "nats:"+string(m[1])+"-alpine" {
		t.Errorf("the image is %s, the tests run %s", image, m[1])
	}
}
