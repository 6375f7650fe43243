package connect

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web"
)

// Notices are what is wrong with all jobs of a spec at once.
type Notices struct {
	refused   []web.Refused
	paused    []jobs.PausedQueue
	conflicts []string
	eviction  *store.Eviction // nil: there is none to speak of
}

// Notices looks for what is wrong now.
func (s *Servers) Notices(ctx context.Context, spec *jobs.Spec) (n Notices, err error) {
	writes := NewWrites(spec, s, slog.New(slog.DiscardHandler))
	if err := writes.Probe(ctx); err != nil && len(writes.Refused()) == 0 {
		return n, err
	}
	n.refused = writes.Refused()
	if n.paused, err = s.Queues().Paused(ctx); err != nil {
		return n, err
	}
	if n.conflicts, err = s.Conflicts(ctx, spec); err != nil {
		return n, err
	}
	n.eviction, err = s.Eviction(ctx)
	return n, err
}

// Eviction returns the eviction that a person should know of now; nil: there is none.
func (s *Servers) Eviction(ctx context.Context) (*store.Eviction, error) {
	e, is, err := s.Ledger.Eviction(ctx)
	if err != nil || !is || !e.Wrong() {
		return nil, err
	}
	return &e, nil
}

// Mark notes in the status of each job what is wrong.
func (n Notices) Mark(list []web.JobStatus) {
	web.MarkPaused(list, n.paused)
	web.MarkRefused(list, n.refused)
	web.MarkConflicts(list, n.conflicts)
	web.MarkEviction(list, n.eviction)
}

// Lines say what is wrong, one thing a line.
func (n Notices) Lines() (lines []string) {
	for _, r := range n.refused {
		lines = append(lines, "nothing can be written: "+r.String())
	}
	for _, p := range n.paused {
		lines = append(lines, fmt.Sprint(p))
	}
	lines = append(lines, n.conflicts...)
	if n.eviction != nil {
		lines = append(lines, n.eviction.String())
	}
	return lines
}
