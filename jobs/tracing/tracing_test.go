package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func newTracer() (*Tracer, *tracetest.InMemoryExporter) {
	out := tracetest.NewInMemoryExporter()
	return New(sdk.NewTracerProvider(sdk.WithSyncer(out))), out
}

// Whatever the number of batches, there are few spans, and each batch is in one. Broken by: a span a batch; batches
// that are lost when two spans become one; a last span that is much smaller or larger than the others.
func TestBatchesAreSummedUp(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 3, MostBatches} {
		for _, batches := range []int{0, 1, 2, 3, 29, 30, 31, 60, 61, 5000} {
			tracer, out := newTracer()
			ctx, run := tracer.Start(t.Context(), Begin{Name: "run", Job: "j"})
			notes := BatchesOf(ctx, "j", limit)
			for range batches {
				notes.Note(time.Now(), 100, 1000, nil)
			}
			notes.End()
			run.End()
			spans := out.GetSpans()
			spans = spans[:len(spans)-1]
			sum, largest := int64(0), int64(0)
			for i, s := range spans {
				if s.Parent.SpanID() != spansOf(ctx).SpanID() || i > 0 && s.StartTime.Before(spans[i-1].StartTime) ||
					s.EndTime.Before(s.StartTime) {
					t.Errorf("span %d: parent %v, from %s to %s", i, s.Parent, s.StartTime, s.EndTime)
				}
				n := attributes(s)["stoker.batches"].(int64)
				sum, largest = sum+n, max(largest, n)
				if keys := attributes(s)["stoker.keys"]; keys != n*100 {
					t.Errorf("%d batches of %v keys", n, keys)
				}
			}
			if sum != int64(batches) || len(spans) > limit || batches <= limit && len(spans) != batches ||
				batches > limit && len(spans) < limit/2 || largest > int64(4*batches/limit+1) && limit > 2 {
				t.Errorf("%d batches, at most %d spans: %d spans, of %d batches in all, the largest of %d", batches,
					limit, len(spans), sum, largest)
			}
		}
	}
}

func spansOf(ctx context.Context) trace.SpanContext { return trace.SpanContextFromContext(ctx) }

func attributes(s tracetest.SpanStub) map[string]any {
	out := make(map[string]any)
	for _, a := range s.Attributes {
		out[string(a.Key)] = a.Value.AsInterface()
	}
	return out
}

// What a task's headers say leads to a child or a link, in another process. Broken by: a link that is lost; one that
// makes a child, whose trace then grows with each tick; and headers of others that end a task.
func TestHeadersLead(t *testing.T) {
	t.Parallel()
	tracer, out := newTracer()
	ctx, tick := tracer.Start(t.Context(), Begin{Name: "tick", Job: "j", Kind: Producer})
	headers := map[string]string{"stoker-at": "1"}
	Inject(ctx, headers)
	tick.End()
	if len(headers["traceparent"]) != 55 || headers["stoker-at"] != "1" {
		t.Fatalf("headers %v", headers)
	}
	by := FromHeaders(headers)
	_, linked := tracer.Start(t.Context(), Begin{Name: "run", Links: []Link{by, {}}})
	linked.End()
	_, child := tracer.Start(t.Context(), Begin{Name: "run", Parent: by})
	child.End()
	spans := out.GetSpans()
	asked := spans[0].SpanContext
	if s := spans[1]; s.SpanContext.TraceID() == asked.TraceID() || s.Parent.IsValid() || len(s.Links) != 1 ||
		s.Links[0].SpanContext.SpanID() != asked.SpanID() {
		t.Errorf("linked: parent %v, links %v", s.Parent, s.Links)
	}
	if s := spans[2]; s.SpanContext.TraceID() != asked.TraceID() || s.Parent.SpanID() != asked.SpanID() {
		t.Errorf("child: parent %v", s.Parent)
	}
	for _, bad := range []string{"", "00-", "rubbish", "00-00000000000000000000000000000000-0000000000000000-01",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", headers["traceparent"] + "0"} {
		if by := FromHeaders(map[string]string{"traceparent": bad}); !by.IsZero() {
			t.Errorf("%q leads to %v", bad, by)
		}
	}
	if !FromHeaders(nil).IsZero() {
		t.Error("no headers lead somewhere")
	}
	r := &http.Request{Header: http.Header{"Traceparent": {headers["traceparent"]}}}
	if by := FromRequest(r); by.IsZero() || by.span.SpanID() != asked.SpanID() {
		t.Errorf("the request leads to %v", by)
	}
}

// Broken by: a span that breaks what it should only watch; a link of a dropped span; an error of any length.
func TestWithoutSpans(t *testing.T) {
	t.Parallel()
	var none *Tracer
	ctx, span := none.Start(t.Context(), Begin{Name: "x"})
	if span != nil || ctx != t.Context() || !span.Link().IsZero() || Current(ctx) != nil || span.Recorded() {
		t.Error("the nil tracer makes spans")
	}
	span.Text("a", "b")
	span.Count("a", 1)
	span.Millis("a", 1)
	span.Flag("a", true)
	span.Task("q", "id")
	span.HTTPStatus(500)
	span.EndWith(errors.New("x"))
	Inject(ctx, nil)
	dropping := New(sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample())))
	ctx, span = dropping.Start(t.Context(), Begin{Name: "x"})
	if span.Recorded() || BatchesOf(ctx, "j", 3) != nil || span.Link().IsZero() {
		t.Error("a dropped span is recorded, or leads nowhere")
	}
	tracer, out := newTracer()
	_, span = tracer.Start(t.Context(), Begin{Name: "x"})
	span.EndWith(fmt.Errorf("%01000d", 1))
	if got := len(out.GetSpans()[0].Status.Description); got != longestError {
		t.Errorf("an error of %d bytes", got)
	}
}

// off does what a run does for each of its batches, and a change for each of its keys, where nothing is traced.
func off(ctx context.Context, t *Tracer, headers map[string]string) {
	ctx, span := t.Start(ctx, Begin{Name: "run", Job: "j", Kind: Consumer})
	_, child := Child(ctx, "snapshot", "j")
	notes := BatchesOf(ctx, "j", MostBatches)
	notes.Note(time.Time{}, 1, 1, nil)
	notes.End()
	Inject(ctx, headers)
	_ = span.Link()
	child.EndWith(nil)
	span.EndWith(nil)
}

// Where nothing is traced, nothing is allocated. Broken by: a span, or an attribute, that is made for nobody.
func TestOffCostsNothing(t *testing.T) {
	headers := map[string]string{}
	if n := testing.AllocsPerRun(100, func() { off(t.Context(), nil, headers) }); n != 0 {
		t.Errorf("%v allocations where nothing is traced", n)
	}
}

func BenchmarkOff(b *testing.B) {
	b.ReportAllocs()
	headers := map[string]string{}
	for b.Loop() {
		off(b.Context(), nil, headers)
	}
}

func BenchmarkBatch(b *testing.B) {
	b.ReportAllocs()
	tracer, _ := newTracer()
	ctx, _ := tracer.Start(b.Context(), Begin{Name: "run"})
	notes := BatchesOf(ctx, "j", MostBatches)
	for b.Loop() {
		notes.Note(time.Now(), 100, 1000, nil)
	}
}
