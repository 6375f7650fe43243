// Package helm holds the chart; its test lints it, renders it and reads each object strictly.
package helm

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/releaseutil"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/stokerhq/stoker/jobs/specfile"
)

var update = flag.Bool("update", false, "write the golden files")

func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load("stoker")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render returns the manifests in the order in which helm installs them.
func render(t *testing.T, values map[string]any) (string, error) {
	t.Helper()
	c := load(t)
	merged, err := chartutil.ToRenderValues(c, values, chartutil.ReleaseOptions{Name: "shop", Namespace: "prod",
		Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Render(c, merged)
	if err != nil {
		return "", err
	}
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	_, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, m := range manifests {
		b.WriteString("---\n# " + m.Name + "\n" + strings.TrimSpace(m.Content) + "\n")
	}
	return b.String(), nil
}

func valueSets(t *testing.T) []string {
	t.Helper()
	sets, err := filepath.Glob("testdata/*.values.yaml")
	if err != nil || len(sets) < 8 {
		t.Fatalf("%d sets of values, %v", len(sets), err)
	}
	return sets
}

func readValues(t *testing.T, path string) map[string]any {
	t.Helper()
	values, err := chartutil.ReadValuesFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// Each set of values renders what its golden file has, and helm's own lint finds nothing.
func TestGolden(t *testing.T) {
	for _, set := range valueSets(t) {
		t.Run(filepath.Base(set), func(t *testing.T) {
			values := readValues(t, set)
			for _, m := range lint.AllWithKubeVersion("stoker", values, "prod", nil).Messages {
				if m.Severity > support.InfoSev {
					t.Errorf("lint: %s", m)
				}
			}
			got, err := render(t, values)
			if err != nil {
				t.Fatal(err)
			}
			golden := strings.TrimSuffix(set, ".values.yaml") + ".golden.yaml"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("it differs from %s (go test -update writes it):\n%s", golden, got)
			}
			for _, object := range objects(t, got) {
				decode(t, object)
			}
		})
	}
}

func objects(t *testing.T, manifests string) (list [][]byte) {
	t.Helper()
	r := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(manifests)))
	for {
		object, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(bytes.TrimSpace(object)) > 0 {
			list = append(list, object)
		}
	}
}

// scaledObject is the part of KEDA's type that the chart uses.
type scaledObject struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Metadata   map[string]any   `json:"metadata"`
	Spec       scaledObjectSpec `json:"spec"`
}

type scaledObjectSpec struct {
	ScaleTargetRef struct {
		Name string `json:"name"`
	} `json:"scaleTargetRef"`
	MinReplicaCount int32 `json:"minReplicaCount"`
	MaxReplicaCount int32 `json:"maxReplicaCount"`
	Triggers        []struct {
		Type              string            `json:"type"`
		Metadata          map[string]string `json:"metadata"`
		AuthenticationRef struct {
			Name string `json:"name"`
		} `json:"authenticationRef"`
	} `json:"triggers"`
}

// decode reads an object strictly into its Kubernetes type: an unknown or doubled field is an error.
func decode(t *testing.T, object []byte) runtime.Object {
	t.Helper()
	var kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := yaml.Unmarshal(object, &kind); err != nil {
		t.Fatal(err)
	}
	if kind.Kind == "ScaledObject" {
		if err := yaml.UnmarshalStrict(object, &scaledObject{}); err != nil {
			t.Errorf("%v:\n%s", err, object)
		}
		return nil
	}
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, monitoring.AddToScheme} {
		if err := add(known); err != nil {
			t.Fatal(err)
		}
	}
	strict := serializer.NewCodecFactory(known, serializer.EnableStrict).UniversalDeserializer()
	gv, err := schema.ParseGroupVersion(kind.APIVersion)
	if err != nil {
		t.Fatal(err)
	}
	gvk := gv.WithKind(kind.Kind)
	decoded, _, err := strict.Decode(object, &gvk, nil)
	if err != nil {
		t.Errorf("%v:\n%s", err, object)
	}
	return decoded
}

