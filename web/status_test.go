package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/store"
)

// sample is the past that goldens show, as seen from now: product is well and
// runs again, top-sellers failed, price and banner have not run.
func sample(now time.Time) (fakeLedger, fakeSampler) {
	at := func(d time.Duration) time.Time { return now.Add(-d) }
	good := store.Record{
		ID: "warm:product@946684200", Job: "product", Cause: "tick", State: store.StateOK,
		Due: at(5 * time.Minute), Start: at(5*time.Minute - 30*time.Millisecond),
		End:  at(5*time.Minute - 2430*time.Millisecond),
		Rows: 20140, Keys: 20120, Bytes: 5 << 20, NullKeys: 20, Removed: 3,
		Database: 1900 * time.Millisecond, Snapshot: "790:790:",
	}
	failed := store.Record{
		ID: "warm:top-sellers@946684770", Job: "top-sellers", Cause: "tick", State: store.StateFailed,
		Due: at(30 * time.Second), Start: at(30 * time.Second), End: at(29 * time.Second), Rows: 12,
		Error: `query of job top-sellers: column "sold" does not exist (SQLSTATE 42703) at line 2, column 8 of the query <script>alert(1)</script>`,
	}
	before := failed
	before.ID, before.State, before.Error = "warm:top-sellers@946684740", store.StateOK, ""
	before.Due, before.Start, before.End = at(4*time.Minute), at(4*time.Minute), at(239*time.Second)
	before.Rows, before.Keys, before.Bytes, before.Oversized = 900, 45, 90_000, 1
	before.Warning = "top:toys is 17 MiB"
	stopped := good
	stopped.ID, stopped.Cause, stopped.State, stopped.Due = "b1946ac9", "api", store.StateInterrupted, time.Time{}
	stopped.Start, stopped.End = at(time.Hour), at(time.Hour-700*time.Millisecond)
	ms := func(d time.Duration) int64 { return at(d).UnixMilli() }
	ledger := fakeLedger{
		budgets: map[string]string{
			"product": fmt.Sprintf(`{"age_ms":60000,"begin":%d,"until":%d,"good_ms":86100000,"good_through":%d,`+
				`"confirmed":%d,"epoch":1}`, ms(24*time.Hour), ms(0), ms(-8*time.Second), ms(time.Second)),
			"top-sellers": fmt.Sprintf(`{"age_ms":60000,"begin":%d,"until":%d,"good_ms":3600000,"good_through":%d,`+
				`"confirmed":%d,"epoch":1,"reason":"the oldest value may be 4 min old: the last run failed"}`,
				ms(24*time.Hour), ms(0), ms(0), ms(4*time.Minute)),
		},
		runs: map[string][]store.Record{"product": {good, stopped}, "top-sellers": {failed, before}},
		live: map[string]store.Progress{"product": {
			ID: "warm:product@946684800", Job: "product", Start: at(2 * time.Second),
			Rows: 8056, Keys: 8000, Bytes: 2 << 20, Expected: 20140,
		}},
		tally: map[string]store.Tally{
			"product": {Skipped: 1, Refreshes: 1204, Refreshed: 3010, LastRefresh: at(4 * time.Second),
				Audit: store.Audit{Checked: 40_000, Since: at(2 * time.Hour), Confirm: at(9 * time.Minute)}},
			"top-sellers": {Missed: 2, RefreshError: "connection refused", RefreshFailed: at(90 * time.Second),
				Audit: store.Audit{Checked: 1000, Stale: 2, Missing: 1, Repaired: 3, Since: at(2 * time.Hour),
					LastFind: at(time.Hour)}},
		},
	}
	return ledger, fakeSampler{warmth: map[string][2]int{"product": {100, 100}, "top-sellers": {17, 20}}}
}

func TestCollect(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 2, 0, 0, time.UTC)
	ledger, sampler := sample(now)
	statuses, err := Collect(t.Context(), newSpec(t), ledger, sampler, now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(statuses, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "status.golden.json", append(text, '\n'))
}

