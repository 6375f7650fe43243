// Package compose holds the compose file; its test validates it.
package compose

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile"
	"github.com/stokerhq/stoker/store/testserver"
)

func project(t *testing.T) *types.Project {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"compose.yaml"}, cli.WithWorkingDirectory("."))
	if err != nil {
		t.Fatal(err)
	}
	p, err := o.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Each service has a health check and waits for the healthy ones it needs; the two Redis servers have the policy that
// fits what they keep.
//
// Broken by: a queue that evicts, a volume that is not declared, a stop that is shorter than the drain.
func TestCompose(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		if s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[0] != "CMD" {
			t.Errorf("%s has no health check in exec form", name)
		}
		for on, d := range s.DependsOn {
			if d.Condition != types.ServiceConditionHealthy {
				t.Errorf("%s waits for %s to be %s", name, on, d.Condition)
			}
		}
		if strings.HasSuffix(s.Image, ":latest") && name != "stoker" {
			t.Errorf("%s has the image %s", name, s.Image)
		}
	}
	stoker := p.Services["stoker"]
	for _, on := range []string{"postgres", "cache", "queue"} {
		if _, ok := stoker.DependsOn[on]; !ok {
			t.Errorf("stoker does not wait for %s", on)
		}
	}
	if !stoker.ReadOnly || !slices.Contains(stoker.CapDrop, "ALL") {
		t.Error("stoker could write, or has capabilities")
	}
	if stoker.StopGracePeriod == nil || time.Duration(*stoker.StopGracePeriod) <= 25*time.Second {
		t.Errorf("stoker is killed after %s", stoker.StopGracePeriod)
	}
	for name, want := range map[string][]string{
		"cache": {"--maxmemory-policy", "volatile-ttl"},
		"queue": {"--maxmemory-policy", "noeviction", "--appendonly", "yes"},
	} {
		if got := strings.Join(p.Services[name].Command, " "); !strings.Contains(got, strings.Join(want, " ")) {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, name := range []string{"postgres", "queue"} {
		if !slices.ContainsFunc(p.Services[name].Volumes, func(v types.ServiceVolumeConfig) bool { return v.Type == "volume" }) {
			t.Errorf("%s has no volume", name)
		}
	}
	for _, port := range stoker.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("the page is open to %q", port.HostIP)
		}
	}
}

// The spec loads with the variables that the compose file sets, and each file that is mounted is there.
func TestComposeSpec(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == "bind" && err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	env := p.Services["stoker"].Environment
	spec, err := specfile.Load("stoker.yaml", func(name string) (string, bool) {
		v, ok := env[name]
		if !ok || v == nil {
			return "", false
		}
		return *v, true
	})
	if err != nil {
		t.Fatal(err)
	}
	if spec.Changes.Source != jobs.SourceWAL || len(spec.Warnings) > 0 {
		t.Errorf("%s, %v", spec.Changes.Source, spec.Warnings)
	}
}

// The sample data are accepted by a real server, and the query of the spec reads them.
func TestComposeData(t *testing.T) {
	pg, err := testserver.StartPostgres(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	}()
	sql, err := os.ReadFile("shop.sql")
	if err != nil {
		t.Fatal(err)
	}
	shell, err := pg.Shell(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	if _, err := shell.Exec(string(sql)); err != nil {
		t.Fatal(err)
	}
	rows, err := shell.Exec("SELECT count(*) FROM (SELECT id, sku, name, price, stock FROM product WHERE active) q;")
	if err != nil || !slices.Equal(rows, []string{"10000"}) {
		t.Errorf("%q, %v", rows, err)
	}
}
