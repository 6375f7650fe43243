package postgres_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// whereKeys reads the keys that a condition means: their texts.
func whereKeys(t *testing.T, url string, j *jobs.Job, where jobs.Where) (keys []string, err error) {
	t.Helper()
	s := open(t, url)
	if err := s.CheckWhere(t.Context(), j, where); err != nil {
		return nil, err
	}
	n := len(j.Key.Columns())
	err = s.Where(t.Context(), j, where, func(r *store.Reading) error {
		if r.Snapshot.Text == "" {
			t.Error("a reading without a snapshot")
		}
		for row, err := range r.Rows {
			if err != nil {
				return err
			}
			var texts []string
			for _, cell := range row[n:] {
				texts = append(texts, string(cell))
			}
			keys = append(keys, strings.Join(texts, ","))
		}
		return nil
	})
	slices.Sort(keys)
	return keys, err
}

// The column's own type and equality decide, whatever form a value is given in. Broken by: a predicate that is
// dropped, one that compares texts, one that joins columns by OR.
func TestWhereFindsTheKeysOfItsRows(t *testing.T) {
	t.Parallel()
	_, url := newShop(t)
	storetest.Exec(t, url, "CREATE EXTENSION citext", `CREATE TABLE doc (id int, "Tag Name" citext, day date, rate numeric,
		note json, words text[], u uuid, "order" text)`,
		`INSERT INTO doc VALUES (1, 'Ann', '2024-03-01', 1.50, '{}', '{a,"b c"}', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'x'),
		(2, 'ann', '2024-03-02', 2, '{}', '{}', NULL, 'a,b'), (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (NULL, 'ann', NULL, 1.5, NULL, NULL, NULL, 'x')`)
	doc := func(key string) *jobs.Job { return job(t, "SELECT * FROM doc ORDER BY id -- all", key) }
	stock := job(t, "SELECT site, sku, n FROM stock", "s:{site}:{sku}")
	const one = "\x00\x00\x00\x01" // a row, of which nothing is read
	for name, tc := range map[string]struct {
		job   *jobs.Job
		where jobs.Where
		want  string
	}{
		"one value":               {stock, jobs.Where{"n": {"7"}}, "x,A7    ;y,A7    "},
		"as Postgres reads":       {stock, jobs.Where{"n": {" 007"}}, "x,A7    ;y,A7    "},
		"several values":          {stock, jobs.Where{"n": {"7", "8"}, "site": {"y"}}, "y,A7    ;y,A8    "},
		"blanks of a char":        {stock, jobs.Where{"sku": {"A7"}, "site": {"x"}}, "x,A7    "},
		"none":                    {stock, jobs.Where{"n": {"70"}}, ""},
		"its case does not count": {doc("d:{id}"), jobs.Where{"Tag Name": {"ANN"}}, ";1;2"}, // a row without a key
		"a date":                  {doc("d:{id}"), jobs.Where{"day": {"1 March 2024"}}, "1"},
		"a number":                {doc("d:{id}"), jobs.Where{"rate": {"15e-1"}}, ";1"},
		"a uuid":                  {doc("d:{id}"), jobs.Where{"u": {"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"}}, "1"},
		"a comma":                 {doc("d:{id}"), jobs.Where{"order": {"a,b"}}, "2"},
		"a quote":                 {doc("d:{id}"), jobs.Where{"order": {`'; DROP TABLE doc; --`}}, ""},
		"the key of another type": {doc("d:{day}:{order}"), jobs.Where{"id": {"1"}}, `2024-03-01,x`},
		"an enum": {job(t, "SELECT feel, id FROM product WHERE id < 3", "m:{id}"),
			jobs.Where{"feel": {"ok"}}, "1;2"},
		"one key": {job(t, "SELECT id FROM product", "all"), jobs.Where{"id": {"7"}}, one},
	} {
		got, err := whereKeys(t, url, tc.job, tc.where)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if d := cmp.Diff(tc.want, strings.Join(got, ";")); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// What cannot be asked is refused by name, before a row is read.
func TestWhereIsRefused(t *testing.T) {
	t.Parallel()
	s, url := newShop(t)
	storetest.Exec(t, url, "CREATE TABLE doc (id int, note json, words text[])")
	product := job(t, "SELECT id, name, price FROM product", "p:{id}")
	for name, tc := range map[string]struct {
		job   *jobs.Job
		where jobs.Where
		says  string
		is    error
	}{
		"no column": {product, jobs.Where{"category": {"x"}}, `job j: its query returns no column "category"; it returns: ` +
			`id, name, price`, &jobs.NoColumnError{}},
		"another case": {product, jobs.Where{"Name": {"x"}}, "upper and lower case count: write name",
			&jobs.NoColumnError{}},
		"a value": {product, jobs.Where{"id": {"7", "seven"}}, `value "seven" does not fit column id of type bigint: ` +
			`invalid input syntax`, &store.KeyValueError{}},
		"two columns": {job(t, "SELECT id, name, name FROM product", "p:{id}"), jobs.Where{"name": {"x"}},
			"the query returns two columns named name", &store.ShapeError{}},
		"no equality": {job(t, "SELECT id, note FROM doc", "d:{id}"), jobs.Where{"note": {"{}"}},
			"of a type without equality", &store.ShapeError{}},
		"an array": {job(t, "SELECT id, words FROM doc", "d:{id}"), jobs.Where{"words": {"{a}"}},
			"of a type without equality", &store.ShapeError{}},
		"an array in the key": {job(t, "SELECT id, words FROM doc", "d:{words}"), jobs.Where{"id": {"1"}},
			"not loaded one by one: run the job instead", &store.ShapeError{}},
		"a query that is wrong": {job(t, "SELECT id FROM nothing", "d:{id}"), jobs.Where{"id": {"1"}},
			"does not exist", &store.QueryError{}},
	} {
		err := s.CheckWhere(t.Context(), tc.job, tc.where)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q", name, err, tc.says)
		}
		if want := fmt.Sprintf("%T", tc.is); !strings.Contains(chain(err), want) {
			t.Errorf("%s: %s, want a %s", name, chain(err), want)
		}
	}
}

// chain is the types of an error and of what it wraps.
func chain(err error) string {
	if err == nil {
		return ""
	}
	text := fmt.Sprintf("%T ", err)
	if list, is := err.(interface{ Unwrap() []error }); is {
		for _, e := range list.Unwrap() {
			text += chain(e)
		}
		return text
	}
	return text + chain(errors.Unwrap(err))
}

// Of the keys in the cache, those match whose own columns the condition means; columns that are in no key are not
// looked at. Broken by: a sketch that drops a key that is equal.
func TestMatchComparesTheColumnsOfTheKey(t *testing.T) {
	t.Parallel()
	s, url := newShop(t)
	storetest.Exec(t, url, "CREATE EXTENSION citext", "CREATE TABLE person (mail citext, born date, u uuid, name text)")
	j := job(t, "SELECT * FROM person", "p:{mail}:{born}:{u}")
	const u = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
	keys := []jobs.Key{
		{"mail": "Ann", "born": "2000-01-02", "u": u}, {"mail": "ann", "born": "2001-01-02", "u": u},
		{"mail": "bob", "born": "2000-01-02", "u": u}, {"mail": "bob", "born": "no date", "u": u},
	}
	for _, tc := range []struct {
		where jobs.Where
		want  []int
	}{
		{jobs.Where{"mail": {"ANN"}}, []int{0, 1}},
		{jobs.Where{"born": {"2 January 2000"}, "name": {"any"}}, []int{0, 2}},
		{jobs.Where{"mail": {"ANN", "x"}, "born": {"2001-01-02"}}, []int{1}},
		{jobs.Where{"u": {strings.ToUpper(u)}, "mail": {"Bob"}}, []int{2}},
		{jobs.Where{"mail": {"eve"}}, nil},
	} {
		if err := s.CheckWhere(t.Context(), j, tc.where); err != nil {
			t.Fatal(err)
		}
		got, err := s.Match(t.Context(), j, tc.where, keys)
		if err != nil {
			t.Fatal(err)
		}
		var want []jobs.Key
		for _, i := range tc.want {
			want = append(want, keys[i])
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", tc.where, d)
		}
	}
}
