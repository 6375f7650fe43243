package worker

import (
	"context"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// noJournal writes nothing down.
type noJournal struct{ Cache }

func (noJournal) BeginJournal(context.Context, *cache.Claim, *jobs.Job, []byte) error { return nil }

func (c noJournal) Put(ctx context.Context, cl *cache.Claim, b *store.Batch) (cache.Outcome, error) {
	b.Journal = nil
	return c.Cache.Put(ctx, cl, b)
}

// noStrays is told of no untracked.
type noStrays struct{ Cache }

func (noStrays) Untracked(context.Context, string) (cache.Untracked, error) {
	return cache.Untracked{}, nil
}

// What a run has brought that failed, and a refresh after it, goes when the rows
// have gone and nothing has told of it.
func TestNothingStaysBehind(t *testing.T) {
	for name, test := range map[string]struct {
		cache  func(Cache) Cache
		sound  bool
		remove bool
	}{
		"as it is":   {func(c Cache) Cache { return c }, true, false},
		"removed":    {func(c Cache) Cache { return c }, true, true},
		"no journal": {func(c Cache) Cache { return noJournal{c} }, false, false},
		"no strays":  {func(c Cache) Cache { return noStrays{c} }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob("j", jobs.ValueRow, "p:{id}",
				"SELECT id, 1 / (id - 1500) AS x, repeat('x', 1000) AS pad FROM item ORDER BY id")
			r := newRig(t, plan{jobs: []*jobs.Job{j}, cache: test.cache,
				sql: []string{"CREATE TABLE item (id int PRIMARY KEY)",
					"INSERT INTO item SELECT generate_series(1, 2000)"}})
			for range mostJournals + 2 {
				if _, err := r.w.Run(t.Context(), "bad", jobs.Run{Job: "j", Cause: jobs.CauseCommand},
					nil); err == nil {
					t.Fatal("a run that divides by zero is complete")
				}
			}
			left := len(r.texts())
			if left < 500 || left > 1500 {
				t.Fatalf("the run that failed has brought %d keys", left)
			}
			if _, err := r.w.Refresh(t.Context(), "refresh",
				jobs.Invalidation{Job: "j", Keys: []jobs.Key{{"id": "2"}, {"id": "1900"}}}); err != nil {
				t.Fatal(err)
			}
			storetest.Exec(t, r.pg, "TRUNCATE item", "INSERT INTO item VALUES (3), (5000)")
			want := 2
			if test.remove {
				want = 0
			}
			if _, err := r.w.Run(t.Context(), "good", jobs.Run{Job: "j", Cause: jobs.CauseCommand, Remove: test.remove},
				nil); err != nil {
				t.Fatal(err)
			}
			if n := len(r.texts()); (n == want) != test.sound {
				t.Errorf("%d keys are left of %d, want %d: %v", n, left, want, test.sound)
			}
			if ours := r.redis.Keys(t.Context(), "stoker:{cache}:new:*").Val(); test.sound && len(ours) > 0 {
				t.Errorf("ours are left: %v", ours)
			}
		})
	}
}
