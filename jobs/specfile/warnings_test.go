package specfile

import (
	"fmt"
	"strings"
	"testing"
)

// Twelve jobs with one fault give one warning, which names them all. Broken by: a
// collector that appends without looking.
func TestAWarningOfManyJobsIsSaidOnce(t *testing.T) {
	for name, tt := range map[string]struct{ job, want string }{
		"ttl":       {`schedule: "0 * * * *", ttl: 30m`, "a key lives as short as 27m"},
		"watch":     {`watch: [{table: t}]`, "tables are watched"},
		"key shape": {`key: "same:{id%d}"`, "keys of one shape"},
	} {
		var text strings.Builder
		text.WriteString("postgres: {url: postgres://db/shop}\nredis: {url: redis://c}\njobs:\n")
		for i := range 12 {
			job := tt.job
			if strings.Contains(job, "%d") {
				job = fmt.Sprintf(job, i)
			}
			if !strings.Contains(job, "query:") {
				job += ", query: SELECT 1 AS id"
			}
			if !strings.Contains(job, "key:") {
				job += fmt.Sprintf(`, key: "k%d:{id}"`, i)
			}
			fmt.Fprintf(&text, "  - {name: job-%d, %s}\n", i, job)
		}
		spec, err := loadSpec(t, text.String(), nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(spec.Warnings) != 1 {
			t.Errorf("%s: %d warnings:\n%v", name, len(spec.Warnings), spec.Warnings)
			continue
		}
		got := spec.Warnings[0].Message
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s", name, got)
		}
		for i := range 12 {
			if !strings.Contains(got, fmt.Sprintf(`"job-%d"`, i)) {
				t.Errorf("%s: job-%d is not named: %s", name, i, got)
			}
		}
	}
}

// Different figures make one warning too, with each job's own; different reasons do not.
func TestWarningsOfDifferentJobs(t *testing.T) {
	spec, err := loadSpec(t, `
postgres: {url: postgres://db/shop}
redis: {url: redis://c}
defaults: {ttl: 15m}
jobs:
  - {name: a, query: SELECT 1 AS id, key: "a:{id}", schedule: "@hourly"}
  - {name: b, query: SELECT 1 AS id, key: "b:{id}", schedule: "@daily"}
  - {name: c, query: SELECT 1 AS id, key: "c:{id}", watch: [{table: t}]}
  - {name: d, query: SELECT 1 AS id, key: "a:{id}:", schedule: "@hourly", ttl: 5h}
`, nil)
	if err != nil {
		t.Fatal(err)
	}
	text := spec.Warnings.Error()
	for _, want := range []string{`jobs "a" (13m30s of 2h5m) and "b" (13m30s of 48h5m): a key may`,
		"a ttl of 53h25m34s is enough", `job "c": tables are watched`} {
		if len(spec.Warnings) != 2 || !strings.Contains(text, want) {
			t.Errorf("%d warnings, which lack %q:\n%s", len(spec.Warnings), want, text)
		}
	}
}
