package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
)

// invalidateAll is POST /api/v1/invalidate: a condition, of every job that has its columns.
func (s *Server) invalidateAll(w http.ResponseWriter, r *http.Request) {
	wait, ok := s.wants(w, r)
	if !ok {
		return
	}
	body, ok := s.invalidateBody(w, r)
	if !ok {
		return
	}
	if body.Where == nil {
		s.refuse(w, r, http.StatusBadRequest, `no condition is given: send {"where": {"column": value}}; keys, and all `+
			"keys, are asked of one job: "+s.link("/api/v1/jobs/NAME/invalidate"))
		return
	}
	s.invalidateWhere(w, r, nil, body, wait)
}

// invalidateWhere fences the keys that a condition names and enqueues the tasks that load or remove them. list is the
// one job that is meant; nil: all that have the columns. What does not fit is refused before any key is fenced.
func (s *Server) invalidateWhere(w http.ResponseWriter, r *http.Request, list []*jobs.Job, body invalidateBody,
	wait bool) {
	if s.cfg.Scope == nil {
		s.refuse(w, r, http.StatusNotImplemented, "this process does not find keys by what rows hold: name the keys")
		return
	}
	var where jobs.Where
	if err := json.Unmarshal(body.Where, &where); err != nil {
		s.refuse(w, r, http.StatusBadRequest, fmt.Sprintf(`"where": %v`, err))
		return
	}
	i := s.scopeInvalidator(r)
	all := list == nil
	var err error
	if all {
		list, err = i.JobsWith(r.Context(), s.cfg.Spec.Jobs, where)
	} else {
		err = i.CheckWhere(r.Context(), list[0], where)
	}
	done := invalidated{Remove: body.Remove, TaskIDs: []string{}, Queue: jobs.QueueRefresh}
	if err != nil {
		s.refuseWhere(w, r, done, err)
		return
	}
	if all {
		done.Jobs = make(map[string]int, len(list))
	}
	for _, job := range list {
		one, err := i.Where(r.Context(), job, where, body.Remove, nil)
		done.Keys += one.Keys
		if all {
			done.Jobs[job.Name] = one.Keys
		}
		for _, info := range one.Tasks {
			done.TaskIDs, done.Queue = append(done.TaskIDs, info.ID), info.Queue
		}
		s.log.Info("keys fenced by a condition", jobs.LogJob, job.Name, "columns", where.Columns(), "keys", one.Keys,
			"tasks", len(one.Tasks), "remote", r.RemoteAddr)
		if err != nil {
			s.refuseWhere(w, r, done, err)
			return
		}
	}
	done.Fenced = true
	if wait {
		s.await(w, r, done)
		return
	}
	answerJSON(w, http.StatusAccepted, done)
}

// scopeInvalidator enqueues without a line in the log for each task: there may be thousands.
func (s *Server) scopeInvalidator(r *http.Request) jobs.Invalidator {
	return jobs.Invalidator{
		CheckWhere: s.cfg.Scope.Check,
		FenceWhere: s.cfg.Scope.Fence,
		Enqueue: func(ctx context.Context, task *asynq.Task) (*asynq.TaskInfo, error) {
			tracing.Inject(r.Context(), task.Headers())
			return s.cfg.Enqueuer.EnqueueContext(ctx, task)
		},
	}
}

// refuseWhere answers a condition that was refused, or that did not come to its end: what was fenced until then is
// enqueued.
func (s *Server) refuseWhere(w http.ResponseWriter, r *http.Request, done invalidated, err error) {
	_, lacks := errors.AsType[*jobs.NoColumnError](err)
	_, none := errors.AsType[*jobs.NoJobError](err)
	if lacks || none || store.Permanent(err) {
		s.refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	message := fmt.Sprintf("%d keys were fenced and enqueued before it ended; asking again is harmless: %v", done.Keys,
		store.WithRemedy(err))
	code := http.StatusServiceUnavailable
	if refusedWrites(err) {
		code = http.StatusBadGateway
	}
	answerJSON(w, code, cutShort{s.mask.Text(message), done.TaskIDs})
}
