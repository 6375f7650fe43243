package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// stockRig is a rig with one job over a table of n items.
func stockRig(t *testing.T, n int, change ...func(*jobs.Job)) *rig {
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT id, v, repeat('x', 100) AS pad FROM item")
	for _, c := range change {
		c(j)
	}
	return newRig(t, plan{pg: alonePostgres(t), jobs: []*jobs.Job{j},
		sql: []string{"CREATE TABLE item (id int PRIMARY KEY, v int)",
			fmt.Sprintf("INSERT INTO item SELECT i, 1 FROM generate_series(1, %d) i", n)}})
}

// alone is a Postgres in which nothing is committed but by the test at hand: the
// commit clock is one for all databases of a server. Tests take turns.
var alone struct {
	sync.Mutex
	server *testserver.Postgres
	n      int
}

func alonePostgres(t *testing.T) string {
	t.Helper()
	alone.Lock()
	t.Cleanup(alone.Unlock)
	if alone.server == nil {
		var err error
		if alone.server, err = testserver.StartPostgres(context.Background(), "autovacuum = off"); err != nil {
			t.Fatal(err)
		}
		storetest.AtEnd(alone.server.Close) // it serves the next test too
	}
	alone.n++
	name := fmt.Sprintf("alone%d", alone.n)
	storetest.Exec(t, alone.server.URL("postgres"), "CREATE DATABASE "+name)
	return alone.server.URL(name)
}

const stockWant = "SELECT 'item:' || id, row_to_json(q)::text FROM (SELECT id, v, repeat('x', 100) AS pad FROM item) q"

// Broken by: values that are sent though they are there; a changed one that is
// not; one that somebody has deleted and that stays away.
func TestRunSendsWhatChanged(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 1000)
	if rec := r.run("j"); rec.Keys != 1000 || rec.Kept != 0 || rec.Sent != rec.Bytes {
		t.Errorf("first run %+v", rec)
	}
	r.exec("UPDATE item SET v = 2 WHERE id % 100 = 0")
	if err := r.redis.Del(t.Context(), "item:1", "item:2").Err(); err != nil {
		t.Fatal(err)
	}
	rec := r.run("j")
	if rec.Keys != 1000 || rec.Kept != 988 || rec.Sent*20 > rec.Bytes || rec.Unchanged {
		t.Errorf("second run %+v", rec)
	}
	r.wantCache(stockWant)
	r.exec("UPDATE item SET v = 3 WHERE id = 1")
	if rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand, Rewrite: true},
		nil); err != nil || rec.Kept != 0 {
		t.Errorf("a run that was to rewrite all kept %d, %v", rec.Kept, err)
	}
	r.wantCache(stockWant)
	if n := r.metric("stoker_keys_kept_total"); n != 988 {
		t.Errorf("%v keys kept are counted", n)
	}
}

// Broken by: a query that is run though nothing was committed; and one that is
// not run though a key is gone, the job is volatile, or asked for.
func TestRunWithoutAQuery(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 1000)
	r.run("j")
	want := r.texts()
	for range 2 {
		if rec := r.run("j"); !rec.Unchanged || rec.Rows != 1000 || rec.Keys != 1000 || rec.Kept != 1000 ||
			rec.Sent != 0 || rec.Database != 0 {
			t.Errorf("nothing was committed: %+v", rec)
		}
	}
	if err := r.redis.Del(t.Context(), "item:500").Err(); err != nil {
		t.Fatal(err)
	}
	if rec := r.run("j"); rec.Unchanged || rec.Kept != 999 {
		t.Errorf("a key was gone: %+v", rec)
	}
	if rec := r.run("j"); !rec.Unchanged {
		t.Errorf("all keys are back: %+v", rec)
	}
	r.spec.Jobs[0].Volatile = true
	if rec := r.run("j"); rec.Unchanged || rec.Kept != 1000 {
		t.Errorf("volatile: %+v", rec)
	}
	r.spec.Jobs[0].Volatile, r.spec.Jobs[0].Rewrite = false, jobs.RewriteAlways
	if rec := r.run("j"); rec.Unchanged || rec.Kept != 0 {
		t.Errorf("rewrite always: %+v", rec)
	}
	if !maps.Equal(want, r.texts()) {
		t.Error("values have changed")
	}
}

// Broken by: a TTL that is written while more than half of it is left; one that
// runs out though runs go on.
func TestRunExtendsTTLs(t *testing.T) {
	t.Parallel()
	for _, volatile := range []bool{false, true} { // without the query, and with it
		t.Run(fmt.Sprint("volatile ", volatile), func(t *testing.T) { extendsTTLs(t, volatile) })
	}
}

