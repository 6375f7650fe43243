package discover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
	"github.com/stokerhq/stoker/store/postgres/lex"
)

// SQL states that mean more than that a statement is wrong.
const (
	stateGrouping  = "42803" // a column is neither grouped nor aggregated
	stateCancelled = "57014"
	stateLocked    = "55P03"
)

// propose makes a job of a statement, or says why there is none.
func (d *discovery) propose(ctx context.Context, s statement) (f *Found, why string, err error) {
	normal := plain(s.text)
	if handlesSecrets(normal) {
		return nil, "it calls a function of cryptography: a secret may be in its text", nil
	}
	if writes := analyze.Writes(normal); len(writes) > 0 {
		return nil, "it writes or locks: " + strings.Join(writes, ", "), nil
	}
	if word := dependsOnTime(normal); word != "" {
		return nil, "its result does not depend on tables alone: " + word, nil
	}
	return d.proposeText(ctx, renumbered(replaced(normal, d.sure(s, normal))), s)
}

// clocks are the commonest of what makes a result change without a commit. The rest is left to the analysis.
var clocks = []string{"now", "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp",
	"clock_timestamp", "statement_timestamp", "random", "gen_random_uuid", "nextval"}

func dependsOnTime(sql string) string {
	tokens := lex.Lex(sql)
	for i, t := range tokens {
		called := i+1 < len(tokens) && tokens[i+1].Is("(") || strings.Contains(t.Text, "_") || t.Is("localtime")
		if t.Kind == lex.Word && t.Is(clocks...) && called && (i == 0 || !tokens[i-1].Is(".")) {
			return t.Text
		}
	}
	return ""
}

// proposeText makes a job of a SELECT in which parameters stand for what a reader asks for.
func (d *discovery) proposeText(ctx context.Context, sql string, s statement) (f *Found, why string, err error) {
	q, why := d.newSet(sql, float64(s.rows)/float64(max(1, s.calls)))
	if why != "" {
		return nil, why, nil
	}
	sd, refused, err := d.describe(ctx, sql)
	if err != nil || refused != nil {
		return nil, notTaken(refused), err
	}
	q.fields = slices.Clone(sd.Fields)
	q.name(d)
	f, why, err = d.prove(ctx, q, oneRowEach(s, q))
	if f != nil {
		f.Calls, f.Took, f.Age, f.Shapes = s.calls, s.took, s.age, 1
	}
	return f, why, err
}

// oneRowEach reports whether each call has returned one row, as an aggregate does, or none.
func oneRowEach(s statement, q *set) bool {
	return s.rows <= s.calls && q.group == "" && (len(q.keys) > 0 || s.rows == s.calls &&
		(q.top == 1 || mentions(q.list, "count", "sum", "avg", "min", "max")))
}

func notTaken(refused *pgconn.PgError) string {
	switch {
	case refused == nil:
		return ""
	case refused.Code == "42601" || refused.Code == "42P18":
		return "Postgres does not take its text as it is (" + refused.Message + "): it was cut off, or a constant " +
			"is missing and no session was seen with it"
	}
	return "Postgres does not take it: " + refused.Message
}

// renumbered numbers the parameters 1, 2, ... again after some have gone.
func renumbered(sql string) string {
	list := parameters(sql)
	slices.SortFunc(list, func(a, b string) int { return int(number(a[1:]) - number(b[1:])) })
	values := make(map[string]string)
	for i, name := range list {
		values[name] = "$" + strconv.Itoa(i+1)
	}
	return replaced(sql, values)
}

// size is what the set query returns, as a run would read it.
type size struct {
	rows, keys, bytes int64
	most              int64 // rows of one key
	largest           int64 // bytes of the value of one key
	took              time.Duration
}

// largestValue is what a job allows by default, in bytes.
const largestValue = 16 << 20

// prove has Postgres confirm a set query, and measures it. lone says that a call returns one row at most.
func (d *discovery) prove(ctx context.Context, q *set, lone bool) (f *Found, why string, err error) {
	if why, err = d.group(ctx, q); why != "" || err != nil {
		return nil, why, err
	}
	inner := q.core()
	if len(q.keys) == 0 {
		inner = q.query(d, true)
	}
	sz, why, err := d.measure(ctx, q, inner)
	if why != "" || err != nil {
		return nil, why, err
	}
	if sz.largest > largestValue {
		return nil, fmt.Sprintf("too large a value: all rows of a key have %d MiB", sz.largest>>20), nil
	}
	many, note, err := d.several(ctx, q, sz, lone)
	if err != nil {
		return nil, "", err
	}
	if q.top < 0 && (many || len(q.keys) == 0) {
		return nil, "its LIMIT is not known: " + noConstant, nil
	}
	f = &Found{Value: jobs.ValueRow, Rows: sz.rows, Keys: sz.keys, Bytes: store.Footprint(sz.keys, sz.bytes),
		Run: sz.took, Measured: true, Query: q.query(d, many)}
	if many {
		f.Value = jobs.ValueRows
	}
	if note != "" {
		f.Notes = append(f.Notes, note)
	}
	f.parts = q.signature(d, many)
	d.identify(f, q)
	if len(q.keys) > 0 && q.top > 0 && sz.most > q.top {
		f.Query = q.ranked(d)
		if sz, why, err = d.measure(ctx, q, f.Query); why != "" || err != nil {
			return nil, why, err
		}
		f.Rows, f.Keys, f.Bytes, f.Run = sz.rows, sz.keys, store.Footprint(sz.keys, sz.bytes), sz.took
	}
	if why, err = d.confirm(ctx, f); why != "" || err != nil {
		return nil, why, err
	}
	why, err = d.compare(ctx, q, f)
	return f, why, err
}

