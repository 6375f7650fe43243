package worker

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// refreshed asks for keys, given as column=value[,column=value].
func (r *rig) refreshed(job string, remove bool, keys ...string) (Refreshed, error) {
	return r.w.Refresh(r.t.Context(), "id", jobs.Invalidation{Job: job, Keys: keysOf(keys...), Remove: remove})
}

func keysOf(texts ...string) []jobs.Key {
	keys := make([]jobs.Key, len(texts))
	for i, text := range texts {
		keys[i] = jobs.Key{}
		for pair := range strings.SplitSeq(text, ",") {
			if column, v, ok := strings.Cut(pair, "="); ok {
				keys[i][column] = v
			}
		}
	}
	return keys
}

// A refresh makes the named keys what a run would make them, and leaves every
// other key as it is, TTL and all. Broken by: a key too many or too few, a row
// that is gone whose key stays, a key named otherwise than a run names it.
func TestRefreshReloadsExactlyTheNamedKeys(t *testing.T) {
	t.Parallel()
	const row, rows, scalar = jobs.ValueRow, jobs.ValueRows, jobs.ValueScalar
	for name, tc := range map[string]struct {
		job         *jobs.Job
		keys        []string
		touched     string // pattern-free: the keys that may differ, comma separated
		keyed, gone int64
	}{
		"row": {newJob("j", row, "p:{id}", "SELECT id, name, feel FROM product"),
			[]string{"id=7", "id=8"}, "p:7,p:8", 2, 0},
		"as Postgres reads 7": {newJob("j", row, "p:{id}", "SELECT id, name FROM product"), []string{"id= 007"}, "p:7",
			1, 0},
		"row gone": {newJob("j", row, "p:{id}", "SELECT id, name FROM product"),
			[]string{"id=7", "id=13", "id=0013", "id=9999"}, "p:7,p:13", 1, 1},
		"rows": {newJob("j", rows, "c:{category}",
			"SELECT category, id, name FROM product ORDER BY category, id DESC"), []string{"category=3", "category=5"},
			"c:3,c:5", 2, 0},
		"rows, one gone": {newJob("j", rows, "c:{category}",
			"SELECT category, id, name FROM product WHERE category <> 6 OR id <> 13 ORDER BY category, id DESC"),
			[]string{"category=6", "category=70"}, "c:6", 1, 0},
		"rows, all gone": {newJob("j", rows, "c:{id}", "SELECT id, name FROM product ORDER BY id"),
			[]string{"id=13"}, "c:13", 0, 1},
		"scalar": {newJob("j", scalar, "n:{id}", "SELECT name, id FROM product"),
			[]string{"id=7", "id=13"}, "n:7,n:13", 1, 1},
		"several columns": {newJob("j", row, "p:{id}:{category}", "SELECT category, id, name FROM product"),
			[]string{"category=0,id=7", "category=1,id=7", "id=13,category=6"}, "p:7:0,p:13:6", 1, 1},
		"rows, two columns": {newJob("j", rows, "c:{feel}:{category}",
			"SELECT feel, category, id, name FROM product ORDER BY 1, 2, 3 DESC"),
			[]string{"feel=ok,category=3", `feel=so "so",category=1`}, `c:ok:3,c:so "so":1`, 2, 0},
		"enum": {newJob("j", row, "m:{feel}", "SELECT feel, max(name) AS n FROM product GROUP BY feel"),
			[]string{`feel=so "so"`}, `m:so "so"`, 1, 0},
		"timestamp": {newJob("j", row, "t:{at}", "SELECT at, id, name FROM product"),
			[]string{"at=2024-03-01 04:59:59.5+00", "at=2024-03-01 06:59:59.5 Europe/Berlin"},
			"t:2024-03-01T04:59:59.5+00:00,t:2024-03-01T05:59:59.5+00:00", 2, 0},
		"constant": {newJob("j", row, "sum", "SELECT count(*) AS n FROM product"), []string{""}, "sum", 1,
			0},
		"constant, rows": {newJob("j", rows, "all", "SELECT id FROM product ORDER BY id"), []string{""}, "all", 1,
			0},
		"constant, none left": {newJob("j", rows, "none", "SELECT id FROM product WHERE id = 13"), []string{""}, "none",
			1, 0},
		"constant, row gone": {newJob("j", row, "one", "SELECT id FROM product WHERE id = 13"), []string{""}, "one", 0,
			1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, plan{sql: shopOf(210), jobs: []*jobs.Job{tc.job}})
			r.run("j")
			before := r.keys()
			storetest.Exec(t, r.pg, "UPDATE product SET name = 'new ' || id", "DELETE FROM product WHERE id = 13")
			out, err := r.refreshed("j", false, tc.keys...)
			if err != nil {
				t.Fatal(err)
			}
			after := r.keys()
			if err := r.redis.FlushDB(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			r.run("j")
			want := make(map[string]string) // what a run makes of the named keys, all else as it was
			for k, v := range before {
				want[k] = v.text
			}
			full := r.texts()
			for k := range strings.SplitSeq(tc.touched, ",") {
				delete(want, k)
				if v, ok := full[k]; ok {
					want[k] = v
				}
				if v, ok := after[k]; ok && v.text == before[k].text && strings.Contains(tc.job.Query, "name") {
					t.Errorf("key %s has its old value: the test shows nothing", k)
				}
			}
			got := make(map[string]string)
			touched := "," + tc.touched + ","
			for k, v := range after {
				got[k] = v.text
				if !strings.Contains(touched, ","+k+",") && v != before[k] {
					t.Errorf("key %s was not asked for and was touched", k)
				}
			}
			if d := differ(want, got); d != "" {
				t.Error(d)
			}
			if out.Keys != tc.keyed || out.Removed != tc.gone || out.Job != "j" || out.Snapshot == "" ||
				out.Took <= 0 || out.Warning != "" || (out.Bytes > 0) != (out.Keys > 0) {
				t.Errorf("result %+v", out)
			}
			tally, err := r.ledger.Tally(t.Context(), "j")
			if err != nil || tally.Refreshes != 1 || tally.Refreshed != int64(len(tc.keys)) ||
				tally.RefreshError != "" {
				t.Errorf("tally %+v, %v", tally, err)
			}
		})
	}
}

