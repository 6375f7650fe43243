package sequin

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/initspec"
	"github.com/stokerhq/stoker/jobs/specfile/schema"
)

// Render writes the spec. Only the base name of the file is told.
func Render(file string, list []Job) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s", schema.Modeline)
	line("#")
	line("# Translated by stoker init from %s. Keys are those that Sequin wrote. Values are the JSON of a row,",
		filepath.Base(file))
	line("# as Postgres prints it: times have +00:00 where Sequin has Z, and numeric keeps its scale.")
	line("# Where values go is REDIS_URL's to say. Next: stoker changes install (once), stoker check, and")
	line("# stoker run beside Sequin or after it.")
	line("")
	line("postgres:")
	line("  url: ${DATABASE_URL}")
	line("redis:")
	line("  url: ${REDIS_URL}")
	line("changes:")
	line("  source: wal")
	line("jobs:")
	for _, j := range list {
		line("")
		line("  # Table %s of sink %s.", oneLine(j.Table), oneLine(j.Sink))
		for _, note := range j.Notes {
			line("  # %s", note)
		}
		if j.Expire == 0 {
			line("  # Sequin's values did not expire. These live three hours, and a run each hour renews them.")
		} else {
			line("  # As with Sequin, a value expires some time after its row has changed. With a schedule, as")
			line("  # @every 5m, and a TTL of three times that, it would stay warm.")
		}
		line("  - name: %s", j.Name)
		line("    query: %s", initspec.Block(j.Query, "      "))
		line("    key: %s", initspec.Quoted(j.Key))
		if j.Expire == 0 {
			line(`    schedule: "@every 1h"`)
			line("    ttl: 3h")
		} else {
			line("    ttl: %s", duration(j.Expire))
			line("    jitter: 0")
		}
		var pairs []string
		for _, column := range slices.Sorted(maps.Keys(j.Watch)) {
			pairs = append(pairs, initspec.Quoted(column)+": "+initspec.Quoted(j.Watch[column]))
		}
		line("    watch:")
		line("      - {table: %s, key: {%s}}", initspec.Quoted(j.Table), strings.Join(pairs, ", "))
	}
	return b.String()
}

// duration is a duration as a spec has it.
func duration(d time.Duration) string {
	if d%time.Second != 0 {
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return d.String()
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
