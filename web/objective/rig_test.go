package objective

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// rig is a job with an objective whose runs, change feed and cache a test plays.
type rig struct {
	*testing.T
	ledger *storetest.FakeLedger
	spec   *jobs.Spec
	job    *jobs.Job
	began  time.Time

	mu             sync.Mutex
	epoch, history uint32
	present        int  // of 400 sampled keys
	down           bool // Redis does not answer
	blind          bool // the sample cannot be read
}

const (
	age    = time.Minute
	window = 30 * 24 * time.Hour
)

// play runs a test in a bubble of its own time.
func play(t *testing.T, do func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		key, err := jobs.ParseKeyTemplate("a:{id}")
		if err != nil {
			t.Fatal(err)
		}
		job := &jobs.Job{Name: "a", Key: key, Objective: &jobs.Objective{Age: age, Ratio: 0.99, Window: window}}
		r := &rig{T: t, ledger: storetest.NewLedger(), job: job, began: time.Now(), epoch: 3, history: 2, present: 400,
			spec: &jobs.Spec{Jobs: []*jobs.Job{job, {Name: "none", Key: key}}}}
		do(r)
	})
}

// follow has the job's changes followed.
func (r *rig) follow() {
	r.spec.Changes.Source = jobs.SourceWAL
	r.job.Watch = []jobs.Watch{{Table: "a"}}
}

// meter starts a replica that measures.
func (r *rig) meter() (m *Meter, stop func()) {
	m = New(Config{Spec: r.spec, Records: r, Epochs: r, Sampler: r, Accounts: r, Leases: r.ledger,
		Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(r.Context())
	var wg sync.WaitGroup
	wg.Go(func() { m.Run(ctx) })
	synctest.Wait()
	return m, func() { cancel(); wg.Wait() }
}

// complete is a run that began now and was complete.
func (r *rig) complete(change func(*store.Record)) {
	r.Helper()
	r.mu.Lock()
	rec := store.Record{Job: "a", State: store.StateOK, Start: time.Now(), End: time.Now(), Keys: 1000, Epoch: r.epoch}
	r.mu.Unlock()
	if change != nil {
		change(&rec)
	}
	if err := r.ledger.Add(r.Context(), rec); err != nil {
		r.Fatal(err)
	}
}

// shows is what the follower says.
func (r *rig) shows(at time.Time) {
	r.mu.Lock()
	f := store.Freshness{Epoch: r.epoch, Shown: map[string]time.Time{"a": at}}
	r.mu.Unlock()
	if err := r.ledger.ReportFreshness(r.Context(), f); err != nil {
		r.Fatal(err)
	}
}

// set changes what a test plays.
func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// refresh has the follower say each second for a time that all is fresh.
func (r *rig) refresh(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		r.shows(time.Now())
		time.Sleep(time.Second)
	}
	synctest.Wait()
}

var errDown = errors.New("connection refused")

func (r *rig) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down {
		return errDown
	}
	return nil
}

// Freshness implements Records.
func (r *rig) Freshness(ctx context.Context, names []string) (store.Freshness, []store.LastRuns, error) {
	if err := r.failure(); err != nil {
		return store.Freshness{}, nil, err
	}
	return r.ledger.Freshness(ctx, names)
}

// Epoch implements Epochs.
func (r *rig) Epoch(context.Context) (now, history uint32, err error) {
	err = r.failure()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch, r.history, err
}

// Warmth implements Sampler.
func (r *rig) Warmth(context.Context, string) (present, sampled int, err error) {
	err = r.failure()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.blind {
		return 0, 0, errDown
	}
	return r.present, 400, err
}

// Budget implements Accounts.
func (r *rig) Budget(ctx context.Context, job string, fields ...string) (string, []string, error) {
	if err := r.failure(); err != nil {
		return "", nil, err
	}
	return r.ledger.Budget(ctx, job, fields...)
}

// KeepBudget implements Accounts.
func (r *rig) KeepBudget(ctx context.Context, job string, c store.BudgetChange) (bool, error) {
	if err := r.failure(); err != nil {
		return false, err
	}
	return r.ledger.KeepBudget(ctx, job, c)
}

// DropBudgets implements Accounts.
func (r *rig) DropBudgets(ctx context.Context, names []string) error {
	return r.ledger.DropBudgets(ctx, names)
}

// status is how the job stands.
func (r *rig) status() *Status {
	r.Helper()
	st, err := Read(r.Context(), r.ledger, r.job, time.Now())
	if err != nil {
		r.Fatal(err)
	}
	return st
}

// bad is how many seconds were bad.
func (r *rig) bad() float64 {
	st := r.status()
	return st.Total - st.Good
}

// wantBad holds the bad time to a figure, which may be too high by the time between two looks.
func (r *rig) wantBad(when string, want, over float64) {
	r.Helper()
	st := r.status()
	if bad := st.Total - st.Good; bad < want-0.001 || bad > want+over {
		r.Errorf("%s: %.3f s of %.3f s bad, want %.3f to %.3f; %s", when, bad, st.Total, want, want+over, st.Reason)
	}
	if total := time.Since(r.began).Seconds(); math.Abs(st.Total-total) > 0.001 {
		r.Errorf("%s: %.3f s counted of %.3f s", when, st.Total, total)
	}
}
