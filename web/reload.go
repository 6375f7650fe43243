package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/stokerhq/stoker/jobs"
)

// Reloaded is what the loading of a spec has changed: names of jobs.
type Reloaded struct {
	Added   []string `json:"added,omitempty"`   // run now, or at their next tick
	Changed []string `json:"changed,omitempty"` // of another definition: run now
	Altered []string `json:"altered,omitempty"` // of the same definition, with another schedule, timeout or watch list
	Removed []string `json:"removed,omitempty"` // they tick no more; their keys have their TTL
}

// reloadRefused is the answer to a spec that is not taken.
type reloadRefused struct {
	apiError
	Problems []string `json:"problems,omitempty"` // file:line:col: message (hint)
}

// reload has this process load the spec again.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Reload == nil {
		s.refuse(w, r, http.StatusNotFound, "this process does not load its spec again: restart it")
		return
	}
	s.log.Info("asked to load the spec again", "remote", r.RemoteAddr)
	out, err := s.cfg.Reload(r.Context())
	if err == nil {
		answerJSON(w, http.StatusOK, out)
		return
	}
	if r.Context().Err() != nil {
		s.refuse(w, r, http.StatusServiceUnavailable,
			"the spec was not loaded in time; the log says what becomes of it")
		return
	}
	answer := reloadRefused{apiError: apiError{"the spec was not loaded, the one before goes on: " +
		s.mask.Text(err.Error())}}
	if problems, located := errors.AsType[jobs.Problems](err); located {
		answer.Error = "the spec was not loaded, the one before goes on: it has mistakes"
		for _, p := range problems {
			answer.Problems = append(answer.Problems, s.mask.Text(p.String()))
		}
	}
	answerJSON(w, http.StatusUnprocessableEntity, answer)
}

// Replace has further requests answered by another spec: its jobs, its token. A request that has begun ends with the
// one before. The listener stays, and so do its address, its base path and the dashboard.
func (s *Server) Replace(spec *jobs.Spec) error {
	cfg := s.cfg
	cfg.Spec, cfg.Queue = spec, nil
	next, err := New(cfg)
	if err != nil {
		return err
	}
	next.dashboard = s.dashboard
	if before := s.latest(); before.auth != nil && before.cfg.Spec.Admin.Token.Equal(spec.Admin.Token) {
		next.auth.guesses = before.auth.guesses
	}
	s.next.Store(next)
	return nil
}

// latest is the server of the spec that was loaded last.
func (s *Server) latest() *Server {
	if next := s.next.Load(); next != nil {
		return next
	}
	return s
}

// specRefused says why the spec was refused when it was loaded the last time; nil: it was not.
func (s *Server) specRefused(ctx context.Context) *Failure {
	if s.cfg.SpecRefused == nil {
		return nil
	}
	f := s.cfg.SpecRefused(ctx)
	if f != nil {
		f = &Failure{Of: FailedSpec, Message: s.mask.Text(f.Message), At: f.At}
	}
	return f
}

// MarkConflicts adds to every job where specs of other daemons get in the way: tasks and changes of any job may go
// there.
func MarkConflicts(statuses []JobStatus, conflicts []string) {
	for _, conflict := range conflicts {
		markAll(statuses, Failure{Of: FailedApart, Message: conflict})
	}
}

// MarkSpec adds to every job that this process goes on with an older spec than the file has.
func MarkSpec(statuses []JobStatus, f *Failure) {
	if f != nil {
		markAll(statuses, *f)
	}
}
