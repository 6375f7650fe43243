package web

import (
	"fmt"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/web/past"
	"github.com/stokerhq/stoker/web/reads"
	"github.com/stokerhq/stoker/web/wording"
)

// statusView is what status.html shows.
type statusView struct {
	frame
	Jobs   []jobView
	Common []Failure // what is wrong with all jobs at once: see JobStatus.once
	Notice string    // one line above the jobs: what was asked for
	Reads  *reads.Report
}

// jobPageView is what job.html shows.
type jobPageView struct {
	frame
	Job    jobView
	Runs   []past.Run
	Notice string
	Base   string // where the API is, as the browser sees it
	Column string // an example of a key, as JSON and as an argument; empty without key columns
	Arg    string
}

// errorView is what error.html shows.
type errorView struct {
	Status int
	Title  string
	Reason string
}

// frame is what every page has around its content.
type frame struct {
	Now     time.Time
	Version string
	Queues  bool // the dashboard is mounted
	Metrics bool
	Logout  bool
}

// jobView words a JobStatus. Its methods are what the templates call.
type jobView struct {
	JobStatus
	Now time.Time
}

func (v jobView) TTL() string {
	return wording.Duration(time.Duration(v.TTLSeconds * float64(time.Second)))
}
func (v jobView) InNextTick() string   { return wording.In(v.Now, v.NextTick) }
func (v jobView) HasTick() bool        { return !v.NextTick.IsZero() }
func (v jobView) Unread() bool         { return v.unread }
func (v jobView) NeverRan() bool       { return !v.unread && v.LastRun == nil && v.Running == nil }
func (v jobView) RefreshedAgo() string { return wording.Ago(v.Now, v.LastRefresh) }

// WarmthPercent rounds down: 100 is said only when every sampled key was there.
func (v jobView) WarmthPercent() int { return int(*v.Warmth * 100) }

// WarmthLevel chooses the bar's colour.
func (v jobView) WarmthLevel() string {
	switch {
	case *v.Warmth >= 0.99:
		return "good"
	case *v.Warmth >= 0.8:
		return "fair"
	}
	return "bad"
}

func (v jobView) age() time.Duration { return time.Duration(*v.AgeSeconds * float64(time.Second)) }
func (v jobView) Age() string        { return wording.Roughly(v.age()) }

// AgePercent is the share of the TTL that is gone, 100 at most.
func (v jobView) AgePercent() int {
	if v.TTLSeconds <= 0 {
		return 0
	}
	return int(min(100, *v.AgeSeconds/v.TTLSeconds*100))
}

// AgeLevel chooses the bar's colour: past the TTL the values of that run are gone.
func (v jobView) AgeLevel() string {
	switch percent := v.AgePercent(); {
	case percent >= 100:
		return "bad"
	case percent >= 75:
		return "fair"
	}
	return "good"
}

func (v jobView) Last() past.Run { return past.Run{Record: *v.LastRun, Now: v.Now} }

// Progress is the line of a run that is going on.
func (v jobView) Progress() string {
	p := v.Running
	text := fmt.Sprintf("%s, %s, %s", wording.Quantity(p.Rows, "row", "rows"), wording.Quantity(p.Keys, "key", "keys"),
		wording.Size(p.Bytes))
	if spent := v.Now.Sub(p.Start); spent > 0 {
		text += fmt.Sprintf(" in %s, %s rows/s", wording.Roughly(spent), wording.Rate(p.Rows, spent))
	}
	if p.Waiting != "" {
		text += "; it waits: " + p.Waiting
	}
	return text
}

// ProgressPercent says 100 only when nothing is left: Expected is a guess, and a
// run may find more rows than it promised.
func (v jobView) ProgressPercent() int {
	return int(min(99, v.Running.Rows*100/max(1, v.Running.Expected)))
}

// Writes are the Redis servers that take no writes.
func (v statusView) Writes() []Failure { return v.only(FailedWrites) }

// Spec is why the spec was refused when it was loaded the last time, if it was.
func (v statusView) Spec() []Failure { return v.only(FailedSpec) }

// Conflicts are where other specs get in the way of this one.
func (v statusView) Conflicts() []Failure { return v.only(FailedApart) }

// Evictions is that the cache's Redis evicts keys, if it does.
func (v statusView) Evictions() []Failure { return v.only(FailedMemory) }

func (v statusView) only(of string) []Failure {
	return slices.DeleteFunc(slices.Clone(v.Common), func(f Failure) bool { return f.Of != of })
}

// Paused are the queues that are paused: they are the same for all jobs.
func (v statusView) Paused() []jobs.PausedQueue {
	if len(v.Jobs) == 0 {
		return nil
	}
	return v.Jobs[0].JobStatus.Paused
}

// totals is the line above the jobs.
type totals struct {
	Jobs, Running, Failing int64
	Keys, Bytes            int64
}

func (v statusView) Totals() totals {
	t := totals{Jobs: int64(len(v.Jobs))}
	for _, job := range v.Jobs {
		t.Keys += job.Keys
		t.Bytes += job.Bytes
		if job.Running != nil {
			t.Running++
		}
		if len(job.Failures) > 0 {
			t.Failing++
		}
	}
	return t
}

// Outage is the one reason why nothing could be read, so that it is reported once
// and not under every job.
func (v statusView) Outage() string {
	if len(v.Jobs) == 0 {
		return ""
	}
	for _, job := range v.Jobs {
		if !job.unread {
			return ""
		}
	}
	return v.Jobs[0].Failures[0].Message
}
