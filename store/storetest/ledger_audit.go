package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stokerhq/stoker/store"
)

// checkAudit: counts add up, and times say when.
func checkAudit(ctx context.Context, l Ledger, _ func(time.Duration)) error {
	begin := time.Now()
	var errs error
	for n, step := range []struct{ add, want store.Audit }{
		{store.Audit{Checked: 50}, store.Audit{Checked: 50}},
		{store.Audit{Checked: 25, Stale: 2, Missing: 1, Repaired: 3, Confirm: someTime},
			store.Audit{Checked: 75, Stale: 2, Missing: 1, Repaired: 3, Confirm: someTime}},
		{store.Audit{Checked: 1}, store.Audit{Checked: 76, Stale: 2, Missing: 1, Repaired: 3, Confirm: someTime}},
		{store.Audit{Confirm: someTime.Add(time.Hour)},
			store.Audit{Checked: 76, Stale: 2, Missing: 1, Repaired: 3, Confirm: someTime.Add(time.Hour)}},
	} {
		errs = errors.Join(errs, l.Audited(ctx, "j", step.add))
		tally, err := l.Tally(ctx, "j")
		got, what := tally.Audit, fmt.Sprintf("after audit %d: ", n)
		errs = errors.Join(errs,
			recent(what+"since when", got.Since, begin, true),
			recent(what+"the last find", got.LastFind, begin, step.want.Stale > 0))
		got.Since, got.LastFind = time.Time{}, time.Time{}
		errs = errors.Join(errs, differ(what+"counts", got, step.want, err))
	}
	tally, err := l.Tally(ctx, "other")
	return errors.Join(errs, differ("another job's tally", tally, store.Tally{}, err))
}
