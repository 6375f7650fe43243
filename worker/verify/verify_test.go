package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

const verifySQL = `CREATE TABLE item (id int PRIMARY KEY, site text, v int, note text)`

const verifyRows = `INSERT INTO item SELECT i, 's' || i % 7, i, repeat('n' || i, 30) FROM generate_series(1, 300) i`

// every is a job of every kind of value.
func every() []*jobs.Job {
	query := "SELECT id, site, v, note FROM item ORDER BY id"
	row := fedJob("row", jobs.ValueRow, "row:{id}", query)
	two := fedJob("two", jobs.ValueRow, "two:{note}:{site}:{id}", "SELECT id, site, ':' || id AS note, v FROM item")
	rows := fedJob("rows", jobs.ValueRows, "rows:{site}", "SELECT site, v FROM item ORDER BY site, v")
	pack := fedJob("pack", jobs.ValueRows, "pack:{site}", "SELECT site, v, note FROM item ORDER BY site")
	pack.Format, pack.Compress = jobs.FormatMsgpack, jobs.CompressZstd
	cbor := fedJob("cbor", jobs.ValueRows, "cbor", "SELECT site, v, note FROM item ORDER BY v")
	cbor.Format, cbor.Compress = jobs.FormatCBOR, jobs.CompressGzip
	scalar := fedJob("scalar", jobs.ValueScalar, "scalar:{id}", "SELECT id, note FROM item")
	scalar.Format, scalar.Compress, scalar.CompressAbove = jobs.FormatText, jobs.CompressGzip, 1
	hash := fedJob("hash", jobs.ValueRow, "hash:{id}", "SELECT id, site, nullif(v, 5) AS v, note FROM item")
	hash.Type = jobs.TypeHash
	rank := fedJob("rank", jobs.ValueRows, "rank:{site}",
		"SELECT site, id AS member, nullif(v, 5)::float8 / 3 AS score FROM item ORDER BY site")
	rank.Type = jobs.TypeZSet
	env := fedJob("env", jobs.ValueRow, "env:{id}", "SELECT id, site, v, note FROM item")
	list := fedJob("list", jobs.ValueRows, "list:{site}", "SELECT site, v, note FROM item ORDER BY site")
	env.Format, list.Format, list.Omit = jobs.FormatFastAPIRedis, jobs.FormatFastAPIRedis, []string{"site"}
	return []*jobs.Job{row, two, rows, pack, cbor, scalar, hash, rank, env, list}
}

// Broken by: a value of any kind that is not taken for what it is.
func TestVerifyFindsEverythingRight(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()}).feed()
	for job, keys := range map[string]int64{"row": 300, "two": 300, "rows": 7, "pack": 7, "cbor": 1, "scalar": 300,
		"hash": 300, "rank": 7, "env": 300, "list": 7} {
		r.run(job)
		wantFound(t, r.verify(Verification{Job: job}), Verified{Job: job, Checked: keys, Right: keys})
	}
	for job, keys := range map[string]int64{"row": 20, "rows": 7, "hash": 300} {
		wantFound(t, r.verify(Verification{Job: job, Sample: int(keys)}),
			Verified{Job: job, Checked: keys, Right: keys, Sampled: true})
	}
}

// spoil makes one key of each kind of wrong: a change that nobody reported, a key
// that is gone, an invalidation whose refresh was lost, a key without a row, a
// value that somebody else wrote, and a row that has come.
func (r *rig) spoil(prefix string, hash bool) {
	r.t.Helper()
	ctx := context.Background()
	r.exec("UPDATE item SET v = -1, note = 'new' WHERE id = 10",
		"UPDATE item SET v = -2, note = 'new' WHERE id = 30",
		"INSERT INTO item VALUES (1000, 's', 1, 'come')",
		"DELETE FROM item WHERE id = 60")
	r.redis.Unlink(ctx, prefix+"20")
	job, _ := r.spec.Job(strings.TrimSuffix(prefix, ":"))
	if err := r.w.Fence(ctx, job, []jobs.Key{{"id": "30"}}); err != nil {
		r.t.Fatal(err)
	}
	if hash {
		r.redis.HSet(ctx, prefix+"40", "v", "7777")
		r.redis.HSet(ctx, prefix+"5000", "v", "1")
		return
	}
	r.redis.Set(ctx, prefix+"40", "somebody else's", redis.KeepTTL)
	r.redis.Set(ctx, prefix+"5000", "left over", time.Hour)
}

