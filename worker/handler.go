package worker

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker/debt"
	"github.com/stokerhq/stoker/worker/intake"
	"github.com/stokerhq/stoker/worker/spans"
)

// handleRun does one run task.
func (w *Worker) handleRun(ctx context.Context, task *asynq.Task) (err error) {
	t, err := jobs.ParseRun(task)
	if err != nil {
		return &intake.UnfitError{Err: err}
	}
	spec := w.defs.Now()
	job, ok := spec.Job(t.Job)
	if !ok {
		return &intake.UnfitError{Err: &jobs.UnknownJobError{Job: t.Job, File: spec.File}}
	}
	ctx, span := w.traceRun(ctx, task, t)
	defer func() { span.EndWith(err) }()
	if err := w.gate.Admit(ctx, false); debt.Refused(err) {
		return debt.Outcome(job, t, err)
	}
	id := task.ResultWriter().TaskID()
	release, skipped, err := w.begin(ctx, id, job, t)
	if err != nil {
		return err
	}
	if skipped != "" {
		span.Text("skipped", skipped)
		return w.leave(task, t.Job, store.RunResult{Skipped: skipped})
	}
	defer release()
	rec, err := w.Run(ctx, id, t, nil)
	if debt.Refused(err) {
		return debt.Outcome(job, t, err)
	}
	if err != nil {
		return tickOutcome(ctx, t, outcome(err))
	}
	return w.leave(task, t.Job, store.RunResult{Record: rec})
}

// begin takes the job's lease, or says why the task is not to be run. A tick is
// skipped while the last run is still going, and when a run that began after it
// was due has completed: ticks that piled up are run once.
func (w *Worker) begin(ctx context.Context, id string, job *jobs.Job, t jobs.Run) (release func(), skipped string,
	err error) {
	if t.Cause == jobs.CauseTick || t.Cause == jobs.CauseCatchUp {
		last, ok, err := w.ledger.LastComplete(ctx, t.Job)
		if err != nil {
			return nil, "", err
		}
		if ok && job.Defines(last.Definition) && !last.Start.Before(time.Unix(t.Due, 0)) {
			return nil, "a run that began after this tick was due has completed", w.skip(ctx, id, t)
		}
	}
	if again, err := w.failedBefore(ctx, t); err != nil || again {
		return nil, "this tick was run, and failed for good", err
	}
	for {
		release, ok, err := w.acquireLease(ctx, t.Job, id)
		switch {
		case err != nil || ok:
			return release, "", err
		case t.Cause == jobs.CauseTick:
			return nil, "the last run is still going", w.skip(ctx, id, t)
		case !debt.LastTry(ctx):
			return nil, "", errBusy
		}
	}
}

// failedBefore reports whether the tick has been run and has failed for good: its
// name is free again then, and a replica that is late enqueues it once more. A
// catch-up is asked for anew and may run.
func (w *Worker) failedBefore(ctx context.Context, t jobs.Run) (bool, error) {
	if retried, _ := asynq.GetRetryCount(ctx); t.Cause != jobs.CauseTick || retried > 0 {
		return false, nil
	}
	runs, err := w.ledger.Runs(ctx, t.Job, recentRuns)
	return slices.ContainsFunc(runs, func(r store.Record) bool {
		_, refused := store.RefusalInText(r.Error) // then the tick is still owed
		return r.State == store.StateFailed && !refused && r.Cause == string(jobs.CauseTick) && r.Due.Unix() == t.Due
	}), err
}

// recentRuns is how many records are looked at for a tick that was run already:
// those of its retries, and of what came between.
const recentRuns = 20

// skip counts a tick that is not run.
func (w *Worker) skip(ctx context.Context, id string, t jobs.Run) error {
	w.metrics.skipped.WithLabelValues(t.Job).Inc()
	w.log.Info("tick skipped", jobs.LogJob, t.Job, jobs.LogDue, time.Unix(t.Due, 0).UTC(), jobs.LogTask, id)
	return w.ledger.Skipped(ctx, t.Job)
}

// handleRefresh does one refresh task.
func (w *Worker) handleRefresh(ctx context.Context, task *asynq.Task) (err error) {
	inv, err := jobs.ParseInvalidation(task)
	if err != nil {
		return &intake.UnfitError{Err: err}
	}
	if spec := w.defs.Now(); !spec.Has(inv.Job) {
		return &intake.UnfitError{Err: &jobs.UnknownJobError{Job: inv.Job, File: spec.File}}
	}
	ctx, span := spans.Task(ctx, w.tracer, task, "refresh", inv.Job, true)
	defer func() { span.EndWith(err) }()
	out, err := w.Refresh(ctx, task.ResultWriter().TaskID(), inv)
	if err != nil {
		return outcome(err)
	}
	return w.leave(task, inv.Job, out)
}

// leave writes a task's result for its waiter. That it cannot be read is no
// reason to do the work again.
func (w *Worker) leave(task *asynq.Task, job string, result any) error {
	b, err := json.Marshal(result)
	if err == nil {
		_, err = task.ResultWriter().Write(b)
	}
	if err != nil {
		w.log.Warn("the result of a task was not kept", jobs.LogJob, job, jobs.LogTask, task.ResultWriter().TaskID(),
			jobs.LogErr, err)
	}
	return nil
}
