package verify

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Whoever selects pods selects some, by labels the pods have and a selector
// that their set has; ports go by names that the pods have.
func TestSelectors(t *testing.T) {
	for _, overlay := range overlays {
		o := load(t, overlay)
		for _, set := range o.sets {
			own := o.selected(t, set.Name, set.Spec.Selector)
			if len(own) != 1 || own[0].Name != set.Name {
				t.Errorf("%s: the selector of %s does not choose its pods and no others", overlay, set.Name)
			}
			if !slices.ContainsFunc(o.services, func(s corev1.Service) bool {
				return s.Name == set.Spec.ServiceName && s.Spec.ClusterIP == "None" || set.Name == "redis"
			}) {
				t.Errorf("%s: %s has no headless service %s, so its pods have no names", overlay, set.Name, set.Spec.ServiceName)
			}
			for _, c := range set.Spec.Template.Spec.TopologySpreadConstraints {
				if spread := o.selected(t, set.Name, c.LabelSelector); len(spread) != 1 || spread[0].Name != set.Name {
					t.Errorf("%s: %s spreads the pods of others", overlay, set.Name)
				}
			}
		}
		for _, s := range o.services {
			for _, set := range o.selected(t, "service "+s.Name, &metav1.LabelSelector{MatchLabels: s.Spec.Selector}) {
				for _, p := range s.Spec.Ports {
					at := ports(set.Spec.Template.Spec)[p.TargetPort.StrVal]
					if at == 0 || s.Spec.ClusterIP == "None" && p.Port != at {
						t.Errorf("%s: service %s leads port %d to %s, which %s has not (a headless one leads to the port itself)", overlay, s.Name, p.Port, p.TargetPort.StrVal, set.Name)
					}
				}
			}
		}
		for _, p := range o.policies {
			if len(p.Spec.PodSelector.MatchLabels) == 0 {
				if len(p.Spec.Ingress)+len(p.Spec.Egress) > 0 || len(p.Spec.PolicyTypes) != 2 {
					t.Errorf("%s: the policy %s for all pods allows something", overlay, p.Name)
				}
				continue
			}
			self := o.selected(t, "policy "+p.Name, &p.Spec.PodSelector)
			for _, in := range p.Spec.Ingress {
				for _, port := range in.Ports {
					if len(in.From) == 0 || ports(self[0].Spec.Template.Spec)[port.Port.StrVal] == 0 {
						t.Errorf("%s: policy %s opens %s to %d peers", overlay, p.Name, port.Port.String(), len(in.From))
					}
				}
				o.peers(t, p.Name, in.From)
			}
			for _, out := range p.Spec.Egress {
				if len(out.To) == 0 || len(out.Ports) == 0 {
					t.Errorf("%s: policy %s lets anything out", overlay, p.Name)
				}
				for _, to := range o.peers(t, p.Name, out.To) {
					for _, port := range out.Ports {
						if ports(to)[port.Port.StrVal] == 0 {
							t.Errorf("%s: policy %s leads to port %s, which is not there", overlay, p.Name, port.Port.String())
						}
					}
				}
			}
		}
		for _, i := range o.ingresses {
			for _, r := range i.Spec.Rules {
				for _, p := range r.HTTP.Paths {
					if b := p.Backend.Service; b.Name != "breakwater" || o.port(b.Name, b.Port.Name) == 0 {
						t.Errorf("%s: ingress %s leads to %s:%s", overlay, i.Name, b.Name, b.Port.Name)
					}
				}
			}
		}
	}
}

// peers are the pods on the other side that are ours.
func (o objects) peers(t *testing.T, policy string, list []networkingv1.NetworkPolicyPeer) (pods []corev1.PodSpec) {
	t.Helper()
	for _, p := range list {
		if p.PodSelector == nil || p.NamespaceSelector != nil {
			continue
		}
		for _, set := range o.selected(t, "a peer of policy "+policy, p.PodSelector) {
			pods = append(pods, set.Spec.Template.Spec)
		}
	}
	return pods
}

// port is the number of a service's port, 0 when there is none of that name.
func (o objects) port(service, name string) int32 {
	for _, s := range o.services {
		for _, p := range s.Spec.Ports {
			if s.Name == service && p.Name == name {
				return p.Port
			}
		}
	}
	return 0
}

// The world reaches the public port only, and Prometheus the private one only.
func TestWhoReachesWhat(t *testing.T) {
	for _, overlay := range overlays {
		o := load(t, overlay)
		open := map[string]string{}
		for _, p := range o.policies {
			if !labels.SelectorFromSet(p.Spec.PodSelector.MatchLabels).Matches(labels.Set(o.set(t, "breakwater").Spec.Template.Labels)) {
				continue
			}
			for _, in := range p.Spec.Ingress {
				for _, from := range in.From {
					for _, port := range in.Ports {
						open[from.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]] += port.Port.StrVal + " "
					}
				}
			}
		}
		if got, want := fmt.Sprint(open), "map[monitoring:private  nginx-ingress:public ]"; got != want {
			t.Errorf("%s: gateways are open to %s, not %s", overlay, got, want)
		}
	}
}

