package state

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/web"
)

var (
	objectiveAge = describe("stoker_job_objective_age_seconds",
		"How old a value may be when it is read, by the objective of the spec.", "job")
	objectiveRatio = describe("stoker_job_objective_ratio",
		"How often that must hold, from 0 to 1, by the spec.", "job")
	objectiveWindow = describe("stoker_job_objective_window_seconds",
		"The time, back from now, that the ratio is of, by the spec.", "job")

	objectiveTotal = describe("stoker_job_objective_seconds_total",
		"Time that was counted for the objective, over all replicas and their restarts.", "job")
	objectiveGood = describe("stoker_job_objective_good_seconds_total",
		"Of that time, what is known to have been good: no value was older, and the keys were there.", "job")
	objectiveOldest = describe("stoker_job_objective_oldest_seconds",
		"How old a value can be now at most as readers find it: since the first COMMIT that it does not show, or "+
			"since it was last confirmed; absent if that is not known.", "job")
	objectiveMet = describe("stoker_job_objective_met", "1 if the objective holds now; 0 also if that is not known.",
		"job")
	objectiveLeft = describe("stoker_job_objective_budget_left_ratio",
		"Share of the error budget of the window that is left; below 0: the objective is missed.", "job")
	objectiveBurn = describe("stoker_job_objective_burn_rate",
		"How fast the error budget is used: at 1, all of it in one window of the objective.", "job", "over")
)

// objectiveMetrics are those of a job that has an objective. The counters are kept where all replicas share them: who
// exports them after another goes on with the same sums.
func objectiveMetrics(st web.JobStatus) []prometheus.Metric {
	o := st.Objective
	if o == nil {
		return nil
	}
	met := 0.0
	if o.Met {
		met = 1
	}
	list := []prometheus.Metric{gauge(objectiveMet, met, st.Name), gauge(objectiveLeft, o.LeftRatio(), st.Name),
		prometheus.MustNewConstMetric(objectiveTotal, prometheus.CounterValue, o.Total, st.Name),
		prometheus.MustNewConstMetric(objectiveGood, prometheus.CounterValue, o.Good, st.Name)}
	if o.Oldest != nil {
		list = append(list, gauge(objectiveOldest, *o.Oldest, st.Name))
	}
	for _, b := range o.Burn {
		list = append(list, gauge(objectiveBurn, b.Rate, st.Name, b.Over))
	}
	return list
}
