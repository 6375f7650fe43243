package changes

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
)

// dispatcher enqueues runs of jobs that changes ask for, one of a job at a time, and keeps each
// until it is done. A run that Redis has lost, or that failed, is enqueued again.
type dispatcher struct {
	queue   Queue
	tasks   jobs.TaskReader
	metrics *Metrics
	tracer  *tracing.Tracer
	log     *slog.Logger
	wake    chan struct{}

	mu   sync.Mutex          // never held while Redis is asked: a fencer must not wait for the queue
	jobs map[string]*jobRuns // :: job name
}

// jobRuns is what the dispatcher knows of one job.
type jobRuns struct {
	job        *jobs.Job
	wanted     *rerun    // waits to be enqueued; nil: none does
	dispatched *rerun    // is on a queue or in hand; nil: none is
	last       time.Time // when the last run was enqueued
	failures   int       // of runs, one after the other
	lookedAt   time.Time // at the task of dispatched
}

// rerun is a run that a change asks for.
type rerun struct {
	reason    string
	round     uint64    // of the oldest change that it is for
	committed time.Time // the oldest of these; zero: not known
	id, queue string    // of its task
	changes   []tracing.Link
}

// How a dispatcher spends time.
const (
	taskLook     = 500 * time.Millisecond // how often it looks at a task
	enqueuePause = 200 * time.Millisecond // after the queue has refused

	// runPause is how soon a job is run again, at the soonest. It doubles while runs fail.
	runPause   = time.Second
	mostPauses = 5
)

func newDispatcher(c Config) *dispatcher {
	return &dispatcher{queue: c.Queue, tasks: c.Tasks, metrics: c.Metrics, tracer: c.Tracer, log: c.Log,
		wake: make(chan struct{}, 1), jobs: make(map[string]*jobRuns)}
}

// add asks for a run of a job, because of changes of which the oldest was committed then, and one has this span.
func (d *dispatcher) add(job *jobs.Job, reason string, round uint64, committed time.Time, change tracing.Link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.jobs[job.Name]
	if r == nil {
		r = &jobRuns{job: job}
		d.jobs[job.Name] = r
	}
	r.want(reason, round, committed, change)
	signal(d.wake)
}

func (r *jobRuns) want(reason string, round uint64, committed time.Time, changes ...tracing.Link) {
	if r.wanted == nil {
		r.wanted = &rerun{reason: reason, round: round, committed: committed}
	}
	r.wanted.round, r.wanted.committed = min(r.wanted.round, round), older(r.wanted.committed, committed)
	for _, change := range changes {
		if !change.IsZero() && len(r.wanted.changes) < tracing.MostLinks {
			r.wanted.changes = append(r.wanted.changes, change)
		}
	}
}

// oldest implements rounds.
func (d *dispatcher) oldest() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	oldest := uint64(noRound)
	for _, r := range d.jobs {
		for _, run := range []*rerun{r.wanted, r.dispatched} {
			if run != nil {
				oldest = min(oldest, run.round)
			}
		}
	}
	return oldest
}

// committed implements places.
func (d *dispatcher) committed(job string) (oldest time.Time, waits bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.jobs[job]
	if r == nil {
		return oldest, false
	}
	for _, run := range []*rerun{r.wanted, r.dispatched} {
		if run != nil {
			oldest, waits = oldestOf(oldest, waits, run.committed)
		}
	}
	return oldest, waits
}

// run enqueues until ctx ends.
func (d *dispatcher) run(ctx context.Context) {
	for {
		var later <-chan time.Time
		if look := d.turn(ctx); look > 0 {
			later = time.After(look)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-later:
		}
	}
}

// turn looks at the tasks of dispatched runs and enqueues what is wanted. It returns when to do
// so again; 0: when a run is asked for.
func (d *dispatcher) turn(ctx context.Context) (look time.Duration) {
	d.mu.Lock()
	all := slices.Collect(maps.Values(d.jobs))
	d.mu.Unlock()
	for _, r := range all {
		d.check(r, time.Now())
		refused := d.enqueue(ctx, r)
		d.mu.Lock()
		busy := r.wanted != nil || r.dispatched != nil
		d.mu.Unlock()
		next := taskLook
		if refused {
			next = enqueuePause
		}
		if busy && (look == 0 || next < look) {
			look = next
		}
	}
	return look
}

