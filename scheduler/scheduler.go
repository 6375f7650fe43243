// Package scheduler decides when jobs run. It has four parts, all of which enqueue Asynq tasks; none
// runs a query:
//
//   - ticks: each firing of a job's schedule becomes one task, whatever the number of replicas. All
//     replicas are active and none leads, because a tick's task is named by its due time and Asynq
//     refuses a second task of that name.
//   - catch-up: at the start, the last tick is made up once if no run covers it.
//   - epochs: when the history of Postgres may have changed, or changes may have been missed, jobs
//     are run again.
//   - rescuer: a task whose worker seems dead is enqueued a second time.
package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
)

// Enqueuer puts a task on its queue; *asynq.Client is one.
type Enqueuer interface {
	EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error)
}

// Ledger knows what has been run, and counts what was missed.
type Ledger interface {
	LastComplete(ctx context.Context, job string) (store.Record, bool, error)
	Runs(ctx context.Context, job string, n int) ([]store.Record, error) // newest first
	Missed(ctx context.Context, job string, last time.Time, n int64) error
	Holder(ctx context.Context, job string) (holder string, left time.Duration, err error) // of the lease of a run
}

// Epochs returns in which epoch the cache is, and in which one this history of
// Postgres began; store/cache does.
type Epochs interface {
	Epoch(ctx context.Context) (now, history uint32, err error)
}

// Config is what a Scheduler needs.
type Config struct {
	Jobs    []*jobs.Job // whose schedules are followed
	Queue   Enqueuer    // takes their runs
	Tasks   Tasks       // lists the tasks in hand, to rescue those of dead workers; nil: no task is rescued
	Repairs Repairs     // frees names and archives orphans; nil: neither is done
	Ledger  Ledger      // says what has been run
	Epochs  Epochs      // says when all must be run again
	Warmth  Warmth      // says which jobs are cold; nil: all are taken for equally cold
	Metrics *Metrics
	Tracer  *tracing.Tracer // of ticks and epochs; nil: none is traced
	Log     *slog.Logger
}

// Scheduler follows the schedules of all jobs.
type Scheduler struct {
	mu       sync.Mutex
	jobs     []*jobs.Job
	since    map[*jobs.Job]time.Time // :: job -> since when it has its definition, until it is followed
	replaced chan struct{}           // holds a token when jobs is another list

	epochs  Epochs
	warmth  Warmth
	queue   Enqueuer
	tasks   Tasks
	repairs Repairs
	ledger  Ledger
	metrics *Metrics
	tracer  *tracing.Tracer
	log     *slog.Logger

	// watchEpoch's alone
	costs   map[string]time.Duration // :: job -> what its last run took
	sampled sampled
}

// New returns a scheduler of c.Jobs.
func New(c Config) *Scheduler {
	c.Metrics.begin(c.Jobs)
	return &Scheduler{jobs: c.Jobs, since: make(map[*jobs.Job]time.Time), replaced: make(chan struct{}, 1),
		queue: c.Queue, tasks: c.Tasks, repairs: c.Repairs, ledger: c.Ledger, epochs: c.Epochs, warmth: c.Warmth,
		metrics: c.Metrics, tracer: c.Tracer, log: c.Log, costs: make(map[string]time.Duration)}
}

// Run follows every job's schedule until ctx ends. It never gives up: what
// fails is logged, counted and tried again.
func (s *Scheduler) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { s.followAll(ctx) })
	wg.Go(func() { s.watchEpoch(ctx) })
	if s.tasks != nil {
		wg.Go(func() { s.rescue(ctx) })
	}
	wg.Wait()
}

// follow is the life of one job: make up what was missed, then tick. since is when the job was given another
// definition; zero: it was not.
func (s *Scheduler) follow(ctx context.Context, job *jobs.Job, since time.Time) {
	start := time.Now()
	if since.IsZero() {
		s.catchUp(ctx, job, start)
	} else {
		var renewing sync.WaitGroup // beside the ticks, which must not come too late for it
		renewing.Go(func() { s.renew(ctx, job, since) })
		defer renewing.Wait()
	}
	if job.Schedule == nil {
		s.awaitFirstRun(ctx, job, start)
		return
	}
	var first sync.WaitGroup
	first.Go(func() { s.awaitFirstRun(ctx, job, start) })
	defer first.Wait()
	var uncounted missing
	for due, passed := range ticks(ctx, job.Schedule, start) {
		s.metrics.due.WithLabelValues(job.Name).Add(float64(1 + passed))
		if passed > 0 {
			s.late(ctx, job, due, passed, &uncounted)
		}
		switch {
		case s.tick(ctx, job, due):
			s.countMissed(ctx, job, &uncounted)
		case ctx.Err() == nil:
			s.missed(job, due, 1, &uncounted)
		}
	}
}

