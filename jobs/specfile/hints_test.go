package specfile

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
)

// A mistake that users of other tools make is named at its place, with what to write here.
func TestHintsForHabitsOfOtherTools(t *testing.T) {
	for field, want := range map[string]string{
		`ttl: 5 min`:                   "write 5m",
		`ttl: 90 Seconds`:              "write 90s",
		`ttl: 1w`:                      "write 7d",
		`ttl: 2 weeks`:                 "write 14d",
		`ttl: 5M`:                      "write 5m",
		`ttl: 1h 30m`:                  "write 1h30m",
		`ttl: 3days`:                   "write 3d",
		`ttl: PT5M`:                    "write a number and a unit",
		`ttl: 1y`:                      "write a number and a unit",
		`ttl: 300`:                     "has no unit",
		`ttl: 1000000d`:                "is too long",
		`ttl: $TTL`:                    "write ${NAME} for an environment variable",
		`ttl: "${TTL-5m}"`:             "write ${NAME} or ${NAME:-default}",
		`stale_grace: 30 secs`:         "write 30s",
		`sql: SELECT 1`:                `here it is "query"`,
		`cron: "@daily"`:               `here it is "schedule"`,
		`every: 5m`:                    `here it is "schedule"`,
		`expire: 5m`:                   `here it is "ttl"`,
		`timezone: UTC`:                `did you mean "time_zone"?`,
		`tz: UTC`:                      `here it is "time_zone"`,
		`TTL: 5m`:                      `did you mean "ttl"?`,
		`ttl: 5m, ttl: 6m`:             `field "ttl" is given twice`,
		`max_value_bytes: 16m`:         "write a size such as",
		`volatile: yes`:                "is not one of true, false",
		`watch: {table: product}`:      "watch must be a list, not a mapping",
		`<<: {ttl: 5m}`:                "merge keys",
		`ttl: !!str 5m`:                "YAML tags",
		`schedule: */5 * * * *`:        "in quotes",
		`schedule: @daily`:             "in quotes",
		`schedule: "*/5 * * * MONDAY"`: "write the first three letters: MON",
	} {
		_, err := loadSpec(t, "postgres: {url: postgres://db/shop}\nredis: {url: redis://c}\njobs:\n"+
			"  - {name: a, query: SELECT 1 AS id, key: \"a:{id}\", "+field+"}\n", nil)
		problems, ok := errors.AsType[jobs.Problems](err)
		if !ok || len(problems) != 1 || !strings.Contains(fmt.Sprint(problems), want) || problems[0].Line != 4 {
			t.Errorf("%s: %v, want %q in line 4", field, err, want)
		}
	}
}

// A variable that is set and empty inside a value is a warning, unless it says that it may be.
func TestEmptyVariablesInsideAValue(t *testing.T) {
	env := map[string]string{"EMPTY": "", "BLANK": " \n", "USER": "app"}
	for url, want := range map[string]int{
		"postgres://${USER}:${EMPTY}@db/shop":    1,
		"postgres://${USER}:${BLANK}@db/shop":    1,
		"postgres://${EMPTY}:${EMPTY}@db/shop":   1, // one warning a variable
		"postgres://${USER}:${EMPTY:-}@db/shop":  0,
		"postgres://${USER}:${NONE:-x}@db/shop":  0,
		"postgres://${USER}:$${EMPTY}@db/shop":   0,
		"postgres://${USER}@db/shop":             0,
		"${EMPTY}postgres://${BLANK}@db/${USER}": 2,
	} {
		spec, err := loadSpec(t, "postgres: {url: \""+url+"\"}\nredis: {url: redis://c}\njobs:\n"+
			"  - {name: a, query: SELECT 1 AS id, key: \"a:{id}\"}\n", env)
		if err != nil || len(spec.Warnings) != want {
			t.Errorf("%s: %v, %v, want %d warnings", url, spec, err, want)
			continue
		}
		for _, w := range spec.Warnings {
			if w.Line != 1 || w.Col != 17 || !strings.Contains(w.String(), ":-} if it may be") {
				t.Errorf("%s: %s", url, w)
			}
		}
	}
}
