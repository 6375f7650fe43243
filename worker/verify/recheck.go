package verify

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// candidate is a key without a verdict.
type candidate struct {
	key    string
	values jobs.Key // of its columns, where its text does not tell them
	digest uint64   // in the last manifest; 0: unknown

	due   time.Time    // when it is looked at next
	first time.Time    // when it was looked at first
	looks int          // without a run going on
	last  *observation // that held still
	run   string       // which run was the last complete one, at that look

	kind   Kind // once it is wrong
	cause  Cause
	moving bool // it was given up
	mended bool
}

// recheckQueue are the keys of a job that do not look right, on their way to a verdict.
// What was read at two places at two times says nothing: each key is looked at in
// Redis, in a fresh snapshot of Postgres and in Redis again, and once more after a
// pause that whoever is to mend it would need at most (see judge). What a run that
// is going on has yet to write is not wrong: keys wait for its end. One that never
// holds still has no verdict: it is moving. It is used by one goroutine.
type recheckQueue struct {
	env     *Verifier
	job     *jobs.Job
	faces   fingerprinter
	hasFeed bool          // a change feed reports changes of the job's rows
	pause   time.Duration // before a second look

	// loose reports, of a snapshot, whether the job has not promised yet to show it:
	// then only a key that is gone can be wrong. nil: it has.
	notYetPromised func(store.Snapshot) bool
	judge          func(last *observation, now observation) verdict

	list     []*candidate
	names    map[string]struct{} // of list
	rechecks int64
	database time.Duration // that readings took, since spent was asked
}

// spent is how long the database has worked for it since it was asked last.
func (d *recheckQueue) spent() time.Duration {
	spent := d.database
	d.database = 0
	return spent
}

// How long it may take until a change is in Redis. A watch that says no keys runs
// the job, a while after the change; where there is no feed, there is only the
// refresh of an invalidation, whose fence has been seen.
const (
	feedPause  = 2 * time.Second
	rerunPause = 10 * time.Second
	quickPause = 500 * time.Millisecond
)

// mostLooks is after how many looks a key is given up as moving; mostDoubts is how
// many keys may be in doubt at once, some 50 MB.
const (
	mostLooks  = 12
	mostDoubts = 1 << 17
)

var errTooMany = errors.New("more than 131072 keys did not look right: the rest was not looked at; run the job " +
	"(stoker warm) and verify again")

func newRecheckQueue(env *Verifier, job *jobs.Job) *recheckQueue {
	d := &recheckQueue{env: env, job: job, faces: fingerprinter{job}, judge: judge, names: make(map[string]struct{}),
		pause: quickPause}
	if d.hasFeed = env.hasFeed(job); d.hasFeed {
		d.pause = feedPause
		for _, watch := range job.Watch {
			if len(watch.Key) == 0 && watch.Keys == "" {
				d.pause = rerunPause
			}
		}
	}
	return d
}

// hasFeed reports whether a change feed reports changes of the job's rows.
func (env *Verifier) hasFeed(job *jobs.Job) bool {
	return len(job.Watch) > 0 && env.spec.Changes.Source != "" && env.spec.Changes.Source != jobs.SourceNone
}

// add puts a key in doubt; it is looked at next time.
func (d *recheckQueue) add(s *candidate) {
	if _, there := d.names[s.key]; there {
		return
	}
	d.names[s.key] = struct{}{}
	d.list = append(d.list, s)
}

// forget drops every key.
func (d *recheckQueue) forget() {
	d.list = nil
	clear(d.names)
}

func (d *recheckQueue) open() int { return len(d.list) }

// wait is how long it is until a key is due.
func (d *recheckQueue) wait(now time.Time) time.Duration {
	wait := d.pause
	for _, s := range d.list {
		wait = min(wait, s.due.Sub(now))
	}
	return max(0, wait)
}

// verdicts are what a look came to.
type verdicts struct {
	right, moving, unclear int64
	compared               int64 // of right, those whose value could have been wrong
	wrong                  []*candidate
}

