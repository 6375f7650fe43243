package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Inexact reports whether keys of the job can be equal, by their columns' own equality, and yet have
// different texts, as Ann and ann of a citext. It asks the database once a job.
func (s *Source) Inexact(ctx context.Context, job *jobs.Job) (inexact bool, err error) {
	if len(job.Key.Columns()) == 0 {
		return false, nil
	}
	p := s.plan(job.Name)
	if p == nil || p.job != job {
		err = s.Do(ctx, func(c *pgx.Conn) error {
			p, err = s.describe(ctx, c.PgConn(), job, lockWaitRefresh)
			return err
		})
	}
	return err == nil && !p.exact(), err
}

// Equal returns those of the candidates that are equal to one of the given keys, by their columns' own
// equality. Candidates are values as they are in the text of a key. unreadable is how many of them no value
// of the columns' types can have made. An error that a given value causes is a store.KeyValueError.
func (s *Source) Equal(ctx context.Context, job *jobs.Job, given, candidates []jobs.Key) (equal []jobs.Key,
	unreadable int, err error) {
	params, err := keyParams(job, given)
	if err != nil {
		return nil, 0, err
	}
	p := s.plan(job.Name)
	if p == nil || p.job != job {
		return nil, 0, fmt.Errorf("compare keys of job %s: its columns are not known yet", job.Name)
	}
	var readings []json.RawMessage
	may := newPrefilter(p, job.Key.Columns(), given)
	for _, k := range candidates {
		if may.pass(k) {
			readings = append(readings, p.readings(k)...)
		}
	}
	if len(readings) == 0 {
		return nil, 0, nil
	}
	equal, unreadable, err = s.among(ctx, p, p.equalSQL(), params, readings)
	if isValueError(err) {
		err = s.Do(ctx, func(c *pgx.Conn) error { return findBadValue(ctx, c.PgConn(), p, given, err) })
	}
	return equal, unreadable, err
}

// among returns those readings of candidates that sql selects; they are its last parameter. Those that the types
// cannot take are found by halves.
func (s *Source) among(ctx context.Context, p *plan, sql string, params [][]byte,
	readings []json.RawMessage) (found []jobs.Key, unreadable int, err error) {
	if readings == nil {
		readings = []json.RawMessage{} // JSON has no list in null
	}
	list, err := json.Marshal(readings)
	if err != nil {
		return nil, 0, fmt.Errorf("compare keys of job %s: %w", p.job.Name, err)
	}
	results, err := s.ReadTogether(ctx, p.job, []Statement{{SQL: sql,
		Params: append(params[:len(params):len(params)], list)}})
	switch {
	case err == nil:
		return p.keysOf(results[0]), 0, nil
	case !isValueError(err) || len(readings) == 0:
		return nil, 0, err
	case len(readings) == 1:
		_, _, given := s.among(ctx, p, sql, params, nil)
		return nil, 1, given // nil, unless a given value is what does not fit
	}
	half := len(readings) / 2
	for _, part := range [][]json.RawMessage{readings[:half], readings[half:]} {
		some, n, err := s.among(ctx, p, sql, params, part)
		if err != nil {
			return nil, 0, err
		}
		found, unreadable = append(found, some...), unreadable+n
	}
	return found, unreadable, nil
}

// keysOf reads the keys of a result.
func (p *plan) keysOf(res *pgconn.Result) []jobs.Key {
	keys := make([]jobs.Key, len(res.Rows))
	for i, row := range res.Rows {
		keys[i] = make(jobs.Key, len(row))
		for n, name := range p.job.Key.Columns() {
			keys[i][name] = string(row[n])
		}
	}
	return keys
}

// equalSQL selects those candidates that are equal to given keys.
func (p *plan) equalSQL() string {
	same := p.sameKey(func(i int) string { return "c." + alias(i) }, func(i int) string { return "k." + alias(i) })
	return p.candidatesSQL(len(p.keys)+1, fmt.Sprintf("EXISTS (SELECT FROM %s WHERE %s)", p.unnest(), same))
}

