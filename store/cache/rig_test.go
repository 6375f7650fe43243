package cache_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
)

// rig is a Redis, a process that writes to it, and another one.
type rig struct {
	*testing.T
	tap    *cache.Tap // on the first's connections
	client *redis.Client
	values *cache.Cache
	other  *cache.Cache
	armed  *cache.Armed // by the first
	last   cache.Manifest
}

func newRig(t *testing.T) *rig {
	t.Helper()
	tap := new(cache.Tap)
	r := &rig{tap: tap, client: tap.Client(t, storetest.Redis(t))}
	return r.again(t)
}

// again is the rig for the next case: Redis is empty, and nobody has armed.
func (r *rig) again(t *testing.T) *rig {
	t.Helper()
	if err := r.client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	r.tap.BeforeExec = nil
	r.tap.Execs.Store(0)
	r.tap.Aborts.Store(0)
	return &rig{t, r.tap, r.client, cache.New(r.client, time.Minute), cache.New(r.client, time.Minute), nil,
		cache.Manifest{}}
}

// at is a stamp of the first epoch.
func at(clock uint64) store.Stamp { return store.Stamp{Epoch: 1, Clock: clock} }

func (r *rig) fence(clock uint64, key string, grace time.Duration) {
	r.Helper()
	a, err := r.other.Renew(r.Context())
	if err == nil {
		_, err = r.other.Fence(r.Context(), a, at(clock), [][]byte{[]byte(key)}, grace)
	}
	if err != nil {
		r.Error(err)
	}
}

// run claims a run of the other process.
func (r *rig) run(job *jobs.Job, clock uint64) *cache.Claim {
	r.Helper()
	cl, err := r.other.ClaimRun(r.Context(), arm(r, r.other), job, at(clock), cache.NewID())
	if err != nil {
		r.Error(err)
		return nil
	}
	r.Cleanup(cl.Close)
	return cl
}

// refresh writes a key as the other process would.
func (r *rig) refresh(clock uint64, key string) {
	r.Helper()
	cl := r.other.ClaimRefresh(arm(r, r.other), product, at(clock))
	put(r, r.other, cl, entry(key, "theirs", time.Hour))
}

func (r *rig) lose() {
	r.Helper()
	if n := r.client.Unlink(r.Context(), r.values.Book()).Val(); n != 1 {
		r.Error("there was no book to lose")
	}
}

// all is what the given keys hold, and the book.
func (r *rig) all(keys ...string) (values, book map[string]string) {
	r.Helper()
	values = map[string]string{}
	for _, k := range keys {
		if v, err := r.client.Get(r.Context(), k).Result(); err == nil {
			values[k] = v
		} else if !errors.Is(err, redis.Nil) {
			r.Error(err)
		}
	}
	return values, r.client.HGetAll(r.Context(), r.values.Book()).Val()
}

// claim is one of the first process, of a clock.
func (r *rig) claim(clock uint64) *cache.Claim {
	r.Helper()
	return r.claimOf(product, clock)
}

func (r *rig) claimOf(job *jobs.Job, clock uint64) *cache.Claim {
	r.Helper()
	r.armed = arm(r, r.values)
	cl, err := r.values.ClaimRun(r.Context(), r.armed, job, at(clock), cache.NewID())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(cl.Close)
	return cl
}

// claimByScript is one that does without wires.
func (r *rig) claimByScript(clock uint64) *cache.Claim {
	r.Helper()
	cl := r.claim(clock)
	cl.ByScript()
	return cl
}

func (r *rig) claimRefresh(clock uint64) *cache.Claim {
	r.Helper()
	return r.claimRefreshOf(product, clock)
}

func (r *rig) claimRefreshOf(job *jobs.Job, clock uint64) *cache.Claim {
	r.Helper()
	r.armed = arm(r, r.values)
	return r.values.ClaimRefresh(r.armed, job, at(clock))
}

// age makes a field of the book older by a number of lives, and a little.
func (r *rig) age(key string, lives int) {
	r.Helper()
	field := r.client.HGet(r.Context(), r.values.Book(), key).Val()
	stamp := len(at(0).String())
	ms, err := strconv.ParseInt(field[stamp:], 10, 64)
	if err != nil {
		r.Fatal(err)
	}
	ms -= int64(lives)*r.values.Life().Milliseconds() + time.Second.Milliseconds()
	r.client.HSet(r.Context(), r.values.Book(), key, fmt.Sprintf("%s%013d", field[:stamp], ms))
}

func (r *rig) prune(want int64) {
	r.Helper()
	if n, err := r.other.Prune(r.Context()); n != want || err != nil {
		r.Errorf("%d fields pruned, %v; want %d", n, err, want)
	}
}

// written counts what Redis would have told a replica.
func (r *rig) written() string {
	r.Helper()
	for line := range strings.Lines(r.client.Info(r.Context(), "persistence").Val()) {
		if n, ok := strings.CutPrefix(line, "rdb_changes_since_last_save:"); ok {
			return n
		}
	}
	r.Fatal("redis does not say what has changed")
	return ""
}

// wantError reports whether there was to be no error, and is none.
func wantError(t testing.TB, got, want error) bool {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error %v, want %v", got, want)
	}
	return got == nil && want == nil
}

// wantTTL: all of an hour, or what is left of less.
func (r *rig) wantTTL(key string, whole bool) {
	r.Helper()
	if left := r.client.PTTL(r.Context(), key).Val(); whole != (left > time.Hour/2) || left <= 0 {
		r.Errorf("%s lives for %v; anew: %v", key, left, whole)
	}
}

var otherJob = &jobs.Job{Name: "other", Type: jobs.TypeString, TTL: time.Hour}
