package changes

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

// Queue puts a task on its queue; *asynq.Client is one.
type Queue interface {
	EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error)
}

// Tasks tells what became of a task; *asynq.Inspector does.
type Tasks interface {
	GetTaskInfo(queue, id string) (*asynq.TaskInfo, error)
}

// desk hands out what is out of date, as refresh tasks of many keys and as runs,
// and keeps it until it is done. A key that is handed out is not handed out again
// before that task is done: what changes a hundred times in a burst is loaded a
// few times. A task that Redis has lost is handed out anew.
type desk struct {
	queue   Queue
	tasks   Tasks
	limit   int // keys of a job that wait, before it is run instead
	metrics *Metrics
	log     *slog.Logger
	wake    chan struct{}

	mu      sync.Mutex         // never held while Redis is asked: who fences must not wait for the queue
	ledgers map[string]*ledger // :: job name
}

func newDesk(limit int, q Queue, t Tasks, m *Metrics, log *slog.Logger) *desk {
	return &desk{limit: limit, queue: q, tasks: t, metrics: m, log: log, wake: make(chan struct{}, 1), ledgers: make(map[string]*ledger)}
}

// How a desk spends time.
const (
	busyLook  = 10 * time.Millisecond  // how soon it is noticed that a refresh is done, while keys wait for that
	calmLook  = 500 * time.Millisecond // the same, while none does; and of runs
	failPause = 200 * time.Millisecond // after the queue has refused
)

// add puts the keys of a part on the desk. They are fenced.
func (d *desk) add(part *jobs.Part, round uint64) {
	if len(part.Keys) == 0 {
		return
	}
	d.mu.Lock()
	l := d.ledger(part.Job)
	for text, key := range part.Keys {
		l.await(text, key, round)
	}
	if len(l.wait) > d.limit {
		l.runInstead()
	}
	d.mu.Unlock()
	d.poke()
}

// whole puts a run of the part's job on the desk.
func (d *desk) whole(part *jobs.Part, round uint64) {
	d.mu.Lock()
	d.ledger(part.Job).awaitRun(part.Whole, round)
	d.mu.Unlock()
	d.poke()
}

func (d *desk) ledger(job *jobs.Job) *ledger {
	l := d.ledgers[job.Name]
	if l == nil {
		l = newLedger(job)
		d.ledgers[job.Name] = l
	}
	return l
}

func (d *desk) poke() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// oldest is the round of the oldest change that is not done.
func (d *desk) oldest() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	oldest := uint64(noRound)
	for _, l := range d.ledgers {
		oldest = min(oldest, l.oldest())
	}
	return oldest
}

// run hands out until ctx ends.
func (d *desk) run(ctx context.Context) {
	for {
		look := d.turn(ctx)
		var later <-chan time.Time
		if look > 0 {
			later = time.After(look)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-later:
		}
	}
}

// turn looks after what is handed out and hands out what waits. It returns when to
// do so again; 0: when something is put on the desk.
func (d *desk) turn(ctx context.Context) (look time.Duration) {
	d.mu.Lock()
	ledgers := slices.Collect(maps.Values(d.ledgers))
	d.mu.Unlock()
	for _, l := range ledgers {
		d.look(l, time.Now())
		failed := d.hand(ctx, l)
		d.mu.Lock()
		next := l.pace()
		d.mu.Unlock()
		if failed {
			next = failPause
		}
		if look == 0 || next > 0 && next < look {
			look = next
		}
	}
	return look
}

// look asks what became of the tasks of a job, if it is time to.
func (d *desk) look(l *ledger, now time.Time) {
	d.mu.Lock()
	due := l.due(now)
	d.mu.Unlock()
	for _, b := range due {
		fate := d.ask(b)
		d.mu.Lock()
		if fate == lost || fate == failed {
			d.log.Warn("a task is handed out anew: "+string(fate), jobs.LogJob, l.job.Name, jobs.LogTask, b.id)
			d.metrics.lost.Inc()
		}
		l.settle(b, fate, now)
		d.mu.Unlock()
	}
}

// hand hands out what waits. It reports whether the queue has refused.
func (d *desk) hand(ctx context.Context, l *ledger) (refused bool) {
	for {
		d.mu.Lock()
		b, task := l.next(time.Now())
		d.mu.Unlock()
		if b == nil {
			return false
		}
		info, err := d.queue.EnqueueContext(ctx, task)
		if err != nil {
			d.mu.Lock()
			l.takeBack(b)
			d.mu.Unlock()
			if ctx.Err() == nil {
				d.log.Warn("what is out of date could not be handed out; trying again", jobs.LogJob, l.job.Name, jobs.LogErr, err)
			}
			return true
		}
		b.id, b.queue = info.ID, info.Queue // of this goroutine alone
		d.metrics.handedOut(l.job.Name, b)
		d.log.Debug("handed out", jobs.LogJob, l.job.Name, jobs.LogTask, b.id, "keys", len(b.keys), jobs.LogCause, b.why)
	}
}