// group finds out whether the set query must be grouped by its key.
func (d *discovery) group(ctx context.Context, q *set) (why string, err error) {
	_, refused, err := d.describe(ctx, q.core())
	if refused != nil && refused.Code == stateGrouping && len(q.keys) > 0 {
		q.byKey = true
		_, refused, err = d.describe(ctx, q.core())
	}
	if err != nil || refused == nil {
		return "", err
	}
	return "the query for all keys is not taken: " + refused.Message, nil
}

// measure reads the set once, by a query that has its key columns.
func (d *discovery) measure(ctx context.Context, q *set, inner string) (sz size, why string, err error) {
	cost, rows, refused, err := d.plan(ctx, inner)
	switch {
	case err != nil:
		return sz, "", err
	case refused != nil:
		return sz, "the query for all keys is not taken: " + refused.Message, nil
	case rows > 2*d.cfg.MaxRows:
		return sz, fmt.Sprintf("too large a set: about %d rows", rows), nil
	case cost > tooDear:
		return sz, fmt.Sprintf("too much work for the database: the planner puts the query for all keys at %.0f",
			cost), nil
	}
	by, condition := "()", ""
	if len(q.keys) > 0 {
		by = q.keyNames(d, "q.")
		condition = "\nWHERE (" + by + ") IS NOT NULL"
		if len(q.keys) > 1 {
			condition = "\nWHERE ROW(" + by + ") IS NOT NULL"
		}
	}
	sql := "SELECT coalesce(sum(n), 0)::bigint, count(*), coalesce(sum(b), 0)::bigint, coalesce(max(n), 0)::bigint, " +
		"coalesce(max(b), 0)::bigint FROM (SELECT count(*) AS n, sum(octet_length(row_to_json(q)::text) + 1) AS b " +
		"FROM (" + inner + "\n) AS q" + condition + "\nGROUP BY " + by + ") AS g"
	begin := time.Now()
	out, err := d.query(ctx, ours+sql)
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return sz, slow(pe), nil
	} else if err != nil {
		return sz, "", err
	}
	r := out[0]
	sz = size{number(r[0]), number(r[1]), number(r[2]), number(r[3]), number(r[4]), time.Since(begin)}
	switch {
	case sz.rows == 0 && len(q.keys) > 0:
		return sz, "its set has no rows today", nil
	case sz.rows > d.cfg.MaxRows:
		return sz, fmt.Sprintf("too large a set: %d rows", sz.rows), nil
	case sz.bytes > d.cfg.MaxBytes:
		return sz, fmt.Sprintf("too large a set: %d MiB", sz.bytes>>20), nil
	}
	return sz, "", nil
}

// tooDear is the planner's cost of a set query that is not even tried.
const tooDear = 5e6

func slow(pe *pgconn.PgError) string {
	switch pe.Code {
	case stateCancelled:
		return fmt.Sprintf("too much work for the database: to read all keys takes more than %s", patience)
	case stateLocked:
		return "its table was locked"
	}
	return "the query for all keys fails: " + pe.Message
}

// several reports whether a key can have several rows, and says what that rests on where it is not certain.
func (d *discovery) several(ctx context.Context, q *set, sz size, lone bool) (many bool, note string, err error) {
	switch {
	case len(q.keys) == 0:
		return !lone || sz.rows != 1, "", nil
	case sz.most > 1:
		return q.top != 1, "", nil // the first of them, by rank
	case q.byKey && q.groupedByKey():
		return false, "A key without rows does not exist: where the statement says 0 or NULL, a reader finds nothing.",
			nil
	case q.groupedByKey():
		return false, "", nil
	}
	unique, err := d.uniqueKey(ctx, q)
	switch {
	case err != nil || !unique:
		return true, "", err
	case !q.single:
		return false, fmt.Sprintf("One row a key was found in all %d keys; the joins must not multiply them.", sz.keys),
			nil
	}
	return false, "", nil
}

