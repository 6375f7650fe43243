package web

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/mask"
	"github.com/stokerhq/stoker/web/objective"
	"github.com/stokerhq/stoker/web/past"
)

// Ledger is what the page reads of the past. store/cache implements it.
type Ledger interface {
	Runs(ctx context.Context, job string, n int) ([]store.Record, error) // newest first
	Live(ctx context.Context, job string) (store.Progress, bool, error)  // a run that is going on now
	Tally(ctx context.Context, job string) (store.Tally, error)
	// keys that the change feed could not load yet
	Pending(ctx context.Context, job string) (store.Pending, bool, error)
	objective.Budgets
}

// Sampler measures warmth: of the keys in job's sample, how many are in Redis
// right now.
type Sampler interface {
	Warmth(ctx context.Context, job string) (present, sampled int, err error)
}

// JobStatus is what is known of one job at one moment.
type JobStatus struct {
	Name       string         `json:"name"`
	Key        string         `json:"key"` // the template
	Value      jobs.ValueKind `json:"value"`
	Schedule   string         `json:"schedule,omitempty"`
	NextTick   time.Time      `json:"next_tick,omitzero"`
	TTLSeconds float64        `json:"ttl_seconds"`

	Keys       int64    `json:"keys"`                  // of the last complete run
	Bytes      int64    `json:"bytes"`                 // of the last complete run
	Warmth     *float64 `json:"warmth,omitempty"`      // 0 to 1; nil when nothing was sampled
	Sampled    int      `json:"sampled,omitempty"`     // keys that Warmth was measured on
	AgeSeconds *float64 `json:"age_seconds,omitempty"` // since the last complete run began; nil when it left no key

	LastSuccess time.Time `json:"last_success,omitzero"` // when the last complete run ended

	LastRun *store.Record `json:"last_run,omitempty"`
	// the last run that was complete, which LastRun may be; only for use in this process
	LastComplete *store.Record   `json:"-"`
	Running      *store.Progress `json:"running,omitempty"`

	Missed      int64     `json:"missed"`
	Skipped     int64     `json:"skipped"`
	Refreshes   int64     `json:"refreshes"`
	Refreshed   int64     `json:"refreshed"`
	LastRefresh time.Time `json:"last_refresh,omitzero"`

	// changed keys that could not be loaded and are tried again; nil when there are none
	Pending *store.Pending `json:"pending,omitempty"`

	Audit *past.Audit `json:"audit,omitempty"` // nil when nothing was audited

	Objective *objective.Status `json:"objective,omitempty"` // nil when the job has none

	Failures []Failure `json:"failures,omitempty"`

	// queues whose tasks no worker is given: nothing is done of what is asked of any job there
	Paused []jobs.PausedQueue `json:"paused_queues,omitempty"`

	unread bool // nothing of the job could be read
}

// What a Failure happened to.
const (
	FailedRun     = "run"     // the last run
	FailedRefresh = "refresh" // the last refresh
	FailedStatus  = "status"  // reading the status itself: the numbers beside it are incomplete
	FailedWrites  = "writes"  // every write: Redis refuses them
	FailedSpec    = "spec"    // the loading of the spec: the one before goes on
	FailedApart   = "apart"   // the keeping apart of specs: another one gets in the way
	FailedMemory  = "memory"  // the cache's memory: Redis evicts keys
)

// Failure is one thing that is wrong with a job now. It goes away with the next
// run, refresh or look that succeeds.
type Failure struct {
	Of      string    `json:"of"` // FailedRun or another of these
	Message string    `json:"message"`
	At      time.Time `json:"at,omitzero"`
}

// Title words Of as the beginning of a sentence.
func (f Failure) Title() string {
	switch f.Of {
	case FailedRun:
		return "The last run failed"
	case FailedRefresh:
		return "The last refresh failed"
	case FailedWrites:
		return "Nothing can be written"
	case FailedSpec:
		return "The spec was not loaded, the one before goes on"
	case FailedApart:
		return "Specs are not kept apart"
	case FailedMemory:
		return "Keys are evicted"
	}
	return "The status is incomplete"
}

