package worker

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// kept holds a failed run to what it must not do: each key that was there is
// still there, either as it was, TTL and all, or with its new value and a newer
// TTL; and no key is there that should not be. It returns how many are new.
func kept(before, after map[string]value, now map[string]string) (renewed int, err error) {
	for k, old := range before {
		v, ok := after[k]
		switch {
		case !ok:
			return renewed, fmt.Errorf("key %s is gone", k)
		case v == old:
		case v.text != now[k]:
			return renewed, fmt.Errorf("key %s is neither its old value nor its new one: %.100s", k, v.text)
		case !v.expires.After(old.expires):
			return renewed, fmt.Errorf("key %s has its new value with a TTL cut from %s to %s", k, old.expires,
				v.expires)
		default:
			renewed++
		}
	}
	for k := range after {
		if _, ok := now[k]; !ok {
			return renewed, fmt.Errorf("key %s should not be there", k)
		}
	}
	return renewed, nil
}

// numbered is a job whose values change with the table version; its rows are
// wide enough that Postgres is not done with them before the first is written.
func numbered(rows int) (*jobs.Job, []string, string) {
	query := fmt.Sprintf("SELECT i AS id, v, 1000 / (CASE WHEN v = 2 THEN fatal ELSE 0 END - i) AS x, repeat('x', "+
		"1000) AS pad FROM generate_series(1, %d) i, version", rows)
	j := newJob("j", jobs.ValueRow, "p:{id}", query)
	j.Jitter = 0
	want := fmt.Sprintf(`SELECT 'p:' || id, row_to_json(q)::text FROM (SELECT i AS id, v, CASE WHEN v = 2 AND fatal = i THEN 0 ELSE 1000 / (CASE WHEN v = 2 THEN fatal ELSE 0 END - i) END AS x, repeat('x', 1000) AS pad
		FROM generate_series(1, %d) i, version) q`, rows)
	return j, []string{"CREATE TABLE version (v int, fatal int)", "INSERT INTO version VALUES (1, 0)"}, want
}

