package specfile

import (
	"fmt"
	"strconv"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// unmet says why a job cannot meet its objective even if nothing ever fails, and what would do; "" if it can.
func unmet(j *jobs.Job, source jobs.Source) (message, hint string) {
	o := j.Objective
	if o == nil {
		return "", ""
	}
	followed := j.Followed(source)
	shortest := j.TTL - time.Duration(float64(j.TTL)*j.Jitter)
	if j.Schedule == nil && followed {
		return fmt.Sprintf(": the objective cannot be met without a schedule: a value that does not change is gone "+
			"after its ttl, %s or sooner", short(j.TTL)), "add a schedule whose period is shorter than the ttl"
	}
	if j.Schedule == nil {
		return ": the objective cannot be met: neither a schedule nor changes that are followed confirm its values",
			"add a schedule whose period is at most " + short(o.Age)
	}
	period := j.Schedule.Period(aDay)
	if !followed && !within(o.Age, period, o.Ratio) {
		return fmt.Sprintf(": the objective cannot be met: values are confirmed by runs alone, every %s, so that they "+
			"are older than %s for about %s of the time", short(period), short(o.Age),
			share(1-float64(o.Age)/float64(period))), slower(j, source)
	}
	if !within(shortest, period, o.Ratio) {
		return fmt.Sprintf(": the objective cannot be met: a key lives as short as %s, and is written again every %s "+
			"only", short(shortest), short(period)), "raise the ttl above the period of the schedule"
	}
	return "", ""
}

// within reports whether what holds for a time out of each period holds for the ratio.
func within(d, period time.Duration, ratio float64) bool {
	return float64(d) >= ratio*float64(period)
}

// slower is what would make an objective possible that the schedule alone does not meet.
func slower(j *jobs.Job, source jobs.Source) string {
	more := "shorten the schedule's period to " + short(j.Objective.Age) + " or raise objective.age"
	switch {
	case j.Volatile:
		return more + "; changes cannot help, for the query is volatile"
	case source == jobs.SourceNone:
		return more + ", or set changes.source and watch the tables"
	}
	return more + ", or watch the tables"
}

// share is 0.8 as 80 %.
func share(v float64) string { return strconv.FormatFloat(v*100, 'f', 0, 64) + " %" }
