package web

import (
	"context"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// eviction is what is known of an eviction that a person should know of; nil: there is none.
func (s *Server) eviction(ctx context.Context) *store.Eviction {
	if s.cfg.Eviction == nil {
		return nil
	}
	e, is, err := s.cfg.Eviction(ctx)
	if err != nil {
		s.log.Warn("whether the cache evicts keys could not be looked at", jobs.LogErr, s.mask.Text(err.Error()))
	}
	if !is || !e.Wrong() {
		return nil
	}
	return &e
}

// MarkEviction adds to every job that the cache's Redis evicts keys: any of them may be a job's.
func MarkEviction(statuses []JobStatus, e *store.Eviction) {
	if e == nil {
		return
	}
	for i := range statuses {
		statuses[i].Failures = append(statuses[i].Failures, Failure{Of: FailedMemory, Message: e.String(), At: e.Since})
	}
}
