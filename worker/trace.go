package worker

import (
	"context"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/worker/spans"
)

// asked are the causes of runs that someone waits for: they are in the trace of who asked. All others have a trace of
// their own, linked to what asked for them.
var asked = []jobs.Cause{jobs.CauseCommand, jobs.CauseAPI}

// traceRun begins the span of a run task.
func (w *Worker) traceRun(ctx context.Context, task *asynq.Task, t jobs.Run) (context.Context, *tracing.Span) {
	ctx, span := spans.Task(ctx, w.tracer, task, "run", t.Job, slices.Contains(asked, t.Cause))
	span.Text("cause", string(t.Cause))
	if t.Due > 0 {
		span.Text("due", time.Unix(t.Due, 0).UTC().Format(time.RFC3339))
	}
	return ctx, span
}

// batchSpans is how many spans the batches of an attempt become at most: those that begin again get one each.
func (r *run) batchSpans() int {
	if r.rec.Restarts > 0 {
		return 1
	}
	return tracing.MostBatches
}
