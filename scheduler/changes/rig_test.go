package changes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const concurrency = 4

// rig is a follower of a feed, a database, a cache and a queue that a test plays.
type rig struct {
	*testing.T
	*Follower
	mu sync.Mutex

	feed    chan []*feed.Commits
	broken  chan error
	opened  int
	start   feed.Start
	openErr error
	acked   []uint64 // positions that were acknowledged

	now    store.Snapshot
	fences map[string][]string // :: job -> keys, in the order of their fences
	refuse func(job string, keys []jobs.Key) error

	loads   []string                                // refreshes, in the order of their beginning
	load    func(job string, keys []jobs.Key) error // nil: every refresh succeeds at once
	held    chan struct{}                           // nil: refreshes do not wait; else each waits for a token
	loading int                                     // refreshes under way
	most    int                                     // the most that were, at a time
	reports map[string]store.RefreshReport          // :: job -> what was reported last

	place    string
	position uint64
	gaps     int

	holder string // of the lease

	tasks  map[string]*asynq.TaskInfo
	order  []string // their IDs
	closed bool     // the queue refuses
}

var product = mustJob("product", "product:{id}")
var other = mustJob("other", "other:{id}")

func mustJob(name, key string) *jobs.Job {
	k, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		panic(err)
	}
	return &jobs.Job{Name: name, Key: k, Watch: []jobs.Watch{{Table: name, Key: map[string]string{"id": "id"}},
		{Table: "all"}}}
}

func newRig(t *testing.T) *rig {
	r := &rig{T: t, feed: make(chan []*feed.Commits), broken: make(chan error),
		start: feed.Start{Place: "here", Fresh: true, Origin: "history"},
		now:   store.Snapshot{Text: "100:100:", Origin: "history"}, fences: make(map[string][]string),
		reports: make(map[string]store.RefreshReport), tasks: make(map[string]*asynq.TaskInfo)}
	r.Follower = r.replica()
	return r
}

// replica returns another follower of the same feed.
func (r *rig) replica() *Follower {
	open := func(context.Context) (Feed, feed.Start, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.opened++
		return r, r.start, r.openErr
	}
	return New(Config{
		Jobs: []*jobs.Job{product, other}, RunAbove: 1000, Concurrency: concurrency, Open: open, Database: r, Fencer: r,
		Refresher: r, Reporter: r,
		Epochs: r, Leases: r, Queue: r, Tasks: r, Metrics: NewMetrics(prometheus.NewRegistry()),
		Log: slog.New(slog.DiscardHandler),
	})
}

// play runs a test in a bubble of its own time, with the follower running.
func play(t *testing.T, do func(r *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		stop := r.run(r.Follower)
		do(r)
		stop()
	})
}

func (r *rig) run(f *Follower) (stop func()) {
	ctx, cancel := context.WithCancel(r.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	synctest.Wait()
	return func() { cancel(); wg.Wait() }
}

// commit is a transaction that changed keys of a job.
func commit(xid uint32, job *jobs.Job, ids ...string) *feed.Commits {
	c := &feed.Commits{Effect: feed.NewEffect(1000), Position: uint64(xid), Rows: int64(len(ids))}
	if xid > 0 {
		c.XIDs = []uint32{xid}
	}
	for _, id := range ids {
		c.Effect.Key(job, jobs.Key{"id": id})
	}
	return c
}

// yield has the feed yield commits, and waits until nothing moves any more.
func (r *rig) yield(commits ...*feed.Commits) {
	r.feed <- commits
	synctest.Wait()
}

func (r *rig) Next(ctx context.Context) ([]*feed.Commits, error) {
	select {
	case <-ctx.Done():
		return nil, nil
	case err := <-r.broken:
		return nil, err
	case c := <-r.feed:
		return c, nil
	}
}

func (r *rig) Done(_ context.Context, position uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acked = append(r.acked, position)
	return nil
}

func (r *rig) Close() error { return nil }

func (r *rig) Now(context.Context) (store.Snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now, nil
}

// show has snapshots show transactions below xmax but for those in progress.
func (r *rig) show(xmax int, running string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now.Text = fmt.Sprintf("1:%d:%s", xmax, running)
}

func (r *rig) Resolve(context.Context, *feed.Part, *feed.Effect) error { return nil }

func (r *rig) Fence(_ context.Context, job *jobs.Job, keys []jobs.Key) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		if err := r.refuse(job.Name, keys); err != nil {
			return err
		}
	}
	r.fences[job.Name] = append(r.fences[job.Name], ids(keys)...)
	return nil
}