// check finds out what became of a job's task, if it is time to.
func (d *dispatcher) check(r *jobRuns, now time.Time) {
	d.mu.Lock()
	run := r.dispatched
	due := run != nil && now.Sub(r.lookedAt) >= taskLook
	if due {
		r.lookedAt = now
	}
	d.mu.Unlock()
	if !due {
		return
	}
	status := d.status(run)
	d.mu.Lock()
	defer d.mu.Unlock()
	if status == taskLost || status == taskFailed {
		d.log.Warn("a run that changes asked for is enqueued again: "+string(status), jobs.LogJob, r.job.Name,
			jobs.LogTask, run.id)
		d.metrics.lost.Inc()
	}
	r.apply(status)
}

// apply acts upon what became of the dispatched run. A run that failed is tried again and
// again, but it no longer holds back the feed's position: a query that is broken must not make
// Postgres keep WAL.
func (r *jobRuns) apply(status taskStatus) {
	run := r.dispatched
	switch status {
	case taskDone:
		r.dispatched, r.failures = nil, 0
	case taskFailed:
		r.dispatched, r.failures = nil, min(r.failures+1, mostPauses)
		r.want(run.reason, noRound, run.committed, run.changes...)
	case taskLost:
		r.dispatched, r.last = nil, time.Time{}
		r.want(run.reason, run.round, run.committed, run.changes...)
	case taskPending:
		if r.wanted != nil { // this run has not begun: it will show what has changed since
			run.round, run.committed = min(run.round, r.wanted.round), older(run.committed, r.wanted.committed)
			r.wanted = nil
		}
	}
}

// enqueue enqueues the run that is wanted, if it is time to. It reports whether the queue has
// refused.
func (d *dispatcher) enqueue(ctx context.Context, r *jobRuns) (refused bool) {
	d.mu.Lock()
	run, now := r.wanted, time.Now()
	if run == nil || r.dispatched != nil || now.Sub(r.last) < runPause<<r.failures {
		d.mu.Unlock()
		return false
	}
	r.dispatched, r.wanted, r.last, r.lookedAt = run, nil, now, now
	d.mu.Unlock()
	info, err := d.put(ctx, r.job, run)
	if err != nil {
		d.mu.Lock()
		r.apply(taskLost)
		d.mu.Unlock()
		if ctx.Err() == nil {
			d.log.Warn("a run that changes ask for could not be enqueued; trying again", jobs.LogJob, r.job.Name,
				jobs.LogErr, err)
		}
		return true
	}
	run.id, run.queue = info.ID, info.Queue // read by this goroutine alone
	d.metrics.runs.WithLabelValues(r.job.Name).Inc()
	d.log.Debug("run enqueued", jobs.LogJob, r.job.Name, jobs.LogTask, run.id, jobs.LogCause, run.reason)
	return false
}

// put puts the task of a run on the queue.
func (d *dispatcher) put(ctx context.Context, job *jobs.Job, run *rerun) (*asynq.TaskInfo, error) {
	ctx, span := d.tracer.Start(ctx, tracing.Begin{Name: "rerun", Job: job.Name, Kind: tracing.Producer,
		Links: run.changes})
	task := jobs.NewChangeRun(job.Name)
	tracing.Inject(ctx, task.Headers())
	info, err := d.queue.EnqueueContext(ctx, task)
	if err == nil {
		span.Task(info.Queue, info.ID)
	}
	span.Text("reason", run.reason)
	span.EndWith(err)
	return info, err
}

// taskStatus is what became of a task.
type taskStatus string

const (
	taskUnknown taskStatus = "the queue does not answer"
	taskPending taskStatus = "no worker has taken it"
	taskActive  taskStatus = "a worker has it"
	taskDone    taskStatus = "it is done"
	taskLost    taskStatus = "redis has lost it"
	taskFailed  taskStatus = "it has failed for good"
)

// status finds out what became of a run's task. A run that another one has superseded has
// ended, but has not shown the change: the other one may fail.
func (d *dispatcher) status(run *rerun) taskStatus {
	info, err := jobs.FindTask(d.tasks, run.queue, run.id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound):
		return taskLost
	case err != nil:
		return taskUnknown
	case info.State == asynq.TaskStateArchived:
		return taskFailed
	case info.State == asynq.TaskStatePending && info.ID == run.id:
		return taskPending
	case info.State != asynq.TaskStateCompleted:
		return taskActive
	}
	if len(info.Result) == 0 {
		return taskDone
	}
	var result store.RunResult
	if err := json.Unmarshal(info.Result, &result); err != nil || result.Skipped != "" ||
		result.Record.State != store.StateOK {
		return taskFailed
	}
	return taskDone
}
