package worker

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/preview"
)

const shop = `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'so "so"');
CREATE TYPE size AS (w int, h numeric);
CREATE TABLE product (id bigint PRIMARY KEY, category int, name text, price numeric(12,3), feel mood, valid int4range, size size,
	tags text[], at timestamptz, doc jsonb, f double precision);
INSERT INTO product SELECT i, i % 7, 'näme "' || i || E'"\n', i * 1.005, (ARRAY['sad','ok','so "so"'])[1 + i % 3]::mood,
	int4range(i, i + 10), ROW(i, i / 3.0)::size, ARRAY['a', NULL, i::text], timestamptz '2024-02-29 23:59:59.5+02' + i * interval '1 hour',
	jsonb_build_object('n', i, 'deep', jsonb_build_array(1.50, NULL)), CASE WHEN i % 100 = 0 THEN 'NaN' ELSE sqrt(i) END
FROM generate_series(1, $N) i`

func shopOf(products int) []string {
	return []string{strings.ReplaceAll(shop, "$N", fmt.Sprint(products))}
}

// Broken by: a column that is encoded other than Postgres does, a row that is
// lost between batches or written under another key, an order of rows changed.
func TestRunWritesWhatPostgresShows(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: append(shopOf(20_000),
		`CREATE TABLE gap (a text, b int, n int); INSERT INTO gap VALUES ('x', 1, 1), (NULL, 1, 2), ('x', NULL, 3), ('y', 2, NULL), (NULL, NULL, 5)`)})
	const row, rows, scalar = jobs.ValueRow, jobs.ValueRows, jobs.ValueScalar
	for name, tc := range map[string]struct {
		value      jobs.ValueKind
		key, query string
		want       string
		null       int64
	}{
		"row": {row, "p:{id}", "SELECT * FROM product -- all of it",
			"SELECT 'p:' || id, row_to_json(q)::text FROM product q", 0},
		"row, fast types": {row, "p:{id}", "SELECT id, name, price, tags, at, doc, f FROM product",
			"SELECT 'p:' || id, row_to_json(q)::text FROM (SELECT id, name, price, tags, at, doc, f FROM product) q",
			0},
		"rows": {rows, "c:{category}",
			"SELECT category, id, feel, size FROM product ORDER BY category, id DESC",
			"SELECT 'c:' || category, '[' || string_agg(row_to_json(q)::text, ',' ORDER BY id DESC) || ']' FROM " +
				"(SELECT category, id, feel, size FROM product) q GROUP BY category", 0},
		"scalar": {scalar, "n:{id}", "SELECT name, id FROM product",
			"SELECT 'n:' || id, to_json(name)::text FROM product", 0},
		"scalar, converted": {scalar, "n:{id}", "SELECT id, valid FROM product",
			"SELECT 'n:' || id, to_json(valid)::text FROM product", 0},
		"scalar, NULL": {scalar, "n:{a}:{b}", "SELECT a, b, n FROM gap",
			"SELECT 'n:' || a || ':' || b, coalesce(to_json(n)::text, 'null') FROM gap WHERE a IS NOT NULL AND b " +
				"IS NOT NULL", 3},
		"constant row": {row, "top", "SELECT count(*) AS n FROM product", `SELECT 'top', '{"n":20000}'`, 0},
		"constant rows": {rows, "top", "SELECT id FROM product ORDER BY id LIMIT 2",
			`SELECT 'top', '[{"id":1},{"id":2}]'`, 0},
		"no rows, constant": {rows, "top", "SELECT id FROM product WHERE false", `SELECT 'top', '[]'`, 0},
		"no rows, by key":   {rows, "top:{id}", "SELECT id FROM product WHERE false", `SELECT 'a', 'b' WHERE false`, 0},
		"no row, constant":  {row, "top", "SELECT id FROM product WHERE false", `SELECT 'a', 'b' WHERE false`, 0},
		"NULL in a key": {row, "g:{a}:{b}", "SELECT * FROM gap",
			"SELECT 'g:' || a || ':' || b, row_to_json(q)::text FROM gap q WHERE a IS NOT NULL AND b IS NOT NULL", 3},
		"NULL amid rows": {rows, "g:{a}", "SELECT a, n FROM gap ORDER BY n",
			`VALUES ('g:x', '[{"a":"x","n":1},{"a":"x","n":3}]'), ('g:y', '[{"a":"y","n":null}]')`, 2},
		"braces": {row, "p:{{{id}}}:{{{{}}", "SELECT id FROM product WHERE id < 3",
			`SELECT 'p:{' || id || '}:{{}', '{"id":' || id || '}' FROM product WHERE id < 3`, 0},
		"enum in a key": {row, "m:{feel}:{id}", "SELECT feel, id FROM product WHERE id < 9",
			"SELECT 'm:' || feel || ':' || id, row_to_json(q)::text FROM (SELECT feel, id FROM product WHERE id < 9) q",
			0},
	} {
		t.Run(name, func(t *testing.T) {
			r := *r
			r.t = t
			if err := r.redis.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			r.spec.Jobs = []*jobs.Job{newJob("j", tc.value, tc.key, tc.query)}
			rec := r.run("j")
			want := r.want(tc.want)
			if d := differ(want, r.texts()); d != "" {
				t.Error(d)
			}
			if rec.Keys != int64(len(want)) || rec.NullKeys != tc.null {
				t.Errorf("record: %d keys, %d NULL keys, want %d and %d", rec.Keys, rec.NullKeys, len(want), tc.null)
			}
		})
	}
}

