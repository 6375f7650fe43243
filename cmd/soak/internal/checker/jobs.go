package checker

import (
	_ "embed"
	"fmt"
	"strings"
	"text/template"
)

//go:embed schema.sql
var schemaSQL string

// job is what the daemons keep warm, and what their values are held to.
type job struct {
	Name, Query, Key, Value, Watch string
	column                         string // of the key
	table                          string // whose ids the keys are; "": orgs
}

// checked are the jobs: a row a key, a join with a query for keys, rows that move
// between keys, sums, and a table that is truncated.
var checked = []job{
	{"item", "SELECT id, v, gate(id) AS gate FROM item ORDER BY id", "item:{id}", "row",
		"[{table: item, key: {id: id}}]", "id", "item"},
	{"tag", "SELECT i.id, i.v, s.id AS sid, s.v AS sv FROM item i JOIN supplier s ON s.id = i.supplier_id ORDER BY " +
		"i.id", "tag:{id}", "row",
		"[{table: item, key: {id: id}}, {table: supplier, column: id, keys: SELECT id FROM item WHERE supplier_id " +
			"= ANY($1)}]", "id", "item"},
	{"bank", "SELECT org, id, balance, v FROM account ORDER BY org, id", "bank:{org}", "rows",
		"[{table: account, key: {org: org}}]", "org", ""},
	{"team", "SELECT org, id, v FROM member ORDER BY org, id", "team:{org}", "rows",
		"[{table: member, key: {org: org}}]", "org", ""},
	{"total", "SELECT org, sum(v) AS total FROM account GROUP BY org ORDER BY org", "total:{org}", "scalar",
		"[{table: account, key: {org: org}}]", "org", ""},
	{"flag", "SELECT id, v FROM flag ORDER BY id", "flag:{id}", "row", "[{table: flag}]", "id", "flag"},
}

// specText has no schedule, and lives that outlast a test: no tick and no expiry
// comes to the rescue of a stale value. Nothing is held either: a TRUNCATE that comes while changes are not followed
// looks to the next run like a result that shrank, and what Postgres holds is what must be readable.
var specText = template.Must(template.New("spec").Parse(`postgres: {url: "{{.Postgres}}", max_connections: 6}
redis: {url: "{{.Redis}}", queue_url: "{{.Queue}}"}
admin: {listen: "{{.Listen}}"}
changes:
  source: {{.Source}}
{{- if eq .Source "wal"}}
  url: "{{.Replication}}"
  slot: {{.Slot}}
  unbounded_wal: {{eq .Slot "permanent"}}
{{- end}}
defaults: {ttl: 6h, timeout: 1m, stale_grace: {{.Grace}}, shrink_guard: 100%}
jobs:
{{- range .Jobs}}
  - name: {{.Name}}
    query: {{.Query}}
    key: "{{.Key}}"
    value: {{.Value}}
{{- if ne $.Source "none"}}
    watch: {{.Watch}}
{{- end}}
{{- end}}
`))

// jobs are those of the world: without a change feed, only the one whose changes
// are reported.
func (o Options) jobs() []job {
	if o.Source == "none" {
		return checked[:1]
	}
	return checked
}

// prefix is how the keys of the job begin.
func (j job) prefix() string { return j.Name + ":" }

// truth is Postgres' own JSON of the job's query.
func (j job) truth() string {
	switch j.Value {
	case "rows":
		return fmt.Sprintf("SELECT '%s' || %s, '[' || string_agg(row_to_json(q)::text, ',') || ']' FROM (%s) q "+
			"GROUP BY %s", j.prefix(), j.column, j.Query, j.column)
	case "scalar":
		return fmt.Sprintf("SELECT '%s' || %s, to_json(%s)::text FROM (%s) q", j.prefix(), j.column, j.Name, j.Query)
	}
	return fmt.Sprintf("SELECT '%s' || %s, row_to_json(q)::text FROM (%s) q", j.prefix(), j.column, j.Query)
}

// truthSQL is what all keys should hold.
func truthSQL(list []job) string {
	all := make([]string, len(list))
	for i, j := range list {
		all[i] = "(" + j.truth() + ")"
	}
	return strings.Join(all, " UNION ALL ")
}

// keys are all that the job may have.
func (j job) keys() (all []string) {
	n := orgs
	if j.table != "" {
		n = sizes[j.table]
	}
	for id := range n {
		all = append(all, fmt.Sprint(j.prefix(), id+1))
	}
	return all
}

// fill makes the tables' first rows; their versions are 0.
func fill() []string {
	return []string{
		fmt.Sprintf("INSERT INTO supplier SELECT i, 0 FROM generate_series(1, %d) i", sizes["supplier"]),
		fmt.Sprintf("INSERT INTO item SELECT i, i %% %d + 1, 0 FROM generate_series(1, %d) i", sizes["supplier"],
			sizes["item"]),
		fmt.Sprintf("INSERT INTO account SELECT i, (i - 1) / %d + 1, %d, 0 FROM generate_series(1, %d) i", accountsPer,
			bankSum/accountsPer, sizes["account"]),
		fmt.Sprintf("INSERT INTO member SELECT i, i %% %d + 1, 0 FROM generate_series(1, %d) i", orgs, sizes["member"]),
		fmt.Sprintf("INSERT INTO flag SELECT i, 0 FROM generate_series(1, %d) i", sizes["flag"]),
	}
}
