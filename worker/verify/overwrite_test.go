package verify

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
)

// What the stock back end of a caching library writes over a key is named as such, also where the key was refreshed
// since the last run, so that what the run wrote says nothing. Broken by: a TTL, a type or a form of value that is not
// looked at (then it is a change that nobody reported), and by one that is looked at too closely.
func TestStockBackEndsAreNamed(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()}).feed()
	ctx := t.Context()
	r.run("row")
	r.run("env")
	r.exec("UPDATE item SET v = v + 1000")
	var keys []jobs.Key
	for id := range 300 {
		keys = append(keys, jobs.Key{"id": strconv.Itoa(id + 1)})
	}
	for _, job := range []string{"row", "env"} {
		if err := r.v.refresh(ctx, "test", jobs.Invalidation{Job: job, Keys: keys, Exact: true}); err != nil {
			t.Fatal(err)
		}
	}
	set := func(key, value string, ttl time.Duration) {
		t.Helper()
		if err := r.redis.Set(ctx, key, value, ttl).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("row:1", `{"id": 1, "v": "old"}`, 0)                          // fastapi-cache2 without expire
	set("row:2", `{"id": 2, "v": "old"}`, 24*time.Hour)               // and with a long one
	set("row:3", `{"id": 3, "v": "old"}`, redis.KeepTTL)              // it cannot be told
	set("env:4", `{"body": "{}", "etag": "W/\"00\""}`, 5*time.Minute) // the SDK
	value := r.redis.Get(ctx, "env:5").Val()
	set("env:5", strings.Replace(value, `\"id\":5`, `\"id\":6`, 1), redis.KeepTTL) // a body that its digest does not fit
	r.redis.Del(ctx, "env:6")
	r.redis.HSet(ctx, "env:6", "v", "1")
	wantFound(t, r.verify(Verification{Job: "row"}), Verified{Job: "row", Checked: 300, Right: 297, Stale: 3,
		Findings: []Finding{{Stale, "row:1", CauseOverwrite, false}, {Stale, "row:2", CauseOverwrite, false},
			{Stale, "row:3", CauseUnreported, false}}})
	wantFound(t, r.verify(Verification{Job: "env"}), Verified{Job: "env", Checked: 300, Right: 297, Stale: 3,
		Findings: []Finding{{Stale, "env:4", CauseOverwrite, false}, {Stale, "env:5", CauseOverwrite, false},
			{Stale, "env:6", CauseOverwrite, false}}})
}
