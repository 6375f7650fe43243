package analyze_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
)

// Whether a watch entry can name all keys is decided by the plan, and rightly for each shape of query.
func TestWholeOfShapes(t *testing.T) {
	a, _ := newAnalyst(t, league...)
	for _, s := range shapes {
		facts := factsOf(t, a, newJob(t, s.query, s.key, s.watch...))
		for i, want := range s.whole {
			if got := facts.Whole[i] != ""; got != want {
				t.Errorf("%s, entry %d: run whole: %v (%s), want %v", s.name, i, got, facts.Whole[i], want)
			}
		}
	}
}

// After random changes, a cache that refreshes the keys which changed rows name, where the plan says that this is
// enough, and runs the job where it is not, holds what the query returns. Broken by: a cache that always refreshes
// by key, which must go stale for each shape where the plan said so.
func TestNoKeyGoesStale(t *testing.T) {
	a, pg := newAnalyst(t, league...)
	conn, err := pgx.Connect(t.Context(), pg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var caches []*shapeCache
	for _, s := range shapes {
		job := newJob(t, s.query, s.key, s.watch...)
		c := &shapeCache{shape: s, job: job, whole: factsOf(t, a, job).Whole}
		c.right = c.query(t, conn)
		c.naive = maps.Clone(c.right)
		caches = append(caches, c)
	}
	random := rand.New(rand.NewPCG(10, 1))
	for n := range 150 {
		ch := randomChange(t, conn, random)
		for _, c := range caches {
			c.change(t, conn, ch)
			if d := cmp.Diff(c.now, c.right); d != "" {
				t.Fatalf("%s is stale after change %d of %s: want less, got more:\n%s", c.name, n, ch.table, d)
			}
		}
	}
	for _, c := range caches {
		if unsound := slices.Contains(c.shape.whole, true) && !c.careful; unsound && !c.wasStale {
			t.Errorf(`%s: refreshes by key alone were never stale: the changes do not reach it, or runs are needless`,
				c.name)
		}
	}
}

// shapeCache is what is cached of one shape.
type shapeCache struct {
	shape
	job          *jobs.Job
	whole        map[int]string
	now          map[string]string // what the query returns
	right, naive map[string]string // kept by the plan's rule; kept by key whatever the plan says
	wasStale     bool
}

// query runs the whole query and returns the rows of each key.
func (c *shapeCache) query(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	res := conn.PgConn().ExecParams(t.Context(), c.job.Query, nil, nil, nil, nil).Read()
	if res.Err != nil {
		t.Fatalf("%s: %v", c.name, res.Err)
	}
	rows := make(map[string][]string)
	for _, row := range res.Rows {
		key, text := make(jobs.Key), ""
		for i, f := range res.FieldDescriptions {
			if row[i] != nil && slices.Contains(c.job.Key.Columns(), f.Name) {
				key[f.Name] = string(row[i])
			}
			text += fmt.Sprintf("%s=%q ", f.Name, row[i])
		}
		if len(key) == len(c.job.Key.Columns()) {
			rows[key.Text(c.job)] = append(rows[key.Text(c.job)], text)
		}
	}
	values := make(map[string]string)
	for key, list := range rows {
		slices.Sort(list)
		values[key] = strings.Join(list, "\n")
	}
	return values
}

// change takes a committed change to both caches.
func (c *shapeCache) change(t *testing.T, conn *pgx.Conn, ch change) {
	t.Helper()
	before := c.now
	c.now = c.query(t, conn)
	whole := false
	for i, w := range c.watch {
		if w.Table != ch.table {
			continue
		}
		whole = whole || c.whole[i] != ""
		for _, key := range ch.keys(t, conn, c.job, w) {
			refresh(c.right, c.now, key)
			refresh(c.naive, c.now, key)
		}
	}
	if whole || len(c.job.Key.Columns()) == 0 {
		c.right = maps.Clone(c.now)
	}
	if !c.watches(ch.table) && !maps.Equal(before, c.now) {
		c.right, c.naive = maps.Clone(c.now), maps.Clone(c.now) // the next run
	}
	if !maps.Equal(c.naive, c.now) {
		c.wasStale = true
		c.naive = maps.Clone(c.now)
	}
}

func (c *shapeCache) watches(table string) bool {
	return slices.ContainsFunc(c.watch, func(w jobs.Watch) bool { return w.Table == table })
}

func refresh(cache, now map[string]string, key string) {
	if value, is := now[key]; is {
		cache[key] = value
	} else {
		delete(cache, key)
	}
}

// change is a changed row, before and after.
type change struct {
	table  string
	images []map[string]string
}

// keys are the keys that a watch takes from the change.
func (ch change) keys(t *testing.T, conn *pgx.Conn, job *jobs.Job, w jobs.Watch) (keys []string) {
	t.Helper()
	for _, row := range ch.images {
		if w.Key != nil {
			key := make(jobs.Key)
			for column, from := range w.Key {
				if value, is := row[from]; is {
					key[column] = value
				}
			}
			if len(key) == len(w.Key) {
				keys = append(keys, key.Text(job))
			}
			continue
		}
		values := []byte("{" + row[w.Column] + "}")
		res := conn.PgConn().ExecParams(t.Context(), w.Keys, [][]byte{values}, nil, nil, nil).Read()
		if res.Err != nil {
			t.Fatal(res.Err)
		}
		for _, found := range res.Rows {
			key := make(jobs.Key)
			for i, f := range res.FieldDescriptions {
				key[f.Name] = string(found[i])
			}
			if len(job.Key.Columns()) > 0 {
				keys = append(keys, key.Text(job))
			}
		}
	}
	return keys
}

// randomChange inserts, updates or deletes one row.
func randomChange(t *testing.T, conn *pgx.Conn, random *rand.Rand) change {
	t.Helper()
	n := random.IntN
	maybe := func(n int) string { // NULL at times
		if random.IntN(8) == 0 {
			return "NULL"
		}
		return fmt.Sprint(n)
	}
	type table struct {
		name, where string
		columns     []string
		values      []string
	}
	tables := []table{
		{"player", fmt.Sprintf("id = %d", n(14)), []string{"team_id", "pts", "name", "boss"},
			[]string{maybe(n(6)), maybe(n(10)), fmt.Sprintf("'p%d'", n(9)), maybe(n(14))}},
		{"score", fmt.Sprintf("id = %d", n(30)), []string{"player_id", "n"}, []string{maybe(n(14)), maybe(n(8))}},
		{"team", fmt.Sprintf("id = %d", n(6)), []string{"name", "region"},
			[]string{fmt.Sprintf("'team %d'", n(3)), fmt.Sprintf("'r%d'", n(2))}},
		{"banned", fmt.Sprintf("id = %d", n(3)), []string{"player_id"}, []string{maybe(n(12))}},
		{"game", fmt.Sprintf("shop = %d AND line = %d", n(4), n(20)), []string{"player_id", "n"},
			[]string{maybe(n(12)), fmt.Sprint(n(5))}},
	}
	at := tables[[]int{0, 0, 0, 1, 1, 2, 3, 4}[n(8)]]
	ch := change{table: at.name}
	ch.images = append(ch.images, images(t, conn, at.name, at.where)...)
	var sql string
	switch {
	case len(ch.images) == 0:
		keys := strings.NewReplacer(" AND ", ", ", "id = ", "", "shop = ", "", "line = ", "").Replace(at.where)
		names := "id, "
		if at.name == "game" {
			names = "shop, line, "
		}
		sql = fmt.Sprintf("INSERT INTO %s (%s%s) VALUES (%s, %s)", at.name, names, strings.Join(at.columns, ", "), keys,
			strings.Join(at.values, ", "))
	case n(5) == 0:
		sql = fmt.Sprintf("DELETE FROM %s WHERE %s", at.name, at.where)
	default:
		i := n(len(at.columns))
		sql = fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s", at.name, at.columns[i], at.values[i], at.where)
	}
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	ch.images = append(ch.images, images(t, conn, at.name, at.where)...)
	return ch
}

// images are the rows of a table, as the feed would carry them.
func images(t *testing.T, conn *pgx.Conn, table, where string) (rows []map[string]string) {
	t.Helper()
	res := conn.PgConn().ExecParams(t.Context(), "SELECT * FROM "+table+" WHERE "+where, nil, nil, nil, nil).Read()
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	for _, row := range res.Rows {
		image := make(map[string]string)
		for i, f := range res.FieldDescriptions {
			if row[i] != nil {
				image[f.Name] = string(row[i])
			}
		}
		rows = append(rows, image)
	}
	return rows
}
