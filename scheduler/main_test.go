package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// queued is one task that a queue has taken.
type queued struct {
	ID    string
	Job   string
	Due   time.Time
	At    time.Time // when it was enqueued
	Cause jobs.Cause
}

// queue takes tasks as Asynq does: an ID is refused while a task of that ID is
// there, which is until its retention after its end. Its tasks end at once.
type queue struct {
	before func(ctx context.Context, id string) error // called first; an error is returned as Enqueue's
	after  func(id string) error                      // called when the task was taken; an error says so no more
	ledger *storetest.FakeLedger                      // if not nil: tasks are runs that complete
	forget bool                                       // broken: IDs are not looked at

	mu        sync.Mutex
	there     map[string]time.Time // until when an ID is taken
	tasks     []queued
	conflicts int
}

func (q *queue) EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
	id, retention := options(t, opts)
	if q.before != nil {
		if err := q.before(ctx, id); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := q.take(ctx, id, retention, t); err != nil {
		return nil, err
	}
	if q.after != nil {
		if err := q.after(id); err != nil {
			return nil, err
		}
	}
	return &asynq.TaskInfo{ID: id}, nil
}

func (q *queue) take(ctx context.Context, id string, retention time.Duration, t *asynq.Task) error {
	run, err := jobs.ParseRun(t)
	if err != nil {
		return err
	}
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.there == nil {
		q.there = map[string]time.Time{}
	}
	if now.Before(q.there[id]) && !q.forget {
		q.conflicts++
		return fmt.Errorf("enqueue: %w", asynq.ErrTaskIDConflict)
	}
	q.there[id] = now.Add(retention)
	q.tasks = append(q.tasks, queued{ID: id, Job: run.Job, Due: time.Unix(run.Due, 0).UTC(), At: now.UTC(),
		Cause: run.Cause})
	if q.ledger == nil {
		return nil
	}
	return q.ledger.Add(ctx, store.Record{ID: id, Job: run.Job, State: store.StateOK, Start: now, End: now})
}

// of returns the tasks of one job.
func (q *queue) of(job string) (tasks []queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.tasks {
		if t.Job == job {
			tasks = append(tasks, t)
		}
	}
	return tasks
}

// ids returns the IDs of all tasks, in order.
func (q *queue) ids() (ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, t := range q.tasks {
		ids = append(ids, t.ID)
	}
	return ids
}

// options returns what a task asks of Asynq, which shows it to nobody but its own
// client: the last of each kind holds.
func options(t *asynq.Task, more []asynq.Option) (id string, retention time.Duration) {
	own := reflect.ValueOf(t).Elem().FieldByName("opts")
	read := func(v reflect.Value) {
		switch v.Type() {
		case reflect.TypeOf(asynq.TaskID("")):
			id = v.String()
		case reflect.TypeOf(asynq.Retention(0)):
			retention = time.Duration(v.Int())
		}
	}
	for i := range own.Len() {
		read(own.Index(i).Elem())
	}
	for _, o := range more {
		read(reflect.ValueOf(o))
	}
	if id == "" {
		panic("a task without an ID: the options of Asynq's tasks have moved, or the scheduler gave none")
	}
	return id, retention
}

// The fake reads Asynq's own options right, or no test here proves anything.
func TestFakeQueueReadsOptions(t *testing.T) {
	task := asynq.NewTask("x", nil, asynq.TaskID("a"), asynq.Retention(time.Minute), asynq.TaskID("b"))
	if id, retention := options(task, nil); id != "b" || retention != time.Minute {
		t.Errorf("read %s, %v", id, retention)
	}
	if id, retention := options(task, []asynq.Option{asynq.TaskID("c"), asynq.Retention(time.Hour)}); id != "c" ||
		retention != time.Hour {
		t.Errorf("read %s, %v from the call", id, retention)
	}
}

// tickID is the ID that a tick's task must have.
func tickID(job string, due time.Time) string { return fmt.Sprintf("warm:%s@%d", job, due.Unix()) }

// job makes a job; an empty schedule is a job on demand.
func job(t *testing.T, name, schedule, zone string) *jobs.Job {
	t.Helper()
	j := &jobs.Job{Name: name}
	if schedule == "" {
		return j
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	if j.Schedule, err = jobs.ParseSchedule(schedule, loc); err != nil {
		t.Fatal(err)
	}
	return j
}

// replica is one running scheduler.
type replica struct {
	metrics *prometheus.Registry
	stop    func() // returns when Run has
}

func newScheduler(list []*jobs.Job, q scheduler.Enqueuer, l scheduler.Ledger,
	r prometheus.Registerer) *scheduler.Scheduler {
	return scheduler.New(scheduler.Config{Jobs: list, Queue: q, Ledger: l, Epochs: noEpoch{},
		Metrics: scheduler.NewMetrics(r), Log: slog.New(slog.DiscardHandler)})
}

func start(list []*jobs.Job, q scheduler.Enqueuer, l scheduler.Ledger) *replica {
	r := &replica{metrics: prometheus.NewRegistry()}
	s := newScheduler(list, q, l, r.metrics)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	r.stop = func() { cancel(); wg.Wait() }
	return r
}

// sleepUntil sleeps until a time of the bubble.
func sleepUntil(s string) {
	at, err := time.Parse(time.DateTime, s)
	if err != nil {
		panic(err)
	}
	time.Sleep(time.Until(at))
}

// ran is a ledger in which a job has run, beginning at a time.
func ran(t *testing.T, l *storetest.FakeLedger, job string, begin time.Time, state store.State) {
	t.Helper()
	if err := l.Add(t.Context(), store.Record{Job: job, Start: begin, End: begin, State: state}); err != nil {
		t.Fatal(err)
	}
}

func wantMissed(t *testing.T, l *storetest.FakeLedger, job string, want int64) {
	t.Helper()
	tally, err := l.Tally(t.Context(), job)
	if err != nil || tally.Missed != want {
		t.Errorf("the ledger counts %d missed ticks of %s, %v; want %d", tally.Missed, job, err, want)
	}
}

// flaky is a ledger that does not answer while down.
type flaky struct {
	*storetest.FakeLedger
	down func() bool
}

var errDown = errors.New("redis does not answer")

func (l flaky) LastComplete(ctx context.Context, job string) (store.Record, bool, error) {
	if l.down() {
		return store.Record{}, false, errDown
	}
	return l.FakeLedger.LastComplete(ctx, job)
}

func (l flaky) Runs(ctx context.Context, job string, n int) ([]store.Record, error) {
	if l.down() {
		return nil, errDown
	}
	return l.FakeLedger.Runs(ctx, job, n)
}

func (l flaky) Missed(ctx context.Context, job string, last time.Time, n int64) error {
	if l.down() {
		return errDown
	}
	return l.FakeLedger.Missed(ctx, job, last, n)
}

// noEpoch is a cache that was never armed.
type noEpoch struct{}

func (noEpoch) Epoch(ctx context.Context) (now, history uint32, err error) {
	<-ctx.Done() // looks would be most of the work of a simulated week
	return 0, 0, ctx.Err()
}