// Lasts reports whether it has been so since At; else it happened then.
func (f Failure) Lasts() bool {
	return f.Of == FailedWrites || f.Of == FailedSpec || f.Of == FailedMemory
}

// markAll adds to every job what is wrong with all of them at once.
func markAll(statuses []JobStatus, f Failure) {
	for i := range statuses {
		statuses[i].Failures = append(statuses[i].Failures, f)
	}
}

// How many records tell a job's state, and how many are read when none of these
// is of a complete run.
const (
	recentRuns = 20
	keptRuns   = 200
)

// collectAtOnce bounds how many jobs are read at the same time.
const collectAtOnce = 8

// Collect reads the status of every job, in the order of the spec. A job that
// cannot be read hides neither itself nor the others: it carries a Failure of
// FailedStatus, and the error returned joins these. A nil Sampler leaves Warmth out.
func Collect(ctx context.Context, spec *jobs.Spec, l Ledger, s Sampler, now time.Time) ([]JobStatus, error) {
	statuses := make([]JobStatus, len(spec.Jobs))
	errs := make([]error, len(spec.Jobs))
	secrets := mask.New(spec)
	slots := make(chan struct{}, collectAtOnce)
	var wg sync.WaitGroup
	for i, job := range spec.Jobs {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			statuses[i], errs[i] = collectJob(ctx, job, l, s, now, secrets)
		})
	}
	wg.Wait()
	return statuses, errors.Join(errs...)
}

// collectJob reads what it can of one job; what it cannot read is in the error
// and, masked, among the failures.
func collectJob(ctx context.Context, job *jobs.Job, l Ledger, s Sampler, now time.Time,
	secrets mask.Masker) (JobStatus, error) {
	st := JobStatus{Name: job.Name, Key: job.Key.String(), Value: job.Value, TTLSeconds: job.TTL.Seconds()}
	if job.Schedule != nil {
		st.Schedule = job.Schedule.String()
		st.NextTick = job.Schedule.Next(now)
	}
	readers := []func() error{
		func() error { return st.readRuns(ctx, l, now) },
		func() error { return st.readLive(ctx, l) },
		func() error { return st.readTally(ctx, l, now) },
	}
	if s != nil {
		readers = append(readers, func() error { return st.readWarmth(ctx, s) })
	}
	if job.Objective != nil {
		readers = append(readers, func() error { return st.readObjective(ctx, l, job, now) })
	}
	var errs []error
	for _, read := range readers {
		if err := read(); err != nil {
			errs = append(errs, err)
		}
	}
	st.unread = len(errs) == len(readers)
	if len(errs) > 0 {
		st.Failures = append(st.Failures, Failure{Of: FailedStatus, Message: joinDistinct(errs), At: now})
	}
	st.mask(secrets)
	if len(errs) > 0 {
		return st, fmt.Errorf("job %s: %s", job.Name, secrets.Text(joinDistinct(errs)))
	}
	return st, nil
}

func (st *JobStatus) readRuns(ctx context.Context, l Ledger, now time.Time) error {
	runs, err := l.Runs(ctx, st.Name, recentRuns)
	if err != nil {
		return fmt.Errorf("read the run records: %w", err)
	}
	complete := lastComplete(runs)
	if complete == nil && len(runs) == recentRuns {
		if runs, err = l.Runs(ctx, st.Name, keptRuns); err != nil {
			return fmt.Errorf("read the run records: %w", err)
		}
		complete = lastComplete(runs)
	}
	if len(runs) > 0 {
		last := runs[0]
		st.LastRun = &last
		if last.State == store.StateFailed {
			st.Failures = append(st.Failures, Failure{Of: FailedRun, Message: last.Error, At: last.End})
		}
	}
	if complete != nil {
		st.LastComplete = complete
		st.Keys, st.Bytes, st.LastSuccess = complete.Keys, complete.Bytes, complete.End
		if len(complete.Filtered) > 0 {
			st.Warmth = new(float64)
			st.Failures = append(st.Failures, Failure{Of: FailedRun, At: complete.End, Message: hiddenRows(*complete)})
		}
		if complete.Keys > 0 {
			// The snapshot is taken right after the start, so this errs to the old side.
			st.AgeSeconds = new(max(0, now.Sub(complete.Start).Seconds()))
		}
	}
	return nil
}

