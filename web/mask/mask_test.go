package mask

import (
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Broken by: a secret that is taken out as a whole only, and not where a driver quotes its password or its user.
func TestSecretsAreTakenOut(t *testing.T) {
	var spec jobs.Spec
	spec.Postgres.URL = jobs.NewSecret("postgres://shop:correct-horse@db/shop")
	spec.Admin.Token = jobs.NewSecret("battery-staple")
	spec.Notify = []jobs.Notify{{URL: jobs.NewSecret("https://hooks.example/T0/B1")}}
	m := New(&spec)
	for _, text := range []string{"dial postgres://shop:correct-horse@db/shop: refused", "password correct-horse",
		"shop:correct-horse@db", "token battery-staple", "POST https://hooks.example/T0/B1: 404"} {
		shown := m.Text(text)
		if !strings.Contains(shown, Masked) || strings.Contains(shown, "correct-horse") ||
			strings.Contains(shown, "battery-staple") || strings.Contains(shown, "T0/B1") {
			t.Errorf("%q is shown as %q", text, shown)
		}
	}
	r := store.Record{Error: "password correct-horse", Warning: "token battery-staple", Job: "shop"}
	if m.Record(&r); r.Error != "password ***" || r.Warning != "token ***" || r.Job != "shop" {
		t.Errorf("%+v", r)
	}
}
