package worker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/spans"
)

// traced gives the rig's worker a tracer, and returns what keeps its spans.
func (r *rig) traced() (*tracing.Tracer, *tracetest.InMemoryExporter) {
	out := tracetest.NewInMemoryExporter()
	r.w.tracer = tracing.New(sdk.NewTracerProvider(sdk.WithSyncer(out)))
	return r.w.tracer, out
}

// followTick goes from a tick to its run, by a link, and on to the snapshot and its batches, within the run's trace.
// It returns the spans of the run's trace.
func followTick(list tracetest.SpanStubs, tick string) (of tracetest.SpanStubs, keys int64, err error) {
	var run tracetest.SpanStub
	for _, s := range list {
		if strings.HasPrefix(s.Name, "run ") && s.Parent.IsValid() {
			return nil, 0, errors.New("the run is a child: the trace of the tick is as long as its run has waited")
		}
		for _, l := range s.Links {
			if l.SpanContext.SpanID().String() == tick {
				run = s
			}
		}
	}
	if !run.SpanContext.IsValid() {
		return nil, 0, errors.New("no run is linked to the tick")
	}
	snapshot := ""
	for _, s := range list {
		if s.SpanContext.TraceID() == run.SpanContext.TraceID() {
			of = append(of, s)
			if strings.HasPrefix(s.Name, "snapshot ") && s.Parent.SpanID() == run.SpanContext.SpanID() {
				snapshot = s.SpanContext.SpanID().String()
			}
		}
	}
	for _, s := range of {
		if strings.HasPrefix(s.Name, "batches ") && s.Parent.SpanID().String() == snapshot {
			for _, a := range s.Attributes {
				if a.Key == "stoker.keys" {
					keys += a.Value.AsInt64()
				}
			}
		}
	}
	if keys == 0 {
		return of, 0, errors.New("no batch is within a snapshot of the run")
	}
	return of, keys, nil
}

// tickOf enqueues a tick as the scheduler does, and returns the ID of its span and its task.
func (r *rig) tickOf(tracer *tracing.Tracer, task *asynq.Task) (string, *asynq.TaskInfo) {
	r.t.Helper()
	ctx, span := tracer.Start(r.t.Context(), tracing.Begin{Name: "tick", Job: "j", Kind: tracing.Producer})
	tracing.Inject(ctx, task.Headers())
	info := r.enqueue(task)
	span.End()
	return strings.Split(task.Headers()["traceparent"], "-")[2], info
}

// From the tick to the batches, in linked traces, through the real queue, and with at most 60 spans, however large the
// result. Broken by: a header that is dropped, a child in place of a link (both below); a span a batch; batches that no
// span has.
func TestTickIsFollowedToItsBatches(t *testing.T) {
	t.Parallel()
	const rows = 30_000
	r := newRig(t, plan{jobs: []*jobs.Job{newJob("j", jobs.ValueRow, "j:{id}",
		fmt.Sprintf("SELECT i AS id, 'name' AS name FROM generate_series(1, %d) i", rows))}})
	tracer, out := r.traced()
	r.serve(Share(4), brisk)
	tick, info := r.tickOf(tracer, jobs.NewTick("j", time.Now(), jobs.CauseTick))
	r.await(info, asynq.TaskStateCompleted, 60*time.Second)
	eventually(t, 5*time.Second, "the span of the run ends", func() bool {
		return countSpans(out.GetSpans(), "run j") == 1
	})
	of, keys, err := followTick(out.GetSpans(), tick)
	if err != nil || keys != rows || len(of) > 60 || len(of) < 10 {
		t.Errorf("%d spans, %d keys, %v", len(of), keys, err)
	}
	for _, s := range of {
		for _, a := range s.Attributes {
			if strings.Contains(a.Value.String(), "SELECT") {
				t.Errorf("span %s tells %s", s.Name, a.Key)
			}
		}
	}
}

func countSpans(list tracetest.SpanStubs, name string) (n int) {
	for _, s := range list {
		if s.Name == name {
			n++
		}
	}
	return n
}

