package storetest

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/stokerhq/stoker/store"
)

// Ledger is what the scheduler, the worker and the page use of a ledger. Every
// implementation passes RunLedger.
type Ledger interface {
	Add(ctx context.Context, r store.Record) error
	Runs(ctx context.Context, job string, n int) ([]store.Record, error)
	LastComplete(ctx context.Context, job string) (store.Record, bool, error)
	Report(ctx context.Context, p store.Progress) error
	Live(ctx context.Context, job string) (store.Progress, bool, error)
	KeepSample(ctx context.Context, job string, keys []string) error
	Sample(ctx context.Context, job string) ([]string, error)
	Missed(ctx context.Context, job string, last time.Time, n int64) error
	Skipped(ctx context.Context, job string) error
	Refreshed(ctx context.Context, job string, keys int, failure error) error
	ReportRefreshes(ctx context.Context, job string, r store.RefreshReport) error
	Pending(ctx context.Context, job string) (store.Pending, bool, error)
	Audited(ctx context.Context, job string, a store.Audit) error
	Tally(ctx context.Context, job string) (store.Tally, error)
	Lease(ctx context.Context, job, holder string, ttl time.Duration) (bool, error)
	Renew(ctx context.Context, job, holder string, ttl time.Duration) (bool, error)
	Release(ctx context.Context, job, holder string) error
	Holder(ctx context.Context, job string) (holder string, left time.Duration, err error)
	ReportFreshness(ctx context.Context, f store.Freshness) error
	Freshness(ctx context.Context, names []string) (store.Freshness, []store.LastRuns, error)
	Budget(ctx context.Context, job string, fields ...string) (state string, kept []string, err error)
	KeepBudget(ctx context.Context, job string, c store.BudgetChange) (bool, error)
	DropBudgets(ctx context.Context, names []string) error
}

// FakeLedger keeps a ledger in memory. It follows time.Now, so it works inside a
// synctest bubble, and it is safe for concurrent use.
type FakeLedger struct {
	mu       sync.Mutex
	passed   time.Duration
	jobs     map[string]*fakeJob
	fresh    store.Freshness
	accounts map[string]account // :: job -> that of its objective
}

// fakeJob holds records as the JSON that a server would hold, so that whoever
// reads one gets a copy and nothing that JSON loses.
type fakeJob struct {
	runs    [][]byte // newest first
	last    []byte
	live    []byte
	liveEnd time.Time
	sample  []string
	tally   store.Tally
	pending store.Pending
	lapses  time.Time // when pending is gone
	missed  int64     // unix seconds of the last missed tick that was counted
	holder  string
	leased  time.Time // until when holder has the lease
}

var _ Ledger = (*FakeLedger)(nil)

// NewLedger returns an empty ledger in memory.
func NewLedger() *FakeLedger { return &FakeLedger{jobs: map[string]*fakeJob{}} }

// Pass makes d of time pass for what expires.
func (l *FakeLedger) Pass(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.passed += d
}

// lock locks the ledger and returns the state of a job, and what time it is.
func (l *FakeLedger) lock(job string) (j *fakeJob, now time.Time) {
	l.mu.Lock()
	if l.jobs[job] == nil {
		l.jobs[job] = &fakeJob{}
	}
	return l.jobs[job], time.Now().Add(l.passed)
}

// keepRuns and liveTTL are store/cache's, which this package must not import:
// its tests import us.
const (
	keepRuns = 200
	liveTTL  = 5 * time.Second
)

// Add keeps the record of a run that ended.
func (l *FakeLedger) Add(_ context.Context, r store.Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	j, _ := l.lock(r.Job)
	defer l.mu.Unlock()
	j.runs = append([][]byte{b}, j.runs[:min(len(j.runs), keepRuns-1)]...)
	if r.State == store.StateOK && !r.Removal {
		j.last = b
	}
	j.live = nil
	return nil
}