// How soon, and how seldom at last, it is looked whether a job has been run once.
const (
	firstRunSoon  = 2 * time.Second
	firstRunEvery = 10 * time.Minute
)

// awaitFirstRun enqueues a job again for as long as no run of it is on record, and none is going on: its task may be
// lost, as by a flush that nobody was there to notice, or given up because only workers with an older spec were there.
// From the first tick after start on, the ticks do that.
func (s *Scheduler) awaitFirstRun(ctx context.Context, job *jobs.Job, start time.Time) {
	for pause := firstRunSoon; store.Sleep(ctx, pause); pause = min(2*pause, firstRunEvery) {
		if job.Schedule != nil && !time.Now().Before(job.Schedule.Next(start)) {
			return
		}
		runs, err := s.ledger.Runs(ctx, job.Name, 1)
		holder := ""
		if err == nil && len(runs) == 0 {
			holder, _, err = s.ledger.Holder(ctx, job.Name)
		}
		switch {
		case err != nil:
			s.log.Warn("cannot tell whether a job has been run", jobs.LogJob, job.Name, jobs.LogErr, err)
		case len(runs) > 0:
			return
		case holder == "":
			s.catchUp(ctx, job, start)
		}
	}
}

// catchUp enqueues the last tick once more if no run has completed since it was
// due: it was missed, or the job has never run, or had another definition. A job without a schedule is
// enqueued only if it has never run by its definition.
func (s *Scheduler) catchUp(ctx context.Context, job *jobs.Job, now time.Time) {
	due, until := time.Unix(0, 0), time.Time{}
	if job.Schedule != nil {
		until = job.Schedule.Next(now)
		if prev, ok := job.Schedule.Prev(now); ok {
			due = prev
		}
	}
	s.makeUp(ctx, job, due, until)
}

// makeUp enqueues a tick once more if no run of the job's definition has begun since it was due. It tries until the
// time until.
func (s *Scheduler) makeUp(ctx context.Context, job *jobs.Job, due, until time.Time) {
	covered := func(ctx context.Context) (bool, error) {
		last, ok, err := s.ledger.LastComplete(ctx, job.Name)
		return ok && job.Defines(last.Definition) && !last.Start.Before(due), err
	}
	s.persist(ctx, job, due, until, func(ctx context.Context) error {
		if done, err := covered(ctx); err != nil || done {
			return err
		}
		return s.enqueueUncovered(ctx, job, due, covered)
	})
}

// enqueueUncovered enqueues a tick as a catch-up. A task of its name that has ended did not cover it, if no run
// does yet: it was skipped, or superseded, or its record is lost.
func (s *Scheduler) enqueueUncovered(ctx context.Context, job *jobs.Job, due time.Time,
	covered func(context.Context) (bool, error)) error {
	err := s.enqueue(ctx, job, due, jobs.CauseCatchUp)
	if !errors.Is(err, asynq.ErrTaskIDConflict) {
		return err
	}
	if done, err := covered(ctx); err != nil || done {
		return err // it has completed a moment ago
	}
	err = s.enqueue(ctx, job, due, jobs.CauseCatchUp, asynq.TaskStateCompleted)
	if errors.Is(err, asynq.ErrTaskIDConflict) {
		return nil // it waits, or is in hand
	}
	return err
}

// tick enqueues the tick's task, until that succeeds or the next tick is due and
// makes this one stale. It reports whether it succeeded.
func (s *Scheduler) tick(ctx context.Context, job *jobs.Job, due time.Time) bool {
	return s.persist(ctx, job, due, job.Schedule.Next(due), func(ctx context.Context) error {
		err := s.enqueue(ctx, job, due, jobs.CauseTick)
		if errors.Is(err, asynq.ErrTaskIDConflict) {
			return nil // another replica, or an attempt whose answer was lost, has done it
		}
		return err
	})
}

// enqueue puts one tick on the queue. A task of its name that is in one of the states makes room.
func (s *Scheduler) enqueue(ctx context.Context, job *jobs.Job, due time.Time, cause jobs.Cause,
	states ...asynq.TaskState) error {
	states = append(states, asynq.TaskStateArchived) // what has failed for good must not keep its name taken
	ctx, span := s.tracer.Start(ctx, tracing.Begin{Name: "tick", Job: job.Name, Kind: tracing.Producer})
	info, err := s.enqueueNamed(ctx, jobs.QueueRun, jobs.TickID(job.Name, due), jobs.NewTick(job.Name, due, cause),
		states...)
	switch {
	case errors.Is(err, asynq.ErrTaskIDConflict):
		// The span is not ended, and so not exported: a tick is one trace, whatever the number of replicas.
		s.log.Debug("tick is already enqueued", jobs.LogJob, job.Name, jobs.LogDue, due)
		return err
	case err != nil:
		span.EndWith(err)
		return err
	}
	span.Task(info.Queue, info.ID)
	span.Text("cause", string(cause))
	span.Text("due", due.UTC().Format(time.RFC3339))
	span.End()
	s.log.Info("tick enqueued", jobs.LogJob, job.Name, jobs.LogDue, due, jobs.LogTask, info.ID, jobs.LogCause, cause)
	return nil
}

