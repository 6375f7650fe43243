package scheduler_test

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/scheduler"
)

// A tick has one span, whatever the number of replicas, and its task names that one. Broken by: a span of each replica;
// a task whose headers name none, or that of a replica that was refused.
func TestATickHasOneSpan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list, ledger := minutely(t)
		out := tracetest.NewInMemoryExporter()
		tracer := tracing.New(sdk.NewTracerProvider(sdk.WithSyncer(out)))
		q, taken := &queue{}, []string{}
		var mu sync.Mutex
		enqueue := enqueuer(func(ctx context.Context, task *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
			info, err := q.EnqueueContext(ctx, task, opts...)
			if err == nil {
				mu.Lock()
				taken = append(taken, task.Headers()["traceparent"])
				mu.Unlock()
			}
			return info, err
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range 3 {
			s := scheduler.New(scheduler.Config{Jobs: list, Queue: enqueue, Ledger: ledger, Epochs: noEpoch{},
				Metrics: scheduler.NewMetrics(prometheus.NewRegistry()), Tracer: tracer,
				Log: slog.New(slog.DiscardHandler)})
			wg.Go(func() { s.Run(ctx) })
		}
		sleepUntil("2000-01-01 00:03:30")
		cancel()
		wg.Wait()
		spans := out.GetSpans()
		if len(spans) != 3 || len(taken) != 3 || q.conflicts != 6 {
			t.Fatalf("%d spans of %d tasks, %d were refused", len(spans), len(taken), q.conflicts)
		}
		for i, s := range spans {
			if !strings.HasPrefix(s.Name, "tick ") || !strings.Contains(taken[i], s.SpanContext.SpanID().String()) {
				t.Errorf("%s: span %s, headers %s", s.Name, s.SpanContext.SpanID(), taken[i])
			}
		}
	})
}
