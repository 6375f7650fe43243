package tracing

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// MostBatches is how many spans the batches of one snapshot become at most, whatever the size of the result. With the
// run, its snapshot and what they ask of Postgres, a run has at most 60.
const MostBatches = 30

// Batches sums up batches that are written within a span, so that there is a span for each of a few, and one for a few
// hundred of many. How many there will be is not known before the end: so each span covers as many neighbours as the
// others, and when there are too many spans, each two of them become one. It is safe for concurrent use, and nil where
// nothing is recorded.
type Batches struct {
	ctx    context.Context // has the span that they are in
	tracer trace.Tracer
	job    string
	limit  int

	mu   sync.Mutex
	list []stretch
	per  int64 // batches in a stretch
}

// stretch is neighbouring batches. Batches are written side by side: it may be busy for longer than it lasts.
type stretch struct {
	began, ended time.Time
	batches      int64
	keys, bytes  int64
	busy         time.Duration
	err          error // the first
}

// BatchesOf returns what sums up the batches of the span in ctx, into at most limit spans; nil if it is not recorded.
func BatchesOf(ctx context.Context, job string, limit int) *Batches {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return nil
	}
	return &Batches{ctx: ctx, tracer: span.TracerProvider().Tracer(Scope), job: job, limit: max(1, limit), per: 1,
		list: make([]stretch, 0, max(1, limit))}
}

// Note notes a batch that began then and has ended now.
func (b *Batches) Note(began time.Time, keys, bytes int, err error) {
	if b == nil {
		return
	}
	now := time.Now()
	one := stretch{began: began, ended: now, batches: 1, keys: int64(keys), bytes: int64(bytes), busy: now.Sub(began),
		err: err}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.list); n == b.limit && b.list[n-1].batches >= b.per {
		b.halve()
	}
	if n := len(b.list); n > 0 && b.list[n-1].batches < b.per {
		b.list[n-1].add(one)
		return
	}
	b.list = append(b.list, one)
}

// halve makes one stretch of each two.
func (b *Batches) halve() {
	half := b.list[:0]
	for i := 0; i < len(b.list); i += 2 {
		s := b.list[i]
		if i+1 < len(b.list) {
			s.add(b.list[i+1])
		}
		half = append(half, s)
	}
	b.list, b.per = half, 2*b.per
}

// add adds a later stretch.
func (s *stretch) add(later stretch) {
	if later.began.Before(s.began) {
		s.began = later.began
	}
	if later.ended.After(s.ended) {
		s.ended = later.ended
	}
	s.batches += later.batches
	s.keys += later.keys
	s.bytes += later.bytes
	s.busy += later.busy
	if s.err == nil {
		s.err = later.err
	}
}

// End makes the spans.
func (b *Batches) End() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.list {
		_, span := b.tracer.Start(b.ctx, "batches "+b.job, trace.WithTimestamp(s.began), trace.WithAttributes(
			attribute.String(prefix+"job", b.job), attribute.Int64(prefix+"batches", s.batches),
			attribute.Int64(prefix+"keys", s.keys), attribute.Int64(prefix+"bytes", s.bytes),
			attribute.Float64(prefix+"busy_ms", float64(s.busy.Microseconds())/1000)))
		if s.err != nil {
			span.SetStatus(codes.Error, "")
		}
		span.End(trace.WithTimestamp(s.ended))
	}
	b.list = nil
}
