package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

const (
	waitLook  = 5 * time.Millisecond // how often a task is looked at
	probeLook = time.Second          // how often it is asked whether Redis takes what the task waits for
	waitLimit = 25 * time.Second     // less than requestLimit, so that there is an answer
)

// waited is the answer to ?wait=1.
type waited struct {
	invalidated
	// every key is in Redis as the database has it, or gone where it has no row
	Fresh  bool     `json:"fresh"`
	Failed []string `json:"failed,omitempty"` // why tasks failed for good
}

// wants reports whether the caller waits, or answers the request if it says so in a
// way that is not understood.
func (s *Server) wants(w http.ResponseWriter, r *http.Request) (wait, ok bool) {
	switch text := r.URL.Query().Get("wait"); {
	case text == "" || text == "0":
		return false, true
	case text != "1":
		s.refuse(w, r, http.StatusBadRequest, "wait="+text+": give 1 to wait until all is fresh, or leave it out")
	case s.cfg.Tasks == nil:
		s.refuse(w, r, http.StatusNotImplemented, "this process cannot look at tasks: leave wait out")
	default:
		return true, true
	}
	return false, false
}

// await answers when the tasks are done: 200 if all is well, 502 if some failed, 504
// if they take too long.
func (s *Server) await(w http.ResponseWriter, r *http.Request, done invalidated) {
	ctx, cancel := context.WithTimeout(r.Context(), waitLimit)
	defer cancel()
	for _, p := range s.paused(ctx) {
		if p.Queue == done.Queue {
			s.refuse(w, r, http.StatusGatewayTimeout, "the tasks are queued, but "+p.String())
			return
		}
	}
	answer := waited{invalidated: done}
	for _, id := range done.TaskIDs {
		failure, err := s.awaitTask(ctx, done.Queue, id)
		if errors.Is(err, context.DeadlineExceeded) {
			s.refuse(w, r, http.StatusGatewayTimeout,
				"the tasks are queued, but not done yet: they will be; "+failure)
			return
		}
		if err != nil {
			s.refuse(w, r, http.StatusServiceUnavailable,
				fmt.Sprintf("the tasks were enqueued, and could not be looked at: %v", err))
			return
		}
		if failure != "" {
			answer.Failed = append(answer.Failed, s.mask.Text(failure))
		}
	}
	answer.Fresh = len(answer.Failed) == 0
	code := http.StatusOK
	if !answer.Fresh {
		code = http.StatusBadGateway
	}
	answerJSON(w, code, answer)
}

// awaitTask waits until a task has ended, or the rescue of it that was made because its worker was
// killed. It returns why it failed, and at once that Redis refuses what it is to do; at the end of ctx,
// what it waits for.
func (s *Server) awaitTask(ctx context.Context, queue, id string) (failure string, err error) {
	asked, state := time.Now(), "is a worker running?"
	for {
		info, err := jobs.FindTask(s.cfg.Tasks, queue, id)
		lost := errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound)
		switch {
		case err != nil && !lost:
			return "", err
		case err == nil && (info.State == asynq.TaskStateCompleted || info.State == asynq.TaskStateArchived):
			return outcome(info), nil
		case err == nil && info.State == asynq.TaskStateRetry:
			if refusal, is := store.RefusalInText(info.LastErr); is {
				return refusal.String() + "; " + keptInQueue, nil
			}
			state = "the last try failed: " + info.LastErr
		}
		if s.cfg.Probe != nil && time.Since(asked) >= probeLook {
			if err := s.cfg.Probe(ctx); refusedWrites(err) {
				return err.Error() + "; " + keptInQueue, nil
			}
			asked = time.Now()
		}
		if !store.Sleep(ctx, waitLook) {
			return state, ctx.Err()
		}
	}
}

// outcome says why a task that has ended has not done what it was to do; "" if it
// has. A run that another one has superseded leaves it to that one.
func outcome(info *asynq.TaskInfo) string {
	if info.State == asynq.TaskStateArchived {
		return info.LastErr
	}
	var result store.RunResult
	if err := json.Unmarshal(info.Result, &result); err == nil && result.Record.State == store.StateSuperseded {
		return "a newer run of the job has taken over: wait for that one"
	}
	return ""
}
