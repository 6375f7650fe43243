package verify

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
)

// auditor is one that looks again sooner, and may have the database to itself.
func (r *rig) auditor(rate float64) *auditor {
	a := newAuditor(r.v, rate)
	a.share = 1
	for _, k := range a.walks {
		k.doubts.pause = shortPause
	}
	return a
}

// turns audits until done says so.
func (r *rig) turns(a *auditor, done func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); {
		if time.Now().After(deadline) {
			r.t.Fatalf("the audit does not come to its end; log:\n%s", r.logs)
		}
		if _, err := a.turn(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
	a.report(r.t.Context())
}

// rounds is done when every job's keys were looked at so often.
func (a *auditor) rounds(n int) func() bool {
	seen, last := make([]int, len(a.walks)), make([]time.Time, len(a.walks))
	return func() bool {
		all := true
		for i, k := range a.walks {
			if k.whole != last[i] {
				seen[i]++
				last[i] = k.whole
			}
			all = all && seen[i] >= n && k.doubts.open() == 0
		}
		return all
	}
}

// Broken by: a wrong key that an audit does not come to, does not mend, or finds
// another cause for; or that it does not tell of.
func TestAuditFindsAndRepairs(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()[:1]}).feed()
	r.run("row")
	r.spoil("row:", false)
	a := r.auditor(1000)
	r.turns(a, a.rounds(2))
	// The row that has come and the key that nobody has left are in no manifest.
	if diff := cmp.Diff(map[string]float64{"unreported": 2, "refresh": 1, "overwrite": 1},
		r.causes("stoker_audit_stale_total")); diff != "" {
		t.Errorf("stale (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]float64{"gone": 1}, r.causes("stoker_audit_missing_total")); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	if n := r.metric("stoker_audit_repaired_total"); n != 5 {
		t.Errorf("%v repaired", n)
	}
	for _, key := range []string{"row:10", "row:20", "row:30", "row:40", "row:60"} {
		if !strings.Contains(r.logs.String(), "key="+key+" ") {
			t.Errorf("no line tells of %s", key)
		}
	}
	wantFound(t, r.verify(Verification{Job: "row"}),
		Verified{Job: "row", Checked: 301, Right: 299, Missing: 1, Orphan: 1,
			Findings: []Finding{{Missing, "row:1000", CauseUnreported, false},
				{Orphan, "row:5000", CauseStray, false}}})
	tally, err := r.ledger.Tally(t.Context(), "row")
	n := tally.Audit
	if err != nil || n.Checked < 550 || // two rounds of 301, but for those in doubt
		n.Stale != 4 || n.Missing != 1 || n.Repaired != 5 || n.Since.IsZero() || n.LastFind.IsZero() ||
		time.Since(n.Confirm) > time.Minute {
		t.Errorf("the ledger has %+v, %v", n, err)
	}
	const upper = 9.1535 // of the mean of which 4 was counted, with a confidence of 95 %
	if nines, clean, _ := n.Nines(); clean || math.Abs(nines-math.Log10(float64(n.Checked)/upper)) > 0.01 {
		t.Errorf("%v nines, clean: %v", nines, clean)
	}
	if n := r.metric("stoker_audit_oldest_confirmed_seconds"); n <= 0 || n > 60 {
		t.Errorf("the oldest confirmation is %v seconds old", n)
	}
}

// Broken by: jobs that do not get their share of the turns; keys that are passed
// over.
func TestAuditComesToEveryKey(t *testing.T) {
	t.Parallel()
	large := fedJob("large", jobs.ValueScalar, "l:{i}", "SELECT i, 1 FROM generate_series(1, 9000) i")
	small := fedJob("small", jobs.ValueScalar, "s:{i}", "SELECT i, 1 FROM generate_series(1, 900) i")
	never := fedJob("never", jobs.ValueScalar, "n:{i}", "SELECT i, 1 FROM generate_series(1, 9) i")
	r := newRig(t, plan{jobs: []*jobs.Job{large, small, never}}).feed()
	r.run("large")
	r.run("small")
	a := r.auditor(1e6)
	a.walks[0].keys, a.walks[1].keys = nil, nil
	r.turns(a, func() bool { return !a.walks[0].whole.IsZero() && !a.walks[1].whole.IsZero() })
	for _, k := range a.walks[:2] {
		tally, err := r.ledger.Tally(t.Context(), k.job.Name)
		if n := float64(tally.Audit.Checked) / float64(k.m.Keys); err != nil || n < 1 || n > 1.4 {
			t.Errorf("%s was looked at %.2f times, %v", k.job.Name, n, err)
		}
	}
	if a.walks[2].begun {
		t.Error("a job that has never run is looked at")
	}
}