func spoiled(prefix string, repaired bool) []Finding {
	return []Finding{
		{Stale, prefix + "10", CauseUnreported, repaired},
		{Missing, prefix + "20", CauseGone, repaired},
		{Stale, prefix + "30", CauseRefresh, repaired},
		{Stale, prefix + "40", CauseOverwrite, repaired},
		{Missing, prefix + "1000", CauseUnreported, repaired},
		{Orphan, prefix + "5000", CauseStray, repaired},
		{Orphan, prefix + "60", CauseUnreported, repaired},
	}
}

// Broken by: a wrong key that is not found, or with another cause; a repair that
// does not mend it, or another way to write than that of every value.
func TestVerifyFindsAndRepairs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"row", "scalar", "hash", "env"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()}).feed()
			r.run(name)
			r.spoil(name+":", name == "hash")
			want := Verified{Job: name, Checked: 302, Right: 295, Stale: 3, Missing: 2, Orphan: 2,
				Findings: spoiled(name+":", false)}
			wantFound(t, r.verify(Verification{Job: name}), want)
			want.Repaired, want.Findings = 7, spoiled(name+":", true)
			wantFound(t, r.verify(Verification{Job: name, Repair: true}), want)
			wantFound(t, r.verify(Verification{Job: name}), Verified{Job: name, Checked: 300, Right: 300})
			if out := r.verify(Verification{Job: name, Sample: 300}); out.Wrong() != 0 {
				t.Errorf("a sample finds %+v", out)
			}
		})
	}
}

// A ranking is held to its members and their scores, and loaded again as a whole. Broken by: a member too many, one
// that is gone or a score that is another, each of which passes.
func TestVerifyFindsWrongRankings(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()}).feed()
	r.run("rank")
	keys := r.redis.Keys(t.Context(), "rank:*").Val()
	slices.Sort(keys)
	more, less, other, text := keys[0], keys[1], keys[2], keys[3]
	first := r.redis.ZRange(t.Context(), less, 0, 0).Val()[0]
	r.redis.ZAdd(t.Context(), more, redis.Z{Score: 1, Member: "somebody else's"})
	r.redis.ZRem(t.Context(), less, first)
	r.redis.ZIncrBy(t.Context(), other, 1e-9, r.redis.ZRange(t.Context(), other, 0, 0).Val()[0])
	r.redis.Set(t.Context(), text, "a string", redis.KeepTTL)
	r.redis.ZAdd(t.Context(), "rank:left over", redis.Z{Score: 1, Member: "m"})
	out := r.verify(Verification{Job: "rank", Repair: true})
	if out.Stale != 4 || out.Orphan != 1 || out.Right != 3 || out.Repaired != 5 {
		t.Errorf("%+v", out)
	}
	wantFound(t, r.verify(Verification{Job: "rank"}), Verified{Job: "rank", Checked: 7, Right: 7})
}

// Broken by: a change between two looks that is taken for a mistake. One key
// becomes right while it is looked at, one becomes wrong in another way, one never
// holds still.
func TestVerifyLooksAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()}).feed()
	r.run("row")
	r.exec("UPDATE item SET v = -1 WHERE id IN (10, 20, 30)")
	ctx, n := t.Context(), 0
	out := r.verifyAs(Verification{Job: "row"}, shortPause, func(last *observation, now observation) verdict {
		if n++; n == 2 { // a refresh that was on its way
			if _, err := r.w.Refresh(ctx, "late", jobs.Invalidation{Job: "row",
				Keys: []jobs.Key{{"id": "10"}}}); err != nil {
				t.Error(err)
			}
		}
		r.redis.Set(ctx, "row:20", fmt.Sprint("moving ", n), time.Hour)
		return judge(last, now)
	})
	wantFound(t, out, Verified{Job: "row", Checked: 299, Right: 298, Stale: 1, Moving: 1,
		Findings: []Finding{{Stale, "row:30", CauseUnreported, false}}})
}

// Broken by: what a run that is going on has yet to write, taken for wrong.
func TestVerifyWaitsForARun(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()})
	r.run("row")
	r.exec("UPDATE item SET v = -1 WHERE id = 10")
	ctx := t.Context()
	if ok, err := r.ledger.Lease(ctx, "row", "a run", time.Minute); !ok || err != nil {
		t.Fatal(ok, err)
	}
	done := make(chan Verified)
	go func() { done <- r.verify(Verification{Job: "row"}) }()
	select {
	case out := <-done:
		t.Errorf("it did not wait: %+v", out)
	case <-time.After(600 * time.Millisecond):
		r.run("row")
		if err := r.ledger.Release(ctx, "row", "a run"); err != nil {
			t.Error(err)
		}
		wantFound(t, <-done, Verified{Job: "row", Checked: 300, Right: 300})
	}
}