// Broken by: a TTL that is prolonged, not jittered, or the same for all keys.
func TestRunJittersTTLs(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{})
	for _, jitter := range []float64{0, 0.5} {
		j := newJob("j", jobs.ValueRow, "p:{id}", "SELECT generate_series(1, 2000) AS id")
		j.TTL, j.Jitter = 1000*time.Second, jitter
		r.spec.Jobs = []*jobs.Job{j}
		before := time.Now()
		r.run("j")
		after := time.Now()
		low, high := before.Add(-time.Millisecond).Add(j.TTL-time.Duration(jitter*float64(j.TTL))), after.Add(j.TTL)
		first, last := high, low
		for k, v := range r.keys() {
			if v.expires.Before(low.Truncate(time.Millisecond)) || v.expires.After(high) {
				t.Errorf("jitter %v: %s ends at %s, not between %s and %s", jitter, k, v.expires, low, high)
			}
			if v.expires.Before(first) {
				first = v.expires
			}
			if v.expires.After(last) {
				last = v.expires
			}
		}
		// 2000 keys leave a twentieth of the range free at an end once in 10^44 runs.
		if spread := last.Sub(first); jitter > 0 && spread < 450*time.Second {
			t.Errorf("jitter %v: TTLs spread over %s alone", jitter, spread)
		}
	}
}

