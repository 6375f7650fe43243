package changes

import (
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
	// it watches as a whole has changed. It doubles while runs fail.
	runPause   = time.Second
	mostPauses = 5
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
	fails  int                // of runs, one after the other
	looked time.Time          // at refreshes
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
	looked    time.Time
	round     uint64             // of the oldest change that it sees to
	keys      map[string]waiting // nil: it is a run
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
	l.whole.round = min(l.whole.round, round)
}

// runInstead gives up keys that wait, because they have become too many to keep: no
// worker takes tasks.
func (l *ledger) runInstead() {
	round := uint64(noRound)
	for _, w := range l.wait {
		round = min(round, w.round)
	}
	clear(l.wait)
	l.awaitRun("too many keys wait for a worker", round)
}

// oldest is the round of the oldest change that is not done.
func (l *ledger) oldest() uint64 {
	oldest := uint64(noRound)
	for _, w := range l.wait {
		oldest = min(oldest, w.round)
	}
	for b := range l.tasks {
		if !b.done {
			oldest = min(oldest, b.round)
		}
	}
	for _, b := range []*batch{l.run, l.whole} {
		if b != nil {
			oldest = min(oldest, b.round)
		}
	}
	return oldest
}

// pace is when to look at the job again; 0: when something is put on the desk.
func (l *ledger) pace() time.Duration {
	switch {
	case len(l.wait) > 0:
		return busyLook
	case l.whole != nil || l.run != nil || len(l.tasks) > 0:
		return calmLook
	}
	return 0
}

// due are the tasks of which it is time to ask what became.
func (l *ledger) due(now time.Time) (list []*batch) {
	if l.run != nil && now.Sub(l.run.looked) >= calmLook {
		l.run.looked = now
		list = append(list, l.run)
	}
	if len(l.wait) == 0 && now.Sub(l.looked) < calmLook {
		return list
	}
	l.looked = now
	for b := range l.tasks {
		switch {
		case !b.done:
			list = append(list, b)
		case now.Sub(b.at) >= hotPause:
			l.forget(b)
		}
	}
	return list
}

// next takes what can be handed out now: a run, or up to a task's worth of keys.
func (l *ledger) next(now time.Time) (*batch, *asynq.Task) {
	if l.whole != nil && l.run == nil && now.Sub(l.ran) >= runPause<<l.fails {
		l.run, l.whole = l.whole, nil
		l.run.at, l.run.looked, l.ran = now, now, now
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

// settle acts upon what became of a task.
func (l *ledger) settle(b *batch, f fate, now time.Time) {
	switch {
	case f == lost:
		l.takeBack(b)
	case b == l.run:
		l.settleRun(b, f)
	case f == done || f == failed: // its keys are fenced: nobody reads the old values, and the next run loads them
		if b.done = true; now.Sub(b.at) >= hotPause {
			l.forget(b)
		}
	}
}

// settleRun: what a run was to see to is not fenced. So one that failed is tried
// again and again; but it does not keep the feed from being told that what came
// with it is seen to, or a query that is broken would have Postgres keep WAL for it.
func (l *ledger) settleRun(b *batch, f fate) {
	switch f {
	case done:
		l.run, l.fails = nil, 0
	case failed:
		l.run, l.fails = nil, min(l.fails+1, mostPauses)
		l.awaitRun(b.why, noRound)
	case waits:
		if l.whole != nil { // it will see what has changed since
			b.round, l.whole = min(b.round, l.whole.round), nil
		}
	}
}

// forget drops a refresh that is done.
func (l *ledger) forget(b *batch) {
	for text := range b.keys {
		delete(l.out, text)
	}
	delete(l.tasks, b)
}

// takeBack has what a task was to see to wait again.
func (l *ledger) takeBack(b *batch) {
	if b == l.run {
		l.run, l.ran = nil, time.Time{}
		l.awaitRun(b.why, b.round)
		return
	}
	l.forget(b)
	for text, w := range b.keys {
		l.wait[text] = w // its round is older than that of a change since
	}
}
