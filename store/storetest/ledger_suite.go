package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stokerhq/stoker/store"
)

// RunLedger holds an implementation to what a Ledger must do. open returns an
// empty ledger, and a function that makes time pass for what expires in it.
func RunLedger(t *testing.T, open func(t *testing.T) (l Ledger, pass func(time.Duration))) {
	for _, c := range ledgerChecks {
		t.Run(c.name, func(t *testing.T) {
			l, pass := open(t)
			if err := c.check(t.Context(), l, pass); err != nil {
				t.Error(err)
			}
		})
	}
}

// A check returns what is wrong instead of failing the test, so that a broken
// ledger can be shown to be caught.
type ledgerCheck struct {
	name  string
	check func(ctx context.Context, l Ledger, pass func(time.Duration)) error
}

var ledgerChecks = []ledgerCheck{
	{"empty", checkEmpty},
	{"records", checkRecords},
	{"last complete run", checkLastComplete},
	{"live progress", checkLive},
	{"sample", checkSample},
	{"missed ticks", checkMissed},
	{"skipped ticks", checkSkipped},
	{"refreshes", checkRefreshes},
	{"reports", checkReports},
	{"audit", checkAudit},
	{"freshness", checkFreshness},
	{"budgets", checkBudgets},
	{"lease is exclusive", checkLease},
	{"lease lapses", checkLeaseLapses},
}

// differ says how what a ledger returned differs from what is wanted.
func differ(what string, got, want any, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
		return fmt.Errorf("%s (-want +got):\n%s", what, d)
	}
	return nil
}

var someTime = time.Date(2024, 2, 29, 12, 0, 0, 123456789, time.UTC)

// full is a record with every field set.
func full(job string, n int) store.Record {
	r := Filled[store.Record](n)
	r.Job, r.State = job, store.StateOK
	return r
}

// complete is a record of a run that wrote every row, with every other field set.
func complete(job string, n int) store.Record {
	r := full(job, n)
	r.Removal = false
	return r
}

func checkEmpty(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	runs, err := l.Runs(ctx, "j", 10)
	errs := differ("runs", runs, []store.Record{}, err)
	_, ok, err := l.LastComplete(ctx, "j")
	errs = errors.Join(errs, differ("a last complete run", ok, false, err))
	_, ok, err = l.Live(ctx, "j")
	errs = errors.Join(errs, differ("a live run", ok, false, err))
	keys, err := l.Sample(ctx, "j")
	errs = errors.Join(errs, differ("sample", keys, []string{}, err))
	tally, err := l.Tally(ctx, "j")
	errs = errors.Join(errs, differ("tally", tally, store.Tally{}, err))
	holder, left, err := l.Holder(ctx, "j")
	return errors.Join(errs, differ("holder", holder, "", err),
		differ("left of nobody's lease", left, time.Duration(0), err))
}

// checkRecords: the last 200 are kept, newest first, whole, a job each its own.
func checkRecords(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	const kept, added = 200, 203
	if err := l.Add(ctx, full("other", 1)); err != nil {
		return err
	}
	var want []store.Record
	for n := range added {
		r := full("j", n)
		if err := l.Add(ctx, r); err != nil {
			return err
		}
		want = append([]store.Record{r}, want...)
	}
	var errs error
	for _, n := range []int{-1, 0, 1, 3, kept, added, 1000} {
		got, err := l.Runs(ctx, "j", n)
		errs = errors.Join(errs, differ(fmt.Sprintf("the last %d runs", n), got, want[:min(max(n, 0), kept)], err))
	}
	got, err := l.Runs(ctx, "other", 10)
	return errors.Join(errs, differ("another job's runs", got, []store.Record{full("other", 1)}, err))
}

// checkLastComplete: only a run that wrote every row is complete.
func checkLastComplete(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	records := []store.Record{complete("j", 0), complete("j", 1), complete("j", 2), complete("j", 3)}
	records[1].State, records[2].State, records[3].Removal = store.StateFailed, store.StateInterrupted, true
	var errs error
	for n, r := range records {
		if err := l.Add(ctx, r); err != nil {
			return err
		}
		got, ok, err := l.LastComplete(ctx, "j")
		errs = errors.Join(errs, differ(fmt.Sprintf("last complete run after record %d", n), got, records[0], err),
			differ("found", ok, true, nil))
	}
	if err := l.Add(ctx, complete("j", 4)); err != nil {
		return err
	}
	got, _, err := l.LastComplete(ctx, "j")
	if err == nil {
		_, other, oerr := l.LastComplete(ctx, "other")
		errs = errors.Join(errs, differ("another job's last complete run", other, false, oerr))
	}
	return errors.Join(errs, differ("last complete run after a newer one", got, complete("j", 4), err))
}

