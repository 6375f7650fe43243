package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
)

// JobDetail is a JobStatus with the job's last runs, newest first.
type JobDetail struct {
	JobStatus
	Runs []store.Record `json:"runs"`
}

// listJobs answers with the status of every job. When nothing at all could be
// read the answer is the same list, with 503.
func (s *Server) listJobs(w http.ResponseWriter, r *http.Request) {
	statuses, err := s.status.get(r.Context())
	if err != nil {
		s.refuse(w, r, http.StatusServiceUnavailable, "the status was not read in time: try again")
		return
	}
	code := http.StatusOK
	if allUnread(statuses) {
		code = http.StatusServiceUnavailable
	}
	answerJSON(w, code, statuses)
}

// defaultRuns is how many runs a detail shows unless asked.
const defaultRuns = 20

func (s *Server) getJob(w http.ResponseWriter, r *http.Request) {
	n := defaultRuns
	if text := r.URL.Query().Get("runs"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > keptRuns {
			s.refuse(w, r, http.StatusBadRequest, fmt.Sprintf("runs=%s: give a number from 1 to %d", text, keptRuns))
			return
		}
	}
	job, ok := s.findJob(w, r)
	if !ok {
		return
	}
	detail, err := s.detail(r.Context(), job, n)
	if err != nil {
		s.refuse(w, r, http.StatusServiceUnavailable, err.Error())
		return
	}
	code := http.StatusOK
	if detail.unread {
		code = http.StatusServiceUnavailable
	}
	answerJSON(w, code, detail)
}

// detail is one job's status and its last n runs. Runs that cannot be read are
// told among the failures of the status already.
func (s *Server) detail(ctx context.Context, job *jobs.Job, n int) (JobDetail, error) {
	statuses, err := s.status.get(ctx)
	if err != nil {
		return JobDetail{}, fmt.Errorf("the status of %s was not read in time: try again", job.Name)
	}
	detail := JobDetail{Runs: []store.Record{}}
	for _, st := range statuses {
		if st.Name == job.Name {
			detail.JobStatus = st
		}
	}
	if detail.unread {
		return detail, nil
	}
	runs, err := s.cfg.Ledger.Runs(ctx, job.Name, n)
	if err != nil {
		s.log.Warn("runs were not read", "job", job.Name, "err", s.mask.Text(err.Error()))
		return detail, nil
	}
	for i := range runs {
		s.mask.Record(&runs[i])
	}
	detail.Runs = append(detail.Runs, runs...)
	return detail, nil
}

// accepted is the answer to what was asked for and will be done.
type accepted struct {
	TaskID string `json:"task_id"`
	Queue  string `json:"queue"`
}

func (s *Server) warmJob(w http.ResponseWriter, r *http.Request) {
	job, ok := s.findJob(w, r)
	if !ok {
		return
	}
	info, err := s.enqueue(r, jobs.NewRun(job.Name, jobs.CauseAPI), job.Name)
	if refusedWrites(err) {
		s.refuse(w, r, http.StatusBadGateway, store.WithRemedy(err).Error())
		return
	}
	if err != nil {
		s.refuse(w, r, http.StatusServiceUnavailable, err.Error())
		return
	}
	answerJSON(w, http.StatusAccepted, accepted{TaskID: info.ID, Queue: info.Queue})
}

// refreshKey loads a key that a reader has missed.
func (s *Server) refreshKey(w http.ResponseWriter, r *http.Request) {
	job, ok := s.findJob(w, r)
	switch {
	case !ok:
	case s.cfg.Doorbell == nil:
		s.refuse(w, r, http.StatusNotImplemented, "this process loads no keys: send an invalidation, it is queued")
	default:
		s.cfg.Doorbell.Serve(w, r, job)
	}
}

// enqueue puts a task on its queue and logs who asked.
func (s *Server) enqueue(r *http.Request, task *asynq.Task, job string) (*asynq.TaskInfo, error) {
	tracing.Inject(r.Context(), task.Headers())
	info, err := s.cfg.Enqueuer.EnqueueContext(r.Context(), task)
	if err != nil {
		s.log.Error("task was not enqueued", "job", job, "type", task.Type(), "err", s.mask.Text(err.Error()))
		return nil, fmt.Errorf("the task was not enqueued, is the queue's Redis up? try again: %w", err)
	}
	s.log.Info("task enqueued", "job", job, "type", task.Type(), "task_id", info.ID, "remote", r.RemoteAddr)
	return info, nil
}

// findJob returns the job that the path names, or answers 404 with those there are.
func (s *Server) findJob(w http.ResponseWriter, r *http.Request) (*jobs.Job, bool) {
	name := r.PathValue("job")
	job, ok := s.cfg.Spec.Job(name)
	if !ok {
		s.refuse(w, r, http.StatusNotFound, fmt.Sprintf("there is no job %q in the spec; it has %s", name,
			s.jobNames()))
	}
	return job, ok
}

func (s *Server) jobNames() string {
	var names []string
	for _, job := range s.cfg.Spec.Jobs {
		names = append(names, job.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func allUnread(statuses []JobStatus) bool {
	for _, st := range statuses {
		if !st.unread {
			return false
		}
	}
	return len(statuses) > 0
}
