package specfile

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

func (d *decoder) changesFields(c *jobs.Changes) []field.Field {
	return append([]field.Field{
		{Name: "source", Type: field.OneOf(jobs.SourceNone, jobs.SourceWAL, jobs.SourceOutbox), Default: "none",
			Doc: "Where row changes are read from: the WAL by logical replication, or a table that triggers write to.",
			Set: choice(d, &c.Source)},
		{Name: "run_above", Type: field.Number(1, 1_000_000), Default: "10000",
			Doc: "If more keys of a job than this change at once, the job is run instead.",
			Set: whole(d, &c.RunAbove, "these keys are held in memory")},
		{Name: "concurrency", Type: field.Number(1, 100), Default: "4",
			Doc: "How many refreshes the change feed makes at once, over all jobs.",
			Set: whole(d, &c.Concurrency, "each takes a connection of postgres.max_connections while it loads")},
		{Name: "url", Type: field.PostgresURL, MayBeEmpty: true, Default: "postgres.url", InWords: true,
			Example: "${REPLICATION_URL}",
			Doc:     "With source wal, a connection for replication, without a pooler in between.",
			Set:     single(d, &c.URL, d.postgresURL)},
		{Name: "slot", Type: field.OneOf(jobs.SlotTemporary, jobs.SlotPermanent), Default: "temporary",
			Doc: "With source wal, temporary leaves nothing behind in Postgres, and permanent is for keysets too big " +
				"to be run again after each reconnect.",
			Set: choice(d, &c.Slot)},
		{Name: "unbounded_wal", Type: field.Boolean, Default: "false",
			Doc: "With source wal, allow a permanent slot although the server sets no max_slot_wal_keep_size.",
			Set: boolean(d, &c.UnboundedWAL)},
		{Name: "name", Type: field.FeedName, Default: "stoker",
			Doc: "With source wal, the name of the publication and of a permanent slot; each spec on one database " +
				"needs its own, and in a namespace the default is stoker_<namespace>.",
			Set: single(d, &c.Name, parseFeedName)},
	}, d.fileFields("", "the connection for replication", &c.Access)...)
}

func (d *decoder) changes(n *yaml.Node, c *jobs.Changes) {
	given := d.fields(n, "changes", d.changesFields(c))
	if c.Source == jobs.SourceWAL {
		d.completeChanges(c, given)
		return
	}
	for _, name := range []string{"url", "url_file", "password_file", "tls", "slot", "name", "unbounded_wal"} {
		if at := given[name]; at != nil {
			d.problem(at, "remove it, or write source: wal", "changes.%s is for source: wal, not %s", name, c.Source)
		}
	}
}

// completeChanges reads the files of changes.url, if it is given.
func (d *decoder) completeChanges(c *jobs.Changes, given map[string]*yaml.Node) {
	if !c.URL.IsZero() || c.Access.URLFile != "" {
		d.complete(server{section: "changes", url: &c.URL, access: &c.Access, parse: d.postgresURL, given: given})
		return
	}
	for _, name := range []string{"password_file", "tls"} {
		if at := given[name]; at != nil {
			d.problem(at, "remove it, or add url", "changes.%s is given, and changes has no URL of its own", name)
		}
	}
}

func (d *decoder) auditFields(a *jobs.Audit) []field.Field {
	return []field.Field{{Name: "rate", Type: field.Rate, Default: "0",
		Doc: "How many keys are compared with the database and repaired, over all jobs and replicas; 0 is none, and " +
			"10000/s the most.",
		Set: single(d, &a.Rate, parseRate)}}
}

// feedNameIn is the name of the change feed of a spec that names none.
func feedNameIn(n jobs.Namespace) string {
	if n == "" {
		return "stoker"
	}
	return "stoker_" + strings.ReplaceAll(string(n), "-", "_")
}

// parseNamespace takes what can be part of the names of keys, queues and slots.
func parseNamespace(s string) (jobs.Namespace, error) {
	if !field.Namespace.Takes(s) {
		return "", wrong("is no namespace", "write 1 to 32 of a-z, 0-9, - and _, a letter or digit first")
	}
	return jobs.Namespace(s), nil
}

// parseFeedName takes what Postgres takes as the name of a slot, with room for what is added to that of a temporary
// one.
func parseFeedName(s string) (string, error) {
	if !field.FeedName.Takes(s) {
		return "", wrong("is no name for a slot", "write 1 to 54 of a-z, 0-9 and _, not a digit first")
	}
	return s, nil
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