// Broken by: a removal that loads, leaves the key, or takes others along.
func TestRemovalOfKeys(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRow, "p:{id}", "SELECT id, 1 / (id - 50) AS x FROM product WHERE id <> 50 OR "+
		"(SELECT count(*) FROM product) < 5")
	constant := newJob("constant", jobs.ValueRows, "all", "SELECT id FROM product ORDER BY id")
	r := newRig(t, plan{sql: shopOf(100), jobs: []*jobs.Job{j, constant}})
	r.run("j")
	r.run("constant")
	before := r.texts()
	// loading would now divide by zero
	storetest.Exec(t, r.pg, "DELETE FROM product WHERE id BETWEEN 5 AND 49 OR id > 51 OR id < 3")
	out, err := r.refreshed("j", true, "id=7", "id=007", "id=50", "id=4000")
	if err != nil || out.Removed != 1 || out.Keys != 0 || out.Bytes != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	delete(before, "p:7")
	if d := differ(before, r.texts()); d != "" {
		t.Error(d)
	}
	out, err = r.refreshed("constant", true, "")
	if err != nil || out.Removed != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	delete(before, "all")
	if d := differ(before, r.texts()); d != "" {
		t.Error(d)
	}
}

// A value that became too large cannot be written, and what the cache has of it
// is out of date. Broken by: an old value that stays, a warning that is not
// given, a key that is taken along.
func TestRefreshOfAValueThatBecameTooLarge(t *testing.T) {
	t.Parallel()
	for _, kind := range []jobs.ValueKind{jobs.ValueRow, jobs.ValueRows} {
		j := newJob("j", kind, "p:{id}", "SELECT id, name FROM product ORDER BY id")
		j.MaxValueBytes = 100
		r := newRig(t, plan{sql: shopOf(20), jobs: []*jobs.Job{j}})
		r.run("j")
		want := r.texts()
		storetest.Exec(t, r.pg, "UPDATE product SET name = repeat('x', 1000) WHERE id IN (3, 5)")
		out, err := r.refreshed("j", false, "id=3", "id=4", "id=5")
		if err != nil {
			t.Fatal(err)
		}
		delete(want, "p:3")
		delete(want, "p:5")
		if d := differ(want, r.texts()); d != "" {
			t.Error(d)
		}
		if out.Keys != 1 || out.Removed != 2 || out.Oversized != 2 ||
			!strings.HasPrefix(out.Warning, "key p:3: a value of 10") {
			t.Errorf("%+v", out)
		}
		if n := r.metric("stoker_keys_oversized_total"); n != 2 {
			t.Errorf("metric: %v", n)
		}
		if !strings.Contains(r.logs.String(), "refresh complete, but not every key") {
			t.Error("the log does not say so")
		}
	}
}

