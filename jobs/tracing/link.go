package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Link names a span of before, perhaps of another process. The zero Link names none.
type Link struct{ span *trace.SpanContext }

// MostLinks is how many links a span has at most: a refresh may serve hundreds of changes.
const MostLinks = 32

func linksOf(list []Link) (links []trace.Link) {
	for _, l := range list {
		if l.span != nil && len(links) < MostLinks {
			links = append(links, trace.Link{SpanContext: *l.span})
		}
	}
	return links
}

// IsZero reports whether the link names no span.
func (l Link) IsZero() bool { return l.span == nil }

// Link names the span, for spans that it asks for.
func (s *Span) Link() Link {
	if s == nil {
		return Link{}
	}
	return link(s.span.SpanContext())
}

func link(c trace.SpanContext) Link {
	if !c.IsValid() {
		return Link{}
	}
	return Link{&c}
}

// w3c writes and reads the headers traceparent and tracestate (W3C trace context). Baggage is not taken along: it is
// the caller's, and whoever reads the queue's Redis would read it.
var w3c propagation.TraceContext

// Inject writes the span of ctx, if there is one, into the headers of a task.
func Inject(ctx context.Context, headers map[string]string) {
	if headers != nil {
		w3c.Inject(ctx, propagation.MapCarrier(headers))
	}
}

// FromHeaders returns the span that the headers of a task name. Headers that are no W3C trace context name none.
func FromHeaders(headers map[string]string) Link {
	return extract(propagation.MapCarrier(headers))
}

// FromRequest returns the span that the headers of an HTTP request name.
func FromRequest(r *http.Request) Link { return extract(propagation.HeaderCarrier(r.Header)) }

func extract(carrier propagation.TextMapCarrier) Link {
	return link(trace.SpanContextFromContext(w3c.Extract(context.Background(), carrier)))
}
