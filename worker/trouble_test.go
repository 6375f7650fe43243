package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// other is a second process of the rig's spec on the same servers.
func (r *rig) other() *Worker {
	values := cache.New(client(r.t, "redis://"+r.redis.Options().Addr+fmt.Sprintf("/%d", r.redis.Options().DB)),
		time.Minute)
	return r.newWorker(r.source, values, values, newMetrics(), r.w.log)
}

// useOwnRedis gives the rig a cache that no other test uses.
func (r *rig) useOwnRedis() {
	r.redis = client(r.t, storetest.OwnRedis(r.t).URL(0))
	r.real = cache.New(r.redis, time.Minute)
	r.cache = r.real
	r.w = r.another(r.real)
}

// A Redis that is full must not keep what an invalidation has said is out of
// date. Broken by: any step before the fence that needs memory.
func TestInvalidationOnAFullRedis(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 100)
	r.useOwnRedis()
	r.run("j")
	r.exec("UPDATE item SET v = 2 WHERE id < 3")
	full := func(limit string) {
		if err := r.redis.ConfigSet(t.Context(), "maxmemory", limit).Err(); err != nil {
			t.Fatal(err)
		}
	}
	full("1mb")
	if err := r.w.Fence(t.Context(), r.spec.Jobs[0], []jobs.Key{{"id": "1"}}); err != nil {
		t.Fatal(err)
	}
	if left := time.Until(r.keys()["item:1"].expires); left > 30*time.Second {
		t.Errorf("the stale value lives for %s", left)
	}
	if out, err := r.refreshed("j", true, "id=2"); err != nil || out.Removed != 1 {
		t.Errorf("a removal: %+v, %v", out, err)
	}
	if _, err := r.refreshed("j", false, "id=3"); err == nil || !strings.Contains(err.Error(), "raise maxmemory") {
		t.Errorf("a refresh: %v", err)
	}
	rec, err := r.w.Run(t.Context(), "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand, Remove: true}, nil)
	if err != nil || rec.Removed != 99 {
		t.Errorf("a removal of all keys: %+v, %v", rec, err)
	}
}

// A cache that was flushed begins with a new book: who armed before may not fence
// in it, with a stamp that may be above all that are to come.
func TestFenceFromBeforeAFlush(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 10)
	r.run("j")
	// as if Postgres had been restarted
	if err := r.redis.HSet(t.Context(), "stoker:epoch:postgres", "origin", "another").Err(); err != nil {
		t.Fatal(err)
	}
	b := r.other()
	r.run("j") // in the next epoch, and stays armed in it
	if err := r.redis.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Run(t.Context(), "b", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil); err != nil {
		t.Fatal(err)
	}
	r.exec("UPDATE item SET v = 2 WHERE id = 1")
	if err := r.w.Fence(t.Context(), r.spec.Jobs[0], []jobs.Key{{"id": "1"}}); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*Worker{b, r.w} {
		if out, err := w.Refresh(t.Context(), "id",
			jobs.Invalidation{Job: "j", Keys: []jobs.Key{{"id": "1"}}}); err != nil || out.Keys != 1 {
			t.Errorf("%+v, %v", out, err)
		}
	}
	r.wantCache(stockWant)
}

// Redis that was started again from data of a moment ago has lost fences: an
// epoch begins, in which every job is run again.
func TestRedisRestartedFromOlderData(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t, "--save", "3600 1")
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT id, v, repeat('x', 100) AS pad FROM item")
	r := newRig(t, plan{redis: server.URL(0), jobs: []*jobs.Job{j},
		sql: []string{"CREATE TABLE item (id int PRIMARY KEY, v int)",
			"INSERT INTO item SELECT i, 1 FROM generate_series(1, 10) i"}})
	first := r.run("j")
	if err := r.redis.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.exec("UPDATE item SET v = 2 WHERE id = 1")
	if _, err := r.refreshed("j", false, "id=1"); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.texts()["item:1"] != `{"id":1,"v":1,"pad":"`+strings.Repeat("x", 100)+`"}` {
		t.Fatal("redis did not come back with its older data: nothing is tested")
	}
	if err := r.w.checkServers(t.Context(), r.real, "started again"); err != nil && !cache.Again(err) {
		t.Fatal(err)
	}
	if epoch, _, err := r.real.Epoch(t.Context()); err != nil || epoch == first.Epoch {
		t.Errorf("epoch %d, %v", epoch, err)
	}
	if rec := r.run("j"); rec.Unchanged || rec.Kept != 0 {
		t.Errorf("what redis holds was trusted: %+v", rec)
	}
	r.wantCache(stockWant)
}

