package web

import (
	"context"
	"net/http"
	"strconv"

	"github.com/hibiken/asynqmon"

	"github.com/stokerhq/stoker/jobs"
)

// maxPageSize is how many tasks one page of the dashboard may ask Redis for.
// The dashboard itself sets no limit.
const maxPageSize = 500

// newDashboard opens Asynq's dashboard, which keeps Redis pools of its own.
func newDashboard(cfg Config) *asynqmon.HTTPHandler {
	return asynqmon.New(asynqmon.Options{
		RootPath:     cfg.Spec.Admin.BasePath + "/queues",
		RedisConnOpt: cfg.Queue,
		ReadOnly:     !cfg.Spec.Admin.QueuesWrite,
	})
}

// queues serves the dashboard under its own policy.
func (s *Server) queues(w http.ResponseWriter, r *http.Request) {
	if s.dashboard == nil {
		s.refuse(w, r, http.StatusNotFound, "the Asynq dashboard is not part of this process: look at one that "+
			"runs with the admin role and a queue")
		return
	}
	if size, err := strconv.Atoi(r.URL.Query().Get("size")); err == nil && (size < 1 || size > maxPageSize) {
		s.refuse(w, r, http.StatusBadRequest, "size is "+strconv.Itoa(size)+": ask for 1 to "+strconv.Itoa(maxPageSize)+
			" tasks a page")
		return
	}
	w.Header().Set("Content-Security-Policy", queuesPolicy)
	s.dashboard.ServeHTTP(w, s.withBase(r))
}

// paused returns the queues that are paused. That they cannot be read has the reasons for which the jobs cannot
// be read either, and these are shown.
func (s *Server) paused(ctx context.Context) []jobs.PausedQueue {
	if s.cfg.Paused == nil {
		return nil
	}
	list, err := s.cfg.Paused(ctx)
	if err != nil {
		s.log.Warn("the queues could not be looked at", jobs.LogErr, s.mask.Text(err.Error()))
		return nil
	}
	return list
}

// MarkPaused notes in the status of each job which queues are paused: none of its tasks there is done.
func MarkPaused(statuses []JobStatus, paused []jobs.PausedQueue) {
	for i := range statuses {
		statuses[i].Paused = paused
	}
}
