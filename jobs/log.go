package jobs

// Keys of structured log lines, the same on every hop of a key's way.
const (
	LogJob   = "job"
	LogDue   = "due"
	LogTask  = "task_id"
	LogCause = "cause"
	LogErr   = "err"
)