// uniqueKey reports whether the key columns hold all columns of a unique index of their table.
func (d *discovery) uniqueKey(ctx context.Context, q *set) (unique bool, err error) {
	sd, refused, err := d.describe(ctx, q.core())
	if err != nil || refused != nil {
		return false, err
	}
	columns := make(map[uint32][]string)
	for _, f := range sd.Fields {
		if f.TableOID != 0 && slices.ContainsFunc(q.keys, func(k keyColumn) bool { return k.name == f.Name }) {
			columns[f.TableOID] = append(columns[f.TableOID], strconv.Itoa(int(f.TableAttributeNumber)))
		}
	}
	for table, attributes := range columns {
		rows, err := d.query(ctx, `SELECT bool_or(indisprimary) FROM pg_index WHERE indrelid = $1::oid AND indisunique AND
			indisvalid AND indpred IS NULL AND indexprs IS NULL AND (string_to_array(indkey::text, ' '))[1:indnkeyatts] <@ $2::text[]
			HAVING count(*) > 0 /* stoker */`, strconv.Itoa(int(table)), string(postgres.ArrayLiteral(attributes)))
		if err != nil {
			return false, fmt.Errorf("look for a unique index: %w", err)
		}
		if len(rows) > 0 {
			q.primary = rows[0][0] == "t"
			return true, nil
		}
	}
	return false, nil
}

// identify gives the job its name and key.
func (d *discovery) identify(f *Found, q *set) {
	f.Tables = tablesOf(q.from)
	name := "query"
	if len(f.Tables) > 0 {
		name = Slug(strings.Join(f.Tables[:min(2, len(f.Tables))], "-"))
	}
	columns := make([]string, len(q.keys))
	for i, k := range q.keys {
		columns[i] = "{" + k.name + "}"
	}
	switch {
	case len(q.keys) == 0 && f.Value == jobs.ValueRow:
		name += "-total"
	case len(q.keys) == 0 && q.top > 0:
		name += "-top-" + strconv.FormatInt(q.top, 10)
	case len(q.keys) == 0:
		name += "-list"
	case f.Value == jobs.ValueRows || !q.primary:
		if q.groupedByKey() {
			name += "-total"
		}
		by := make([]string, len(q.keys))
		for i, k := range q.keys {
			by[i] = Slug(k.name)
		}
		name += "-by-" + strings.Join(by, "-")
	}
	f.Name = name
	f.Key = strings.Join(append([]string{name}, columns...), ":")
}

// Slug is a name as a job can have it.
func Slug(name string) string {
	var b strings.Builder
	for i, r := range name {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case r >= 'A' && r <= 'Z':
			if i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
				b.WriteByte('-')
			}
			b.WriteRune(r + 'a' - 'A')
		default:
			b.WriteByte('-')
		}
	}
	s := strings.Trim(b.String(), "-")
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	if s == "" {
		return "table"
	}
	return s[:min(len(s), 60)]
}

// job is the job as the spec will have it, as far as reading goes.
func (f *Found) job() (*jobs.Job, error) {
	key, err := jobs.ParseKeyTemplate(f.Key)
	if err != nil {
		return nil, err
	}
	return &jobs.Job{Name: f.Name, Query: f.Query, Key: key, Value: f.Value, Type: jobs.TypeString,
		Format: jobs.FormatJSON, Timeout: time.Minute}, nil
}

// confirm asks what `stoker check` asks.
func (d *discovery) confirm(ctx context.Context, f *Found) (why string, err error) {
	job, err := f.job()
	if err != nil {
		return "no key can be made of its columns: " + err.Error(), nil
	}
	if _, err := d.cfg.Source.Describe(ctx, job); err != nil {
		return refusal(ctx, err)
	}
	facts, err := d.cfg.Analyst.Facts(ctx, job)
	if err != nil {
		return refusal(ctx, err)
	}
	if len(facts.Refused) > 0 {
		return "it writes or locks: " + strings.Join(facts.Refused, ", "), nil
	}
	if len(facts.Unsteady) > 0 {
		return "its result does not depend on tables alone: " + strings.Join(facts.Unsteady, "; "), nil
	}
	if err := d.cfg.Source.Start(ctx, job); err != nil {
		return refusal(ctx, err)
	}
	if len(facts.Filtered) > 0 {
		f.Notes = append(f.Notes, "Row-level security hides rows of "+strings.Join(facts.Filtered, ", ")+
			" from this role: see role in docs/spec.md.")
	}
	cost, err := d.cfg.Source.Explain(ctx, job)
	if err != nil {
		return refusal(ctx, err)
	}
	if len(job.Key.Columns()) > 0 && cost.Run > 500 && cost.Refresh > cost.Run/2 {
		f.Notes = append(f.Notes, "A refresh of one key reads the whole set: its condition reaches no index.")
	}
	return "", nil
}

// refusal is Postgres' answer as a reason; another error stays one.
func refusal(ctx context.Context, err error) (string, error) {
	_, query := errors.AsType[*store.QueryError](err)
	_, shape := errors.AsType[*store.ShapeError](err)
	if ctx.Err() != nil || !query && !shape {
		return "", err
	}
	return err.Error(), nil
}