func TestCollectOneJobUnreadable(t *testing.T) {
	now := time.Now()
	ledger, sampler := sample(now)
	down := errors.New("MOVED 1234 redis://:redis-secret-word@cache.internal:6379/0")
	ledger.errs = map[string]error{"product": down}
	sampler.errs = map[string]error{"product": down}
	statuses, err := Collect(t.Context(), newSpec(t), ledger, sampler, now)
	if err == nil || !strings.Contains(err.Error(), "job product: ") {
		t.Errorf("error %v does not name the job", err)
	}
	if strings.Contains(err.Error(), "redis-secret-word") {
		t.Errorf("the error prints a secret: %v", err)
	}
	product, top := statuses[0], statuses[1]
	if !product.unread || len(product.Failures) != 1 || product.Failures[0].Of != FailedStatus {
		t.Errorf("product is %+v, want one failure of its status", product)
	}
	if got := product.Failures[0].Message; got != "read the run records: MOVED 1234 ***" {
		t.Errorf("message %q, want one reason, masked", got)
	}
	if top.unread || top.LastRun == nil {
		t.Errorf("top-sellers is hidden by product: %+v", top)
	}
}

// A part that cannot be read is told, and the other parts are shown.
func TestCollectPartUnreadable(t *testing.T) {
	now := time.Now()
	ledger, sampler := sample(now)
	sampler.errs = map[string]error{"product": errors.New("timeout")}
	statuses, err := Collect(t.Context(), newSpec(t), ledger, sampler, now)
	if err == nil {
		t.Error("no error")
	}
	if st := statuses[0]; st.unread || st.Keys != 20120 || st.Warmth != nil ||
		st.Failures[0].Message != "sample the warmth: timeout" {
		t.Errorf("status is %+v", st)
	}
}

// A long row of failures does not make the last good run forgotten.
func TestCollectLooksFurtherBack(t *testing.T) {
	now := time.Now()
	runs := make([]store.Record, 60)
	for i := range runs {
		runs[i] = store.Record{State: store.StateFailed, Error: "no"}
	}
	runs[59] = store.Record{State: store.StateOK, Keys: 7, Start: now.Add(-time.Hour)}
	ledger := fakeLedger{runs: map[string][]store.Record{"product": runs}}
	statuses, err := Collect(t.Context(), newSpec(t), ledger, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if st := statuses[0]; st.Keys != 7 || st.AgeSeconds == nil || *st.AgeSeconds != 3600 {
		t.Errorf("status is %+v, want 7 keys of an hour ago", st)
	}
}

// A keyset that was removed has no age.
func TestCollectNoKeysNoAge(t *testing.T) {
	runs := []store.Record{{State: store.StateOK, Removed: 9}}
	ledger := fakeLedger{runs: map[string][]store.Record{"product": runs}}
	statuses, err := Collect(t.Context(), newSpec(t), ledger, nil, time.Now())
	if err != nil || statuses[0].AgeSeconds != nil || statuses[0].LastRun == nil {
		t.Errorf("status is %+v, %v", statuses[0], err)
	}
}

func TestStatusCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var looks atomic.Int32
		c := newStatusCache(func(context.Context) []JobStatus {
			looks.Add(1)
			time.Sleep(300 * time.Millisecond)
			return []JobStatus{{Name: "product"}}
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got, err := c.get(t.Context()); err != nil || len(got) != 1 {
					t.Errorf("got %v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if n := looks.Load(); n != 1 {
			t.Errorf("%d looks for 50 visitors at once, want 1", n)
		}
		time.Sleep(statusFresh)
		c.get(t.Context())
		if n := looks.Load(); n != 2 {
			t.Errorf("%d looks a second later, want 2", n)
		}
	})
}

// A visitor who leaves neither waits nor spoils the look for the others.
func TestStatusCacheVisitorLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStatusCache(func(ctx context.Context) []JobStatus {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(2 * time.Second):
				return []JobStatus{{Name: "product"}}
			}
		})
		leaving, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		first := make(chan int)
		go func() {
			got, _ := c.get(leaving)
			first <- len(got)
		}()
		synctest.Wait()
		if _, err := c.get(leaving); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting in line ended with %v, want the visitor's deadline", err)
		}
		if n := <-first; n != 1 {
			t.Errorf("the look was cut off by its visitor: %d jobs", n)
		}
	})
}
