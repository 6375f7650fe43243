package postgres

import (
	"context"
	"log/slog"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// OpenOutboxEvery is OpenOutbox with another time between polls.
func (s *Source) OpenOutboxEvery(ctx context.Context, spec *jobs.Spec, log *slog.Logger, every time.Duration) (*Outbox, store.FeedStart, error) {
	return s.openOutbox(ctx, spec, log, every)
}