// What restricted pod security asks for, in each Deployment of each set of values.
//
// Broken by: a container that may write to its root or gain privileges; a drain that is cut short; a secret in a value.
func TestDeployments(t *testing.T) {
	for _, set := range valueSets(t) {
		manifests, err := render(t, readValues(t, set))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, object := range objects(t, manifests) {
			d, ok := decode(t, object).(*appsv1.Deployment)
			if !ok {
				continue
			}
			n++
			checkPod(t, set+" "+d.Name, d.Spec.Template)
		}
		if n == 0 {
			t.Errorf("%s has no Deployment", set)
		}
		if strings.Contains(manifests, "kind: Secret\n") {
			t.Errorf("%s makes a Secret", set)
		}
	}
}

func checkPod(t *testing.T, name string, pod corev1.PodTemplateSpec) {
	t.Helper()
	s, c := pod.Spec, pod.Spec.Containers[0]
	p, cs := s.SecurityContext, c.SecurityContext
	if p == nil || !*p.RunAsNonRoot || *p.RunAsUser != 65532 || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: %+v", name, p)
	}
	if cs == nil || *cs.AllowPrivilegeEscalation || !*cs.ReadOnlyRootFilesystem || len(cs.Capabilities.Drop) != 1 ||
		cs.Capabilities.Drop[0] != "ALL" {
		t.Errorf("%s: %+v", name, cs)
	}
	if *s.TerminationGracePeriodSeconds <= 25 {
		t.Errorf("%s is killed after %d s", name, *s.TerminationGracePeriodSeconds)
	}
	if live, ready := c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path; live != "/livez" || ready != "/readyz" {
		t.Errorf("%s: liveness %s, readiness %s", name, live, ready)
	}
	if pod.Annotations["checksum/config"] == "" {
		t.Errorf("%s has no checksum of its spec", name)
	}
	if strings.HasSuffix(c.Image, ":latest") || !strings.ContainsAny(c.Image[strings.LastIndex(c.Image, "/")+1:], ":@") {
		t.Errorf("%s has the image %s", name, c.Image)
	}
}

// What must be refused is refused, in words that say what to do.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct{ values, words string }{
		"two autoscalers":    {"existingSecret: s\nkeda: {enabled: true, address: q}\nhpa: {enabled: true}", "enable one"},
		"no secret":          {"{}", "existingSecret is required"},
		"a misspelt value":   {"existingSecret: s\nreplica: 2", "replica"},
		"a wrong type":       {"existingSecret: s\nreplicas: two", "replicas"},
		"a secret in values": {"existingSecret: s\npassword: x", "password"},
		"latest":             {"existingSecret: s\nimage: {tag: latest}", "tag"},
		"a short drain":      {"existingSecret: s\nterminationGracePeriodSeconds: 10", "terminationGracePeriodSeconds"},
		"keda without queue": {"existingSecret: s\nkeda: {enabled: true}", "keda.address"},
		"no metrics token":   {"existingSecret: s\nserviceMonitor: {enabled: true}", "tokenSecret"},
		"no host":            {"existingSecret: s\ningress: {enabled: true}", "ingress.host"},
		"no mode":            {"existingSecret: s\nmode: some", "mode"},
	} {
		t.Run(name, func(t *testing.T) {
			values, err := chartutil.ReadValues([]byte(tt.values))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%v, want a mention of %q", err, tt.words)
			}
		})
	}
}

// A change of the spec rolls the pods.
func TestSpecRollsPods(t *testing.T) {
	checksum := func(spec string) string {
		manifests, err := render(t, map[string]any{"existingSecret": "s", "spec": spec})
		if err != nil {
			t.Fatal(err)
		}
		for _, object := range objects(t, manifests) {
			if d, ok := decode(t, object).(*appsv1.Deployment); ok {
				return d.Spec.Template.Annotations["checksum/config"]
			}
		}
		return ""
	}
	if a, b := checksum("jobs: [1]"), checksum("jobs: [2]"); a == b || a == "" {
		t.Errorf("checksums %q and %q", a, b)
	}
}

// The spec of the default values loads with the variables of the Secret.
func TestDefaultSpecLoads(t *testing.T) {
	spec, ok := load(t).Values["spec"].(string)
	if !ok {
		t.Fatal("no spec")
	}
	file := filepath.Join(t.TempDir(), "stoker.yaml")
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"DATABASE_URL": "postgres://h/d", "REDIS_URL": "redis://h", "STOKER_ADMIN_TOKEN": "sixteen-letters!"}
	if _, err := specfile.Load(file, func(n string) (string, bool) { v, ok := env[n]; return v, ok }); err != nil {
		t.Error(err)
	}
}
