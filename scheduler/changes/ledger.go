package changes

import (
	"errors"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

const (
	// slots is how many refresh tasks of a job are handed out at once.
	slots = 4

	// hotPause is how soon a key is handed out again, at the soonest.
	hotPause = 50 * time.Millisecond

	// runPause is how soon a job is run again, at the soonest, because a table that
	// it watches as a whole has changed.
	runPause = time.Second
)

// ledger is what a desk knows of one job.
type ledger struct {
	job    *jobs.Job
	wait   map[string]waiting // :: text of a key
	out    map[string]*batch  // :: text of a key -> the task that loads it
	tasks  map[*batch]bool    // refreshes
	run    *batch             // nil: none is handed out
	whole  *batch             // a run that waits; nil: none
	ran    time.Time          // when the last run was handed out
	looked time.Time
}

// waiting is a key that waits to be handed out.
type waiting struct {
	key   jobs.Key
	round uint64 // of the oldest change of it
}

// batch is a task that is handed out, or waits for that.
type batch struct {
	id, queue string
	why       string // of a run
	at        time.Time
	round     uint64 // of the oldest change that it sees to
	keys      map[string]waiting
	done      bool
}

func newLedger(job *jobs.Job) *ledger {
	return &ledger{job: job, wait: make(map[string]waiting), out: make(map[string]*batch), tasks: make(map[*batch]bool)}
}

func (l *ledger) await(text string, key jobs.Key, round uint64) {
	if _, already := l.wait[text]; !already {
		l.wait[text] = waiting{key, round}
	}
}

func (l *ledger) awaitRun(why string, round uint64) {
	if l.whole == nil {
		l.whole = &batch{why: why, round: round}
	}
}

// busy reports whether something waits, and so wants to know when a task is done.
func (l *ledger) busy() bool { return len(l.wait) > 0 || l.whole != nil }

func (l *ledger) outstanding() bool { return len(l.tasks) > 0 || l.run != nil }

// oldest is the round of the oldest change that is not done.
func (l *ledger) oldest() uint64 {
	oldest := uint64(noRound)
	for _, w := range l.wait {
		oldest = min(oldest, w.round)
	}
	for _, b := range append(l.batches(), l.whole) {
		if b != nil && !b.done {
			oldest = min(oldest, b.round)
		}
	}
	return oldest
}

// batches are the tasks that are handed out.
func (l *ledger) batches() []*batch {
	list := make([]*batch, 0, len(l.tasks)+1)
	for b := range l.tasks {
		list = append(list, b)
	}
	if l.run != nil {
		list = append(list, l.run)
	}
	return list
}

// next takes what can be handed out now: a run, or up to a task's worth of keys.
func (l *ledger) next(now time.Time) (*batch, *asynq.Task) {
	if l.whole != nil && l.run == nil && now.Sub(l.ran) >= runPause {
		l.run, l.whole = l.whole, nil
		l.run.at, l.ran = now, now
		return l.run, jobs.NewChangeRun(l.job.Name)
	}
	if len(l.wait) == 0 || l.active() >= slots {
		return nil, nil
	}
	b := &batch{at: now, round: noRound, keys: make(map[string]waiting)}
	var keys []jobs.Key
	for text, w := range l.wait {
		if l.out[text] != nil {
			continue
		}
		b.keys[text], b.round = w, min(b.round, w.round)
		l.out[text] = b
		delete(l.wait, text)
		if keys = append(keys, w.key); len(keys) == jobs.MaxKeys {
			break
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	l.tasks[b] = true
	return b, jobs.NewChange(l.job.Name, keys)
}

// active counts the refreshes that are not done. One that is done may still keep
// its keys from being handed out again.
func (l *ledger) active() (n int) {
	for b := range l.tasks {
		if !b.done {
			n++
		}
	}
	return n
}

// forget drops a task that is done.
func (l *ledger) forget(b *batch) {
	if l.run == b {
		l.run = nil
	}
	for text := range b.keys {
		delete(l.out, text)
	}
	delete(l.tasks, b)
}

// takeBack has what a task was to see to wait again.
func (l *ledger) takeBack(b *batch) {
	l.forget(b)
	if b.keys == nil {
		l.whole = &batch{why: b.why, round: b.round} // older than what was asked for since
		l.ran = time.Time{}
	}
	for text, w := range b.keys {
		l.wait[text] = w // its round is older than that of a change since
	}
}

// ask looks what became of a task. One that has failed for good is done: its
// record says so, and the fence has seen to it that nobody reads the old values.
func (d *desk) ask(l *ledger, b *batch) {
	info, err := d.tasks.GetTaskInfo(b.queue, b.id)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound) || errors.Is(err, asynq.ErrQueueNotFound):
		d.log.Warn("redis has lost a task; handing it out anew", jobs.LogJob, l.job.Name, jobs.LogTask, b.id)
		d.metrics.lost.Inc()
		l.takeBack(b)
	case err != nil: // the queue is away: the next look tells
	case ended(info):
		b.done = true
	case info.State == asynq.TaskStateActive:
		// Its worker may have been killed: then the scheduler has made a twin of it.
		twin, err := d.tasks.GetTaskInfo(b.queue, jobs.TwinID(b.id))
		b.done = err == nil && ended(twin)
	case b == l.run && l.whole != nil && info.State == asynq.TaskStatePending:
		b.round, l.whole = min(b.round, l.whole.round), nil // it has not begun: it will see what has changed since
	}
}

func ended(info *asynq.TaskInfo) bool {
	return info.State == asynq.TaskStateCompleted || info.State == asynq.TaskStateArchived
}
