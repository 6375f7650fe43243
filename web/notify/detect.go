package notify

import (
	"fmt"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web"
)

// incident is something that needs a person. It is notified once, and again only after it was over.
type incident struct {
	Event   jobs.Event
	Job     string // empty: of no job
	Message string
	At      time.Time
	Run     string // the task that it happened to
}

// name identifies an incident while it lasts.
func (i incident) name() string { return string(i.Event) + ":" + i.Job }

// coldBelow is the share of warm keys below which a job counts as cold. It is looked at twice in a row: a sample has
// an error, and a run that replaces a set may be half way.
const coldBelow = 0.95

// staleLasts is how long a finding of the audit counts as an incident after the last one.
const staleLasts = time.Hour

// detect returns the incidents that a state of the jobs shows. What could not be read shows none, and ends none:
// known reports for which jobs the state was read.
func detect(statuses []web.JobStatus, now time.Time) (list []incident, known map[string]bool) {
	known = make(map[string]bool)
	for _, st := range statuses {
		if failedRead(st) {
			continue
		}
		known[st.Name] = true
		if r := st.LastRun; r != nil && r.State == store.StateFailed {
			list = append(list, incident{jobs.EventRunFailed, st.Name, "the last run failed: " + r.Error, r.End, r.ID})
		}
		if r := st.LastRun; r != nil && r.State == store.StateOK && r.Held > 0 {
			list = append(list, incident{jobs.EventShrinkHeld, st.Name,
				fmt.Sprintf("the result has shrunk: %d keys that "+
					"are gone from it are held; look at the query, or: stoker warm %s --accept-shrink", r.Held,
					st.Name),
				r.End, r.ID})
		}
		if a := st.Audit; a != nil && !a.LastFind.IsZero() && now.Sub(a.LastFind) < staleLasts {
			list = append(list, incident{jobs.EventStaleFound, st.Name,
				fmt.Sprintf("the audit found values that differ "+
					"from the database (%d in all); each is in the log with its cause; or: stoker verify %s", a.Stale,
					st.Name),
				a.LastFind, ""})
		}
		if st.Warmth != nil && *st.Warmth < coldBelow && st.Running == nil {
			list = append(list, incident{jobs.EventCold, st.Name, fmt.Sprintf("%.0f %% of its keys are in Redis, by a "+
				"sample of %d", *st.Warmth*100, st.Sampled), now, ""})
		}
	}
	return list, known
}

func failedRead(st web.JobStatus) bool {
	for _, f := range st.Failures {
		if f.Of == web.FailedStatus {
			return true
		}
	}
	return false
}
