package web

import (
	"fmt"
	"net/http"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Refused is a Redis that takes no writes. What it holds can be read, and grows old.
type Refused struct {
	Redis   string // what it is to Stoker: cache, queue, or both
	Message string // its own words, and what to do
	Since   time.Time
}

func (r Refused) String() string { return "the " + r.Redis + "'s Redis refuses writes: " + r.Message }

// MarkRefused adds to every job that its Redis takes no writes: none of them can be warmed.
func MarkRefused(statuses []JobStatus, refused []Refused) {
	for _, r := range refused {
		markAll(statuses, Failure{Of: FailedWrites, Message: r.String(), At: r.Since})
	}
}

// refused is what is known of this process' servers, masked.
func (s *Server) refused() []Refused {
	if s.cfg.Refused == nil {
		return nil
	}
	list := s.cfg.Refused()
	for i := range list {
		list[i].Message = s.mask.Text(list[i].Message)
	}
	return list
}

// once takes what Redis refuses or evicts, and what is wrong with the spec or between specs, out of a job's failures:
// the page shows it above all jobs. What was taken is the same for every job.
func (st JobStatus) once() (JobStatus, []Failure) {
	var rest, taken []Failure
	for _, f := range st.Failures {
		switch f.Of {
		case FailedWrites, FailedSpec, FailedApart, FailedMemory:
			taken = append(taken, f)
		default:
			rest = append(rest, f)
		}
	}
	st.Failures = rest
	return st, taken
}

// refuseWrites answers 502 if err says that Redis refuses what was asked for, with Redis' own words, and reports
// whether it has.
func (s *Server) refuseWrites(w http.ResponseWriter, err error, kept string, ids []string) bool {
	if !refusedWrites(err) {
		return false
	}
	message := fmt.Sprintf("%v; %s", store.WithRemedy(err), kept)
	answerJSON(w, http.StatusBadGateway, cutShort{s.mask.Text(message), ids})
	return true
}

func refusedWrites(err error) bool {
	_, is := store.RefusalIn(err)
	return is
}

// What became of an invalidation that Redis has refused.
const (
	keptInQueue = "the cached values stay as they are for now: the tasks are kept in the queue, and done as soon as " +
		"Redis takes writes"
	notKept = "nothing is kept of this call: send it again when Redis takes writes"
)

// refuseFence answers an invalidation whose keys the cache could not fence, because it refuses writes. Its tasks are in
// the queue, unless that refuses them, too.
func (s *Server) refuseFence(w http.ResponseWriter, job *jobs.Job, done jobs.Invalidated, answer invalidated) bool {
	if done.FenceErr == nil || len(answer.TaskIDs) == 0 {
		return false
	}
	return s.refuseWrites(w, fmt.Errorf("the keys of %s are not fenced: %w", job.Name, done.FenceErr), keptInQueue,
		answer.TaskIDs)
}
