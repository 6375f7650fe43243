package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/trace"
	"github.com/stokerhq/stoker/jobs/tracing"
)

// How long a process that ends waits for the collector to take its last spans.
const (
	flushLimit   = 3 * time.Second // of the daemon: with all else that stops, less than stopLimit
	commandLimit = time.Second     // of a command, whose caller waits
)

// traces sets up what OTEL_* asks for; nil if that is nothing.
func (a *app) traces(ctx context.Context, log *slog.Logger) (*trace.Tracing, error) {
	t, err := trace.Open(ctx, trace.Config{Lookup: a.lookup, Version: version(), Log: log})
	if _, wrong := errors.AsType[*trace.EnvError](err); wrong {
		return nil, usageError{err}
	}
	return t, err
}

// command begins the span of a command, in the trace that the environment names (TRACEPARENT, as in scripts and
// continuous integration).
func (a *app) command(ctx context.Context, t *trace.Tracing, name string) (context.Context, *tracing.Span) {
	if t == nil {
		return ctx, nil
	}
	headers := make(map[string]string)
	for variable, header := range map[string]string{"TRACEPARENT": "traceparent", "TRACESTATE": "tracestate"} {
		if value, set := a.lookup(variable); set {
			headers[header] = value
		}
	}
	return t.Tracer().Start(ctx, tracing.Begin{Name: name, Parent: tracing.FromHeaders(headers)})
}