// Broken by: a key of another job's taken for an orphan; one that nobody can have
// made, or in two ways.
func TestVerifyOfTwoJobsOfOneShape(t *testing.T) {
	t.Parallel()
	low := newJob("low", jobs.ValueRow, "k:{id}", "SELECT id, v FROM item WHERE id <= 100")
	high := newJob("high", jobs.ValueScalar, "k:{n}", "SELECT id AS n, v FROM item WHERE id > 200")
	pair := newJob("pair", jobs.ValueScalar, "k:{site}:{id}", "SELECT site, id, v FROM item WHERE id = 7")
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: []*jobs.Job{low, high, pair}})
	for _, job := range r.spec.Jobs {
		r.run(job.Name)
	}
	ctx := t.Context()
	for _, k := range []string{"k:150", "k:007", "k:abc", "k:a:b:c", "k:99999999999", "k:s0:8", "k:\xff:8"} {
		r.redis.Set(ctx, k, "x", time.Hour)
	}
	orphan := []Finding{{Orphan, "k:150", CauseStray, false}}
	// 007, abc, a:b:c, 99999999999, s0:8, s0:7, \xff:8 are no integers.
	wantFound(t, r.verify(Verification{Job: "low"}),
		Verified{Job: "low", Checked: 101, Right: 100, Orphan: 1, Unclear: 7, Findings: orphan})
	wantFound(t, r.verify(Verification{Job: "high"}),
		Verified{Job: "high", Checked: 101, Right: 100, Orphan: 1, Unclear: 7, Findings: orphan})
	// a:b:c can be read in two ways, \xff is no text.
	wantFound(t, r.verify(Verification{Job: "pair"}),
		Verified{Job: "pair", Checked: 2, Right: 1, Orphan: 1, Unclear: 2,
			Findings: []Finding{{Orphan, "k:s0:8", CauseStray, false}}})
}

// Broken by: values of a volatile job that are compared, or its keys that are not.
func TestVerifyOfAVolatileJob(t *testing.T) {
	t.Parallel()
	job := newJob("now", jobs.ValueScalar, "now:{id}", "SELECT id, clock_timestamp() AS at FROM item")
	job.Volatile = true
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: []*jobs.Job{job}})
	r.run("now")
	r.redis.Unlink(t.Context(), "now:5")
	r.redis.Set(t.Context(), "now:500", "x", time.Hour)
	wantFound(t, r.verify(Verification{Job: "now"}),
		Verified{Job: "now", Volatile: true, Checked: 301, Right: 299, Missing: 1, Orphan: 1,
			Findings: []Finding{{Missing, "now:5", CauseGone, false}, {Orphan, "now:500", CauseStray, false}}})
}

// Broken by: what a run does not write on purpose, or keeps on purpose, taken for
// wrong.
func TestVerifyKnowsWhatARunLeavesOut(t *testing.T) {
	t.Parallel()
	job := newJob("big", jobs.ValueRow, "{note}", "SELECT note, v FROM item")
	job.MaxValueBytes = 100
	held := newJob("held", jobs.ValueScalar, "held:{id}", "SELECT id, v FROM item")
	r := newRig(t, plan{sql: []string{verifySQL,
		"INSERT INTO item VALUES (1, '', 1, 'k1'), (2, '', 2, repeat('x', 200)), (3, '', 3, NULL), (4, '', 4, " +
			"'stoker:mine'), (5, '', 5, '')"},
		jobs: []*jobs.Job{job, held}})
	r.run("big")
	wantFound(t, r.verify(Verification{Job: "big"}), Verified{Job: "big", Checked: 1, Right: 1, Skipped: 4})
	r.run("held")
	r.exec("DELETE FROM item WHERE id > 1")
	r.run("held")
	wantFound(t, r.verify(Verification{Job: "held"}), Verified{Job: "held", Checked: 5, Right: 1, Held: 4})
	// A job without a feed is held to what is there now.
	r.exec("UPDATE item SET v = 7")
	wantFound(t, r.verify(Verification{Job: "held"}),
		Verified{Job: "held", Checked: 5, Stale: 1, Held: 4,
			Findings: []Finding{{Stale, "held:1", CauseSchedule, false}}})
}

