package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store"
)

func TestMain(m *testing.M) { Main(m) }

func TestFakeLedger(t *testing.T) {
	RunLedger(t, func(*testing.T) (Ledger, func(time.Duration)) {
		l := NewLedger()
		return l, l.Pass
	})
}

// Each broken ledger is caught by the check that is there for it.
func TestBrokenLedgers(t *testing.T) {
	for check, broken := range map[string]func(*FakeLedger) Ledger{
		"empty":             func(l *FakeLedger) Ledger { return alwaysComplete{l} },
		"records":           func(l *FakeLedger) Ledger { return oldestFirst{l} },
		"last complete run": func(l *FakeLedger) Ledger { return anyRunIsComplete{l} },
		"live progress":     func(l *FakeLedger) Ledger { return &liveForever{FakeLedger: l} },
		"sample":            func(l *FakeLedger) Ledger { return oneSample{l} },
		"missed ticks":      func(l *FakeLedger) Ledger { return missedEachTime{l} },
		"skipped ticks":     func(l *FakeLedger) Ledger { return skipless{l} },
		"refreshes":         func(l *FakeLedger) Ledger { return unforgiving{l} },
		"reports":           func(l *FakeLedger) Ledger { return neverLapses{l} },
		"audit":             func(l *FakeLedger) Ledger { return lastAudit{l} },
		"lease is exclusive": func(l *FakeLedger) Ledger {
			return anyoneReleases{l}
		},
		"lease lapses": func(l *FakeLedger) Ledger { return longLease{l} },
		"freshness":    func(l *FakeLedger) Ledger { return neverFails{l} },
		"budgets":      func(l *FakeLedger) Ledger { return whoeverWrites{l} },
	} {
		found := false
		for _, c := range ledgerChecks {
			if c.name != check {
				continue
			}
			found = true
			l := NewLedger()
			if c.check(t.Context(), broken(l), l.Pass) == nil {
				t.Errorf("%s: a broken ledger passed", check)
			}
		}
		if !found {
			t.Errorf("no check is called %q", check)
		}
	}
}

type alwaysComplete struct{ *FakeLedger }

func (l alwaysComplete) LastComplete(context.Context, string) (store.Record, bool, error) {
	return store.Record{}, true, nil
}

type oldestFirst struct{ *FakeLedger }

func (l oldestFirst) Runs(ctx context.Context, job string, n int) ([]store.Record, error) {
	all, err := l.FakeLedger.Runs(ctx, job, 1000)
	return all[max(0, len(all)-max(n, 0)):], err
}

type anyRunIsComplete struct{ *FakeLedger }

func (l anyRunIsComplete) Add(ctx context.Context, r store.Record) error {
	r.State = store.StateOK
	return l.FakeLedger.Add(ctx, r)
}

type liveForever struct {
	*FakeLedger
	p store.Progress
}

func (l *liveForever) Report(_ context.Context, p store.Progress) error {
	l.p = p
	return nil
}

func (l *liveForever) Live(_ context.Context, job string) (store.Progress, bool, error) {
	return l.p, l.p.Job == job, nil
}

// oneSample has one sample for all jobs.
type oneSample struct{ *FakeLedger }

func (l oneSample) Sample(ctx context.Context, _ string) ([]string, error) {
	keys, err := l.FakeLedger.Sample(ctx, "j")
	return append(keys, "x"), err
}

type missedEachTime struct{ *FakeLedger }

func (l missedEachTime) Missed(_ context.Context, job string, _ time.Time, n int64) error {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	j.tally.Missed += n
	return nil
}

type skipless struct{ *FakeLedger }

func (l skipless) Skipped(context.Context, string) error { return nil }

// unforgiving keeps an error after a good refresh.
type unforgiving struct{ *FakeLedger }

func (l unforgiving) Refreshed(ctx context.Context, job string, keys int, failure error) error {
	j, _ := l.lock(job)
	text, at := j.tally.RefreshError, j.tally.RefreshFailed
	l.mu.Unlock()
	err := l.FakeLedger.Refreshed(ctx, job, keys, failure)
	if failure == nil {
		j.tally.RefreshError, j.tally.RefreshFailed = text, at
	}
	return err
}

// neverLapses shows what a follower reported that is dead by now.
type neverLapses struct{ *FakeLedger }

func (l neverLapses) Pending(_ context.Context, job string) (store.Pending, bool, error) {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	return j.pending, j.pending.Keys > 0, nil
}

// lastAudit keeps what was counted last.
type lastAudit struct{ *FakeLedger }

func (l lastAudit) Audited(_ context.Context, job string, a store.Audit) error {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	j.tally.Audit = a
	return nil
}

type anyoneReleases struct{ *FakeLedger }

func (l anyoneReleases) Release(ctx context.Context, job, _ string) error {
	holder, _, err := l.Holder(ctx, job)
	if err != nil {
		return err
	}
	return l.FakeLedger.Release(ctx, job, holder)
}

type longLease struct{ *FakeLedger }

func (l longLease) Lease(ctx context.Context, job, holder string, ttl time.Duration) (bool, error) {
	return l.FakeLedger.Lease(ctx, job, holder, ttl*10)
}

type neverFails struct{ *FakeLedger }

func (l neverFails) Freshness(ctx context.Context, names []string) (store.Freshness, []store.LastRuns, error) {
	f, last, err := l.FakeLedger.Freshness(ctx, names)
	for i := range last {
		last[i].Failed = false
	}
	return f, last, err
}

type whoeverWrites struct{ *FakeLedger }

func (l whoeverWrites) KeepBudget(ctx context.Context, job string, c store.BudgetChange) (bool, error) {
	c.Before, _, _ = l.Budget(ctx, job)
	return l.FakeLedger.KeepBudget(ctx, job, c)
}
