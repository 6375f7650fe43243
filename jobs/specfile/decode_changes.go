package specfile

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
)

func (d *decoder) changes(n *yaml.Node, c *jobs.Changes) {
	given := d.fields(n, "changes", map[string]setter{
		"source":        required(d, &c.Source, parseSource),
		"url":           optional(d, &c.URL, d.postgresURL),
		"slot":          required(d, &c.Slot, parseSlot),
		"name":          required(d, &c.Name, parseFeedName),
		"unbounded_wal": required(d, &c.UnboundedWAL, parseBool),
		"run_above":     required(d, &c.RunAbove, parseRunAbove),
		"concurrency":   required(d, &c.Concurrency, parseConcurrency),
	})
	if c.Source == jobs.SourceWAL {
		return
	}
	for _, name := range []string{"url", "slot", "name", "unbounded_wal"} {
		if field := given[name]; field != nil {
			d.problem(field, "remove it, or write source: wal", "changes.%s is for source: wal, not %s", name, c.Source)
		}
	}
}

func (d *decoder) audit(n *yaml.Node, a *jobs.Audit) {
	d.fields(n, "audit", map[string]setter{"rate": required(d, &a.Rate, parseRate)})
}

func parseSlot(s string) (jobs.Slot, error) { return oneOf(s, jobs.SlotTemporary, jobs.SlotPermanent) }

// feedName is what Postgres takes as the name of a slot, with room for what is added
// to that of a temporary one.
var feedName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,53}$`)

func parseFeedName(s string) (string, error) {
	if !feedName.MatchString(s) {
		return "", wrong("is no name for a slot", "write 1 to 54 of a-z, 0-9 and _, not a digit first")
	}
	return s, nil
}

func parseRunAbove(s string) (int, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, wrong("is not a number", "write how many keys of a job may be refreshed before it is run "+
			"instead, as in 10000")
	case n < 1 || n > 1_000_000:
		return 0, wrong("is outside 1 to 1000000", "these keys are held in memory")
	}
	return n, nil
}

func parseConcurrency(s string) (int, error) {
	n, err := strconv.Atoi(s)
	switch {
	case err != nil:
		return 0, wrong("is not a number", "write how many refreshes may go on at a time because of changes, as in 4")
	case n < 1 || n > 100:
		return 0, wrong("is outside 1 to 100", "each takes a connection of postgres.max_connections while it loads")
	}
	return n, nil
}

const fastestRate = 10_000

// parseRate reads "50/s" or "600/m" as keys a second; 0 is none.
func parseRate(s string) (float64, error) {
	number, unit, _ := strings.Cut(s, "/")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	seconds, known := map[string]float64{"s": 1, "m": 60, "h": 3600}[strings.TrimSpace(unit)]
	if s == "0" {
		return 0, nil
	}
	switch {
	case err != nil || !known:
		return 0, wrong("is not a rate", "write keys a second, minute or hour, as in 50/s, or 0 for none")
	case !(n >= 0 && n/seconds <= fastestRate): // so that NaN is refused too
		return 0, wrong(fmt.Sprintf("is outside 0 to %d/s", fastestRate), "each key costs a look at Postgres and Redis")
	}
	return n / seconds, nil
}
