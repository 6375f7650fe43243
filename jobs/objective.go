package jobs

import "time"

// Objective is how old a job's values may be when they are read, and how often that must hold.
//
// The age of a value is the time since it stopped being what Postgres holds: since the COMMIT of the first change that
// it does not show. Where changes are not followed nobody knows when that was: there its age is the time since it was
// last confirmed to be equal, which is when the last complete run began. A second is good if no value of the job was
// older than Age in it, and the keys were there.
type Objective struct {
	Age    time.Duration // that no value may pass
	Ratio  float64       // of the time, above 0 and below 1
	Window time.Duration // that Ratio is of, back from now
}

// The limits of an Objective, and the window of one that names none.
const (
	ShortestObjectiveAge    = 5 * time.Second // freshness is looked at once a second
	ShortestObjectiveWindow = 24 * time.Hour
	LongestObjectiveWindow  = 90 * 24 * time.Hour
	DefaultObjectiveWindow  = 30 * 24 * time.Hour
)

// Budget is how much of the window may be bad.
func (o Objective) Budget() time.Duration {
	return time.Duration((1 - o.Ratio) * float64(o.Window))
}

// Followed reports whether changes can say how fresh the job's values are: it watches tables, and its query reads
// nothing that changes by itself, such as the time.
func (j *Job) Followed(source Source) bool {
	return source != SourceNone && len(j.Watch) > 0 && !j.Volatile
}

// HasObjective reports whether a job has an objective.
func (s *Spec) HasObjective() bool {
	for _, job := range s.Jobs {
		if job.Objective != nil {
			return true
		}
	}
	return false
}
