// Package spans makes the spans of what a worker does: see docs/operations.md for what they show.
package spans

import (
	"context"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/render"
)

// Task begins the span of a task: a child of the span that asked for it, or else with a link to that. Without a tracer
// there is none.
func Task(ctx context.Context, t *tracing.Tracer, task *asynq.Task, name, job string, child bool) (context.Context,
	*tracing.Span) {
	if t == nil {
		return ctx, nil
	}
	begin, by := tracing.Begin{Name: name, Job: job, Kind: tracing.Consumer}, tracing.FromHeaders(task.Headers())
	if child {
		begin.Parent = by
	} else {
		begin.Links = []tracing.Link{by}
	}
	ctx, span := t.Start(ctx, begin)
	queue, _ := asynq.GetQueueName(ctx)
	span.Task(queue, task.ResultWriter().TaskID())
	retried, _ := asynq.GetRetryCount(ctx)
	span.Count("retry", int64(retried))
	return ctx, span
}

// Run says on the span of a run what it did.
func Run(span *tracing.Span, rec store.Record) {
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

// Noting returns write with a note of each batch; without notes, write itself.
func Noting(notes *tracing.Batches, write render.Write) render.Write {
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
