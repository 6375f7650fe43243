// Package warmz says how warm the cache is as a whole, how exactly that is known, and when it will be warm: for
// deployments that wait until readers can come.
//
//	ledger, sample of keys ──► web.Collect ──► Of ──► Report ──► /warmz, stoker wait, stoker status
package warmz

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web"
)

// Report is how warm some jobs are at one moment.
type Report struct {
	Share  float64 `json:"share"`                 // 0 to 1: keys that are in Redis, of all keys
	Error  float64 `json:"error"`                 // Share is off by at most this, with 95 % confidence
	ETA    *int64  `json:"eta_seconds,omitempty"` // until all are warm, as far as is known; absent: not known
	Reason string  `json:"reason,omitempty"`      // why not all is warm
	Jobs   []Job   `json:"jobs"`
}

// Job is how warm one job is.
type Job struct {
	Name   string  `json:"name"`
	Share  float64 `json:"share"`
	Error  float64 `json:"error"`
	Keys   int64   `json:"keys"`                  // of the last complete run, or as many as the run going on expects
	ETA    *int64  `json:"eta_seconds,omitempty"` // absent: warm, or not known
	Reason string  `json:"reason,omitempty"`
}

// Warm reports whether each job is warm to at least the share least. What a sample cannot tell apart from it counts as
// warm; Error says how much that may be.
func (r Report) Warm(least float64) bool {
	return !slices.ContainsFunc(r.Jobs, func(j Job) bool { return j.Share < least })
}

// String is the report in one line, as "99.2 % warm (± 0.4 at 95 %), in 12 s: product: 450,000 of 500,000 rows".
func (r Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s warm", Percent(r.Share))
	if r.Error > 0 {
		fmt.Fprintf(&b, " (± %.1f at 95 %%)", math.Ceil(r.Error*1000)/10)
	}
	if r.ETA != nil && *r.ETA > 0 {
		fmt.Fprintf(&b, ", all in about %s", time.Duration(*r.ETA)*time.Second)
	}
	if r.Reason != "" {
		b.WriteString(": " + r.Reason)
	}
	return b.String()
}

// Percent rounds down: 100 % is said only when nothing is missing.
func Percent(share float64) string {
	return fmt.Sprintf("%.4g %%", math.Floor(share*10000)/100)
}

// Of sums up the states of jobs as web.Collect has read them at now. slots is how many runs go on at a time.
func Of(statuses []web.JobStatus, slots int, now time.Time) Report {
	var r Report
	var keys, warm, variance, left, longest float64
	known := true
	running := slices.ContainsFunc(statuses, func(st web.JobStatus) bool { return st.Running != nil })
	usual := usualSize(statuses)
	for _, st := range statuses {
		job, eta, isKnown := ofJob(st, running, now)
		r.Jobs = append(r.Jobs, job)
		weight := float64(max(1, job.Keys))
		if job.Keys == 0 && st.LastSuccess.IsZero() {
			weight = usual
		}
		keys, warm, variance = keys+weight, warm+weight*job.Share, variance+math.Pow(weight*job.Error, 2)
		left, longest, known = left+eta, max(longest, eta), known && isKnown
		if job.Reason != "" && r.Reason == "" {
			r.Reason = job.Name + ": " + job.Reason
		}
	}
	if keys == 0 {
		r.Share = 1
		return r
	}
	r.Share, r.Error = min(1, warm/keys), min(1, math.Sqrt(variance)/keys)
	if known && r.Reason != "" {
		r.ETA = seconds(max(longest, left/float64(max(1, slots))))
	}
	return r
}

// usualSize is how many keys a job has on average: what one is taken to have that was never run.
func usualSize(statuses []web.JobStatus) float64 {
	keys, known := int64(0), int64(0)
	for _, st := range statuses {
		if st.Keys > 0 {
			keys, known = keys+st.Keys, known+1
		}
	}
	return max(1, float64(keys)/float64(max(1, known)))
}

// ofJob returns the state of one job, and how many seconds of a run it needs.
func ofJob(st web.JobStatus, othersRun bool, now time.Time) (job Job, eta float64, known bool) {
	job = Job{Name: st.Name, Keys: st.Keys}
	switch {
	case st.Warmth != nil:
		job.Share, job.Error = *st.Warmth, sampleError(*st.Warmth, st.Sampled, st.Keys)
	case !st.LastSuccess.IsZero() && st.Keys == 0:
		job.Share = 1 // there is nothing to be had
	case st.Keys > 0 && st.Running == nil:
		job.Error = 1 // the sample is lost
	}
	if st.Running != nil {
		if done := doneOf(st.Running); st.Warmth == nil || done > job.Share {
			job.Share = done
		}
		job.Keys = max(job.Keys, st.Running.Expected)
	}
	if job.Share >= 1 {
		return job, 0, true
	}
	eta, known = job.explain(st, othersRun, now)
	if known {
		job.ETA = seconds(eta)
	}
	return job, eta, known
}

// explain says why a job is not warm, and how long it will take.
func (j *Job) explain(st web.JobStatus, othersRun bool, now time.Time) (eta float64, known bool) {
	took, ran := 0.0, st.LastComplete != nil
	if ran {
		took = st.LastComplete.End.Sub(st.LastComplete.Start).Seconds()
	}
	switch p := st.Running; {
	case p != nil && p.Waiting != "":
		j.Reason = "its run waits: " + p.Waiting
		return 0, false
	case p != nil:
		j.Reason = fmt.Sprintf("its run has read %d rows of about %d", p.Rows, p.Expected)
		spent := now.Sub(p.Start).Seconds()
		if p.Rows == 0 || p.Expected == 0 || spent <= 0 {
			return took, ran
		}
		return max(0, float64(p.Expected-p.Rows)) * spent / float64(p.Rows), true
	case len(st.Failures) > 0:
		title := st.Failures[0].Title()
		j.Reason = strings.ToLower(title[:1]) + title[1:] + " (stoker status says why)"
		return 0, false
	case len(st.Paused) > 0:
		j.Reason = st.Paused[0].String()
		return 0, false
	case st.LastRun == nil:
		j.Reason = "it has never been run"
		return 0, false
	case othersRun:
		j.Reason = "its run waits for its turn, or for its tick"
		return took, ran
	case !st.NextTick.IsZero():
		j.Reason = "keys are missing until its next run"
		return st.NextTick.Sub(now).Seconds() + took, ran
	}
	j.Reason = "keys are missing, and it has no schedule: stoker warm " + j.Name
	return 0, false
}

// doneOf is the share of a run that is done. It is never all: Expected is a guess.
func doneOf(p *store.Progress) float64 {
	if p.Expected <= 0 {
		return 0
	}
	return min(0.999, float64(p.Rows)/float64(p.Expected))
}

// sampleError is by how much the share of a sample may be off, with 95 % confidence: by the normal approximation, and
// 3/n where the sample is all of a kind (Hanley and Lippman-Hand, 1983). A sample of all keys is exact.
func sampleError(share float64, n int, keys int64) float64 {
	switch {
	case n == 0:
		return 1
	case int64(n) >= keys:
		return 0
	case share <= 0 || share >= 1:
		return min(1, 3/float64(n))
	}
	return 1.96 * math.Sqrt(share*(1-share)/float64(n)*(1-float64(n)/float64(keys)))
}

func seconds(s float64) *int64 { return new(int64(math.Ceil(s))) }