func extendsTTLs(t *testing.T, volatile bool) {
	r := stockRig(t, 300, func(j *jobs.Job) { j.TTL, j.Jitter, j.Volatile = 3*time.Second, 0, volatile })
	r.run("j")
	first := r.keys()
	r.run("j")
	if again := r.keys(); !maps.Equal(first, again) {
		t.Errorf("volatile %v: a TTL was written that was not half over", volatile)
	}
	full := first["item:1"].expires.Add(-3 * time.Second)
	eventually(t, 5*time.Second, "the TTL is half over",
		func() bool { return r.redis.Time(t.Context()).Val().Sub(full) > 1600*time.Millisecond })
	if rec := r.run("j"); rec.Kept != 300 || rec.Sent != 0 {
		t.Errorf("volatile %v: %+v", volatile, rec)
	}
	for k, v := range r.keys() {
		if v.expires.Sub(first[k].expires) < 1500*time.Millisecond {
			t.Fatalf("volatile %v: the TTL of %s was prolonged by %s", volatile, k, v.expires.Sub(first[k].expires))
		}
	}
	eventually(t, 5*time.Second, "the first TTL is over",
		func() bool { return r.redis.Time(t.Context()).Val().Sub(full) > 3100*time.Millisecond })
	if rec := r.run("j"); rec.Kept != 300 { // the manifest must live as long as the values
		t.Errorf("volatile %v: %+v", volatile, rec)
	}
}

// Content that comes back to what the last complete run wrote (A, B, A) is not
// what Redis holds, if a run that failed or a refresh has written in between.
// Broken by: digests that are trusted all the same.
func TestContentThatComesBack(t *testing.T) {
	t.Parallel()
	t.Run("after a run that failed", func(t *testing.T) {
		t.Parallel()
		j, sql, _ := numbered(2000)
		r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: sql})
		r.run("j")
		first := r.texts()
		r.exec("UPDATE version SET v = 2, fatal = 1500") // row 1500 divides by zero
		if _, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil); err == nil {
			t.Fatal("the run did not fail")
		}
		if maps.Equal(first, r.texts()) {
			t.Fatal("the failed run wrote nothing: nothing is tested")
		}
		r.exec("UPDATE version SET v = 1, fatal = 0")
		r.run("j")
		if d := differ(first, r.texts()); d != "" {
			t.Error(d)
		}
	})
	t.Run("after a refresh", func(t *testing.T) {
		t.Parallel()
		r := stockRig(t, 100)
		r.run("j")
		r.exec("UPDATE item SET v = 2 WHERE id = 7")
		if _, err := r.refreshed("j", false, "id=7"); err != nil {
			t.Fatal(err)
		}
		r.exec("UPDATE item SET v = 1 WHERE id = 7") // and nobody says so
		if rec := r.run("j"); rec.Kept != 99 {
			t.Errorf("%+v", rec)
		}
		r.wantCache(stockWant)
	})
}

// Broken by: a key that stays when its row is gone; one that is removed though
// its row only moved; a new one that is taken for an old one.
func TestDepartedKeys(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]string{"in order": "", "in another order each time": " ORDER BY random()"} {
		t.Run(name, func(t *testing.T) { departs(t, order) })
	}
}

func departs(t *testing.T, order string) {
	r := stockRig(t, 2000, func(j *jobs.Job) { j.Query += order; j.Volatile = true })
	r.run("j")
	r.exec("DELETE FROM item WHERE id % 10 = 3", "INSERT INTO item SELECT i, 1 FROM generate_series(3001, 3050) i",
		"UPDATE item SET id = 5000 WHERE id = 1")
	rec := r.run("j")
	if rec.Removed != 201 || rec.Held != 0 {
		t.Errorf("%+v", rec)
	}
	r.wantCache(stockWant)
	if rec := r.run("j"); rec.Removed != 0 {
		t.Errorf("once more %+v", rec)
	}
	r.wantCache(stockWant)
}

