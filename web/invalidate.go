package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

const (
	maxInvalidateKeys = 10_000
	maxInvalidateBody = 4 << 20
)

// invalidateBody is what POST .../invalidate reads: some keys, those of the rows with some values, or all.
type invalidateBody struct {
	Keys   []json.RawMessage `json:"keys"` // see parseKey
	Where  json.RawMessage   `json:"where"`
	All    bool              `json:"all"`
	Remove bool              `json:"remove"`
}

// invalidated is its answer.
type invalidated struct {
	Keys int `json:"keys,omitempty"` // accepted
	// of a condition that was asked of all jobs: how many of each
	Jobs    map[string]int `json:"jobs,omitempty"`
	All     bool           `json:"all,omitempty"`
	Remove  bool           `json:"remove,omitempty"`
	Fenced  bool           `json:"fenced,omitempty"` // nothing that was read before this call is written to the keys any more
	TaskIDs []string       `json:"task_ids"`
	Queue   string         `json:"queue"`
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
	body, ok := s.invalidateBody(w, r)
	if !ok {
		return
	}
	if body.Where != nil {
		s.invalidateWhere(w, r, []*jobs.Job{job}, body, wait)
		return
	}
	keys, err := parseKeys(job, body.Keys)
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, err.Error())
		return
	}
	done := invalidated{Keys: len(keys), All: body.All, Remove: body.Remove}
	accepted, err := s.invalidate(r, job, body, keys)
	done.Fenced = accepted.Fenced
	done.TaskIDs = []string{}
	for _, info := range accepted.Tasks {
		done.TaskIDs, done.Queue = append(done.TaskIDs, info.ID), info.Queue
	}
	if err != nil {
		s.refuseInvalidation(w, r, job, done, err)
		return
	}
	if s.refuseFence(w, job, accepted, done) {
		return
	}
	if wait {
		s.await(w, r, done)
		return
	}
	answerJSON(w, http.StatusAccepted, done)
}

// invalidateBody reads a body, or answers what is wrong with it.
func (s *Server) invalidateBody(w http.ResponseWriter, r *http.Request) (body invalidateBody, ok bool) {
	body, err := readInvalidate(http.MaxBytesReader(w, r.Body, maxInvalidateBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		s.refuse(w, r, http.StatusRequestEntityTooLarge,
			fmt.Sprintf("the body is over %d MiB: send fewer keys at a time", maxInvalidateBody>>20))
		return body, false
	}
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, err.Error())
		return body, false
	}
	return body, true
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
	case b.Where != nil && (b.All || b.Keys != nil):
		return errors.New(`"where" is given with "keys" or "all": send one of them`)
	case b.Where != nil:
		return nil
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

// invalidate fences keys and enqueues the tasks of a body.
func (s *Server) invalidate(r *http.Request, job *jobs.Job, body invalidateBody, keys []jobs.Key) (jobs.Invalidated,
	error) {
	i := jobs.Invalidator{
		Refused: store.Permanent,
		Enqueue: func(_ context.Context, task *asynq.Task) (*asynq.TaskInfo, error) {
			return s.enqueue(r, task, job.Name)
		},
	}
	if s.cfg.Fencer != nil {
		i.Fence = s.cfg.Fencer.Fence
	}
	var done jobs.Invalidated
	var err error
	switch {
	case body.All && body.Remove:
		done.Tasks, err = i.All(r.Context(), []*asynq.Task{jobs.NewKeysetRemoval(job.Name, jobs.CauseAPI)})
	case body.All:
		done.Tasks, err = i.All(r.Context(), []*asynq.Task{jobs.NewRun(job.Name, jobs.CauseAPI)})
	default:
		done, err = i.Keys(r.Context(), job, keys, body.Remove)
	}
	if done.FenceErr != nil {
		s.log.Warn("keys were not fenced at once; the worker does it", jobs.LogJob, job.Name, jobs.LogErr,
			s.mask.Text(done.FenceErr.Error()))
	}
	return done, err
}

// refuseInvalidation answers a call that was refused, or cut short by the queue.
func (s *Server) refuseInvalidation(w http.ResponseWriter, r *http.Request, job *jobs.Job, done invalidated,
	err error) {
	if _, is := errors.AsType[*jobs.QueueError](err); is {
		if s.refuseWrites(w, err, notKept, done.TaskIDs) {
			return
		}
		answerJSON(w, http.StatusServiceUnavailable, cutShort{s.mask.Text(err.Error()), done.TaskIDs})
		return
	}
	if _, is := errors.AsType[*store.KeyValueError](err); is {
		s.refuse(w, r, http.StatusBadRequest, err.Error()+": nothing was enqueued, correct the value and send it again")
		return
	}
	if _, is := errors.AsType[*jobs.FenceError](err); is {
		s.log.Warn("an invalidation was refused", jobs.LogJob, job.Name, jobs.LogErr, s.mask.Text(err.Error()))
		s.refuse(w, r, http.StatusServiceUnavailable,
			"the keys could not be fenced, so nothing was enqueued: "+err.Error())
		return
	}
	s.refuse(w, r, http.StatusBadRequest, err.Error())
}