// checkLive: progress is seen while it is published, and goes with the record of the
// run or with the worker that told it.
func checkLive(ctx context.Context, l Ledger, pass func(time.Duration)) error {
	p := Filled[store.Progress](1)
	p.Job = "j"
	live := func(what string, want bool) error {
		got, ok, err := l.Live(ctx, "j")
		if want && ok {
			return differ("progress "+what, got, p, err)
		}
		return differ("live "+what, ok, want, err)
	}
	errs := errors.Join(l.Report(ctx, p), live("when told", true))
	pass(4 * time.Second)
	errs = errors.Join(errs, live("between two reports", true))
	p.Rows = 100
	errs = errors.Join(errs, l.Report(ctx, p))
	pass(4 * time.Second)
	errs = errors.Join(errs, live("when told again", true))
	pass(2 * time.Second)
	errs = errors.Join(errs, live("after the worker died", false))
	errs = errors.Join(errs, l.Report(ctx, p), l.Add(ctx, full("other", 1)), live("after another job's run", true))
	return errors.Join(errs, l.Add(ctx, full("j", 1)), live("after the run", false))
}

func checkSample(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	var errs error
	for _, want := range [][]string{{"a", "product:ü{1}"}, {"b"}, nil} {
		errs = errors.Join(errs, l.KeepSample(ctx, "j", want))
		got, err := l.Sample(ctx, "j")
		errs = errors.Join(errs, differ("sample", got, want, err))
	}
	got, err := l.Sample(ctx, "other")
	return errors.Join(errs, differ("another job's sample", got, []string{}, err))
}

// checkMissed: replicas tell of the same ticks, at once or later.
func checkMissed(ctx context.Context, l Ledger, pass func(time.Duration)) error {
	var errs error
	for _, step := range []struct {
		due  time.Duration
		n    int64
		want int64
	}{
		{0, 3, 3},
		{0, 3, 3},            // another replica
		{0, 1, 3},            // one that was started in between
		{time.Minute, 1, 4},  // the next tick
		{0, 3, 4},            // a replica that is late
		{time.Minute, 2, 4},  //
		{time.Hour, 10, 14},  //
		{time.Minute, 2, 14}, //
	} {
		pass(time.Hour)
		errs = errors.Join(errs, l.Missed(ctx, "j", someTime.Add(step.due), step.n))
		tally, err := l.Tally(ctx, "j")
		errs = errors.Join(errs, differ(fmt.Sprintf("tally after %+v", step), tally, store.Tally{Missed: step.want},
			err))
	}
	errs = errors.Join(errs, l.Missed(ctx, "other", someTime, 2))
	tally, err := l.Tally(ctx, "other")
	return errors.Join(errs, differ("another job's tally", tally, store.Tally{Missed: 2}, err))
}

func checkSkipped(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	errs := errors.Join(l.Skipped(ctx, "j"), l.Skipped(ctx, "j"), l.Skipped(ctx, "other"))
	tally, err := l.Tally(ctx, "j")
	return errors.Join(errs, differ("tally", tally, store.Tally{Skipped: 2}, err))
}

// checkRefreshes: an error is kept until the next good refresh.
func checkRefreshes(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	begin := time.Now()
	var errs error
	for n, step := range []struct {
		keys    int
		failure error
		want    store.Tally
		failed  bool // a time of failure is kept
	}{
		{7, errors.New("no such column"), store.Tally{RefreshError: "no such column"}, true},
		{3, nil, store.Tally{Refreshes: 1, Refreshed: 3}, false},
		{4, nil, store.Tally{Refreshes: 2, Refreshed: 7}, false},
		{7, errors.New("a"), store.Tally{Refreshes: 2, Refreshed: 7, RefreshError: "a"}, true},
		{7, errors.New("b"), store.Tally{Refreshes: 2, Refreshed: 7, RefreshError: "b"}, true},
	} {
		errs = errors.Join(errs, l.Refreshed(ctx, "j", step.keys, step.failure))
		got, err := l.Tally(ctx, "j")
		what := fmt.Sprintf("after refresh %d: ", n)
		errs = errors.Join(errs,
			recent(what+"time of the last refresh", got.LastRefresh, begin, step.want.Refreshes > 0),
			recent(what+"time of the failure", got.RefreshFailed, begin, step.failed))
		got.LastRefresh, got.RefreshFailed = time.Time{}, time.Time{}
		errs = errors.Join(errs, differ(what+"tally", got, step.want, err))
	}
	got, err := l.Tally(ctx, "other")
	return errors.Join(errs, differ("another job's tally", got, store.Tally{}, err))
}