// Broken by: a field of the record that is not filled, counted twice or counts
// something else; a sample with keys that were not written.
func TestRunKeepsARecord(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: shopOf(1000), jobs: []*jobs.Job{newJob("j", jobs.ValueRow, "p:{id}",
		"SELECT id, name FROM product UNION ALL SELECT NULL, 'none'")}})
	start := time.Now()
	rec, err := r.w.Run(t.Context(), "warm:j@1700000000", jobs.Run{Job: "j", Due: 1_700_000_000, Cause: jobs.CauseTick},
		nil)
	if err != nil {
		t.Fatal(err)
	}
	kept := r.records("j")
	if len(kept) != 1 {
		t.Fatalf("%d records, want 1", len(kept))
	}
	bytes := int64(0)
	for k, v := range r.texts() {
		bytes += int64(len(k) + len(v))
	}
	for where, rec := range map[string]store.Record{"returned": rec, "kept": kept[0]} {
		if rec.ID != "warm:j@1700000000" || rec.Job != "j" || rec.Cause != "tick" || rec.State != store.StateOK ||
			rec.Due.Unix() != 1_700_000_000 {
			t.Errorf("%s: %+v", where, rec)
		}
		if rec.Rows != 1001 || rec.Keys != 1000 || rec.NullKeys != 1 || rec.Bytes != bytes || rec.Removed != 0 ||
			rec.Oversized != 0 || rec.Error != "" || rec.Warning != "" || rec.Removal {
			t.Errorf("%s, of %d bytes: %+v", where, bytes, rec)
		}
		if !regexp.MustCompile(`^\d+:\d+:[\d,]*$`).MatchString(rec.Snapshot) {
			t.Errorf("%s: snapshot %q", where, rec.Snapshot)
		}
		if rec.Start.Before(start) || rec.End.Before(rec.Start) || rec.Database <= 0 ||
			rec.Database > rec.End.Sub(rec.Start) {
			t.Errorf("%s: from %s to %s, database %s", where, rec.Start, rec.End, rec.Database)
		}
	}
	last, ok, err := r.ledger.LastComplete(t.Context(), "j")
	if err != nil || !ok || last.ID != rec.ID {
		t.Errorf("last complete: %+v, %v, %v", last, ok, err)
	}
	keys, err := r.ledger.Sample(t.Context(), "j")
	if err != nil || len(keys) != sampleSize {
		t.Fatalf("%d keys in the sample, %v", len(keys), err)
	}
	slices.Sort(keys)
	if n, err := r.redis.Exists(t.Context(), slices.Compact(keys)...).Result(); err != nil || n != sampleSize {
		t.Errorf("%d different keys of the sample are in Redis, %v", n, err)
	}
	if n := r.metric("stoker_keys_written_total"); n != 1000 {
		t.Errorf("metric of keys: %v", n)
	}
}

// The time that Postgres works before it sends the first row is the database's
// too. Broken by: a clock that is started by the first row.
func TestRecordCountsTheTimeBeforeTheFirstRow(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{newJob("j", jobs.ValueRow, "p:{id}",
		"SELECT pg_sleep(0.5)::text AS s, 1 AS id")}})
	if rec := r.run("j"); rec.Database < 500*time.Millisecond || rec.Database > rec.End.Sub(rec.Start) {
		t.Errorf("database %s of %s", rec.Database, rec.End.Sub(rec.Start))
	}
}

// Broken by: progress that is told once a row or at the end alone, that goes
// back, or that stays behind in Redis.
func TestRunTellsOfItsProgress(t *testing.T) {
	t.Parallel()
	// Rows of 3 kB, because Postgres sends them on when it has 8 kB of them.
	job := newJob("j", jobs.ValueRow, "p:{id}",
		"SELECT i AS id, repeat('x', 3000) AS pad, pg_sleep(0.01)::text AS s FROM generate_series(1, 150) i")
	job.Volatile = true // else the second run is skipped where no test beside it commits
	r := newRig(t, plan{jobs: []*jobs.Job{job}})
	for n := range 2 {
		var mu sync.Mutex
		var told []store.Progress
		live := 0
		rec, err := r.w.Run(t.Context(), fmt.Sprint(n), jobs.Run{Job: "j", Cause: jobs.CauseCommand},
			func(p store.Progress) {
				mu.Lock()
				defer mu.Unlock()
				told = append(told, p)
				if l, ok, err := r.ledger.Live(context.Background(), "j"); err == nil && ok && l.ID == p.ID {
					live++
				}
			})
		if err != nil {
			t.Fatal(err)
		}
		seconds := rec.End.Sub(rec.Start).Seconds()
		if most := int(seconds*4) + 2; len(told) < 4 || len(told) > most {
			t.Errorf("run %d: told %d times in %.1f s", n, len(told), seconds)
		}
		for i, p := range told {
			if p.ID != fmt.Sprint(n) || p.Expected == 0 || n > 0 && p.Expected != 150 || i > 0 &&
				(p.Rows < told[i-1].Rows || p.Keys < told[i-1].Keys) {
				t.Errorf("run %d: progress %d: %+v", n, i, p)
			}
		}
		if end := told[len(told)-1]; end.Rows < 75 || end.Keys == 0 || end.Bytes == 0 || live < 3 {
			t.Errorf("run %d: last told %+v, seen in Redis %d times", n, end, live)
		}
		if _, ok, err := r.ledger.Live(t.Context(), "j"); ok || err != nil {
			t.Errorf("run %d: progress stays behind: %v, %v", n, ok, err)
		}
	}
}