// Broken by: a keyset that is emptied because a query returned too little; keys
// that are never removed once someone has said that it is right.
func TestShrinkGuard(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 1000)
	r.run("j")
	all := slices.Sorted(maps.Keys(r.texts()))
	r.exec("CREATE TABLE away AS SELECT * FROM item WHERE id > 400", "DELETE FROM item WHERE id > 400")
	for n := range 3 { // the last one without a query
		rec := r.run("j")
		if rec.Removed != 0 || rec.Held != 600 || rec.Keys != 400 || rec.Unchanged != (n > 0) {
			t.Errorf("run %d of a result that shrank: %+v", n, rec)
		}
		if got := slices.Sorted(maps.Keys(r.texts())); !slices.Equal(all, got) {
			t.Fatalf("%d keys are left", len(got))
		}
	}
	if !strings.Contains(r.logs.String(), "--accept-shrink") {
		t.Error("the log does not say what to do")
	}
	if n := r.metric("stoker_keys_held"); n != 600 {
		t.Errorf("the metric says %v keys are held", n)
	}
	r.exec("INSERT INTO item SELECT * FROM away WHERE id <= 500") // 500 of 1,000: the guard is content
	if rec := r.run("j"); rec.Removed != 500 || rec.Held != 0 {
		t.Errorf("when half is back: %+v", rec)
	}
	r.wantCache(stockWant)
	r.exec("DELETE FROM item WHERE id > 100")
	r.run("j")
	rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand, AcceptShrink: true}, nil)
	if err != nil || rec.Removed != 400 || rec.Held != 0 {
		t.Errorf("accepted: %+v, %v", rec, err)
	}
	r.wantCache(stockWant)
	if n := r.metric("stoker_keys_held"); n != 0 {
		t.Errorf("the metric says %v keys are held", n)
	}
}

// Broken by: a run that fails because what it remembers is gone.
func TestManifestThatIsGone(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"stoker:manifest:j:head", "stoker:manifest:j:*:0"} {
		t.Run(pattern, func(t *testing.T) { withoutManifest(t, pattern) })
	}
}

func withoutManifest(t *testing.T, pattern string) {
	r := stockRig(t, 500, func(j *jobs.Job) { j.Volatile = true })
	r.run("j")
	keys := r.redis.Keys(t.Context(), pattern).Val()
	if len(keys) != 1 {
		t.Fatalf("%s: %v", pattern, keys)
	}
	if err := r.redis.Del(t.Context(), keys...).Err(); err != nil {
		t.Fatal(err)
	}
	r.exec("DELETE FROM item WHERE id = 1")
	if rec := r.run("j"); rec.Kept != 0 || rec.Removed != 0 {
		t.Errorf("%s: %+v", pattern, rec)
	}
	if rec := r.run("j"); rec.Kept != 499 {
		t.Errorf("%s, the run after: %+v", pattern, rec)
	}
}

// A failed run leaves the manifest of the last complete one, and of its own what it has written: the next run takes
// that away. Broken by: chunks beyond those that are written; a part that stays for good.
func TestManifestOfAFailedRun(t *testing.T) {
	t.Parallel()
	j, sql, _ := numbered(10_000)
	r := newRig(t, plan{jobs: []*jobs.Job{j}, sql: sql})
	kept := func() []string {
		return slices.Sorted(slices.Values(r.redis.Keys(t.Context(), "stoker:manifest:*").Val()))
	}
	r.run("j")
	before := kept()
	r.exec("UPDATE version SET v = 2, fatal = 9500")
	if _, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil); err == nil {
		t.Fatal("the run did not fail")
	}
	after := kept()
	part := slices.IndexFunc(after, func(key string) bool { return strings.HasSuffix(key, ":part") })
	own := slices.DeleteFunc(slices.Clone(after), func(key string) bool { return slices.Contains(before, key) })
	if part < 0 || len(own) < 2 || len(own) > 3 || len(after) != len(before)+len(own) {
		t.Fatalf("before %v, after %v", before, after)
	}
	id := strings.TrimSuffix(after[part], "part")
	for n := range len(own) - 1 {
		if !slices.Contains(own, id+strconv.Itoa(n)) {
			t.Errorf("chunk %d of the part is not there: %v", n, own)
		}
	}
	r.exec("UPDATE version SET fatal = 0")
	if r.run("j"); len(kept()) != len(before) || slices.ContainsFunc(kept(), func(key string) bool {
		return strings.HasPrefix(key, id) || slices.Contains(before[:1], key)
	}) {
		t.Errorf("after a run that is complete: %v", kept())
	}
}

// Broken by: a run that goes on after the cache lost what it had written, and
// then counts as complete.
func TestFlushInMidRun(t *testing.T) {
	t.Parallel()
	var r *rig
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT id, v, repeat('x', 100) AS pad FROM item")
	r = newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{"CREATE TABLE item (id int PRIMARY KEY, v int)",
		"INSERT INTO item SELECT i, 1 FROM generate_series(1, 3000) i"},
		cache: tapped(func(n int) {
			if n == 20 {
				r.redis.FlushDB(context.Background())
			}
		})})
	rec := r.run("j")
	if rec.Restarts != 1 || rec.Rows != 3000 || rec.Keys != 3000 {
		t.Errorf("%+v", rec)
	}
	r.wantCache(stockWant)
	if n := r.metric("stoker_run_restarts_total"); n != 1 {
		t.Errorf("%v restarts are counted", n)
	}
}

