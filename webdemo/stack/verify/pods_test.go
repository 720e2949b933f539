package verify

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// What every pod must keep: no root, nothing to write but its volumes, no
// capability, no word to the API server, bounds on memory, names that exist.
func TestPods(t *testing.T) {
	secrets := exampleSecret(t)
	used := map[string]bool{}
	for _, overlay := range overlays {
		o := load(t, overlay)
		if len(o.sets) == 0 {
			t.Fatalf("%s has no pods", overlay)
		}
		for _, set := range o.sets {
			pod := set.Spec.Template.Spec
			fault := func(format string, args ...any) {
				t.Helper()
				t.Errorf(overlay+"/"+set.Name+": "+format, args...)
			}
			if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0 ||
				s.FSGroup == nil || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
				fault("runs with more rights than it needs: %+v", s)
			}
			if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
				fault("gets a token for the API server")
			}
			if pod.EnableServiceLinks == nil || *pod.EnableServiceLinks {
				fault("gets variables of services, which look like the gateway's own")
			}
			if !slices.ContainsFunc(o.accounts, func(a corev1.ServiceAccount) bool { return a.Name == pod.ServiceAccountName }) {
				fault("has the unknown service account %q", pod.ServiceAccountName)
			}
			volumes := map[string]bool{}
			for _, v := range pod.Volumes {
				volumes[v.Name] = true
				if c := v.ConfigMap; c != nil && !slices.ContainsFunc(o.configs, func(m corev1.ConfigMap) bool { return m.Name == c.Name }) {
					fault("mounts the unknown ConfigMap %s", c.Name)
				}
			}
			for _, v := range set.Spec.VolumeClaimTemplates {
				volumes[v.Name] = true
			}
			for _, c := range pod.Containers {
				if s := c.SecurityContext; s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || s.ReadOnlyRootFilesystem == nil ||
					!*s.ReadOnlyRootFilesystem || s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 {
					fault("%s: %+v", c.Name, s)
				}
				if i := strings.LastIndex(c.Image, ":"); i < 0 || c.Image[i+1:] == "latest" {
					fault("image %q has no version", c.Image)
				}
				memory := c.Resources.Limits.Memory()
				if memory.IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().Cmp(*memory) > 0 {
					fault("resources %+v", c.Resources)
				}
				for _, m := range c.VolumeMounts {
					if !volumes[m.Name] {
						fault("mounts the unknown volume %s", m.Name)
					}
				}
				for _, e := range c.Env {
					if e.Name == "GOMEMLIMIT" {
						soft := resource.MustParse(strings.TrimSuffix(e.Value, "B"))
						if share := soft.AsApproximateFloat64() / memory.AsApproximateFloat64(); share < 0.8 || share > 0.95 {
							fault("GOMEMLIMIT is %.2f of the limit", share)
						}
					}
					if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
						ref := e.ValueFrom.SecretKeyRef
						if _, ok := secrets.StringData[ref.Key]; !ok || ref.Name != secrets.Name {
							fault("%s comes from %s/%s, which secret.example.yaml does not have", e.Name, ref.Name, ref.Key)
						}
						used[ref.Key] = true
					}
				}
				for what, p := range map[string]*corev1.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
					switch {
					case p == nil && what == "startup" && set.Name == "redis":
					case p == nil:
						fault("%s has no %s probe", c.Name, what)
					case p.HTTPGet != nil && ports(pod)[p.HTTPGet.Port.StrVal] == 0, p.TCPSocket != nil && ports(pod)[p.TCPSocket.Port.StrVal] == 0:
						fault("%s: the %s probe asks an unknown port", c.Name, what)
					}
				}
			}
		}
	}
	for key := range secrets.StringData {
		if !used[key] {
			t.Errorf("secret.example.yaml has %s, which nobody uses", key)
		}
	}
}

func exampleSecret(t *testing.T) corev1.Secret {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(manifest, "secret.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var s corev1.Secret
	if err := yaml.UnmarshalStrict(raw, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// The image and the manifests agree on the user, the folder and the ports.
func TestImage(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	pod := load(t, "single").set(t, "breakwater").Spec.Template.Spec
	user := strconv.FormatInt(*pod.SecurityContext.RunAsUser, 10) + ":" + strconv.FormatInt(*pod.SecurityContext.RunAsGroup, 10)
	open := ports(pod)
	for _, line := range []string{
		"FROM scratch", "USER " + user, "VOLUME " + pod.Containers[0].VolumeMounts[0].MountPath, `ENTRYPOINT ["/breakwater"]`,
		"EXPOSE " + strconv.Itoa(int(open["public"])) + " " + strconv.Itoa(int(open["private"])), "STOPSIGNAL SIGTERM",
	} {
		if !strings.Contains(string(raw), "\n"+line+"\n") {
			t.Errorf("the Dockerfile has no line %q", line)
		}
	}
}
