package report

// Foreground is what pgbench felt of what went on behind it.
type Foreground struct {
	Round   int     `json:"round"`
	State   string  `json:"state"`
	TPS     float64 `json:"transactions_per_s"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Written float64 `json:"redis_mb_per_s"` // into the cache
}

// What goes on behind pgbench: nothing, a re-warm by three daemons, and the same under a budget.
const (
	ForegroundAlone  = "alone"
	ForegroundRewarm = "beside a re-warm"
	ForegroundBudget = "beside a re-warm under budget: 25%"
)

// ForegroundStates in the order in which they are measured.
var ForegroundStates = []string{ForegroundAlone, ForegroundRewarm, ForegroundBudget}

// foreground holds a re-warm under a budget to what the application may feel of it.
func (r *Report) foreground() {
	tps, p99 := map[string][]float64{}, map[string][]float64{}
	for _, f := range r.Foreground {
		tps[f.State], p99[f.State] = append(tps[f.State], f.TPS), append(p99[f.State], f.P99)
	}
	if len(r.Foreground) == 0 {
		return
	}
	for _, state := range ForegroundStates[1:] {
		lost, slower := Goal{Unit: "%"}, Goal{}
		if state == ForegroundBudget {
			lost.Limit, lost.Target = AtMost, 10
			slower.Limit, slower.Target = AtMost, 1.25
		}
		kept := over(Median(tps[state]), Median(tps[ForegroundAlone]))
		r.goal(lost, "pgbench "+state+": transactions lost", 100*(1-kept))
		r.goal(slower, "pgbench "+state+": p99 / alone", over(Median(p99[state]), Median(p99[ForegroundAlone])))
	}
}