// Postgres that recovered from a crash by itself may have lost commits that were
// acknowledged (synchronous_commit = off), and has the same start and timeline.
func TestPostgresThatRecoveredFromACrash(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 10)
	before, err := r.source.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), r.pg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var pid int
	if err := conn.QueryRow(t.Context(), "SELECT pid FROM pg_stat_activity WHERE backend_type = "+
		"'walwriter'").Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "postgres is back", func() bool {
		after, err := r.source.Now(t.Context())
		return err == nil && !store.SameHistory(after.Origin, before.Origin)
	})
}

// Two runs can have one stamp: what the second one wrote before it failed is not
// what the manifest of the first one says.
func TestRunOfOtherContentAtOneClock(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 300)
	r.run("j")
	want := r.texts()
	j := r.spec.Jobs[0]
	j.Format = jobs.FormatMsgpack
	failing := &tap{Cache: r.cache, before: func(n int) {
		if n == 2 {
			panic("the worker is killed")
		}
	}}
	func() {
		defer func() { _ = recover() }()
		w := r.another(killed{failing})
		_, _ = w.Run(t.Context(), "killed", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	}()
	if differ(want, r.texts()) == "" {
		t.Fatal("nothing was written: nothing is tested")
	}
	j.Format = jobs.FormatJSON
	if rec := r.run("j"); rec.Unchanged || rec.Kept > 0 {
		t.Errorf("%+v", rec)
	}
	if d := differ(want, r.texts()); d != "" {
		t.Error(d)
	}
}

// killed has a run fail without a word to the cache, as a kill does.
type killed struct{ Cache }

func (c killed) Put(ctx context.Context, cl *cache.Claim, b *store.Batch) (out cache.Outcome, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("killed")
		}
	}()
	return c.Cache.Put(ctx, cl, b)
}

func (c killed) DropChunks(context.Context, string, cache.Manifest) error { return nil }

// What a job is read from, and what it leaves out, is part of what it is.
func TestRunAfterTheSpecWasEdited(t *testing.T) {
	t.Parallel()
	r := stockRig(t, 100, func(j *jobs.Job) { j.MaxValueBytes = 50 })
	if rec := r.run("j"); rec.Oversized != 100 {
		t.Fatalf("%+v", rec)
	}
	if rec := r.run("j"); !rec.Unchanged || rec.Oversized != 100 || rec.Warning == "" {
		t.Errorf("nothing was edited: %+v", rec)
	}
	r.spec.Jobs[0].MaxValueBytes = 1 << 20
	if rec := r.run("j"); rec.Unchanged || rec.Keys != 100 {
		t.Errorf("max_value_bytes was raised: %+v", rec)
	}
	template, err := jobs.ParseKeyTemplate("thing:{id}")
	if err != nil {
		t.Fatal(err)
	}
	r.spec.Jobs[0].Key = template
	if rec := r.run("j"); rec.Removed != 0 || rec.Keys != 100 {
		t.Errorf("the key template was changed: %+v", rec)
	}
	if n := len(r.keys()); n != 200 {
		t.Errorf("%d keys: the old ones may be another job's by now", n)
	}
}

// A connection that Redis closed because it was idle costs a run nothing.
func TestIdleConnectionsThatAreClosed(t *testing.T) {
	t.Parallel()
	var r *rig
	j := newJob("j", jobs.ValueRow, "item:{id}", "SELECT id, v, repeat('x', 100) AS pad FROM item")
	r = newRig(t, plan{jobs: []*jobs.Job{j}, sql: []string{"CREATE TABLE item (id int PRIMARY KEY, v int)",
		"INSERT INTO item SELECT i, 1 FROM generate_series(1, 5000) i"},
		redis: storetest.OwnRedis(t).URL(0),
		cache: tapped(func(n int) {
			if n%20 == 0 {
				if err := r.redis.ClientKillByFilter(t.Context(), "TYPE", "normal").Err(); err != nil {
					t.Error(err)
				}
			}
		})})
	if rec := r.run("j"); rec.Keys != 5000 {
		t.Errorf("%+v", rec)
	}
	r.wantCache(stockWant)
}

// One missed tick must not leave keys cold where the spec's own rule is kept.
func TestTTLSurvivesAMissedTick(t *testing.T) {
	schedule, err := jobs.ParseSchedule("*/5 * * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	j := newJob("j", jobs.ValueRow, "k:{id}", "SELECT 1 AS id")
	j.TTL, j.Schedule = 15*time.Minute, schedule
	full := time.Now().UnixMilli()
	if !needsTTLRefresh(j, cache.Manifest{Full: full}, full+(5*time.Minute).Milliseconds()) {
		t.Error("a key that has 8.5 minutes left would not survive that the next tick is missed")
	}
	j.TTL = time.Hour
	if needsTTLRefresh(j, cache.Manifest{Full: full}, full+(20*time.Minute).Milliseconds()) {
		t.Error("a TTL is written that is not half over")
	}
}