// Broken by: rows that a query takes for equal, in another order than they were
// written in, taken for a change; or a change of them for another order.
func TestVerifyDoesNotCompareTheOrderOfRows(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()}).feed()
	r.run("rows")
	ctx := t.Context()
	text := r.redis.Get(ctx, "rows:s1").Val()
	rows := strings.Split(strings.Trim(text, "[]"), "},{")
	first, last := strings.TrimPrefix(rows[0], "{"), strings.TrimSuffix(rows[len(rows)-1], "}")
	rows[0], rows[len(rows)-1] = "{"+last, first+"}"
	r.redis.Set(ctx, "rows:s1", "["+strings.Join(rows, "},{")+"]", time.Hour)
	r.redis.Set(ctx, "rows:s2", strings.Replace(r.redis.Get(ctx, "rows:s2").Val(), `"v":2}`, `"v":3}`, 1), time.Hour)
	wantFound(t, r.verify(Verification{Job: "rows"}),
		Verified{Job: "rows", Checked: 7, Right: 6, Stale: 1,
			Findings: []Finding{{Stale, "rows:s2", CauseOverwrite, false}}})
}

// Broken by: more than one connection, a query that fails and is not told, a stop
// that is not heeded.
func TestVerifyFails(t *testing.T) {
	t.Parallel()
	broken := newJob("broken", jobs.ValueRow, "b:{id}", "SELECT id FROM nothing")
	never := newJob("never", jobs.ValueRow, "n:{id}", "SELECT id FROM item")
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: []*jobs.Job{broken, never}})
	if _, err := r.v.Verify(t.Context(), Verification{Job: "broken"}, nil); !store.Permanent(err) {
		t.Errorf("a query that is wrong: %v", err)
	}
	if _, err := r.v.Verify(t.Context(), Verification{Job: "none"}, nil); err == nil {
		t.Error("a job that there is not")
	}
	if _, err := r.v.Verify(t.Context(), Verification{Job: "never", Sample: 5}, nil); err == nil ||
		!strings.Contains(err.Error(), "stoker warm never") {
		t.Errorf("a sample without a run: %v", err)
	}
	stop := errors.New("stop")
	ctx, cancel := context.WithCancelCause(t.Context())
	out, err := r.v.Verify(ctx, Verification{Job: "never"}, func(store.Progress) { cancel(stop) })
	if !errors.Is(err, stop) || out.Job != "never" || out.Wrong() != 0 {
		t.Errorf("stopped: %v, %+v", err, out)
	}
	// Nothing was ever written: every key is missing, and one look after a pause says so.
	out = r.verify(Verification{Job: "never", Repair: true})
	if len(out.Findings) != findings || out.Findings[0].Cause != CauseSchedule || !out.Findings[0].Repaired {
		t.Errorf("findings %+v", out.Findings)
	}
	out.Findings = nil
	wantFound(t, out, Verified{Job: "never", Checked: 300, Missing: 300, Repaired: 300})
}

// Keys whose equal values have several texts: a key with another text than its row's is an orphan, and a group of
// equal rows has one key. Broken by: a key of another text that is taken for right, or a right one that is not.
func TestVerifyOfKeysOfSeveralTexts(t *testing.T) {
	t.Parallel()
	row := newJob("row", jobs.ValueRow, "row:{k}", "SELECT k, n FROM t")
	rows := newJob("rows", jobs.ValueRows, "rows:{k}", "SELECT k, n FROM t ORDER BY k, n")
	rate := newJob("rate", jobs.ValueRow, "rate:{k}", "SELECT k, n FROM rate")
	r := newRig(t, plan{jobs: []*jobs.Job{row, rows, rate}, sql: []string{"CREATE EXTENSION citext",
		"CREATE TABLE t (k citext, n int)", "INSERT INTO t VALUES ('Books', 1), ('books', 2), ('Books', 3), " +
			"('Toys', 4)",
		"DELETE FROM t WHERE n = 3", "CREATE TABLE rate (k numeric, n int)",
		"INSERT INTO rate VALUES (1.50, 1), (2, 2)"}})
	for _, job := range r.spec.Jobs {
		r.run(job.Name)
		if got := r.verify(Verification{Job: job.Name}); got.Wrong() != 0 || got.Right == 0 || got.Unclear != 0 {
			t.Errorf("%+v", got)
		}
		for _, key := range []string{":BOOKS", ":1.5", ":toys", ":2.0"} {
			if err := r.redis.Set(t.Context(), job.Name+key, "{}", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		got := r.verify(Verification{Job: job.Name, Repair: true})
		orphans := map[string]int64{"row": 4, "rows": 4, "rate": 2}[job.Name] // BOOKS and toys are no numbers
		if got.Orphan != orphans || got.Repaired != orphans || got.Missing != 0 || got.Stale != 0 {
			t.Errorf("%+v", got)
		}
		if got := r.verify(Verification{Job: job.Name}); got.Wrong() != 0 {
			t.Errorf("after the repair: %+v", got)
		}
	}
}