// Broken by: a change between two ticks of a job without a change feed, counted as
// stale; or one that should be noticed, because nothing was committed.
func TestAuditHoldsAJobToItsPromise(t *testing.T) {
	t.Parallel()
	job := newJob("slow", jobs.ValueScalar, "slow:{id}", "SELECT id, v FROM item")
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: []*jobs.Job{job}})
	ctx := t.Context()
	r.run("slow")
	r.exec("UPDATE item SET v = -v WHERE id < 100", "DELETE FROM item WHERE id = 200")
	r.redis.Unlink(ctx, "slow:5", "slow:200")
	a := r.auditor(1e6)
	r.turns(a, a.rounds(2))
	if stale, missing := r.causes("stoker_audit_stale_total"),
		r.causes("stoker_audit_missing_total"); len(stale) != 0 || missing["gone"] != 1 {
		t.Errorf("stale %v, missing %v", stale, missing)
	}
	if tally, err := r.ledger.Tally(ctx, "slow"); err != nil || tally.Audit.Checked != 1 {
		t.Errorf("%+v was compared, %v", tally.Audit, err)
	}
}

// Broken by: two processes that both audit; one that does not take over.
func TestAuditIsDoneByOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: every()[:1]}).feed()
	r.run("row")
	registry := prometheus.NewRegistry()
	other := r.verifier(registry, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	start := func(w *Verifier) context.CancelFunc {
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() { w.Audit(ctx, 1e5) })
		return cancel
	}
	first := start(r.v)
	eventually(t, 10*time.Second, "the first audits", func() bool { return r.metric("stoker_audit_checked_total") > 0 })
	second := start(other)
	time.Sleep(300 * time.Millisecond)
	if n := (&rig{t: t, metrics: registry}).metric("stoker_audit_checked_total"); n != 0 {
		t.Errorf("the second has checked %v keys", n)
	}
	first()
	eventually(t, 10*time.Second, "the second takes over", func() bool {
		return (&rig{t: t, metrics: registry}).metric("stoker_audit_checked_total") > 0
	})
	second()
	wg.Wait()
	if holder, _, err := r.ledger.Holder(t.Context(), auditLease); holder != "" || err != nil {
		t.Errorf("the lease is held by %q, %v", holder, err)
	}
}

// Broken by: an audit that takes more of the database than it may.
func TestAuditLeavesTheDatabaseTime(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{sql: []string{verifySQL, verifyRows}, jobs: []*jobs.Job{
		fedJob("slow", jobs.ValueScalar, "slow:{id}", "SELECT id, v FROM item, (SELECT pg_sleep(0.05)) s OFFSET 0"),
	}}).feed()
	r.run("slow")
	a := r.auditor(1e6)
	a.share = auditShare
	if wait, err := a.turn(t.Context()); err != nil || wait < 450*time.Millisecond {
		t.Errorf("after a query of 50 ms it waits %s, %v", wait, err)
	}
}

func TestLimiter(t *testing.T) {
	var l limiter
	told, now := 0, time.Unix(1000, 0)
	for range 50 {
		if ok, _ := l.allow(now); ok {
			told++
		}
	}
	if ok, left := l.allow(now.Add(time.Minute)); told != linesPerMinute || !ok || left != 30 {
		t.Errorf("%d lines were told; then %v, %d not told", told, ok, left)
	}
}
