package verify

import (
	"maps"
	"path/filepath"
	"slices"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const (
	root     = "../../.."
	manifest = "../kubernetes"
)

// objects is what one overlay makes, by kind.
type objects struct {
	namespaces []corev1.Namespace
	accounts   []corev1.ServiceAccount
	services   []corev1.Service
	configs    []corev1.ConfigMap
	sets       []appsv1.StatefulSet
	budgets    []policyv1.PodDisruptionBudget
	policies   []networkingv1.NetworkPolicy
	ingresses  []networkingv1.Ingress
	scalers    []autoscalingv2.HorizontalPodAutoscaler
	monitors   []monitoringv1.ServiceMonitor
	rules      []monitoringv1.PrometheusRule
}

// overlays are the two ways to run the gateway.
var overlays = []string{"single", "cluster"}

// load builds an overlay and decodes each object strictly: a key that its type
// does not have is an error.
func load(t *testing.T, overlay string) objects {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(manifest, overlay))
	if err != nil {
		t.Fatalf("%s: kustomize: %v", overlay, err)
	}
	var o objects
	decoders := map[string]func([]byte) error{
		"v1 Namespace":                            into(&o.namespaces),
		"v1 ServiceAccount":                       into(&o.accounts),
		"v1 Service":                              into(&o.services),
		"v1 ConfigMap":                            into(&o.configs),
		"apps/v1 StatefulSet":                     into(&o.sets),
		"policy/v1 PodDisruptionBudget":           into(&o.budgets),
		"networking.k8s.io/v1 NetworkPolicy":      into(&o.policies),
		"networking.k8s.io/v1 Ingress":            into(&o.ingresses),
		"autoscaling/v2 HorizontalPodAutoscaler":  into(&o.scalers),
		"monitoring.coreos.com/v1 ServiceMonitor": into(&o.monitors),
		"monitoring.coreos.com/v1 PrometheusRule": into(&o.rules),
	}
	for _, r := range built.Resources() {
		raw, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		kind := r.GetApiVersion() + " " + r.GetKind()
		decode, known := decoders[kind]
		if !known {
			t.Errorf("%s: nothing decodes %s %s", overlay, kind, r.GetName())
			continue
		}
		if err := decode(raw); err != nil {
			t.Errorf("%s: %s %s: %v", overlay, kind, r.GetName(), err)
		}
		if ns := r.GetNamespace(); ns != "breakwater" && r.GetKind() != "Namespace" {
			t.Errorf("%s: %s %s is in namespace %q", overlay, kind, r.GetName(), ns)
		}
	}
	return o
}

func into[T any](list *[]T) func([]byte) error {
	return func(raw []byte) error {
		var one T
		err := yaml.UnmarshalStrict(raw, &one)
		*list = append(*list, one)
		return err
	}
}

// selected are the pods that a selector chooses, by the name of their set.
func (o objects) selected(t *testing.T, what string, s *metav1.LabelSelector) (list []appsv1.StatefulSet) {
	t.Helper()
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return nil
	}
	for _, set := range o.sets {
		if sel.Matches(labels.Set(set.Spec.Template.Labels)) {
			list = append(list, set)
		}
	}
	if len(list) == 0 {
		t.Errorf("%s selects no pod", what)
	}
	return list
}

func (o objects) set(t *testing.T, name string) appsv1.StatefulSet {
	t.Helper()
	i := slices.IndexFunc(o.sets, func(s appsv1.StatefulSet) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no StatefulSet %s", name)
	}
	return o.sets[i]
}

// data is a file of a ConfigMap by the name that its file has in the overlay;
// kustomize adds a hash to it, and to everybody who refers to it.
func (o objects) data(t *testing.T, set appsv1.StatefulSet, file string) string {
	t.Helper()
	for _, v := range set.Spec.Template.Spec.Volumes {
		for _, c := range o.configs {
			if v.ConfigMap != nil && v.ConfigMap.Name == c.Name && c.Data[file] != "" {
				return c.Data[file]
			}
		}
	}
	t.Fatalf("%s mounts no ConfigMap with %s", set.Name, file)
	return ""
}

// ports are the named ports of a pod.
func ports(p corev1.PodSpec) map[string]int32 {
	list := map[string]int32{}
	for _, c := range p.Containers {
		for _, port := range c.Ports {
			list[port.Name] = port.ContainerPort
		}
	}
	return list
}

func names[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
