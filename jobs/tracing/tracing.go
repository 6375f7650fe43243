// Package tracing makes OpenTelemetry spans of what happens to a key: the tick, its task, the snapshot, the batches,
// and a change from its COMMIT until its keys are fresh. It is all that the product knows of OpenTelemetry; the
// exporter is
// set up elsewhere.
//
//	tick ╌╌link╌╌► run ──► snapshot ──► batches          invalidate (API, command) ──► refresh ──► snapshot
//	change ╌╌link╌╌► refresh ──► snapshot                 change ╌╌link╌╌► run
//
// What a schedule or a change has asked for has a trace of its own that is linked to what asked for it: one run serves
// many changes, and a task may wait for minutes. What someone asked for is a child: it is in the caller's trace.
//
// Where nothing is traced, the Tracer and every Span are nil, and cost nothing.
package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Scope is the instrumentation scope of Stoker's spans.
const Scope = "github.com/stokerhq/stoker"

// prefix is what the names of Stoker's own attributes begin with.
const prefix = "stoker."

// Tracer begins traces. The nil Tracer begins none.
type Tracer struct{ tracer trace.Tracer }

// New returns the tracer of a provider.
func New(p trace.TracerProvider) *Tracer { return &Tracer{p.Tracer(Scope)} }

// Kind is the part that a span has in the traffic between processes.
type Kind = trace.SpanKind

// The kinds.
const (
	Internal = trace.SpanKindInternal
	Producer = trace.SpanKindProducer // it puts a task on a queue
	Consumer = trace.SpanKindConsumer // it does a task, or follows changes
	Server   = trace.SpanKindServer   // it answers a request
)

// Begin says how a span begins.
type Begin struct {
	Name string    // what happens: tick, run, refresh
	Job  string    // to which job
	Kind Kind      // zero: Internal
	At   time.Time // zero: now
	// Parent makes the span a child of another process' span.
	Parent Link
	// Links are spans that asked for this one, which then has a trace of its own.
	Links []Link
}

// Start begins a span of a trace of its own, or a child of b.Parent, or of the span of ctx. The nil Tracer returns ctx
// and no span.
func (t *Tracer) Start(ctx context.Context, b Begin) (context.Context, *Span) {
	if t == nil {
		return ctx, nil
	}
	if b.Parent.span != nil {
		ctx = trace.ContextWithRemoteSpanContext(ctx, *b.Parent.span)
	}
	return start(ctx, t.tracer, b)
}

// Child begins a span within the one of ctx. If none is recorded there, it returns ctx and no span.
func Child(ctx context.Context, name, job string) (context.Context, *Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, nil
	}
	return start(ctx, parent.TracerProvider().Tracer(Scope), Begin{Name: name, Job: job})
}

func start(ctx context.Context, t trace.Tracer, b Begin) (context.Context, *Span) {
	if b.Kind == trace.SpanKindUnspecified {
		b.Kind = Internal
	}
	name, opts := b.Name, []trace.SpanStartOption{trace.WithSpanKind(b.Kind)}
	if b.Job != "" {
		name += " " + b.Job
		opts = append(opts, trace.WithAttributes(attribute.String(prefix+"job", b.Job)))
	}
	if !b.At.IsZero() {
		opts = append(opts, trace.WithTimestamp(b.At))
	}
	if links := linksOf(b.Links); len(links) > 0 {
		opts = append(opts, trace.WithNewRoot(), trace.WithLinks(links...))
	}
	ctx, span := t.Start(ctx, name, opts...)
	return ctx, &Span{span}
}

// Span is something that happens. Every method may be called on the nil Span, and does nothing. A span that is never
// ended is not exported: so is dropped what turned out not to have happened.
type Span struct{ span trace.Span }

// Current is the span of ctx; nil if none is recorded.
func Current(ctx context.Context) *Span {
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		return &Span{span}
	}
	return nil
}

// Recorded reports whether the span will be exported.
func (s *Span) Recorded() bool { return s != nil && s.span.IsRecording() }

// Text sets an attribute; an empty value sets none.
func (s *Span) Text(name, value string) {
	if s != nil && value != "" {
		s.span.SetAttributes(attribute.String(prefix+name, value))
	}
}

// Count sets an attribute; 0 sets none.
func (s *Span) Count(name string, n int64) {
	if s != nil && n != 0 {
		s.span.SetAttributes(attribute.Int64(prefix+name, n))
	}
}

// Millis sets an attribute to a time in milliseconds.
func (s *Span) Millis(name string, d time.Duration) {
	if s != nil {
		s.span.SetAttributes(attribute.Float64(prefix+name, float64(d.Microseconds())/1000))
	}
}

// Flag sets an attribute if it is true.
func (s *Span) Flag(name string, is bool) {
	if s != nil && is {
		s.span.SetAttributes(attribute.Bool(prefix+name, true))
	}
}

// Task says which task of which queue the span is about.
func (s *Span) Task(queue, id string) {
	if s != nil {
		s.span.SetAttributes(attribute.String("messaging.system", "asynq"),
			attribute.String("messaging.destination.name", queue), attribute.String("messaging.message.id", id))
	}
}

// HTTPStatus says how a request was answered.
func (s *Span) HTTPStatus(code int) {
	if s == nil {
		return
	}
	s.span.SetAttributes(attribute.Int("http.response.status_code", code))
	if code >= 500 {
		s.span.SetStatus(codes.Error, "")
	}
}

// longestError bounds what is said of an error: a span is no log.
const longestError = 300

// Fail says that it failed; a nil error that it did not.
func (s *Span) Fail(err error) {
	if s == nil || err == nil {
		return
	}
	text := err.Error()
	if len(text) > longestError {
		text = text[:longestError]
	}
	s.span.SetStatus(codes.Error, text)
}

// End ends the span.
func (s *Span) End() {
	if s != nil {
		s.span.End()
	}
}

// EndWith ends a span that failed if err is not nil.
func (s *Span) EndWith(err error) {
	s.Fail(err)
	s.End()
}