// hiddenRows says why a set is not warm though its run was complete.
func hiddenRows(r store.Record) string {
	return fmt.Sprintf("it found no row, and row-level security of %s hides rows from Stoker's role: use a role with "+
		"BYPASSRLS, or one that a policy lets see what readers need", strings.Join(r.Filtered, ", "))
}

func (st *JobStatus) readLive(ctx context.Context, l Ledger) error {
	p, going, err := l.Live(ctx, st.Name)
	if err != nil {
		return fmt.Errorf("read the progress: %w", err)
	}
	if going {
		st.Running = &p
	}
	return nil
}

func (st *JobStatus) readTally(ctx context.Context, l Ledger, now time.Time) error {
	t, err := l.Tally(ctx, st.Name)
	if err != nil {
		return fmt.Errorf("read the tally: %w", err)
	}
	st.Missed, st.Skipped = t.Missed, t.Skipped
	st.Refreshes, st.Refreshed, st.LastRefresh = t.Refreshes, t.Refreshed, t.LastRefresh
	st.Audit = past.NewAudit(t.Audit, now)
	pending, is, err := l.Pending(ctx, st.Name)
	if err != nil {
		return fmt.Errorf("read the pending changes: %w", err)
	}
	if is {
		st.Pending = &pending
		age := max(0, now.Sub(pending.Since)).Round(time.Second)
		st.Failures = append(st.Failures, Failure{Of: FailedRefresh, At: t.RefreshFailed,
			Message: fmt.Sprintf("%d changed keys are not loaded again, the oldest for %s; tried again until it "+
				"works: %s", pending.Keys, age, pending.Error)})
	} else if t.RefreshError != "" {
		st.Failures = append(st.Failures, Failure{Of: FailedRefresh, Message: t.RefreshError, At: t.RefreshFailed})
	}
	return nil
}

func (st *JobStatus) readWarmth(ctx context.Context, s Sampler) error {
	present, sampled, err := s.Warmth(ctx, st.Name)
	if err != nil {
		return fmt.Errorf("sample the warmth: %w", err)
	}
	if sampled > 0 {
		st.Sampled = sampled
		st.Warmth = new(float64(present) / float64(sampled))
	}
	return nil
}

func (st *JobStatus) readObjective(ctx context.Context, l Ledger, job *jobs.Job, now time.Time) (err error) {
	if st.Objective, err = objective.Read(ctx, l, job, now); err != nil {
		return fmt.Errorf("read the objective: %w", err)
	}
	return nil
}

// mask takes the spec's secrets out of everything that others worded.
func (st *JobStatus) mask(m mask.Masker) {
	for i := range st.Failures {
		st.Failures[i].Message = m.Text(st.Failures[i].Message)
	}
	if st.Pending != nil {
		st.Pending.Error = m.Text(st.Pending.Error)
	}
	if st.LastRun != nil {
		m.Record(st.LastRun)
	}
}

func lastComplete(runs []store.Record) *store.Record {
	for i := range runs {
		if runs[i].State == store.StateOK {
			return &runs[i]
		}
	}
	return nil
}

// joinDistinct words several errors as one line. Errors with one cause, as four
// reads of a Redis that is down, are reported once.
func joinDistinct(errs []error) string {
	var lines []string
	seen := map[string]bool{}
	for _, err := range errs {
		cause := err.Error()
		if inner := errors.Unwrap(err); inner != nil {
			cause = inner.Error()
		}
		if !seen[cause] {
			seen[cause] = true
			lines = append(lines, err.Error())
		}
	}
	return strings.Join(lines, "; ")
}