// What TestTickIsFollowedToItsBatches stands on can fail: without the header there is no link, and a run that is in
// the trace of who asked is found out.
func TestTickIsNotFollowedWithoutItsHeader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		task *asynq.Task
		drop bool
		want string
	}{
		"the header is dropped": {jobs.NewTick("j", time.Now(), jobs.CauseTick), true, "no run is linked"},
		"a child, not a link":   {jobs.NewRun("j", jobs.CauseAPI), false, "is a child"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, plan{jobs: []*jobs.Job{quickly("j")}})
			tracer, out := r.traced()
			r.serve(Share(4), brisk)
			var tick string
			var info *asynq.TaskInfo
			if test.drop {
				info = r.enqueue(test.task)
				tick = "0123456789abcdef"
			} else {
				tick, info = r.tickOf(tracer, test.task)
			}
			r.await(info, asynq.TaskStateCompleted, 20*time.Second)
			eventually(t, 5*time.Second, "the span of the run ends",
				func() bool {
					return countSpans(out.GetSpans(), "run j") == 1
				})
			if _, _, err := followTick(out.GetSpans(), tick); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// A task that is tried again, handed back for another worker, or rescued is still linked to what asked for it. Broken
// by: a task in its place that is made without its headers.
func TestTasksKeepTheirTrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{quickly("j")}})
	tracer, out := r.traced()
	old := r.old(quickly("kept"))
	before := old.serve(Share(4), brisk)
	tick, info := r.tickOf(tracer, jobs.NewTick("j", time.Now(), jobs.CauseTick))
	r.await(info, asynq.TaskStateRetry, 20*time.Second)
	rescue := jobs.NewRescue(r.task(info))
	if got := strings.Split(rescue.Headers()["traceparent"]+"--", "-")[2]; got != tick {
		t.Errorf("the rescue's headers are %v", rescue.Headers())
	}
	if _, ok := jobs.EnqueuedAt(rescue); !ok {
		t.Error("the rescue does not say when it was made")
	}
	r.serve(Share(4), brisk)
	r.await(info, asynq.TaskStateCompleted, 30*time.Second)
	before.Shutdown()
	eventually(t, 5*time.Second, "the span of the run ends", func() bool {
		return countSpans(out.GetSpans(), "run j") == 1
	})
	if _, _, err := followTick(out.GetSpans(), tick); err != nil {
		t.Error(err)
	}
}

// Broken by: a worker that makes spans, or fails, where nothing is traced; and a run that fails and whose span does not
// say so.
func TestSpansOfFailures(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{newJob("j", jobs.ValueRow, "j:{id}", "SELECT 1/0 AS id"), quickly("k")}})
	r.run("k")
	tracer, out := r.traced()
	ctx, span := tracer.Start(t.Context(), tracing.Begin{Name: "run", Job: "j"})
	_, err := r.w.Run(ctx, "id", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
	span.EndWith(err)
	for _, s := range out.GetSpans() {
		if !strings.Contains(s.Status.Description, "division by zero") {
			t.Errorf("%s: %v", s.Name, s.Status)
		}
	}
	if n := len(out.GetSpans()); err == nil || n != 2 {
		t.Errorf("%d spans, %v", n, err)
	}
}

// Where nothing is traced, a batch costs what it did. Broken by: a write that is wrapped for nobody.
func BenchmarkNoting(b *testing.B) {
	for name, notes := range map[string]*tracing.Batches{"off": nil, "on": recorded(b)} {
		b.Run(name, func(b *testing.B) {
			batch := &store.Batch{Buf: []byte("key")}
			batch.Add(0, 3, time.Minute)
			write := spans.Noting(notes, noWrite)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func noWrite(context.Context, *store.Batch) (cache.Outcome, error) { return cache.Outcome{}, nil }

func recorded(b *testing.B) *tracing.Batches {
	ctx, _ := tracing.New(sdk.NewTracerProvider()).Start(context.Background(), tracing.Begin{Name: "run"})
	notes := tracing.BatchesOf(ctx, "j", tracing.MostBatches)
	if notes == nil {
		b.Fatal("not recorded")
	}
	return notes
}