// A removal drops what a run would write, and nothing else. Broken by: keys
// whose value is too large, or of the rows kind, that stay.
func TestRemovalOfAKeyset(t *testing.T) {
	t.Parallel()
	row := newJob("row", jobs.ValueRow, "p:{id}", "SELECT id, repeat('x', CASE WHEN id = 7 THEN 2000 ELSE 1 END) "+
		"AS x FROM product")
	// no order: of no matter here
	rows := newJob("rows", jobs.ValueRows, "c:{category}", "SELECT category, id FROM product")
	constant := newJob("constant", jobs.ValueRows, "top", "SELECT id FROM product WHERE false")
	r := newRig(t, plan{sql: shopOf(500), jobs: []*jobs.Job{row, rows, constant}})
	r.run("row")
	row.MaxValueBytes = 1000 // since then, p:7 has become too large
	set := r.redis.MSet(t.Context(), "c:0", "1", "c:6", "1", "c:7", "other", "top", "[]", "q:1", "other")
	if err := set.Err(); err != nil {
		t.Fatal(err)
	}
	for job, want := range map[string]int64{"row": 500, "rows": 2, "constant": 1} {
		rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: job, Cause: jobs.CauseCommand, Remove: true}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if rec.Removed != want || rec.Keys != 0 || rec.Bytes != 0 || !rec.Removal || rec.State != store.StateOK {
			t.Errorf("%s: %+v", job, rec)
		}
	}
	if d := differ(map[string]string{"c:7": "other", "q:1": "other"}, r.texts()); d != "" {
		t.Error(d)
	}
	if last, ok, err := r.ledger.LastComplete(t.Context(), "rows"); ok || err != nil {
		t.Errorf("a removal counts as a complete run: %+v, %v", last, err)
	}
}

// Broken by: an unknown job that is run, or recorded.
func TestRunOfAnUnknownJob(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{})
	const want = `job "gone" is not in stoker.yaml: this worker has an older or newer spec than who asked; give both the same file`
	_, err1 := r.w.Run(t.Context(), "id", jobs.Run{Job: "gone"}, nil)
	_, err2 := r.w.Refresh(t.Context(), "id", jobs.Invalidation{Job: "gone", Keys: []jobs.Key{{}}})
	_, err3 := r.w.RunLocal(t.Context(), jobs.Run{Job: "gone"}, func() {}, nil)
	for _, err := range []error{err1, err2, err3} {
		if err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// A local run waits for one that is going on. Broken by: two runs at once, or a
// lease that is not given back.
func TestLocalRunWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{newJob("j", jobs.ValueRow, "p:{id}", "SELECT 1 AS id")}})
	release, ok, err := r.w.acquireLease(t.Context(), "j", "another")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	waited := make(chan struct{})
	released := make(chan time.Time, 1)
	go func() {
		<-waited
		at := time.Now().UTC()
		release()
		released <- at
	}()
	rec, err := r.w.RunLocal(t.Context(), jobs.Run{Job: "j", Cause: jobs.CauseLocal}, func() { close(waited) }, nil)
	if err != nil || !strings.HasPrefix(rec.ID, "local:") {
		t.Fatal(rec, err)
	}
	if at := <-released; rec.Start.Before(at) {
		t.Errorf("started at %s, before the other run ended at %s", rec.Start, at)
	}
	if holder, _, err := r.ledger.Holder(t.Context(), "j"); holder != "" || err != nil {
		t.Errorf("the lease is still with %q, %v", holder, err)
	}

	// Who gives up waiting gets the reason, and no run.
	release, ok, err = r.w.acquireLease(t.Context(), "j", "another")
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	defer release()
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err = r.w.RunLocal(ctx, jobs.Run{Job: "j", Cause: jobs.CauseLocal}, func() { cancel(enough) }, nil)
	if !errors.Is(err, enough) || len(r.records("j")) != 1 {
		t.Errorf("%v, %d records", err, len(r.records("j")))
	}
}