// candidatesSQL returns the texts of those values of a JSON list, the n-th parameter, for which a condition holds.
// Each value has the text that its type prints: for bpchar that is not ::text.
func (p *plan) candidatesSQL(n int, condition string) string {
	texts, defs := make([]string, len(p.keys)), make([]string, len(p.keys))
	for i := range p.keys {
		texts[i] = fmt.Sprintf("concat(c.%s)", alias(i))
		defs[i] = alias(i) + " " + p.loose[i]
	}
	return fmt.Sprintf("SELECT %s FROM json_to_recordset($%d::json) AS c(%s) WHERE %s", strings.Join(texts, ", "), n,
		strings.Join(defs, ", "), condition)
}

// readings are the JSON objects, of a column's alias and its value, that a key can stand for. The text of a
// JSON value, and of a row, is JSON; that of a JSON string is its content.
func (p *plan) readings(key jobs.Key) []json.RawMessage {
	list := []map[string]json.RawMessage{{}}
	for i, name := range p.job.Key.Columns() {
		text := key[name]
		quoted, err := json.Marshal(text)
		if err != nil {
			continue // no text fails
		}
		values := []json.RawMessage{quoted}
		if p.converted(p.keys[i]) || p.columns[p.keys[i]].OID == oidJSONB {
			if raw := []byte(text); json.Valid(raw) && strings.ContainsAny(text[:1], `{["-0123456789tfn`) {
				values = append(values, raw)
			}
		}
		list = combine(list, alias(i), values)
	}
	out := make([]json.RawMessage, 0, len(list))
	for _, object := range list {
		if b, err := json.Marshal(object); err == nil {
			out = append(out, b)
		}
	}
	return out
}

// combine gives each object each of the values as a further member.
func combine(list []map[string]json.RawMessage, name string, values []json.RawMessage) []map[string]json.RawMessage {
	var out []map[string]json.RawMessage
	for _, object := range list {
		for _, value := range values {
			more := map[string]json.RawMessage{name: value}
			for k, v := range object {
				more[k] = v
			}
			out = append(out, more)
		}
	}
	return out
}

// duplicateLimit is how long it may take to look for rows of one key; canceled is what Postgres says then.
const (
	duplicateLimit = 2 * time.Second
	canceled       = "57014"
)

// Duplicate runs the job's query and returns how many rows the first key has that has more than one, and the texts
// of its columns; 0: every key has one row. It is for jobs that have one row a key, and are cheap.
func (s *Source) Duplicate(ctx context.Context, job *jobs.Job) (rows int, key jobs.Key, err error) {
	p := s.plan(job.Name)
	if p == nil || p.job != job {
		return 0, nil, fmt.Errorf("look for rows of one key in job %s: its columns are not known yet", job.Name)
	}
	texts, group := []string{"count(*)"}, ""
	for i, k := range p.keys {
		texts = append(texts, fmt.Sprintf(`concat(%s) COLLATE pg_catalog."C"`, p.ref(k)))
		group += []string{" GROUP BY ", ", "}[min(i, 1)] + fmt.Sprint(i+2)
	}
	var present []string
	for _, k := range p.keys {
		present = append(present, fmt.Sprintf("num_nulls(%s) = 0", p.ref(k)))
	}
	where := ""
	if len(present) > 0 {
		where = "\nWHERE " + strings.Join(present, " AND ")
	}
	limit := duplicateLimit
	if s.timeout > 0 {
		limit = min(limit, s.timeout)
	}
	results, err := s.ReadTogether(ctx, job, []Statement{
		{SQL: fmt.Sprintf("SET LOCAL statement_timeout = %d", limit.Milliseconds())},
		{SQL: fmt.Sprintf("SELECT %s %s%s%s HAVING count(*) > 1 LIMIT 1", strings.Join(texts, ", "), p.body(), where,
			group)},
	})
	if q, is := errors.AsType[*store.QueryError](err); is && q.SQLState == canceled {
		return 0, nil, nil // it is not cheap
	}
	if err != nil || len(results[1].Rows) == 0 {
		return 0, nil, err
	}
	row := results[1].Rows[0]
	key = make(jobs.Key)
	for i, name := range job.Key.Columns() {
		key[name] = string(row[i+1])
	}
	rows, err = strconv.Atoi(string(row[0]))
	return rows, key, err
}

// oidJSONB is the type whose equal values differ in their numbers, 1.0 and 1.
const oidJSONB = 3802
