package postgres

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
)

// alias names column i of the job's query where Postgres converts columns for
// us: the column's own name may be there twice.
func alias(i int) string { return fmt.Sprintf("c%d", i+1) }

// ref is how our statements refer to column i of the job's query. Where nothing
// is converted, columns keep their own names, and come back under them: so a
// column that was renamed, dropped or moved since the query was looked at is
// noticed before a value is made of it.
func (p *plan) ref(i int) string {
	if p.convert {
		return "q." + alias(i)
	}
	return "q." + pgx.Identifier{p.columns[i].Name}.Sanitize()
}

// body is the job's query as a FROM item. The line break keeps a trailing
// comment of the query from swallowing the bracket. Its text before the query is
// bodyPrefix, so that error positions can be mapped back.
func (p *plan) body() string {
	if !p.convert {
		return bodyPrefix + p.job.Query + "\n) AS q"
	}
	names := make([]string, len(p.columns))
	for i := range p.columns {
		names[i] = alias(i)
	}
	return bodyPrefix + p.job.Query + "\n) AS q(" + strings.Join(names, ", ") + ")"
}

const bodyPrefix = "FROM ("

// output lists the columns as readings return them. Postgres builds the JSON of
// those types that encode does not read from the wire. Where it need not, the
// list is left open: a column that the query has won is noticed when it comes.
func (p *plan) output() string {
	if !p.convert {
		return "q.*"
	}
	cols := make([]string, len(p.columns))
	for i := range p.columns {
		cols[i] = "q." + alias(i)
		if p.converted(i) {
			cols[i] = "to_json(q." + alias(i) + ")"
		}
	}
	if p.job.Value == jobs.ValueRows {
		for _, i := range p.hashed() {
			cols = append(cols, fmt.Sprintf("%s(%s, 0)", p.equal[i].hash, p.ref(p.keys[i])))
		}
	}
	return strings.Join(cols, ", ")
}

// runSQL is the statement of a run and the offset of the job's query in it. The
// query runs as it stands unless Postgres has to convert a column.
func (p *plan) runSQL() (sql string, offset int) {
	if !p.convert {
		return Tag(p.job, p.job.Query, 0)
	}
	return p.wrap("")
}

// refreshSQL is the statement that returns the rows of given keys: one array
// parameter a key column. The planner pushes the condition into the query where
// it can.
func (p *plan) refreshSQL() (sql string, offset int) {
	switch len(p.keys) {
	case 0:
		return p.wrap("")
	case 1:
		return p.wrap(fmt.Sprintf("\nWHERE %s %s ANY($1::%s[])", p.ref(p.keys[0]), p.equal[0].operator, p.loose[0]))
	}
	if p.job.Value == jobs.ValueRows {
		return p.wrap(p.inOrder())
	}
	if !p.bare() {
		return p.wrap(fmt.Sprintf("\nWHERE EXISTS (SELECT FROM %s WHERE %s)", p.unnest(), p.sameKey(
			func(i int) string { return p.ref(p.keys[i]) }, func(i int) string { return "k." + alias(i) })))
	}
	cols := make([]string, len(p.keys))
	for i, k := range p.keys {
		cols[i] = p.ref(k)
	}
	return p.wrap(fmt.Sprintf("\nWHERE (%s) IN (SELECT * FROM %s)", strings.Join(cols, ", "), p.unnest()))
}

// inOrder is the condition on several key columns for a rows job. A join with
// the keys could hand out the rows in another order than the query's own, which
// is the order in the value: so it is a filter. The first part can be pushed
// down and use an index; the second leaves exactly the asked keys.
func (p *plan) inOrder() string {
	var near, cols, given []string
	for i, k := range p.keys {
		near = append(near, fmt.Sprintf("%s %s ANY($%d::%s[])", p.ref(k), p.equal[i].operator, i+1, p.loose[i]))
		cols = append(cols, fmt.Sprintf("%s::%s", p.ref(k), p.loose[i]))
		given = append(given, "k."+alias(i)+p.equal[i].collate)
	}
	return fmt.Sprintf("\nWHERE %s AND ROW(%s) = ANY ((SELECT array_agg(ROW(%s)) FROM %s)::record[])",
		strings.Join(near, " AND "), strings.Join(cols, ", "), strings.Join(given, ", "), p.unnest())
}

func (p *plan) wrap(where string) (string, int) { return p.selecting(p.output(), where) }

// selecting is a statement that returns something of the rows of the job's query, and the query's offset in it.
func (p *plan) selecting(output, where string) (string, int) {
	head := "SELECT " + output + "\n"
	return Tag(p.job, head+p.body()+where, len(head)+len(bodyPrefix))
}

// givenSQL returns the given key values as Postgres reads them, in the order
// given, so that a key is named from the same text that a run would use; and
// whether each value is still itself as its column would have it: a numeric(5,2)
// rounds, a char(3) cuts.
func (p *plan) givenSQL() string {
	cols, fits := make([]string, len(p.keys)), make([]string, len(p.keys))
	for i, k := range p.keys {
		cols[i] = fmt.Sprintf("k.%s::%s", alias(i), p.casts[i])
		fits[i] = "true"
		if p.casts[i] != p.loose[i] {
			fits[i] = fmt.Sprintf("k.%s::%s %s k.%s", alias(i), p.casts[i], p.equal[i].operator, alias(i))
		}
		if p.converted(k) {
			cols[i] = "to_json(" + cols[i] + ")"
		}
	}
	sql, _ := Tag(p.job, "SELECT "+strings.Join(append(cols, fits...), ", ")+" FROM "+p.unnest(), 0)
	return sql
}

func (p *plan) unnest() string {
	params, names := make([]string, len(p.keys)), make([]string, len(p.keys))
	for i, cast := range p.loose {
		params[i] = fmt.Sprintf("$%d::%s[]", i+1, cast)
		names[i] = alias(i)
	}
	return fmt.Sprintf("unnest(%s) AS k(%s)", strings.Join(params, ", "), strings.Join(names, ", "))
}

// ArrayLiteral is a Postgres array of the given texts, for a text-format
// parameter: Postgres itself reads each with its element type's input function.
func ArrayLiteral(texts []string) []byte {
	b := []byte{'{'}
	for i, t := range texts {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		for j := range len(t) {
			if t[j] == '"' || t[j] == '\\' {
				b = append(b, '\\')
			}
			b = append(b, t[j])
		}
		b = append(b, '"')
	}
	return append(b, '}')
}