// enqueueNamed enqueues a task of a fixed name. If there is one of that name that Redis has lost a part of, or
// that is in one of the states, it makes room. The error is asynq.ErrTaskIDConflict if the name stays taken.
func (s *Scheduler) enqueueNamed(ctx context.Context, queue, id string, task *asynq.Task,
	states ...asynq.TaskState) (*asynq.TaskInfo, error) {
	tracing.Inject(ctx, task.Headers())
	info, err := s.queue.EnqueueContext(ctx, task, asynq.Queue(queue))
	if !errors.Is(err, asynq.ErrTaskIDConflict) || s.repairs == nil {
		return info, err
	}
	free, rerr := s.repairs.Release(ctx, queue, id, states...)
	switch {
	case rerr != nil:
		return nil, rerr
	case !free:
		return nil, err
	}
	return s.queue.EnqueueContext(ctx, task, asynq.Queue(queue))
}

// Pauses between attempts of one tick.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// persist calls try until it succeeds, the time until is reached (zero: never)
// or ctx ends, and reports whether it succeeded.
func (s *Scheduler) persist(ctx context.Context, job *jobs.Job, due, until time.Time,
	try func(context.Context) error) bool {
	if !until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, until)
		defer cancel()
	}
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := try(ctx)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.metrics.failed.WithLabelValues(job.Name).Inc()
		s.log.Warn("tick could not be enqueued; trying again", jobs.LogJob, job.Name, jobs.LogDue, due, jobs.LogErr,
			err)
		if !store.Sleep(ctx, pause/2+rand.N(pause)) {
			return false
		}
	}
}

// missing is n missed ticks, up to the one due at last, that are not counted in the ledger yet: ticks
// are mostly missed because Redis does not answer, and the ledger lies there too.
type missing struct {
	last time.Time
	n    int64
}

// late counts the ticks before due that passed while this process slept, except those that
// another replica enqueued.
func (s *Scheduler) late(ctx context.Context, job *jobs.Job, due time.Time, passed int64, m *missing) {
	before, ok := job.Schedule.Prev(due.Add(-time.Second))
	if !ok {
		return
	}
	n, err := s.uncovered(ctx, job, missing{before, passed})
	if err != nil {
		s.log.Warn("cannot tell whether passed ticks were missed", jobs.LogJob, job.Name, jobs.LogErr, err)
		n = passed
	}
	if n > 0 {
		s.missed(job, before, n, m)
	}
}

func (s *Scheduler) missed(job *jobs.Job, last time.Time, n int64, m *missing) {
	s.metrics.missed.WithLabelValues(job.Name).Add(float64(n))
	s.log.Error("ticks missed", jobs.LogJob, job.Name, jobs.LogDue, last, "ticks", n)
	m.last, m.n = last, m.n+n
}

// countMissed counts in the ledger what was missed, now that Redis takes tasks again. If Redis was
// away for this replica alone, the others have enqueued those ticks.
func (s *Scheduler) countMissed(ctx context.Context, job *jobs.Job, m *missing) {
	if m.n == 0 {
		return
	}
	n, err := s.uncovered(ctx, job, *m)
	if err == nil && n > 0 {
		err = s.ledger.Missed(ctx, job.Name, m.last, n)
	}
	if err != nil {
		s.log.Warn("missed ticks were not counted; the next tick tries again", jobs.LogJob, job.Name, jobs.LogErr, err)
		return
	}
	*m = missing{}
}

// lookBack is how many runs are looked at for one that covers missed ticks.
const lookBack = 100

// uncovered counts those of the missed ticks that came after the last complete
// run began. A run that began when the next tick was due covers none: it is what
// makes the missed ones up.
func (s *Scheduler) uncovered(ctx context.Context, job *jobs.Job, m missing) (int64, error) {
	runs, err := s.ledger.Runs(ctx, job.Name, lookBack)
	if err != nil {
		return 0, err
	}
	next := job.Schedule.Next(m.last)
	for _, r := range runs {
		if r.State == store.StateOK && !r.Removal && r.Start.Before(next) {
			return between(job.Schedule, r.Start, next, m.n), nil
		}
	}
	return m.n, nil
}

// between counts the ticks after one time and before another, up to limit.
func between(schedule *jobs.Schedule, after, before time.Time, limit int64) (n int64) {
	for tick := schedule.Next(after); n < limit && !tick.IsZero() && tick.Before(before); tick = schedule.Next(tick) {
		n++
	}
	return n
}