// Broken by: a value that does not fit its column and is retried for ever, hides
// behind another error, or keeps some of the keys from being left alone.
func TestRefreshThatCannotBe(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRow, "p:{id}", "SELECT id, name FROM product")
	broken := newJob("broken", jobs.ValueRow, "b:{id}", "SELECT id, naam FROM product")
	divides := newJob("divides", jobs.ValueRow, "p:{id}", "SELECT id, 1 / (id - 50) AS x FROM product")
	r := newRig(t, plan{sql: shopOf(100), jobs: []*jobs.Job{j, broken, divides}})
	r.run("j")
	storetest.Exec(t, r.pg, "UPDATE product SET name = 'new' || id")
	before := r.texts()
	for name, tc := range map[string]struct {
		job    string
		keys   []string
		remove bool
		want   string
	}{
		"text for a number": {"j", []string{"id=1", "id=seven"}, false,
			`job j: value "seven" does not fit key column id of type bigint: invalid input syntax for type bigint: "seven"`},
		"removal of it": {"j", []string{"id=1", "id=seven"}, true,
			`job j: value "seven" does not fit key column id of type bigint: invalid input syntax for type bigint: "seven"`},
		"another column": {"j", []string{"sku=1"}, false,
			`job j: a key without a value for column id: give every column of "p:{id}"`},
		"wrong query": {"broken", []string{"id=1"}, false,
			`query of job broken: column "naam" does not exist (SQLSTATE 42703) at line 1, column 12 of the query; hint: Perhaps you meant to reference the column "product.name".`},
		"fails on its row": {"divides", []string{"id=49", "id=50"}, false,
			`query of job divides: division by zero (SQLSTATE 22012)`},
	} {
		_, err := r.refreshed(tc.job, tc.remove, tc.keys...)
		if err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n got  %v\n want %s", name, err, tc.want)
		}
		if !store.Permanent(err) {
			t.Errorf("%s: not permanent", name)
		}
		if _, is := errors.AsType[*store.KeyValueError](err); is != strings.Contains(tc.want, "does not fit") {
			t.Errorf("%s: a %T", name, err)
		}
		tally, terr := r.ledger.Tally(t.Context(), tc.job)
		if terr != nil || tally.RefreshError != tc.want || tally.RefreshFailed.IsZero() {
			t.Errorf("%s: tally %+v, %v", name, tally, terr)
		}
	}
	if after := r.texts(); !maps.Equal(before, after) { // that they are on their grace is right: they are out of date
		t.Error("a refresh that failed wrote")
	}
	// A good one clears what the status page shows.
	if _, err := r.refreshed("j", false, "id=1"); err != nil {
		t.Fatal(err)
	}
	if tally, err := r.ledger.Tally(t.Context(), "j"); err != nil || tally.RefreshError != "" {
		t.Errorf("tally %+v, %v", tally, err)
	}
}

// As many keys as a task carries, and more than a batch. Broken by: a batch that
// is forgotten, or one whose keys are taken for gone.
func TestRefreshOfManyKeys(t *testing.T) {
	t.Parallel()
	j := newJob("j", jobs.ValueRow, "p:{id}", "SELECT id, name, at FROM product")
	r := newRig(t, plan{sql: shopOf(450), jobs: []*jobs.Job{j}})
	var keys []string
	for i := range jobs.MaxKeys {
		keys = append(keys, fmt.Sprintf("id=%d", i+1))
	}
	out, err := r.refreshed("j", false, keys...)
	if err != nil || out.Keys != 450 || out.Removed != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	r.wantCache("SELECT 'p:' || id, row_to_json(q)::text FROM (SELECT id, name, at FROM product) q")
}

// One key that may not be must not cost the others, nor may it name a key of
// ours. Broken by: a task that fails for one bad key; a removal of the canary.
func TestRefreshSkipsKeysThatMayNotBe(t *testing.T) {
	t.Parallel()
	byName := newJob("by-name", jobs.ValueRow, "{name}", "SELECT name, id FROM product")
	r := newRig(t, plan{sql: shopOf(3), jobs: []*jobs.Job{byName}})
	storetest.Exec(t, r.pg, "UPDATE product SET name = (ARRAY['#n', 'good', 'stoker:canary'])[id]")
	if err := r.redis.Set(t.Context(), "stoker:canary", "ours", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, remove := range []bool{false, true} {
		out, err := r.refreshed("by-name", remove, "name=#n", "name=good", "name=stoker:canary")
		if err != nil || out.BadKeys != 2 || !strings.Contains(out.Warning, "key #n begins with #, which is reserved") {
			t.Errorf("remove %v: %+v, %v", remove, out, err)
		}
		wrote, removed := int64(1), int64(0)
		if remove {
			wrote, removed = 0, 1
		}
		if out.Keys != wrote || out.Removed != removed {
			t.Errorf("remove %v: %+v", remove, out)
		}
		if got := r.redis.Get(t.Context(), "stoker:canary").Val(); got != "ours" {
			t.Errorf("remove %v: a key of ours is %q", remove, got)
		}
	}
}