// Runs returns the last n records of a job, newest first.
func (l *FakeLedger) Runs(_ context.Context, job string, n int) ([]store.Record, error) {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	records := make([]store.Record, min(max(n, 0), len(j.runs)))
	for i := range records {
		if err := json.Unmarshal(j.runs[i], &records[i]); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// LastComplete returns the record of the last run that wrote every row.
func (l *FakeLedger) LastComplete(_ context.Context, job string) (r store.Record, ok bool, err error) {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	if j.last == nil {
		return r, false, nil
	}
	err = json.Unmarshal(j.last, &r)
	return r, err == nil, err
}

// Report publishes the progress of a run.
func (l *FakeLedger) Report(_ context.Context, p store.Progress) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	j, now := l.lock(p.Job)
	defer l.mu.Unlock()
	j.live, j.liveEnd = b, now.Add(liveTTL)
	return nil
}

// Live returns the progress of the run that goes on now.
func (l *FakeLedger) Live(_ context.Context, job string) (p store.Progress, ok bool, err error) {
	j, now := l.lock(job)
	defer l.mu.Unlock()
	if j.live == nil || !now.Before(j.liveEnd) {
		return p, false, nil
	}
	err = json.Unmarshal(j.live, &p)
	return p, err == nil, err
}

// KeepSample keeps some keys of a complete run.
func (l *FakeLedger) KeepSample(_ context.Context, job string, keys []string) error {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	j.sample = append([]string(nil), keys...)
	return nil
}

// Sample returns the keys that KeepSample kept.
func (l *FakeLedger) Sample(_ context.Context, job string) ([]string, error) {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	return append([]string(nil), j.sample...), nil
}

// Missed counts n ticks up to the one due at last, once.
func (l *FakeLedger) Missed(_ context.Context, job string, last time.Time, n int64) error {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	if last.Unix() > j.missed {
		j.missed = last.Unix()
		j.tally.Missed += n
	}
	return nil
}

// Skipped counts a tick that came while the last run was still going.
func (l *FakeLedger) Skipped(_ context.Context, job string) error {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	j.tally.Skipped++
	return nil
}

// Refreshed counts a refresh of so many keys, or remembers why it failed.
func (l *FakeLedger) Refreshed(_ context.Context, job string, keys int, failure error) error {
	j, now := l.lock(job)
	defer l.mu.Unlock()
	now = now.UTC().Round(0)
	if failure != nil {
		j.tally.RefreshError, j.tally.RefreshFailed = failure.Error(), now
		return nil
	}
	j.tally.RefreshError, j.tally.RefreshFailed = "", time.Time{}
	j.tally.Refreshes++
	j.tally.Refreshed += int64(keys)
	j.tally.LastRefresh = now
	return nil
}

// ReportRefreshes counts what the change feed did, and keeps for a few seconds what it could
// not do yet.
func (l *FakeLedger) ReportRefreshes(_ context.Context, job string, r store.RefreshReport) error {
	j, now := l.lock(job)
	defer l.mu.Unlock()
	if r.Refreshes > 0 {
		j.tally.Refreshes += int64(r.Refreshes)
		j.tally.Refreshed += int64(r.Keys)
		j.tally.LastRefresh = now.UTC().Round(0)
	}
	switch {
	case r.Error != "":
		j.tally.RefreshError, j.tally.RefreshFailed = r.Error, now.UTC().Round(0)
		j.pending, j.lapses = store.Pending{Keys: r.Pending, Since: r.Oldest.UTC().Round(0), Error: r.Error},
			now.Add(5*time.Second)
	case r.Refreshes > 0:
		j.tally.RefreshError, j.tally.RefreshFailed = "", time.Time{}
		j.lapses = time.Time{}
	}
	return nil
}

// Pending returns what was reported in the last few seconds to be not done yet.
func (l *FakeLedger) Pending(_ context.Context, job string) (store.Pending, bool, error) {
	j, now := l.lock(job)
	defer l.mu.Unlock()
	if !now.Before(j.lapses) {
		return store.Pending{}, false, nil
	}
	return j.pending, true, nil
}

// Audited adds what an audit has counted.
func (l *FakeLedger) Audited(_ context.Context, job string, a store.Audit) error {
	j, now := l.lock(job)
	defer l.mu.Unlock()
	sum := &j.tally.Audit
	sum.Checked += a.Checked
	sum.Stale += a.Stale
	sum.Missing += a.Missing
	sum.Repaired += a.Repaired
	now = now.UTC().Round(0)
	if sum.Since.IsZero() {
		sum.Since = now
	}
	if !a.Confirm.IsZero() {
		sum.Confirm = a.Confirm.UTC().Round(0)
	}
	if a.Stale+a.Missing > 0 {
		sum.LastFind = now
	}
	return nil
}

// Tally returns what was counted for a job.
func (l *FakeLedger) Tally(_ context.Context, job string) (store.Tally, error) {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	return j.tally, nil
}

// Lease takes the job's lease for ttl, if it is free.
func (l *FakeLedger) Lease(_ context.Context, job, holder string, ttl time.Duration) (bool, error) {
	j, now := l.lock(job)
	defer l.mu.Unlock()
	if now.Before(j.leased) {
		return false, nil
	}
	j.holder, j.leased = holder, now.Add(ttl)
	return true, nil
}

// Renew extends the lease that holder has, or takes it again if it is free.
func (l *FakeLedger) Renew(_ context.Context, job, holder string, ttl time.Duration) (bool, error) {
	j, now := l.lock(job)
	defer l.mu.Unlock()
	if j.holder != holder && now.Before(j.leased) {
		return false, nil
	}
	j.holder, j.leased = holder, now.Add(ttl)
	return true, nil
}

// Release gives a lease back, if holder still has it.
func (l *FakeLedger) Release(_ context.Context, job, holder string) error {
	j, _ := l.lock(job)
	defer l.mu.Unlock()
	if j.holder == holder {
		j.leased = time.Time{}
	}
	return nil
}

// Holder returns who holds the job's lease and how much of it is left.
func (l *FakeLedger) Holder(_ context.Context, job string) (holder string, left time.Duration, err error) {
	j, now := l.lock(job)
	defer l.mu.Unlock()
	if !now.Before(j.leased) {
		return "", 0, nil
	}
	return j.holder, j.leased.Sub(now), nil
}
