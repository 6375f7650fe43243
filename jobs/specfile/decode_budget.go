package specfile

import (
	"github.com/stokerhq/stoker/jobs/budget"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

func (d *decoder) budgetFields(b *budget.Budget) []field.Field {
	return []field.Field{
		{Name: "budget", Type: field.BudgetShare, Default: "no limit", InWords: true, Example: "25%",
			Doc: "The share of one connection's time that all runs of all daemons take together.",
			Set: single(d, &b.Share, parseBudgetShare)},
		{Name: "max_lag", Type: field.Duration, Default: "not looked at", InWords: true, Example: "10s",
			Doc: "Runs wait while a physical standby is further behind; the role needs pg_monitor.",
			Set: single(d, &b.MaxLag, parsePositive)},
		{Name: "throttle_query", Type: field.Query, Default: "none", InWords: true,
			Example: "SELECT count(*) > 40 FROM pg_stat_activity WHERE state = 'active'",
			Doc: "A SELECT of one value, asked ten times a second while runs go on: they wait unless it is false, 0, " +
				"empty or NULL.",
			Set: single(d, &b.Query, parseQuery)},
		{Name: "max_snapshot_age", Type: field.Duration, Default: "5m",
			Doc: "How old the snapshot of a run may get by its pauses, which keep Postgres from cleaning up; from " +
				"then on the run goes on without.",
			Set: single(d, &b.MaxSnapshotAge, parsePositive)},
	}
}

func parseBudgetShare(s string) (float64, error) {
	share, err := budget.ParseShare(s)
	if err != nil {
		return 0, wrong(err.Error(), "write it as in 25%, or leave it out for no limit")
	}
	return share, nil
}
