package scope

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/worker"
)

// rig is a Fencer and a worker on real servers.
type rig struct {
	t      *testing.T
	pg     string
	redis  *redis.Client
	source *postgres.Source
	cache  *cache.Cache
	w      *worker.Worker
	f      *Fencer
}

func newRig(t *testing.T, list []*jobs.Job, sql ...string) *rig {
	t.Helper()
	r := &rig{t: t, pg: storetest.Postgres(t)}
	storetest.Exec(t, r.pg, sql...)
	client := func() *redis.Client {
		c, err := cache.Open(jobs.NewSecret(storetest.Redis(t)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c.(*redis.Client)
	}
	r.redis = client()
	r.cache = cache.New(r.redis, time.Minute)
	var err error
	r.source, err = postgres.Open(jobs.Postgres{URL: jobs.NewSecret(r.pg), MaxConnections: 4,
		StatementTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.source.Close)
	r.w = worker.New(worker.Config{Spec: &jobs.Spec{File: "stoker.yaml", Jobs: list}, Source: r.source, Cache: r.cache,
		Ledger: ledger.New(client()), Metrics: worker.NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler)})
	r.f = New(Config{Source: r.source, Cache: r.cache, Keys: worker.Exact{Worker: r.w}.Fence})
	return r
}

func newJob(name, key, query string) *jobs.Job {
	template, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		panic(err)
	}
	return &jobs.Job{Name: name, Query: query, Key: template, Value: jobs.ValueRow, TTL: 10 * time.Minute,
		Timeout: time.Minute, MaxValueBytes: 1 << 20, StaleGrace: 30 * time.Second, ShrinkGuard: 0.5,
		Type: jobs.TypeString, Format: jobs.FormatJSON, Compress: jobs.CompressNone, Rewrite: jobs.RewriteChanged}
}

func (r *rig) run(job string) {
	r.t.Helper()
	if _, err := r.w.Run(r.t.Context(), "id", jobs.Run{Job: job, Cause: jobs.CauseCommand}, nil); err != nil {
		r.t.Fatal(err)
	}
}

// fence checks and fences, and returns the texts of the keys that were handed over.
func (r *rig) fence(job *jobs.Job, where jobs.Where) (keys []string, err error) {
	r.t.Helper()
	if err := r.f.Check(r.t.Context(), job, where); err != nil {
		return nil, err
	}
	err = r.f.Fence(r.t.Context(), job, where, func(part []jobs.Key) error {
		if len(part) == 0 || len(part) > jobs.MaxKeys {
			r.t.Errorf("a part of %d keys", len(part))
		}
		for _, k := range part {
			keys = append(keys, k.Text(job))
		}
		return nil
	})
	slices.Sort(keys)
	return keys, err
}

// fencedKeys are the keys of the book that are fenced, and have a grace.
func (r *rig) fencedKeys() (keys []string) {
	r.t.Helper()
	keys = r.keysInBook()
	for _, key := range keys {
		if left := r.redis.PTTL(r.t.Context(), key).Val(); left > 30*time.Second {
			r.t.Errorf("%s is readable for %s yet", key, left)
		}
	}
	return keys
}

// keysInBook are the keys that have a field in the book.
func (r *rig) keysInBook() (keys []string) {
	r.t.Helper()
	fields, err := r.redis.HKeys(r.t.Context(), "stoker:{cache}:book").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range fields {
		if !strings.HasPrefix(f, "#") {
			keys = append(keys, f)
		}
	}
	slices.Sort(keys)
	return keys
}

var shop = []string{"CREATE TABLE product (id int PRIMARY KEY, site text NOT NULL, category text, n int)",
	"INSERT INTO product SELECT i, 's' || i % 3, 'c' || i % 10, 1 FROM generate_series(1, 3000) i",
	"CREATE INDEX ON product (site)"}

const productQuery = "SELECT id, site, category, n FROM product ORDER BY id"

// Exactly the keys of the rows that hold the values are fenced, in parts, each before it is handed over. Broken by: a
// predicate that is dropped, a part that is handed over before it is fenced (see TestBrokenScopes).
func TestExactlyTheNamedKeysAreFenced(t *testing.T) {
	t.Parallel()
	job := newJob("product", "p:{id}", productQuery)
	r := newRig(t, []*jobs.Job{job}, shop...)
	r.run("product")
	got, err := r.fence(job, jobs.Where{"category": {"c1", "c2", "c3"}, "site": {"s0", "s1"}})
	if err != nil {
		t.Fatal(err)
	}
	var want, fields []string
	for i := 1; i <= 3000; i++ {
		if c := i % 10; c >= 1 && c <= 3 && i%3 != 2 {
			want, fields = append(want, fmt.Sprint(i)), append(fields, fmt.Sprintf("p:%d", i))
		}
	}
	slices.Sort(want)
	slices.Sort(fields)
	if d := cmp.Diff(want, got); d != "" {
		t.Error("handed over:", d)
	}
	if d := cmp.Diff(fields, r.fencedKeys()); d != "" {
		t.Error("fenced:", d)
	}
}

// Rows that are gone, and rows whose key is another one now, are found by a column of the key, also where the query has
// no row any more and where only a refresh has brought the key. Broken by: a manifest that is not read.
func TestKeysOfRowsThatAreGone(t *testing.T) {
	t.Parallel()
	job := newJob("product", "p:{site}:{id}", productQuery)
	r := newRig(t, []*jobs.Job{job}, shop...)
	r.run("product")
	storetest.Exec(t, r.pg, "INSERT INTO product VALUES (5001, 's1', 'new', 1)")
	brought := jobs.Invalidation{Job: "product", Keys: []jobs.Key{{"site": "s1", "id": "5001"}}}
	if _, err := r.w.Refresh(t.Context(), "", brought); err != nil {
		t.Fatal(err)
	}
	storetest.Exec(t, r.pg, "DELETE FROM product WHERE id IN (4, 5001)", "UPDATE product SET site = 's2' WHERE id = 7",
		"UPDATE product SET category = 'x' WHERE id = 10")
	got, err := r.fence(job, jobs.Where{"site": {"s1"}, "category": {"c4"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []jobs.Key{{"site": "s1", "id": "4"}, {"site": "s1", "id": "7"}, {"site": "s1", "id": "10"},
		{"site": "s1", "id": "34"}, {"site": "s1", "id": "5001"}} {
		if !slices.Contains(got, key.Text(job)) {
			t.Errorf("%v is not fenced", key)
		}
	}
	if key := (jobs.Key{"site": "s2", "id": "7"}); slices.Contains(got, key.Text(job)) {
		t.Errorf("%v is fenced", key)
	}
	if n := len(slices.Compact(got)); n != len(got) {
		t.Errorf("%d keys came twice", len(got)-n)
	}
	if n := len(r.fencedKeys()); n != 1001 {
		t.Errorf("%d keys of site s1 are fenced, want the 1001 that the cache has", n)
	}
}

// What was fenced when the call ends early is handed over, and nothing else: by Ctrl-C, by a queue that is down, by a
// cache that fails. Broken by: a part whose fence is broken off, one that is dropped between the two.
func TestWhatIsFencedIsHandedOver(t *testing.T) {
	t.Parallel()
	job := newJob("product", "p:{id}", "SELECT id, n FROM product, pg_sleep(0) ORDER BY id")
	for name, fail := range map[string]error{"interrupted": context.Canceled, "the queue": errors.New("queue"),
		"the cache": errors.New("cache")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, []*jobs.Job{job}, shop[0],
				"INSERT INTO product SELECT i, 's', 'c', 1 FROM generate_series(1, 40000) i")
			r.run("product")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var mu sync.Mutex
			calls, fence := 0, r.f.fence
			r.f.fence = func(ctx context.Context, a *cache.Armed, s store.Stamp, keys [][]byte,
				grace time.Duration) ([][]byte, error) {
				mu.Lock()
				calls++
				n := calls
				mu.Unlock()
				if n == 5 && name == "the cache" {
					return nil, fail
				}
				if n == 5 && name == "interrupted" {
					cancel()
				}
				return fence(ctx, a, s, keys, grace)
			}
			var kept []string
			err := r.f.Fence(ctx, job, jobs.Where{"n": {"1"}}, func(part []jobs.Key) error {
				if len(kept) > 3*jobs.MaxKeys && name == "the queue" {
					return fail
				}
				for _, k := range part {
					kept = append(kept, "p:"+k["id"])
				}
				return nil
			})
			if !errors.Is(err, fail) {
				t.Errorf("it ended with %v", err)
			}
			slices.Sort(kept)
			fenced := r.fencedKeys()
			if name == "the queue" { // what it has not taken the caller is told of
				if !slices.Contains(fenced, kept[0]) || len(kept) == 0 || len(fenced) == 40000 {
					t.Errorf("%d keys are fenced, %d in the queue", len(fenced), len(kept))
				}
				return
			}
			if d := cmp.Diff(fenced, kept); d != "" || len(kept) == 0 || len(kept) == 40000 {
				t.Errorf("%d keys are fenced, %d handed over", len(fenced), len(kept))
			}
		})
	}
}

// A run that has read before the change, and writes after the invalidation, is refused. Broken by: no fence, and one
// that is made with a book that was read after the rows.
func TestARunThatHasReadBeforeIsRefused(t *testing.T) {
	t.Parallel()
	for _, broken := range []bool{false, true} {
		t.Run(fmt.Sprint("broken ", broken), func(t *testing.T) {
			t.Parallel()
			job := newJob("product", "p:{id}", productQuery)
			r := newRig(t, []*jobs.Job{job}, shop...)
			if broken {
				r.f.fence = func(context.Context, *cache.Armed, store.Stamp, [][]byte, time.Duration) ([][]byte,
					error) {
					return nil, nil
				}
			}
			armed, err := r.cache.Arm(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			err = r.source.Run(t.Context(), job, func(reading *store.Reading) error {
				stamp, err := r.cache.Stamp(t.Context(), armed, reading.Snapshot)
				if err != nil {
					return err
				}
				claim, err := r.cache.ClaimRun(t.Context(), armed, job, stamp, "slow")
				if err != nil {
					return err
				}
				storetest.Exec(t, r.pg, "UPDATE product SET n = 2 WHERE category = 'c5'")
				if _, err := r.fence(job, jobs.Where{"category": {"c5"}}); err != nil {
					return err
				}
				var b store.Batch
				for _, key := range []string{"p:5", "p:6"} {
					b.Buf = append(b.Buf, key+"old"...)
					b.Add(len(b.Buf)-len(key)-3, len(b.Buf)-3, time.Minute)
				}
				_, err = r.cache.Put(t.Context(), claim, &b)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := r.redis.Get(t.Context(), "p:5").Val(); (got == "old") != broken {
				t.Errorf("after the fence the run has written %q", got)
			}
			if got := r.redis.Get(t.Context(), "p:6").Val(); got != "old" {
				t.Errorf("a key that nobody named holds %q", got)
			}
		})
	}
}

// Nothing is left of it in Redis, once the fences are too old to matter. Broken by: anything that is stored for it.
func TestNothingIsStored(t *testing.T) {
	t.Parallel()
	job := newJob("product", "p:{id}", productQuery)
	r := newRig(t, []*jobs.Job{job}, shop...)
	r.run("product")
	const book = "stoker:{cache}:book"
	before, fields := r.redis.DBSize(t.Context()).Val(), r.redis.HLen(t.Context(), book).Val()
	err := r.f.Fence(t.Context(), job, jobs.Where{"category": {"c1"}}, func(keys []jobs.Key) error {
		_, err := r.w.Refresh(t.Context(), "", jobs.Invalidation{Job: "product", Keys: keys, Fenced: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := r.redis.HLen(t.Context(), book).Val(); n < fields+300 {
		t.Errorf("the book has %d fields, before it had %d: the test is blind", n, fields)
	}
	for _, key := range r.keysInBook() { // as if it had been long ago
		stamp := r.redis.HGet(t.Context(), book, key).Val()[:26]
		r.redis.HSet(t.Context(), book, key, stamp+"0000000000001")
	}
	if n, err := r.cache.Prune(t.Context()); n != 300 || err != nil {
		t.Errorf("%d fields were pruned, %v", n, err)
	}
	if n := r.redis.DBSize(t.Context()).Val(); n != before {
		t.Errorf("%d keys are in Redis, before there were %d", n, before)
	}
	if n := r.redis.HLen(t.Context(), book).Val(); n > fields+1 { // and the time of the last field that was pruned
		t.Errorf("the book has %d fields, before it had %d", n, fields)
	}
}

// The tests above catch what they are to catch.
func TestBrokenScopes(t *testing.T) {
	t.Parallel()
	job := newJob("product", "p:{site}:{id}", productQuery)
	r := newRig(t, []*jobs.Job{job}, shop...)
	r.run("product")
	storetest.Exec(t, r.pg, "DELETE FROM product WHERE id = 4")
	whole := *r.f
	r.f.cached = func(context.Context, *jobs.Job, func(string) error) error { return nil } // the manifest is ignored
	got, err := r.fence(job, jobs.Where{"site": {"s1"}})
	if gone := (jobs.Key{"site": "s1", "id": "4"}).Text(job); err != nil || slices.Contains(got, gone) {
		t.Errorf("without the manifest, the key of a row that is gone is found (%v)", err)
	}
	*r.f = whole
	r.f.source = unconditional{r.source} // the predicate is dropped
	if got, err = r.fence(job, jobs.Where{"category": {"c1"}}); err != nil || len(got) < 2999 {
		t.Errorf("without the predicate, %d keys are fenced (%v)", len(got), err)
	}
}

// unconditional finds every key.
type unconditional struct{ *postgres.Source }

func (s unconditional) Where(ctx context.Context, job *jobs.Job, _ jobs.Where, fn func(*store.Reading) error) error {
	return s.Source.Where(ctx, job, jobs.Where{"n": {"1", "2"}}, fn)
}
