package web

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/reads"
)

// MarkEviction adds to every job that the cache's Redis has evicted keys; nil: there is nothing to speak of. Whose keys
// they were the server does not say.
func MarkEviction(statuses []JobStatus, e *store.Eviction) {
	if e != nil {
		markAll(statuses, Failure{Of: FailedMemory, Message: e.String(), At: e.Since})
	}
}

// eviction is what Config.Eviction finds. That it cannot be read has the reasons for which the jobs cannot be read
// either, and these are shown.
func (s *Server) eviction(ctx context.Context) *store.Eviction {
	if s.cfg.Eviction == nil {
		return nil
	}
	e, err := s.cfg.Eviction(ctx)
	if err != nil {
		s.log.Warn("evictions could not be looked at", jobs.LogErr, s.mask.Text(err.Error()))
		return nil
	}
	return e
}

// reads is how often readers find their key; nil where it cannot be read, which has the reasons that the jobs show.
func (s *Server) reads(ctx context.Context) *reads.Report {
	if s.cfg.Reads == nil {
		return nil
	}
	report, err := s.cfg.Reads.Report(ctx)
	if err != nil {
		s.log.Warn("the count of reads could not be looked at", jobs.LogErr, s.mask.Text(err.Error()))
		return nil
	}
	return &report
}
