package web

import (
	"net/http"
	"strconv"

	"github.com/hibiken/asynqmon"
)

// maxPageSize is how many tasks one page of the dashboard may ask Redis for.
// The dashboard itself sets no limit.
const maxPageSize = 500

// newDashboard opens Asynq's dashboard, which keeps Redis pools of its own.
func newDashboard(cfg Config) *asynqmon.HTTPHandler {
	return asynqmon.New(asynqmon.Options{
		RootPath:     "/queues",
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
	s.dashboard.ServeHTTP(w, r)
}
