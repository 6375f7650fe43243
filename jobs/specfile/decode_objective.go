package specfile

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

func (d *decoder) objectiveFields(o *jobs.Objective) []field.Field {
	return []field.Field{
		{Name: "age", Type: field.ObjectiveAge, Missing: "add age: how old a value may be, as in 60s", Example: "60s",
			Doc: "How old a value may be when it is read: the time since it stopped being what Postgres holds.",
			Set: single(d, &o.Age, parseObjectiveAge)},
		{Name: "ratio", Type: field.Ratio, Missing: "add ratio: how often that must hold, as in 99.9%",
			Example: "99.9%",
			Doc:     "The share of the time in which no value may be older; the rest is the error budget.",
			Set:     single(d, &o.Ratio, parseRatio)},
		{Name: "window", Type: field.Window, Default: "30d",
			Doc: "The time, back from now, that the ratio and the error budget are of: 1d to 90d.",
			Set: single(d, &o.Window, parseWindow)},
	}
}

// objective reads the objective of a job.
func (d *decoder) objective(n *yaml.Node, j *jobs.Job) {
	o := jobs.Objective{Window: jobs.DefaultObjectiveWindow}
	if d.fields(n, "objective", d.objectiveFields(&o)) != nil {
		j.Objective = &o
	}
}

func parseObjectiveAge(s string) (time.Duration, error) {
	age, err := parsePositive(s)
	if err == nil && age < jobs.ShortestObjectiveAge {
		return 0, wrong("is shorter than "+short(jobs.ShortestObjectiveAge),
			"how fresh values are is looked at once a second, so that less cannot be told")
	}
	return age, err
}

// parseRatio reads "99.9%" as 0.999. What is always to hold leaves no budget to measure.
func parseRatio(s string) (float64, error) {
	number, percent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	switch {
	case err != nil || !percent:
		return 0, wrong("is not a percentage", "write it as in 99.9%")
	case v == 100:
		return 0, wrong("leaves no error budget", "write what may fail now and then, as in 99.9%")
	case !(v > 0 && v < 100): // so that NaN is refused too
		return 0, wrong("is outside 0% to 100%", "write it as in 99.9%")
	}
	return math.Round(v*1e10) / 1e12, nil // 0.999, and not 0.9990000000000001
}

func parseWindow(s string) (time.Duration, error) {
	w, err := parsePositive(s)
	if err == nil && (w < jobs.ShortestObjectiveWindow || w > jobs.LongestObjectiveWindow) {
		return 0, wrong(fmt.Sprintf("is outside %s to %s", inDays(jobs.ShortestObjectiveWindow),
			inDays(jobs.LongestObjectiveWindow)), "write it as in 7d or 30d")
	}
	return w, err
}

func inDays(d time.Duration) string { return strconv.Itoa(int(d/(24*time.Hour))) + "d" }