// The operator's job is the one that alerts ask for, and its labels push none
// of the gateway's aside.
func TestScrape(t *testing.T) {
	families, err := os.ReadFile(filepath.Join(root, "cmd/breakwater/testdata/metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	own := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)\{(.*)\}$`).FindAllStringSubmatch(string(families), -1) {
		for l := range strings.SplitSeq(m[1], ", ") {
			own[l] = true
		}
	}
	if !own["endpoint"] || !own["project"] {
		t.Fatalf("labels of the gateway: %v", names(own))
	}
	for _, overlay := range overlays {
		o := load(t, overlay)
		if len(o.monitors) != 1 || len(o.rules) != 1 {
			t.Fatalf("%s: %d monitors, %d rules", overlay, len(o.monitors), len(o.rules))
		}
		m := o.monitors[0]
		seen := 0
		for _, s := range o.services {
			sel, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
			if err != nil {
				t.Fatal(err)
			}
			if !sel.Matches(labels.Set(s.Labels)) {
				continue
			}
			seen++
			if job := s.Labels[m.Spec.JobLabel]; job != "breakwater" {
				t.Errorf("%s: the job is %q", overlay, job)
			}
			for _, e := range m.Spec.Endpoints {
				if o.port(s.Name, e.Port) != 8081 || e.Path != "/metrics" {
					t.Errorf("%s: %s is scraped at %s%s", overlay, s.Name, e.Port, e.Path)
				}
				added := map[string]bool{"job": true, "instance": true, "namespace": true, "service": true, "pod": true, "container": true, "endpoint": true}
				for _, r := range e.RelabelConfigs {
					if r.Action == "labeldrop" {
						delete(added, r.Regex)
					}
				}
				for l := range added {
					if own[l] {
						t.Errorf("%s: the operator's label %s pushes the gateway's own aside", overlay, l)
					}
				}
			}
		}
		if seen != 1 {
			t.Errorf("%s: %d services are scraped", overlay, seen)
		}
		alerts := 0
		for _, g := range o.rules[0].Spec.Groups {
			for _, r := range g.Rules {
				if r.Alert != "" {
					alerts++
				}
				if r.Expr == (intstr.IntOrString{}) {
					t.Errorf("%s: a rule without an expression in %s", overlay, g.Name)
				}
			}
		}
		if alerts < 20 {
			t.Errorf("%s: %d alerts", overlay, alerts)
		}
	}
}

// A node may always be drained, and never takes more than the rest can bear.
func TestDisruption(t *testing.T) {
	o := load(t, "single")
	if len(o.budgets) != 0 || *o.set(t, "breakwater").Spec.Replicas != 1 {
		t.Error("single: a disk has one gateway, and a budget for one pod would stop every drain")
	}
	o = load(t, "cluster")
	least := map[string]int32{"nats": *o.set(t, "nats").Spec.Replicas}
	if o.set(t, "breakwater").Spec.Replicas != nil {
		t.Error("cluster: the number of gateways is the autoscaler's")
	}
	for _, h := range o.scalers {
		if h.Spec.ScaleTargetRef.Kind != "StatefulSet" || h.Spec.ScaleTargetRef.APIVersion != "apps/v1" || *h.Spec.MinReplicas > h.Spec.MaxReplicas {
			t.Errorf("cluster: the autoscaler is of %+v", h.Spec.ScaleTargetRef)
		}
		least[o.set(t, h.Spec.ScaleTargetRef.Name).Name] = *h.Spec.MinReplicas
	}
	for _, b := range o.budgets {
		for _, set := range o.selected(t, "budget "+b.Name, b.Spec.Selector) {
			if down := b.Spec.MaxUnavailable.IntVal; down < 1 || least[set.Name]-down < least[set.Name]/2+1 {
				t.Errorf("cluster: %d of %d %s may be away", down, least[set.Name], set.Name)
			}
			delete(least, set.Name)
		}
	}
	if len(least) != 0 {
		t.Errorf("cluster: no budget for %v", names(least))
	}
	if c := o.set(t, "nats").Spec.Template.Spec.TopologySpreadConstraints[0]; c.TopologyKey != "kubernetes.io/hostname" || c.WhenUnsatisfiable != corev1.DoNotSchedule {
		t.Error("cluster: two NATS servers may be on one machine")
	}
}
