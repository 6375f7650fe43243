package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/stokerhq/stoker/store"
)

// checkFreshness: what was said last is read, with the last complete run of each job, and whether the last one failed.
func checkFreshness(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	f, last, err := l.Freshness(ctx, []string{"j"})
	errs := errors.Join(differ("of nothing", f, store.Freshness{}, err),
		differ("runs of nothing", last, []store.LastRuns{{}}, nil))
	run, failed := complete("j", 1), complete("j", 2)
	failed.State = store.StateFailed
	said := store.Freshness{Epoch: 7, Shown: map[string]time.Time{"j": someTime, "k": someTime.Add(time.Hour)}}
	errs = errors.Join(errs, l.Add(ctx, run), l.Add(ctx, failed), l.Add(ctx, complete("k", 3)),
		l.ReportFreshness(ctx, store.Freshness{Epoch: 6, Shown: map[string]time.Time{"gone": someTime}}),
		l.ReportFreshness(ctx, said))
	f, last, err = l.Freshness(ctx, []string{"k", "never", "j"})
	return errors.Join(errs, differ("what was said", f, said, err), differ("last runs", last, []store.LastRuns{
		{Complete: complete("k", 3), Has: true}, {}, {Complete: run, Has: true, Failed: true}}, nil))
}

// checkBudgets: an account is changed by who has read it as it is, and by nobody else.
func checkBudgets(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	state, kept, err := l.Budget(ctx, "j", "a", "b")
	errs := errors.Join(differ("no account", state, "", err), differ("nothing is kept", kept, []string{"", ""}, nil))
	for _, step := range []struct {
		before, after string
		set           map[string]string
		drop          []string
		changed       bool
		state         string
		kept          []string
	}{
		{"", "one", map[string]string{"a": "1", "b": "2"}, nil, true, "one", []string{"1", "2"}},
		{"", "two", map[string]string{"a": "9"}, []string{"b"}, false, "one", []string{"1", "2"}},
		{"one", "two", nil, []string{"b", "never"}, true, "two", []string{"1", ""}},
		{"one", "three", nil, nil, false, "two", []string{"1", ""}},
	} {
		changed, err := l.KeepBudget(ctx, "j", store.BudgetChange{Before: step.before, After: step.after, Set: step.set,
			Drop: step.drop, Keep: time.Hour})
		errs = errors.Join(errs, differ(step.after+" after "+step.before, changed, step.changed, err))
		state, kept, err = l.Budget(ctx, "j", "a", "b")
		errs = errors.Join(errs, differ("state", state, step.state, err), differ("kept", kept, step.kept, nil))
	}
	state, _, err = l.Budget(ctx, "other", "a")
	errs = errors.Join(errs, differ("another job's account", state, "", err), l.DropBudgets(ctx, []string{"j", "none"}))
	state, kept, err = l.Budget(ctx, "j", "a")
	return errors.Join(errs, differ("after it was dropped", state, "", err),
		differ("kept then", kept, []string{""}, nil))
}