// Broken by: an older run that writes after a newer one has begun to, or one that
// then fails.
func TestRunThatIsSuperseded(t *testing.T) {
	t.Parallel()
	var r *rig
	newer := make(chan store.Record, 1)
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT id, v, repeat('x', 100) AS pad FROM item")
	first := true
	r = newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{"CREATE TABLE item (id int PRIMARY KEY, v int)",
		"INSERT INTO item SELECT i, 1 FROM generate_series(1, 3000) i"},
		cache: tapped(func(n int) {
			if n == 10 && first { // the tap holds up all other batches of the run
				first = false
				r.exec("UPDATE item SET v = 2")
				w := r.another(r.real)
				rec, err := w.Run(context.Background(), "newer", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
				if err != nil {
					t.Error(err)
				}
				newer <- rec
			}
		})})
	rec, err := r.w.Run(t.Context(), "older", jobs.Run{Job: "j", Cause: jobs.CauseTick}, nil)
	if err != nil || rec.State != store.StateSuperseded || rec.Error != "" {
		t.Errorf("the older run: %+v, %v", rec, err)
	}
	if rec := <-newer; rec.State != store.StateOK || rec.Keys != 3000 {
		t.Errorf("the newer run: %+v", rec)
	}
	r.wantCache(stockWant)
	if last, ok, err := r.ledger.LastComplete(t.Context(), "j"); !ok || err != nil || last.ID != "newer" {
		t.Errorf("last complete %+v, %v", last, err)
	}
}

// Broken by: a refresh that gives up, or claims to be done, when something newer
// owns its key.
func TestRefreshThatIsRefused(t *testing.T) {
	t.Parallel()
	var r *rig
	times := 0
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT id, v, repeat('x', 100) AS pad FROM item")
	r = newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{"CREATE TABLE item (id int PRIMARY KEY, v int)",
		"INSERT INTO item VALUES (1, 0), (2, 0)"},
		cache: tapped(func(int) {
			if times++; times <= 6 { // a change that comes between reading and writing, and its fence
				r.exec("UPDATE item SET v = v + 1 WHERE id = 1")
				w := r.another(r.real)
				if err := w.Fence(context.Background(), j, []jobs.Key{{"id": "1"}}); err != nil {
					t.Error(err)
				}
			}
		})})
	out, err := r.refreshed("j", false, "id=1", "id=2")
	if err != nil || out.Refusals != 6 || out.Keys != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	r.wantCache(stockWant)
	if logs := r.logs.String(); !strings.Contains(logs, "refused again and again") || !strings.Contains(logs, "id:1") {
		t.Error("nobody is told: ", logs)
	}
	if n := r.metric("stoker_refresh_refusals_total"); n != 6 {
		t.Errorf("%v refusals are counted", n)
	}
	times = -100
	out, err = r.refreshed("j", false, "id=1")
	if !errors.Is(err, errRefused) || out.Keys != 0 {
		t.Errorf("refused for ever: %+v, %v", out, err)
	}
}

// A fence holds what was read before it off, and leaves the value for its grace.
func TestFenceOfKeys(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 10, func(j *jobs.Job) { j.StaleGrace = 5 * time.Second })
	r.run("j")
	if err := r.w.Fence(t.Context(), r.spec.Jobs[0], []jobs.Key{{"id": "7"}, {"id": "77"}}); err != nil {
		t.Fatal(err)
	}
	left := time.Until(r.keys()["item:7"].expires)
	if left <= 0 || left > 5*time.Second {
		t.Errorf("item:7 lives for %s", left)
	}
	if left := time.Until(r.keys()["item:8"].expires); left < time.Minute {
		t.Errorf("item:8, which was not fenced, lives for %s", left)
	}
	if rec := r.run("j"); rec.Unchanged || rec.Kept != 9 { // nothing was committed, but a value is on its grace
		t.Errorf("%+v", rec)
	}
	if left := time.Until(r.keys()["item:7"].expires); left < time.Minute {
		t.Errorf("item:7 lives for %s after a run", left)
	}
	var misfit *store.KeyValueError
	if err := r.w.Fence(t.Context(), r.spec.Jobs[0], []jobs.Key{{"id": "x"}}); !errors.As(err, &misfit) {
		t.Errorf("a value that does not fit: %v", err)
	}
}
