package worker

import (
	"context"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/render"
)

// asked are the causes of runs that someone waits for: they are in the trace of who asked. All others have a trace of
// their own, linked to what asked for them.
var asked = []jobs.Cause{jobs.CauseCommand, jobs.CauseAPI}

// traceRun begins the span of a run task.
func (w *Worker) traceRun(ctx context.Context, task *asynq.Task, t jobs.Run) (context.Context, *tracing.Span) {
	ctx, span := w.traceTask(ctx, task, "run", t.Job, slices.Contains(asked, t.Cause))
	span.Text("cause", string(t.Cause))
	if t.Due > 0 {
		span.Text("due", time.Unix(t.Due, 0).UTC().Format(time.RFC3339))
	}
	return ctx, span
}

// traceTask begins the span of a task.
func (w *Worker) traceTask(ctx context.Context, task *asynq.Task, name, job string, child bool) (context.Context,
	*tracing.Span) {
	if w.tracer == nil {
		return ctx, nil
	}
	begin, by := tracing.Begin{Name: name, Job: job, Kind: tracing.Consumer}, tracing.FromHeaders(task.Headers())
	if child {
		begin.Parent = by
	} else {
		begin.Links = []tracing.Link{by}
	}
	ctx, span := w.tracer.Start(ctx, begin)
	queue, _ := asynq.GetQueueName(ctx)
	span.Task(queue, task.ResultWriter().TaskID())
	retried, _ := asynq.GetRetryCount(ctx)
	span.Count("retry", int64(retried))
	return ctx, span
}

// describeRun says on the span of a run what it did.
func describeRun(span *tracing.Span, rec store.Record) {
	if !span.Recorded() {
		return
	}
	span.Text("state", string(rec.State))
	span.Text("snapshot", rec.Snapshot)
	span.Flag("unchanged", rec.Unchanged)
	span.Flag("removal", rec.Removal)
	for name, n := range map[string]int64{"rows": rec.Rows, "keys": rec.Keys, "bytes": rec.Bytes, "kept": rec.Kept,
		"sent": rec.Sent, "removed": rec.Removed, "held": rec.Held, "restarts": int64(rec.Restarts)} {
		span.Count(name, n)
	}
}

// noting returns write with a note of each batch; without notes, write itself.
func noting(notes *tracing.Batches, write render.Write) render.Write {
	if notes == nil {
		return write
	}
	return func(ctx context.Context, b *store.Batch) (cache.Outcome, error) {
		began, keys, size := time.Now(), b.Len(), b.Size()
		if keys == 0 { // the last one may be empty
			return write(ctx, b)
		}
		out, err := write(ctx, b)
		notes.Note(began, keys, size, err)
		return out, err
	}
}

// batchSpans is how many spans the batches of an attempt become at most: those that begin again get one each.
func (r *run) batchSpans() int {
	if r.rec.Restarts > 0 {
		return 1
	}
	return tracing.MostBatches
}
