package storetest

import (
	"context"
	"maps"

	"github.com/stokerhq/stoker/store"
)

// account is that of a job's objective.
type account struct {
	state string
	kept  map[string]string
}

// ReportFreshness keeps what the follower of the change feed says.
func (l *FakeLedger) ReportFreshness(_ context.Context, f store.Freshness) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fresh = store.Freshness{Epoch: f.Epoch, Shown: maps.Clone(f.Shown)}
	return nil
}

// Freshness returns what the follower has said last, and the last runs of jobs.
func (l *FakeLedger) Freshness(ctx context.Context, names []string) (f store.Freshness, last []store.LastRuns,
	err error) {
	for _, job := range names {
		complete, has, err := l.LastComplete(ctx, job)
		if err != nil {
			return f, nil, err
		}
		runs, err := l.Runs(ctx, job, 1)
		if err != nil {
			return f, nil, err
		}
		failed := len(runs) > 0 && runs[0].State == store.StateFailed
		last = append(last, store.LastRuns{Complete: complete, Has: has, Failed: failed})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return store.Freshness{Epoch: l.fresh.Epoch, Shown: maps.Clone(l.fresh.Shown)}, last, nil
}

// Budget returns the state of an account and fields beside it.
func (l *FakeLedger) Budget(_ context.Context, job string, fields ...string) (state string, kept []string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[job]
	kept = make([]string, len(fields))
	for i, field := range fields {
		kept[i] = a.kept[field]
	}
	return a.state, kept, nil
}

// KeepBudget changes an account that is as it was read.
func (l *FakeLedger) KeepBudget(_ context.Context, job string, c store.BudgetChange) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[job]
	if a.state != c.Before {
		return false, nil
	}
	if a.kept == nil {
		a.kept = make(map[string]string)
	}
	maps.Copy(a.kept, c.Set)
	for _, field := range c.Drop {
		delete(a.kept, field)
	}
	a.state = c.After
	if l.accounts == nil {
		l.accounts = make(map[string]account)
	}
	l.accounts[job] = a
	return true, nil
}

// DropBudgets forgets accounts.
func (l *FakeLedger) DropBudgets(_ context.Context, names []string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, job := range names {
		delete(l.accounts, job)
	}
	return nil
}
