package changes

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
)

// refresher loads fenced keys in this process, a bounded number of batches at a time for all
// jobs. It keeps a key until a load of it has succeeded.
type refresher struct {
	load        Refresher
	reporter    Reporter
	dispatcher  *dispatcher // runs a job instead that has too many keys
	concurrency int         // batches at a time
	perJob      int         // of these, the most that one job may take
	limit       int         // keys of a job that may wait
	metrics     *Metrics
	tracer      *tracing.Tracer
	log         *slog.Logger
	wake        chan struct{} // a token for each worker that may find a batch

	mu      sync.Mutex
	pending map[string]*pendingKeys        // :: job name
	news    map[string]store.RefreshReport // :: job name -> what is not reported yet
}

func newRefresher(c Config, d *dispatcher) *refresher {
	r := &refresher{
		load: c.Refresher, reporter: c.Reporter, dispatcher: d, concurrency: max(1, c.Concurrency), limit: c.RunAbove,
		metrics: c.Metrics, tracer: c.Tracer, log: c.Log, pending: make(map[string]*pendingKeys),
		news: make(map[string]store.RefreshReport),
	}
	r.wake = make(chan struct{}, r.concurrency)
	watched := 0
	for _, job := range c.Jobs {
		if len(job.Watch) > 0 {
			watched++
		}
	}
	r.perJob = r.concurrency
	if watched > 1 && r.perJob > 1 {
		r.perJob-- // a job whose query hangs must leave something for the others
	}
	return r
}

// add adds the keys of a part. They are fenced. The oldest change of them was committed then,
// by Postgres' clock, or at a time that is not known. The refresh is linked to the span of the change.
func (r *refresher) add(part *feed.Part, round uint64, committed time.Time, change tracing.Link) {
	if len(part.Keys) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.pending[part.Job.Name]
	if p == nil {
		p = newPendingKeys(part.Job)
		r.pending[part.Job.Name] = p
	}
	now := time.Now()
	for text, key := range part.Keys {
		if k := p.add(text, key, round, committed, now); k != nil {
			k.change = change
		}
	}
	if p.waiting() > r.limit {
		// The dispatcher has the round before the keys are gone, so that it holds the position.
		oldest, _ := p.committed()
		r.dispatcher.add(part.Job, "more keys are out of date than may wait for a refresh", min(round, p.oldest()),
			older(oldest, committed), change)
		p.drop()
		return
	}
	signal(r.wake)
}

// oldest implements rounds.
func (r *refresher) oldest() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := uint64(noRound)
	for _, p := range r.pending {
		oldest = min(oldest, p.oldest())
	}
	return oldest
}

// committed implements places.
func (r *refresher) committed(job string) (oldest time.Time, waits bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.pending[job]; p != nil {
		return p.committed()
	}
	return oldest, false
}

// run loads keys until ctx ends.
func (r *refresher) run(ctx context.Context) {
	var wg sync.WaitGroup
	for range r.concurrency {
		wg.Go(func() { r.work(ctx) })
	}
	wg.Go(func() { r.reportLoop(ctx) })
	wg.Wait()
}

// work loads one batch after the other.
func (r *refresher) work(ctx context.Context) {
	for ctx.Err() == nil {
		b, wait := r.next(time.Now())
		if b != nil {
			signal(r.wake) // another worker may find more
			r.do(ctx, b)
			continue
		}
		var later <-chan time.Time
		if wait > 0 {
			later = time.After(wait)
		}
		select {
		case <-ctx.Done():
		case <-r.wake:
		case <-later:
		}
	}
}

// next takes a batch of the job that has the fewest in hand, and of these the one whose
// oldest change is oldest. It returns nil and how long to wait if there is none.
func (r *refresher) next(now time.Time) (*batch, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *pendingKeys
	var oldest *pendingKey
	wait := time.Duration(0)
	for _, p := range r.pending {
		if p.batches >= r.perJob {
			continue
		}
		first, left := p.first(now)
		switch {
		case first == nil:
			if left > 0 && (wait == 0 || left < wait) {
				wait = left
			}
		case best == nil || p.batches < best.batches || p.batches == best.batches && first.since.Before(oldest.since):
			best, oldest = p, first
		}
	}
	if best == nil {
		return nil, wait
	}
	return best.take(oldest, now), 0
}

// do loads one batch.
func (r *refresher) do(ctx context.Context, b *batch) {
	job := b.of.job
	keys := make([]jobs.Key, len(b.keys))
	for i, k := range b.keys {
		keys[i] = k.key
	}
	r.metrics.refreshing(job.Name, len(keys))
	loading, span := r.tracer.Start(ctx, tracing.Begin{Name: "refresh", Job: job.Name, Kind: tracing.Consumer,
		Links: b.changes()})
	err := r.load.RefreshFenced(loading, job, keys)
	now := time.Now()
	if oldest := b.committed(); err == nil && !oldest.IsZero() {
		span.Millis("commit_to_fresh_ms", max(0, now.Sub(oldest)))
	}
	span.EndWith(err)
	if err == nil {
		for _, k := range b.keys {
			r.metrics.refreshedKey(k.committed, now)
		}
	} else if ctx.Err() == nil {
		r.log.Warn("changed keys were not refreshed; trying again", jobs.LogJob, job.Name, "keys", len(keys),
			"failed", b.keys[0].tries+1, "out_of_date", now.Sub(b.keys[0].since), jobs.LogErr, err)
	}
	r.end(ctx, b, err, now)
}

// end puts the keys of a batch where they go now.
func (r *refresher) end(ctx context.Context, b *batch, err error, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	job := b.of.job.Name
	news := r.news[job]
	switch {
	case err == nil:
		b.of.succeeded(b, now)
		news.Refreshes++
		news.Keys += len(b.keys)
	case ctx.Err() != nil:
		b.of.interrupted(b)
	default:
		b.of.failed(b, err, now)
	}
	r.news[job] = news
	signal(r.wake) // this job may have another batch in hand
}

// reportEvery is how often status and page learn what refreshes did.
const reportEvery = time.Second

// reportLoop keeps metrics and the Reporter up to date until ctx ends, and once more then.
func (r *refresher) reportLoop(ctx context.Context) {
	for store.Sleep(ctx, reportEvery) {
		r.report(ctx)
	}
	last, cancel := store.Afterwards(ctx, reportEvery)
	defer cancel()
	r.report(last)
}

// report reports the jobs of which there is news. While keys fail, there is.
func (r *refresher) report(ctx context.Context) {
	for job, news := range r.takeNews() {
		if err := r.reporter.ReportRefreshes(ctx, job, news); err != nil && ctx.Err() == nil {
			// whatever else uses this Redis warns
			r.log.Debug("refreshes were not counted", jobs.LogJob, job, jobs.LogErr, err)
		}
	}
}

func (r *refresher) takeNews() map[string]store.RefreshReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := maps.Clone(r.news)
	clear(r.news)
	for name, p := range r.pending {
		since := p.since()
		r.metrics.pending(name, len(p.byText), since)
		news, is := list[name]
		if p.lastErr != nil {
			news.Error, is = p.lastErr.Error(), true
			news.Pending, news.Oldest = len(p.byText), since
		}
		if is {
			list[name] = news
		}
		if len(p.byText) == 0 {
			delete(r.pending, name)
		}
	}
	return list
}