// RefreshFenced loads keys: it waits for a token of held, and ends as load says.
func (r *rig) RefreshFenced(ctx context.Context, job *jobs.Job, keys []jobs.Key) error {
	r.mu.Lock()
	r.loads = append(r.loads, fmt.Sprint(job.Name, ids(keys)))
	r.loading++
	r.most = max(r.most, r.loading)
	held, load := r.held, r.load
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.loading--
	}()
	if held != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-held:
		}
	}
	if load == nil {
		return nil
	}
	return load(job.Name, keys)
}

func (r *rig) ReportRefreshes(_ context.Context, job string, report store.RefreshReport) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports[job] = report
	return nil
}

// hold has refreshes wait for release.
func (r *rig) hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = make(chan struct{})
}

// release lets one refresh end that waits.
func (r *rig) release() {
	r.held <- struct{}{}
	synctest.Wait()
}

// begun is the refreshes that have begun.
func (r *rig) begun() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.loads)
}

func ids(keys []jobs.Key) (list []string) {
	for _, k := range keys {
		list = append(list, k["id"])
	}
	slices.Sort(list)
	return list
}

func (r *rig) Gap(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaps++
	return nil
}

func (r *rig) gapped() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gaps
}

func (r *rig) Followed(context.Context) (string, uint64, error) { return r.place, r.position, nil }

func (r *rig) Follow(_ context.Context, place string, position uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.place, r.position = place, position
	return nil
}

func (r *rig) Lease(_ context.Context, _, holder string, _ time.Duration) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holder != "" && r.holder != holder {
		return false, nil
	}
	r.holder = holder
	return true, nil
}

func (r *rig) Renew(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	return r.Lease(ctx, name, holder, ttl)
}

func (r *rig) Release(_ context.Context, _, holder string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holder == holder {
		r.holder = ""
	}
	return nil
}

func (r *rig) EnqueueContext(_ context.Context, t *asynq.Task, _ ...asynq.Option) (*asynq.TaskInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("no queue")
	}
	info := &asynq.TaskInfo{ID: fmt.Sprint("t", len(r.order)+1), Queue: "q", Type: t.Type(), Payload: t.Payload(),
		State: asynq.TaskStatePending}
	r.tasks[info.ID] = info
	r.order = append(r.order, info.ID)
	return info, nil
}

func (r *rig) GetTaskInfo(_, id string) (*asynq.TaskInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info := r.tasks[id]
	if info == nil {
		return nil, asynq.ErrTaskNotFound
	}
	again := *info
	return &again, nil
}

// sleep lets time pass, and waits until nothing moves any more.
func (r *rig) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// end ends a task in a state, and waits until the dispatcher has noticed, and then the
// stream, which each look only so often.
func (r *rig) end(id string, state asynq.TaskState) {
	r.mu.Lock()
	r.tasks[id] = &asynq.TaskInfo{ID: id, State: state}
	r.mu.Unlock()
	r.sleep(taskLook + idleLook + time.Second)
}

// handed is the jobs of the runs that were enqueued, and "ended" for those that have ended.
func (r *rig) handed() (list []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.order {
		info := r.tasks[id]
		if info.Payload == nil {
			list = append(list, "ended")
			continue
		}
		run, err := jobs.ParseRun(asynq.NewTask(info.Type, info.Payload))
		if err != nil {
			r.Error(err)
		}
		list = append(list, "run "+run.Job)
	}
	return list
}

func (r *rig) want(what string, got, want any) {
	r.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		r.Errorf("%s: %v, want %v", what, got, want)
	}
}
