package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
)

// equality is how Postgres compares the values of a key column. Of most types, values that are equal
// have one text. Of some they do not: citext has Ann and ann, numeric 1.5 and 1.50, interval 1 day and
// 24:00:00, a collation that ignores case any text.
type equality struct {
	exact    bool   // equal values have one text
	operator string // as SQL writes it
	collate  string // " COLLATE ..." of a column whose collation is not deterministic
	hash     string // a function that returns one bigint for all equal values; "": the type has none
}

var exactEquality = equality{exact: true, operator: "="}

// exactTypes are the types whose equal values have one text, by the OIDs of pg_type.dat; of text, name
// and varchar only with a collation that is deterministic.
var exactTypes = []uint32{16, 17, 18, 20, 21, 23, 26, 28, 29, 650, 705, 774, 790, 829, 869, 1082, 1083, 1114, 1184,
	1266, 1560, 1562, 2950, 3220, 5069}

const (
	oidName    = 19
	oidText    = 25
	oidBpchar  = 1042
	oidVarchar = 1043
	oidNumeric = 1700
)

// certainlyExact reports whether the type alone tells that equal values of a field have one text:
// char(n) is padded and numeric(p,s) is rounded to one form.
func certainlyExact(f pgconn.FieldDescription) bool {
	switch f.DataTypeOID {
	case oidNumeric:
		return f.TypeModifier >= 0
	case oidBpchar:
		return f.TypeModifier > 0
	case oidName, oidText, oidVarchar:
		return true
	}
	return slices.Contains(exactTypes, f.DataTypeOID)
}

func collatable(f pgconn.FieldDescription) bool {
	return slices.Contains([]uint32{oidName, oidText, oidVarchar, oidBpchar}, f.DataTypeOID)
}

// readEqualities fills in p.equal. anyCollation says that the database has collations that are not
// deterministic: then those of the key columns are looked at.
func (p *plan) readEqualities(ctx context.Context, c *pgconn.PgConn, anyCollation bool) error {
	p.equal = make([]equality, len(p.keys))
	for i, k := range p.keys {
		p.equal[i] = exactEquality
		if k < 0 {
			continue // check refuses the job
		}
		f := p.fields[k]
		collate := ""
		if anyCollation && collatable(f) {
			var err error
			if collate, err = p.looseCollation(ctx, c, f); err != nil {
				return err
			}
		}
		if collate == "" && certainlyExact(f) {
			continue
		}
		e, err := typeEquality(ctx, c, f)
		if err != nil {
			return fmt.Errorf("look up how key column %s of job %s is compared: %w", f.Name, p.job.Name, err)
		}
		if collate != "" {
			e.exact, e.collate = false, " COLLATE "+collate
		}
		p.equal[i] = e
	}
	return nil
}

// looseCollation returns the collation of a column of the job's query, unless it is deterministic. The
// query is parsed and not run.
func (p *plan) looseCollation(ctx context.Context, c *pgconn.PgConn, f pgconn.FieldDescription) (string, error) {
	sql := fmt.Sprintf("SELECT n FROM (SELECT pg_collation_for((SELECT q.%s %s%s\n) AS q LIMIT 0)) AS n) AS c "+
		"WHERE NOT (SELECT collisdeterministic FROM pg_collation WHERE oid = n::regcollation)",
		pgx.Identifier{f.Name}.Sanitize(), bodyPrefix, p.job.Query)
	sql, _ = Tag(p.job, sql, 0)
	res := c.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if res.Err != nil {
		return "", fmt.Errorf("look up the collation of key column %s of job %s: %w", f.Name, p.job.Name, res.Err)
	}
	if len(res.Rows) == 0 {
		return "", nil
	}
	return string(res.Rows[0][0]), nil
}

// equalitySQL reads, of a type, whether it is an enum, its equality operator where that is not
// pg_catalog's =, and the hash function that goes with it.
const equalitySQL = `WITH t AS (SELECT oid, typtype, CASE WHEN typtype = 'r' THEN 3831 WHEN typtype = 'm' THEN 4537
		WHEN typtype = 'c' THEN 2249 WHEN typcategory = 'A' THEN 2277 ELSE oid END AS class FROM pg_type WHERE oid = $1)
	SELECT t.typtype = 'e', (SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM pg_opclass c
		JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
		JOIN pg_amop a ON a.amopfamily = c.opcfamily AND a.amoplefttype = c.opcintype AND a.amoprighttype = c.opcintype AND a.amopstrategy = 3
		JOIN pg_operator o ON o.oid = a.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
		WHERE c.opcdefault AND c.opcintype = t.class AND n.nspname <> 'pg_catalog' LIMIT 1),
	(SELECT a.amproc::regproc FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'hash'
		JOIN pg_amproc a ON a.amprocfamily = c.opcfamily AND a.amproclefttype = c.opcintype AND a.amprocrighttype = c.opcintype AND a.amprocnum = 2
		WHERE c.opcdefault AND c.opcintype = t.class LIMIT 1)
	FROM t`

func typeEquality(ctx context.Context, c *pgconn.PgConn, f pgconn.FieldDescription) (equality, error) {
	res := c.ExecParams(ctx, equalitySQL, [][]byte{fmt.Append(nil, f.DataTypeOID)}, nil, nil, nil).Read()
	if res.Err != nil || len(res.Rows) == 0 {
		return exactEquality, res.Err
	}
	row := res.Rows[0]
	e := equality{exact: string(row[0]) == "t", operator: "=", hash: string(row[2])}
	if len(row[1]) > 0 {
		e.operator = string(row[1])
	}
	return e, nil
}

// exact reports whether keys that are equal have one text.
func (p *plan) exact() bool {
	return !slices.ContainsFunc(p.equal, func(e equality) bool { return !e.exact })
}

// bare reports whether the plain = of the search path is each key column's own equality.
func (p *plan) bare() bool {
	return !slices.ContainsFunc(p.equal, func(e equality) bool { return e.operator != "=" || e.collate != "" })
}

// hashed lists the key columns whose hash a reading of a rows job carries, by their order in the key:
// rows belong to one key if these are equal.
func (p *plan) hashed() (list []int) {
	for i, e := range p.equal {
		if !e.exact && e.hash != "" {
			list = append(list, i)
		}
	}
	return list
}

// sameKey is the condition that two FROM items have one key. column names column i of each.
func (p *plan) sameKey(left, right func(i int) string) string {
	parts := make([]string, len(p.equal))
	for i, e := range p.equal {
		parts[i] = fmt.Sprintf("%s %s %s%s", left(i), e.operator, right(i), e.collate)
	}
	return strings.Join(parts, " AND ")
}

// hashCells is where the rows of a rows job have the hashes of hashed.
func (p *plan) hashCells() []int {
	hashed := p.hashed()
	if p.job.Value != jobs.ValueRows || len(hashed) == 0 {
		return nil
	}
	cells := make([]int, len(p.keys))
	for i := range cells {
		cells[i] = -1
		if n := slices.Index(hashed, i); n >= 0 {
			cells[i] = len(p.columns) + n
		}
	}
	return cells
}
