package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

const (
	maxInvalidateKeys = 10_000
	maxInvalidateBody = 4 << 20
)

// invalidateBody is what POST .../invalidate reads: some keys, or all.
type invalidateBody struct {
	Keys   []json.RawMessage `json:"keys"` // see parseKey
	All    bool              `json:"all"`
	Remove bool              `json:"remove"`
}

// invalidated is its answer.
type invalidated struct {
	Keys    int      `json:"keys,omitempty"` // accepted
	All     bool     `json:"all,omitempty"`
	Remove  bool     `json:"remove,omitempty"`
	Fenced  bool     `json:"fenced,omitempty"` // nothing that was read before this call is written to the keys any more
	TaskIDs []string `json:"task_ids"`
	Queue   string   `json:"queue"`
}

// cutShort is its answer when the queue failed in the middle.
type cutShort struct {
	Error   string   `json:"error"`
	TaskIDs []string `json:"task_ids"` // these will be done
}

// invalidateJob checks everything before it enqueues anything.
func (s *Server) invalidateJob(w http.ResponseWriter, r *http.Request) {
	job, ok := s.findJob(w, r)
	if !ok {
		return
	}
	wait, ok := s.wants(w, r)
	if !ok {
		return
	}
	body, err := readInvalidate(http.MaxBytesReader(w, r.Body, maxInvalidateBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		s.refuse(w, r, http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the body is over %d MiB: send fewer keys at a time", maxInvalidateBody>>20))
		return
	}
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	keys, err := parseKeys(job, body.Keys)
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	tasks, err := invalidations(job, body, keys)
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	done := invalidated{Keys: len(keys), All: body.All, Remove: body.Remove}
	if done.Fenced, ok = s.fence(w, r, job, keys); !ok {
		return
	}
	if !s.enqueueAll(w, r, job, tasks, &done) {
		return
	}
	if wait {
		s.await(w, r, done)
		return
	}
	answerJSON(w, http.StatusAccepted, done)
}

// readInvalidate reads the body strictly: a misspelt field must not turn into
// "nothing to do".
func readInvalidate(r io.Reader) (invalidateBody, error) {
	var body invalidateBody
	text, err := io.ReadAll(r)
	if err != nil {
		return body, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		return body, describeJSON(text, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return body, errors.New("there is more after the JSON object: send one object")
	}
	return body, body.check()
}

func (b invalidateBody) check() error {
	switch {
	case b.All && b.Keys != nil:
		return errors.New(`both "keys" and "all" are given: send one of them`)
	case !b.All && len(b.Keys) == 0:
		return errors.New("no keys are given: " + bodyShape)
	case len(b.Keys) > maxInvalidateKeys:
		return fmt.Errorf(`%d keys are more than one call takes: send at most %d at a time, or {"all": true}`,
			len(b.Keys), maxInvalidateKeys)
	}
	return nil
}

// fenceLimit is how long the databases may take to fence keys.
const fenceLimit = 5 * time.Second

// fence asks the Fencer, and answers the request itself when the keys or the
// job's query are wrong. When the databases cannot be asked, the keys are taken:
// the worker finds out, and an invalidation must not be lost because a database
// is away for a moment.
func (s *Server) fence(w http.ResponseWriter, r *http.Request, job *jobs.Job, keys []jobs.Key) (fenced, ok bool) {
	if s.cfg.Fencer == nil || len(keys) == 0 {
		return false, true
	}
	ctx, cancel := context.WithTimeout(r.Context(), fenceLimit)
	defer cancel()
	err := s.cfg.Fencer.Fence(ctx, job, keys)
	if err == nil {
		return true, true
	}
	if _, misfit := errors.AsType[*store.KeyValueError](err); misfit {
		s.refuse(w, r, http.StatusBadRequest, err.Error()+": nothing was enqueued, correct the value and send it again")
		return false, false
	}
	s.log.Warn("keys were not fenced at once; the worker does it", "job", job.Name, "err", s.mask.text(err.Error()))
	if store.Permanent(err) {
		s.refuse(w, r, http.StatusServiceUnavailable,
			"the keys could not be fenced, so nothing was enqueued: "+err.Error())
		return false, false
	}
	return false, true
}

// invalidations turns a body into the tasks that do it.
func invalidations(job *jobs.Job, body invalidateBody, keys []jobs.Key) ([]*asynq.Task, error) {
	switch {
	case body.All && body.Remove:
		return []*asynq.Task{jobs.NewKeysetRemoval(job.Name, jobs.CauseAPI)}, nil
	case body.All:
		return []*asynq.Task{jobs.NewRun(job.Name, jobs.CauseAPI)}, nil
	}
	return jobs.NewInvalidations(job.Name, keys, body.Remove)
}

// enqueueAll completes done by what the queue says, or answers the request itself if
// the queue failed in the middle.
func (s *Server) enqueueAll(w http.ResponseWriter, r *http.Request, job *jobs.Job, tasks []*asynq.Task,
	done *invalidated) (ok bool) {
	done.TaskIDs = []string{}
	for _, task := range tasks {
		info, err := s.enqueue(r, task, job.Name)
		if err != nil {
			reason := fmt.Sprintf("%d of %d tasks were enqueued; doing one twice is harmless, so send it all again: %v",
				len(done.TaskIDs), len(tasks), err)
			answerJSON(w, http.StatusServiceUnavailable, cutShort{s.mask.text(reason), done.TaskIDs})
			return false
		}
		done.TaskIDs = append(done.TaskIDs, info.ID)
		done.Queue = info.Queue
	}
	return true
}
