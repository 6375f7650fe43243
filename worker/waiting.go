package worker

import (
	"fmt"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// waited is what a run remembers of a Redis that did not answer.
type waited struct {
	mu    sync.Mutex
	since time.Time // zero: it answers
	total time.Duration
}

// noteWaiting says, in log and progress, that the run waits for Redis because of err, and with nil that it goes on.
func (r *run) noteWaiting(err error) {
	r.waited.mu.Lock()
	defer r.waited.mu.Unlock()
	if err != nil {
		r.waited.since = time.Now()
		r.waiting.Store(new(fmt.Sprintf("redis does not answer: %v", err)))
		r.w.log.Warn("a run waits for redis, until the job's timeout is over", jobs.LogJob, r.job.Name, jobs.LogTask,
			r.rec.ID, "timeout", r.job.Timeout, jobs.LogErr, err)
		return
	}
	spent := time.Since(r.waited.since)
	r.waited.since, r.waited.total = time.Time{}, r.waited.total+spent
	r.waiting.Store(nil)
	r.w.log.Info("a run no longer waits for redis", jobs.LogJob, r.job.Name, jobs.LogTask, r.rec.ID, "waited", spent)
}

// withWaiting adds to the reason for which a run has ended how long it waited for Redis.
func (r *run) withWaiting(cause error) error {
	r.waited.mu.Lock()
	defer r.waited.mu.Unlock()
	total := r.waited.total
	if !r.waited.since.IsZero() {
		total += time.Since(r.waited.since)
	}
	if total < time.Second {
		return cause
	}
	return fmt.Errorf("%w, and %s of that redis did not answer", cause, total.Round(time.Second))
}