// Preview shows what a run writes. Broken by: another shaper, a write, or a
// query that goes on when enough is shown.
func TestPreviewShowsWhatARunWrites(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRow, "p:{id}", "SELECT id, feel FROM product ORDER BY id")
	big := newJob("big", jobs.ValueRow, "p:{id}", "SELECT id, repeat('x', id::int) AS x FROM product ORDER BY id DESC")
	big.MaxValueBytes = 500
	endless := newJob("endless", jobs.ValueRow, "p:{id}", "SELECT generate_series(1, 1000000000000) AS id")
	r := newRig(t, plan{sql: shopOf(600), jobs: []*jobs.Job{j}})
	for _, tc := range []struct {
		job         *jobs.Job
		limit, want int
		warning     string
	}{
		{j, 1000, 600, ""}, {j, 3, 3, ""}, {j, 600, 600, ""}, {j, 0, 0, ""}, {endless, 250, 250, ""},
		{big, 1, 1, "key p:600: a value of 617 bytes is over max_value_bytes (500): it was not written; select " +
			"less, or raise max_value_bytes"},
	} {
		got := make(map[string]string)
		warning, err := preview.Show(t.Context(), r.source, tc.job, tc.limit, func(e store.Entry) error {
			got[string(e.Key)] = string(e.Value)
			return nil
		})
		if err != nil || len(got) != tc.want || warning != tc.warning {
			t.Errorf("%s, %d: %d entries, %q, %v", tc.job.Name, tc.limit, len(got), warning, err)
		}
		if tc.job == j && tc.limit == 1000 {
			r.run("j")
			if d := differ(r.texts(), got); d != "" {
				t.Error(d)
			}
			if err := r.redis.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if keys := r.texts(); len(keys) > 0 {
		t.Errorf("preview wrote %d keys", len(keys))
	}
}

// The comparison that these tests stand on must notice writes that are not done.
// Without this, a check that compares nothing would pass for ever.
func TestComparisonNoticesABrokenCache(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]func(Cache) Cache{
		"writes nothing":       func(c Cache) Cache { return nothing{c} },
		"forgets a batch":      func(c Cache) Cache { return &forgetful{Cache: c} },
		"cuts the last letter": func(c Cache) Cache { return cutting{c} },
	} {
		r := newRig(t, plan{
			jobs:  []*jobs.Job{newJob("j", jobs.ValueRow, "p:{id}", "SELECT generate_series(1, 250) AS id")},
			cache: broken,
		})
		r.run("j")
		if d := differ(r.want(`SELECT 'p:' || i, '{"id":' || i || '}' FROM generate_series(1, 250) i`),
			r.texts()); d == "" {
			t.Errorf("a cache that %s went unnoticed", name)
		}
	}
}

type nothing struct{ Cache }

func (nothing) Put(context.Context, *cache.Claim, *store.Batch) (cache.Outcome, error) {
	return cache.Outcome{}, nil
}

type forgetful struct {
	Cache
	mu sync.Mutex
	n  int
}

func (c *forgetful) Put(ctx context.Context, cl *cache.Claim, b *store.Batch) (cache.Outcome, error) {
	c.mu.Lock()
	c.n++
	n := c.n
	c.mu.Unlock()
	if n == 2 {
		return cache.Outcome{}, nil
	}
	return c.Cache.Put(ctx, cl, b)
}

type cutting struct{ Cache }

func (c cutting) Put(ctx context.Context, cl *cache.Claim, b *store.Batch) (cache.Outcome, error) {
	cut := &store.Batch{}
	for i := range b.Len() {
		e := b.Entry(i)
		at := len(cut.Buf)
		cut.Buf = append(append(cut.Buf, e.Key...), e.Value[:len(e.Value)-1]...)
		cut.Add(at, at+len(e.Key), e.TTL)
	}
	return c.Cache.Put(ctx, cl, cut)
}
