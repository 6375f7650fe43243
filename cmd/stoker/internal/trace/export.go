package trace

import (
	"context"
	"log/slog"
	"sync"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/stokerhq/stoker/jobs"
)

// steadfast is an exporter whose failures are logged once, and not for each batch of spans: a collector that is away
// is nothing that work suffers from, and may be away for days.
type steadfast struct {
	sdk.SpanExporter
	endpoint string
	log      *slog.Logger

	mu      sync.Mutex
	failing bool
	lost    int // spans, since it fails
}

// ExportSpans exports, and never fails.
func (s *steadfast) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := s.SpanExporter.ExportSpans(ctx, spans)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && s.failing:
		s.log.Info("traces are exported again", "endpoint", s.endpoint, "spans_lost", s.lost)
		s.failing, s.lost = false, 0
	case err != nil && !s.failing:
		s.log.Warn("traces are not exported, and spans are dropped; work goes on without them, and this is logged "+
			"once: is the collector up, and does it speak OTLP over HTTP there?", "endpoint", s.endpoint,
			jobs.LogErr, cut(err.Error()))
		s.failing = true
	}
	if err != nil {
		s.lost += len(spans)
	}
	return nil
}

// longestError bounds what is logged of a collector's answer, which may be a page.
const longestError = 300

func cut(text string) string {
	if len(text) > longestError {
		return text[:longestError] + "..."
	}
	return text
}
