package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// OpenOutboxEvery is OpenOutbox with another time between polls.
func (s *Source) OpenOutboxEvery(ctx context.Context, spec *jobs.Spec, log *slog.Logger, every time.Duration) (*Outbox, feed.Start, error) {
	return s.openOutbox(ctx, spec, log, every)
}

// Taken is what a poll is told of the rows that are read and not done.
func (o *Outbox) Taken() string {
	spans, _ := o.takenSpans()
	return string(multirange(spans))
}

// Ranges are the ids of polls as one is told of them.
func Ranges(polls ...[]int64) string {
	var spans []span
	for _, ids := range polls {
		spans = append(spans, spansOf(ids)...)
	}
	return string(multirange(join(spans)))
}