func (v *verdicts) add(more verdicts) {
	v.right += more.right
	v.moving += more.moving
	v.unclear += more.unclear
	v.compared += more.compared
	v.wrong = append(v.wrong, more.wrong...)
}

// recheckDue looks at the keys that are due.
func (d *recheckQueue) recheckDue(ctx context.Context, now time.Time) (out verdicts, err error) {
	var due []*candidate
	for _, s := range d.list {
		if !s.due.After(now) {
			due = append(due, s)
		}
	}
	if len(due) == 0 {
		return out, nil
	}
	busy, run, err := d.running(ctx)
	if err != nil {
		return out, err
	}
	done := make(map[*candidate]bool)
	for part := range slices.Chunk(due, jobs.MaxKeys) {
		if err = d.recheck(ctx, part, busy, run, &out, done); err != nil {
			break
		}
	}
	d.list = slices.DeleteFunc(d.list, func(s *candidate) bool {
		if done[s] {
			delete(d.names, s.key)
		}
		return done[s]
	})
	return out, err
}

// running reports whether a run of the job is going on, and which was the last
// one to complete.
func (d *recheckQueue) running(ctx context.Context) (busy bool, last string, err error) {
	holder, _, err := d.env.ledger.Holder(ctx, d.job.Name)
	if err != nil {
		return false, "", err
	}
	m, _, err := d.env.cache.Manifest(ctx, d.job.Name)
	return holder != "", m.ID, err
}

// lookAt looks at some keys and says what is to be said of each.
func (d *recheckQueue) recheck(ctx context.Context, part []*candidate, busy bool, run string, out *verdicts,
	done map[*candidate]bool) error {
	before, err := d.readCache(ctx, part)
	if err != nil {
		return err
	}
	begun := time.Now()
	l, err := d.env.load(ctx, d.job, part)
	if d.database += time.Since(begun); err != nil {
		return err
	}
	after, err := d.readCache(ctx, part)
	if err != nil {
		return err
	}
	loose := d.notYetPromised != nil && d.notYetPromised(l.snapshot)
	for i, s := range part {
		if l.unclear[s.key] {
			out.unclear++
			done[s] = true
			continue
		}
		now := observation{before[i], after[i], l.want[s.key]}
		free := loose && (now.after.face.there() || !now.want.print.there())
		if free {
			now.want.print = now.after.face
		}
		done[s] = d.decide(s, now, busy, run, free, out)
	}
	return nil
}

// decide counts a key that there is a verdict on, and has the others looked at
// again.
func (d *recheckQueue) decide(s *candidate, now observation, busy bool, run string, free bool,
	out *verdicts) (done bool) {
	at := time.Now()
	if s.looks == 0 && s.first.IsZero() {
		s.first = at
	} else {
		d.rechecks++
	}
	last := s.last
	if busy || s.run != run {
		last = nil // a run may be about to write it, or has been at it
	}
	switch d.judge(last, now) {
	case right:
		if now.want.print.there() {
			out.right++
			if !free && !d.job.Volatile {
				out.compared++
			}
		}
		return true
	case wrong:
		s.kind, s.last = now.kind(), &now
		out.wrong = append(out.wrong, s)
		return true
	}
	if !busy {
		s.looks++
	}
	if s.looks >= mostLooks || busy && at.Sub(s.first) > d.job.Timeout {
		out.moving++
		s.moving = true
		return true
	}
	s.last, s.run, s.due = &now, run, at.Add(d.pause)
	return false
}

// glance sees what Redis has of some keys.
func (d *recheckQueue) readCache(ctx context.Context, part []*candidate) ([]cacheRead, error) {
	keys, out := make([]string, len(part)), make([]cacheRead, len(part))
	for i, s := range part {
		keys[i] = s.key
	}
	err := d.env.cache.Observe(ctx, d.job.Type, keys, func(i int, s cache.Seen) {
		out[i] = cacheRead{d.faces.found(s), s.Mark, s.TTL, d.faces.foreign(s)}
	})
	return out, err
}
