package check

import (
	"context"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/budget"
	"github.com/stokerhq/stoker/store/postgres/pressure"
)

// budgetLimit is how long a look at the database's load may take.
const budgetLimit = 3 * time.Second

// budget looks at what runs may take of the database: a guard that cannot look stops every run.
func (f *Findings) budget(ctx context.Context, spec *jobs.Spec, s *connect.Servers) {
	b := spec.Postgres.Budget
	set, err := s.Ledger.BudgetShare(ctx)
	switch {
	case err == nil && set != "":
		f.add(Warn, "postgres.budget", "it is %s, set at run time; the spec says %s (stoker budget spec)", set,
			budget.ShareText(b.Share))
	case b.Share > 0:
		f.add(Pass, "postgres.budget", "runs take at most %s of a connection's time", budget.ShareText(b.Share))
	}
	if !b.Watches() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, budgetLimit)
	defer cancel()
	w := pressure.New(s.Source, spec.Postgres.Endpoint(), b)
	defer w.Close()
	reason, _, err := w.Reason(ctx)
	switch {
	case err != nil:
		f.add(Fail, "postgres.budget", "runs wait while the database cannot be looked at: %v", err)
	case reason != "":
		f.add(Warn, "postgres.budget", "runs wait now: %s", reason)
	default:
		f.add(Pass, "postgres.budget", "nothing keeps runs waiting now")
	}
}
