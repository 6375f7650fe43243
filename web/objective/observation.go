package objective

import (
	"fmt"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/wording"
)

// observation is what one look has found of a job.
type observation struct {
	known     bool   // records and epoch were read
	confirmed int64  // all values were equal to the database then; 0: nothing says so
	epoch     uint32 // it is now
	history   uint32 // the epoch in which this history began
	warmUntil int64  // the sample of keys was there, and counts up to here
	trouble   string // the most likely reason if the job is bad
}

// The parts of a look.
type (
	// sight is what is known of all jobs.
	sight struct {
		source         jobs.Source
		fresh          store.Freshness
		epoch, history uint32
	}
	// warmth is the last look at the sample of a job's keys.
	warmth struct {
		at               time.Time // zero: none could be read
		present, sampled int
	}
)

// least is the share of the sample that has to be there. A sample of 400 keys that has 95 % is of a cache that has 93 %
// to 97 %; keys of rows that are gone since the last run are missing from it, too.
const least = 0.95

// of says what is known of a job.
func (s sight) of(job *jobs.Job, runs store.LastRuns, w warmth) observation {
	o := observation{known: true, epoch: s.epoch, history: s.history}
	complete := runs.Complete
	current := runs.Has && complete.Epoch >= s.history && complete.Epoch <= s.epoch
	switch {
	case !runs.Has:
		o.trouble = "no run has been complete yet"
	case !current:
		o.trouble = "the cache was lost, or Postgres was replaced, and the job is not run again yet"
	case !job.Defines(complete.Definition):
		current = false
		o.trouble = "the job was changed, and is not run again yet"
	case complete.Held > 0:
		current = false
		o.trouble = fmt.Sprintf("%s that are gone from the result are held",
			wording.Quantity(complete.Held, "key", "keys"))
	case len(complete.Filtered) > 0:
		current = false
		o.trouble = "row-level security hides the rows from Stoker's role"
	case runs.Failed:
		o.trouble = "the last run failed"
	}
	if current {
		o.confirmed = complete.Start.UnixMilli()
	}
	if current && job.Followed(s.source) {
		o.followed(s, job, runs)
	}
	o.warmUntil = w.until(complete)
	if !w.warm(complete) && runs.Has {
		o.trouble = w.reason()
	}
	return o
}

// followed adds what the change feed knows. It says nothing of a job that was not run since changes may have been
// missed, or whose last run has failed: that may be the run which a change has asked for.
func (o *observation) followed(s sight, job *jobs.Job, runs store.LastRuns) {
	shown, is := s.fresh.Shown[job.Name]
	switch {
	case s.fresh.Epoch != s.epoch || runs.Complete.Epoch != s.epoch:
		o.trouble = "changes may have been missed, and the job is not run again yet"
	case !is:
		o.trouble = "its changes are not followed"
	case runs.Failed: // said
	default:
		o.confirmed = max(o.confirmed, shown.UnixMilli())
		o.trouble = "changed rows do not show yet, or the change feed is behind"
	}
}

// warm reports whether the keys of the last complete run are there.
func (w warmth) warm(complete store.Record) bool {
	if complete.Keys == 0 {
		return true
	}
	return !w.at.IsZero() && w.sampled > 0 && float64(w.present) >= least*float64(w.sampled)
}

// until is how long the sample counts.
func (w warmth) until(complete store.Record) int64 {
	if !w.warm(complete) || w.at.IsZero() {
		return 0
	}
	return w.at.Add(warmCounts).UnixMilli()
}

func (w warmth) reason() string {
	switch {
	case w.at.IsZero():
		return "the sample of its keys cannot be looked at"
	case w.sampled == 0:
		return "no sample of its keys is there"
	}
	return fmt.Sprintf("%d %% of %d sampled keys are in Redis", 100*w.present/w.sampled, w.sampled)
}

// reason says why an account is bad.
func (o observation) reason(a *account, now int64) string {
	age := "how old the values are is not known"
	if a.Confirmed > 0 {
		age = "the oldest value may be " + wording.Roughly(time.Duration(now-a.Confirmed)*time.Millisecond) + " old"
	}
	if o.trouble == "" {
		return age
	}
	return age + ": " + o.trouble
}
