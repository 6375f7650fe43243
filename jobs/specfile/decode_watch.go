package specfile

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

// watches reads the tables that a job watches.
func (d *decoder) watches(n *yaml.Node, j *jobs.Job) {
	items, _ := d.list("watch", n)
	for _, item := range items {
		j.Watch = append(j.Watch, d.watch(item, j.Key))
	}
}

func (d *decoder) watchFields(w *jobs.Watch, key *jobs.KeyTemplate) []field.Field {
	return []field.Field{
		{Name: "table", Type: field.Table, Missing: "name the table, as in table: product or table: shop.product",
			Doc: "The table whose changes make keys out of date, with its schema unless the search path finds it.",
			Set: single(d, &w.Table, parseTable)},
		{Name: "key", Type: field.Columns, Example: "{id: product_id}",
			Doc: "Where a changed row names the key: each column of the job's key, and the column of the table.",
			Set: func(_ field.Field, n *yaml.Node) { w.Key = d.watchKey(n, key) }},
		{Name: "column", Type: field.Column,
			Doc: "With keys, the column of the table whose changed values fill $1.",
			Set: single(d, &w.Column, asIs)},
		{Name: "keys", Type: field.KeysQuery,
			Doc: "With column, the query that returns the key columns of the keys that changed rows reach.",
			Set: single(d, &w.Keys, parseKeysQuery)},
		{Name: "partial", Type: field.Boolean, Default: "false",
			Doc: "Refresh just the keys that a row names, although the values of others may depend on it.",
			Set: boolean(d, &w.Partial)},
	}
}

// watch reads one entry: a table alone, a table with the columns that name keys,
// or a table with a column and a query that finds keys. key is nil when the
// job's own is wrong.
func (d *decoder) watch(n *yaml.Node, key *jobs.KeyTemplate) jobs.Watch {
	var w jobs.Watch
	given := d.fields(n, "watch entry", d.watchFields(&w, key))
	column, keys := given["column"], given["keys"]
	switch {
	case given["key"] != nil && (column != nil || keys != nil):
		d.problem(n, "keep key, or column with keys", "watch entry has both key and a query for keys")
	case column != nil && keys == nil:
		d.problem(column, "add keys: SELECT <key columns> FROM ... WHERE ... = ANY($1)",
			"watch entry has column without keys")
	case keys != nil && column == nil:
		d.problem(keys, "add column: the column of the table whose values fill $1",
			"watch entry has keys without column")
	}
	if partial := given["partial"]; partial != nil && given["key"] == nil && keys == nil {
		d.problem(partial, "remove it: any change of the table runs the job",
			"partial is for a watch entry that names keys, by key or by column and keys")
	}
	return w
}

// unwatched reads the tables that a job's query reads and no watch needs to name.
func (d *decoder) unwatched(n *yaml.Node, j *jobs.Job) {
	items, _ := d.list("unwatched", n)
	if len(items) > 0 && len(j.Watch) == 0 {
		d.problem(n, "remove it, or add watch", "unwatched is for a job that watches tables")
	}
	for _, item := range items {
		u := jobs.Unwatched{Line: item.Line, Col: item.Column}
		single(d, &u.Table, parseTable)(field.Field{Name: "unwatched"}, item)
		switch {
		case u.Table == "":
			continue
		case slices.ContainsFunc(j.Watch, func(w jobs.Watch) bool { return w.Table == u.Table }):
			d.problem(item, "remove one of the two", "table %q is watched and unwatched", u.Table)
		case slices.ContainsFunc(j.Unwatched, func(other jobs.Unwatched) bool { return other.Table == u.Table }):
			d.problem(item, "remove one", "table %q is twice in unwatched", u.Table)
		}
		j.Unwatched = append(j.Unwatched, u)
	}
}

// watchKey reads a mapping from key columns to the table's columns. It must name
// every column of the job's key, or a changed row would not name a key.
func (d *decoder) watchKey(n *yaml.Node, key *jobs.KeyTemplate) map[string]string {
	pairs, ok := d.pairs(n, "key of a watch entry")
	if !ok {
		return nil
	}
	columns := map[string]string{}
	for _, p := range pairs {
		var column string
		single(d, &column, asIs)(field.Field{Name: p.name}, p.value)
		columns[p.name] = column
		if key != nil && !slices.Contains(key.Columns(), p.name) {
			hint := "remove key: any change of the table then runs the job"
			if len(key.Columns()) > 0 {
				hint = didYouMean(p.name, key.Columns())
			}
			d.problem(p.key, hint, "the job's key has no column %q", p.name)
		}
	}
	if key == nil {
		return columns
	}
	for _, column := range key.Columns() {
		if _, ok := columns[column]; !ok {
			d.problem(n, "add "+column+": <column of the table>, or use column and keys",
				"key of a watch entry does not say where the job's key column %q comes from", column)
		}
	}
	if len(key.Columns()) == 0 && len(pairs) == 0 {
		d.problem(n, "remove it: any change of the table then runs the job", "key of a watch entry is empty")
	}
	return columns
}

// parseTable refuses what is no name of a table. Whether there is such a table the live check finds.
func parseTable(s string) (string, error) {
	name, err := asIs(s)
	if err == nil && !field.Table.Takes(name) {
		err = wrong("is no name of a table", `write product, shop.product, or '"Product"' for a name with capitals, `+
			"blanks or dots")
	}
	return name, err
}

// asIs takes a name of the database as it stands.
func asIs(s string) (string, error) {
	if strings.TrimSpace(s) != s {
		return "", wrong("begins or ends with a space", "remove it")
	}
	return s, nil
}