// checkReports: what the change feed could not load is shown until it is loaded, or for a few
// seconds after the last report.
func checkReports(ctx context.Context, l Ledger, pass func(time.Duration)) error {
	oldest := time.Now().Add(-time.Minute).UTC().Round(0)
	shown := func(what string, want *store.Pending) error {
		got, is, err := l.Pending(ctx, "j")
		if err == nil && is != (want != nil) {
			return fmt.Errorf("%s: shown: %v", what, is)
		}
		if want == nil {
			return err
		}
		return differ(what, got, *want, err)
	}
	failed := store.RefreshReport{Refreshes: 2, Keys: 5, Error: "down", Pending: 3, Oldest: oldest}
	errs := errors.Join(shown("before a report", nil), l.ReportRefreshes(ctx, "j", failed),
		shown("what failed", &store.Pending{Keys: 3, Since: oldest, Error: "down"}))
	tally, err := l.Tally(ctx, "j")
	tally.LastRefresh, tally.RefreshFailed = time.Time{}, time.Time{}
	errs = errors.Join(errs, differ("tally", tally, store.Tally{Refreshes: 2, Refreshed: 5, RefreshError: "down"}, err))
	pass(6 * time.Second)
	errs = errors.Join(errs, shown("after six seconds", nil), l.ReportRefreshes(ctx, "j", failed),
		l.ReportRefreshes(ctx, "j", store.RefreshReport{Refreshes: 1, Keys: 3}), shown("after a success", nil))
	tally, err = l.Tally(ctx, "j")
	tally.LastRefresh = time.Time{}
	return errors.Join(errs, differ("tally", tally, store.Tally{Refreshes: 5, Refreshed: 13}, err))
}

// recent: a time is set, and lies in the test, or it is not set at all.
func recent(what string, at, begin time.Time, set bool) error {
	if at.IsZero() == set || set && (at.Before(begin.Round(0)) || at.After(time.Now())) {
		return fmt.Errorf("%s is %v; set: want %v, and not before %v", what, at, set, begin)
	}
	return nil
}

const leaseTTL = 4 * time.Second

// checkLease: one holder at a time, and only it renews and gives back.
func checkLease(ctx context.Context, l Ledger, pass func(time.Duration)) error {
	errs := errors.Join(
		leases(ctx, l, "j", "a", true), leases(ctx, l, "j", "b", false), leases(ctx, l, "j", "a", false),
		leases(ctx, l, "other", "b", true),
		renews(ctx, l, "b", false), holds(ctx, l, "a", leaseTTL))
	pass(time.Second)
	errs = errors.Join(errs, holds(ctx, l, "a", leaseTTL-time.Second), renews(ctx, l, "a", true),
		holds(ctx, l, "a", leaseTTL))
	errs = errors.Join(errs, l.Release(ctx, "j", "b"), holds(ctx, l, "a", leaseTTL))
	errs = errors.Join(errs, l.Release(ctx, "j", "a"), holds(ctx, l, "", 0))
	errs = errors.Join(errs, leases(ctx, l, "j", "b", true), renews(ctx, l, "a", false), holds(ctx, l, "b", leaseTTL))
	return errors.Join(errs, leases(ctx, l, "other", "a", false)) // another job's lease was left alone
}

// checkLeaseLapses: a holder that was killed holds others up for no longer than the
// lease, and one that only was slow does not take the next one's away.
func checkLeaseLapses(ctx context.Context, l Ledger, pass func(time.Duration)) error {
	errs := leases(ctx, l, "j", "a", true)
	pass(leaseTTL - time.Second)
	errs = errors.Join(errs, leases(ctx, l, "j", "b", false), renews(ctx, l, "a", true))
	pass(leaseTTL - time.Second)
	errs = errors.Join(errs, holds(ctx, l, "a", time.Second))
	pass(2 * time.Second)
	// no one was first
	errs = errors.Join(errs, holds(ctx, l, "", 0), renews(ctx, l, "a", true), holds(ctx, l, "a", leaseTTL))
	pass(leaseTTL + time.Second)
	errs = errors.Join(errs, leases(ctx, l, "j", "b", true))
	return errors.Join(errs, renews(ctx, l, "a", false), l.Release(ctx, "j", "a"), holds(ctx, l, "b", leaseTTL))
}

func leases(ctx context.Context, l Ledger, job, holder string, want bool) error {
	got, err := l.Lease(ctx, job, holder, leaseTTL)
	return differ(holder+" takes the lease of "+job, got, want, err)
}

func renews(ctx context.Context, l Ledger, holder string, want bool) error {
	got, err := l.Renew(ctx, "j", holder, leaseTTL)
	return differ(holder+" renews", got, want, err)
}

// holds: the test itself takes some time, so up to half a second less may be left.
func holds(ctx context.Context, l Ledger, want string, left time.Duration) error {
	holder, got, err := l.Holder(ctx, "j")
	if err == nil && (got > left || got < left-500*time.Millisecond) {
		err = fmt.Errorf("%v is left of the lease, want %v", got, left)
	}
	return differ("holder", holder, want, err)
}