// failing does a good run, changes every value, and does a run that is to fail;
// it returns what the cache held before and after.
func (r *rig) failing(fatal int) (before, after map[string]value, rec store.Record, err error) {
	r.t.Helper()
	storetest.Exec(r.t, r.pg, "UPDATE version SET v = 1, fatal = 0")
	if _, err := r.w.Run(r.t.Context(), "good", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil); err != nil {
		r.t.Fatal(err)
	}
	before = r.keys()
	storetest.Exec(r.t, r.pg, fmt.Sprintf("UPDATE version SET v = 2, fatal = %d", fatal))
	time.Sleep(5 * time.Millisecond) // so that a new TTL is told from an old one
	rec, err = r.w.Run(r.t.Context(), "bad", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	return before, r.keys(), rec, err
}

// wantFailed holds record, error and ledger of a failed run to each other.
func (r *rig) wantFailed(rec store.Record, err error, pattern string) {
	r.t.Helper()
	if err == nil || !regexp.MustCompile("^(?s:"+pattern+")$").MatchString(err.Error()) {
		r.t.Errorf("got  %v\nwant %s", err, pattern)
		return
	}
	last := r.records("j")[0]
	for where, rec := range map[string]store.Record{"returned": rec, "kept": last} {
		if rec.ID != "bad" || rec.State != store.StateFailed || rec.Error != err.Error() || rec.End.IsZero() {
			r.t.Errorf("%s: %+v", where, rec)
		}
	}
	if complete, ok, err := r.ledger.LastComplete(context.Background(), "j"); err != nil || !ok ||
		complete.ID != "good" {
		r.t.Errorf("last complete: %+v, %v", complete, err)
	}
}

// Broken by: a failed run that removes, cuts or replaces by anything but the new
// value; an error that does not say where and why.
func TestQueryThatFailsMidway(t *testing.T) {
	t.Parallel()
	j, sql, want := numbered(3000)
	r := newRig(t, plan{sql: sql, jobs: []*jobs.Job{j}})
	before, after, rec, err := r.failing(1500)
	r.wantFailed(rec, err, `after row 1499: query of job j: division by zero \(SQLSTATE 22012\)`)
	renewed, kerr := kept(before, after, r.want(want))
	if kerr != nil {
		t.Error(kerr)
	}
	// Rows are written in batches of 64 kB; those of the last one are not.
	if rec.Rows != 1499 || int64(renewed) != rec.Keys || renewed < 1400 || renewed >= 1500 {
		t.Errorf("%d keys are new, record %+v", renewed, rec)
	}
	if len(before) != 3000 || len(after) != 3000 {
		t.Errorf("%d keys before, %d after", len(before), len(after))
	}

	// The check above must notice a cache that does harm.
	for name, harm := range map[string]func(k string, v value) (value, bool){
		"removes": func(k string, v value) (value, bool) { return v, k == "p:2999" },
		"cuts the TTL": func(k string, v value) (value, bool) {
			v.expires = v.expires.Add(-time.Second)
			return v,
				false
		},
		"writes others": func(k string, v value) (value, bool) { v.text = "{}"; return v, false },
	} {
		harmed := make(map[string]value)
		for k, v := range after {
			if v, gone := harm(k, v); !gone {
				harmed[k] = v
			}
		}
		if _, err := kept(before, harmed, r.want(want)); err == nil {
			t.Errorf("a failed run that %s goes unnoticed", name)
		}
	}
}

// Broken by: a Redis that refuses writes and is not reported, or whose refusal
// takes good values with it.
func TestRedisThatFailsMidway(t *testing.T) {
	t.Parallel()
	server, err := testserver.StartRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	j, sql, want := numbered(3000)
	var at func(n int)
	r := newRig(t, plan{redis: server.URL(0), sql: sql, jobs: []*jobs.Job{j}, cache: tapped(func(n int) { at(n) })})
	limit := func(bytes string) {
		if err := r.redis.ConfigSet(context.Background(), "maxmemory", bytes).Err(); err != nil {
			t.Error(err)
		}
	}

	first := 0 // of the second run
	at = func(n int) {
		if len(r.records("j")) == 0 {
			first = n + 1
		} else if n == first+9 {
			limit("1")
		}
	}
	before, after, rec, err := r.failing(0)
	r.wantFailed(rec, err, `after row \d+: write \d+ keys, the first is p:\d+: OOM command not allowed when used memory > 'maxmemory'\. \(redis is full: raise maxmemory, or choose an eviction policy for the cache\)`)
	renewed, kerr := kept(before, after, r.want(want))
	if kerr != nil || renewed < 6*60 || renewed > 2000 || int64(renewed) < rec.Keys {
		t.Errorf("%d keys are new, record %+v, %v", renewed, rec, kerr)
	}
	limit("0")

	// Without persistence a killed Redis forgets all: only the report counts.
	var once sync.Once
	tap := r.cache.(*tap)
	tap.mu.Lock()
	tap.n = 0
	tap.mu.Unlock()
	at = func(n int) {
		if n == 10 {
			once.Do(server.Kill)
		}
	}
	start := time.Now()
	rec, err = r.w.Run(t.Context(), "bad", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	r.wantFailed(rec, err, `after row \d+: write \d+ keys, the first is p:\d+: .*(EOF|connection refused|connection reset by peer|broken pipe)`)
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("the run needed %s to notice", d)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	rec, err = r.w.Run(t.Context(), "next", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	if err != nil || rec.Keys != 3000 {
		t.Errorf("after Redis came back: %+v, %v", rec, err)
	}
	r.wantCache(want)
}

// Broken by: rows that were lost with the connection and taken for the end of
// the result; a pool that keeps the dead connection.
func TestPostgresThatRestartsMidway(t *testing.T) {
	t.Parallel()
	server := storetest.OwnPostgres(t)
	j, sql, want := numbered(15_000)
	at := func(int) {}
	r := newRig(t, plan{pg: server.URL("postgres"), sql: sql, jobs: []*jobs.Job{j},
		cache: tapped(func(n int) { at(n) })})
	first := 0
	at = func(n int) {
		if len(r.records("j")) == 0 {
			first = n + 1
		} else if n == first+4 {
			server.Kill()
			if err := server.Start(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	before, after, rec, err := r.failing(0)
	r.wantFailed(rec, err, `after row \d+: (query of job j: terminating connection .*\(SQLSTATE 57P0[12]\).*|read job j from postgres: .*)`)
	renewed, kerr := kept(before, after, r.want(want))
	if kerr != nil || renewed == 0 || renewed == 15_000 || int64(renewed) != rec.Keys {
		t.Errorf("%d keys are new, record %+v, %v", renewed, rec, kerr)
	}
	rec, err = r.w.Run(t.Context(), "next", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	if err != nil || rec.Keys != 15_000 {
		t.Errorf("after Postgres came back: %+v, %v", rec, err)
	}
	r.wantCache(want)
}

// Broken by: a run that outlives its timeout, an error that says no more than
// "context deadline exceeded", a statement that goes on in Postgres.
func TestTimeoutOfAJob(t *testing.T) {
	t.Parallel()
	const query = "SELECT i AS id, repeat('x', 3000) AS pad, pg_sleep(0.01)::text AS s FROM generate_series(1, " +
		"100000) i"
	for name, query := range map[string]string{"before the first row": "SELECT pg_sleep(100)::text AS s, 1 AS id",
		"amid rows": query} {
		j := newJob("j", jobs.ValueRow, "p:{id}", query)
		j.Timeout = 1500 * time.Millisecond
		r := newRig(t, plan{jobs: []*jobs.Job{j}})
		start := time.Now()
		var rec store.Record
		var err error
		var ended sync.WaitGroup
		ended.Go(func() { rec, err = r.w.Run(t.Context(), "bad", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil) })
		eventually(t, 1400*time.Millisecond, name+": statement at work",
			func() bool { n, _ := r.sessions(); return n == 1 })
		ended.Wait()
		if !regexp.MustCompile(`^(after row \d+: )?the run took longer than the job's timeout of 1.5s$`).MatchString(fmt.Sprint(err)) || rec.State != store.StateFailed {
			t.Errorf("%s: %v, %+v", name, err, rec)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%s: ended after %s", name, d)
		}
		eventually(t, 5*time.Second, name+": statement cancelled", func() bool { n, _ := r.sessions(); return n == 0 })

		_, err = r.w.Refresh(t.Context(), "id", jobs.Invalidation{Job: "j", Keys: []jobs.Key{{"id": "1"}}})
		if name == "before the first row" && (err == nil ||
			err.Error() != "the refresh took longer than the job's timeout of 1.5s") {
			t.Errorf("refresh: %v", err)
		}
	}
}

// A writer's error must end the reading at once. Broken by: a reader that reads
// on, or waits for ever for a batch that no writer gives back.
func TestFailedWriterEndsTheReading(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{
		jobs:  []*jobs.Job{newJob("j", jobs.ValueRow, "p:{id}", "SELECT generate_series(1, 100000000) AS id")},
		cache: func(c Cache) Cache { return refusing{c} },
	})
	start := time.Now()
	rec, err := r.w.Run(t.Context(), "bad", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	if !regexp.MustCompile(`^after row \d+: refused$`).MatchString(fmt.Sprint(err)) || rec.Rows > 100_000 ||
		time.Since(start) > 5*time.Second {
		t.Errorf("%v after %s, %+v", err, time.Since(start), rec)
	}
	eventually(t, 5*time.Second, "statement cancelled", func() bool { n, _ := r.sessions(); return n == 0 })
}

type refusing struct{ Cache }

func (refusing) Put(context.Context, *cache.Claim, *store.Batch) (cache.Outcome, error) {
	return cache.Outcome{}, fmt.Errorf("refused")
}

// Redis is asked first, so that the database does not work for nothing. Broken
// by: a query that is sent although no value can be written.
func TestRedisThatIsAwayFromTheStart(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{redis: "redis://127.0.0.1:1/0", jobs: []*jobs.Job{quickly("j")}})
	rec, err := r.w.Run(t.Context(), "bad", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	if !strings.HasPrefix(fmt.Sprint(err), "arm the cache: dial tcp 127.0.0.1:1: ") || rec.State != store.StateFailed ||
		rec.Error != err.Error() {
		t.Errorf("%v, %+v", err, rec)
	}
	_, err = r.w.Refresh(t.Context(), "id", jobs.Invalidation{Job: "j", Keys: []jobs.Key{{"id": "1"}}})
	if !strings.HasPrefix(fmt.Sprint(err), "arm the cache: ") || store.Permanent(err) {
		t.Errorf("refresh: %v", err)
	}
	if _, total := r.sessions(); total != 0 {
		t.Errorf("%d connections to Postgres", total)
	}
}

// Records are for people; values are for readers. Broken by: a run that fails
// because it cannot be recorded, or one whose record is lost without a word.
func TestLedgerThatIsAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("j")}})
	r.queue.AddHook(deaf{})
	away := r.another(r.real)
	rec, err := away.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	if err != nil || rec.State != store.StateOK || rec.Keys != 3 {
		t.Errorf("%+v, %v", rec, err)
	}
	out, err := away.Refresh(t.Context(), "id", jobs.Invalidation{Job: "j", Keys: []jobs.Key{{"id": "1"}}})
	if err != nil || out.Keys != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	r.wantCache(`SELECT 'j:' || i, '{"id":' || i || '}' FROM generate_series(1, 3) i`)
	for _, line := range []string{"progress was not published", "the record of a run was not kept",
		"a refresh was not counted"} {
		if !strings.Contains(r.logs.String(), line) {
			t.Errorf("the log does not say: %s", line)
		}
	}
}

// deaf lets a ledger lease, and keep nothing else.
type deaf struct{}

var errDeaf = errors.New("deaf")

func (deaf) DialHook(next redis.DialHook) redis.DialHook { return next }

func (deaf) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if strings.Contains(cmd.String(), "stoker:lease:") {
			return next(ctx, cmd)
		}
		cmd.SetErr(errDeaf)
		return errDeaf
	}
}

func (deaf) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			cmd.SetErr(errDeaf)
		}
		return errDeaf
	}
}
