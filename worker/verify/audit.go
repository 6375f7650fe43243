package verify

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// releaseLimit is how long the last report and the return of the lease may take after the end of a context.
const releaseLimit = 5 * time.Second

// auditLease is the name of the lease of the process that audits.
const auditLease = "#audit"

// The lease of an audit is renewed while it works. Another process takes over
// when it has lapsed.
const (
	auditTTL   = 15 * time.Second
	auditEvery = 5 * time.Second
)

// A batch has at least and at most so many keys: fewer cost a statement for next
// to nothing, more would take a connection for too long.
const (
	leastAudited = 25
	mostAudited  = 100
)

// auditShare is how much of a connection's time an audit may take: where a
// refresh costs the whole query, it looks at fewer keys than it was told to.
const auditShare = 0.1

// Audit compares the cache with the database until ctx ends, rate keys a second
// over all jobs (0: not at all), and mends what is wrong as an invalidation would. It walks the
// keys that each job's last complete run has left, again and again, so that every
// key is confirmed in its turn; jobs take turns in proportion to their keys. Of
// several processes one does it at a time. What is compared, and when a key is
// wrong, is reported to doubts.
//
// A job is held to what it promises. With a change feed that is what the database
// has now. Without one it is what its last complete run saw: while nothing has
// been committed since, values are compared; once something has, only a key that
// is gone though it has a row is wrong. Of a volatile job only keys count.
func (env *Verifier) Audit(ctx context.Context, rate float64) {
	if rate <= 0 {
		return
	}
	a := newAuditor(env, rate)
	defer a.end(ctx)
	for due := time.Now(); ctx.Err() == nil; {
		mine, err := a.lease(ctx)
		if !mine {
			a.rest()
			due = time.Now().Add(auditEvery)
		}
		if err == nil && mine && !time.Now().Before(due) {
			var wait time.Duration
			wait, err = a.turn(ctx)
			due = time.Now().Add(wait)
		}
		if err != nil && ctx.Err() == nil {
			a.logFailure(err)
			due = time.Now().Add(auditEvery)
		}
		store.Sleep(ctx, min(time.Until(due), auditEvery)) // the lease is renewed however long it waits
	}
}

// auditor is an audit that goes on. It is used by one goroutine.
type auditor struct {
	env    *Verifier
	rate   float64
	batch  int
	share  float64
	holder string
	mine   bool
	leased time.Time // when the lease was taken or renewed last
	walks  []*cursor
	told   time.Time // when the ledger was told last
	lines  limiter
}

func newAuditor(env *Verifier, rate float64) *auditor {
	a := &auditor{env: env, rate: rate, batch: min(max(int(rate), leastAudited), mostAudited), share: auditShare,
		holder: rand.Text()}
	for _, job := range env.spec.Jobs {
		a.walks = append(a.walks, newCursor(env, job))
	}
	return a
}

// lease reports whether it is this process that audits.
func (a *auditor) lease(ctx context.Context) (bool, error) {
	if a.mine && time.Since(a.leased) < auditEvery {
		return true, nil
	}
	var err error
	a.mine, err = a.env.ledger.Renew(ctx, auditLease, a.holder, auditTTL)
	a.leased = time.Now()
	return a.mine, err
}

// rest forgets how far it came, while another process audits.
func (a *auditor) rest() {
	for _, walk := range a.walks {
		walk.reset()
		a.env.metrics.oldest.DeleteLabelValues(walk.job.Name)
	}
}

// end reports what was counted and gives the lease back.
func (a *auditor) end(ctx context.Context) {
	if !a.mine {
		return
	}
	ctx, cancel := store.Afterwards(ctx, releaseLimit)
	defer cancel()
	a.report(ctx)
	if err := a.env.ledger.Release(ctx, auditLease, a.holder); err != nil {
		a.env.log.Warn("the lease of the audit was not given back; it lapses by itself", jobs.LogErr, err)
	}
}

// turn audits one batch and returns how long to wait before the next.
func (a *auditor) turn(ctx context.Context) (wait time.Duration, err error) {
	begun := time.Now()
	next, err := a.next(ctx)
	if err != nil {
		return 0, err
	}
	keys := 0
	if next != nil {
		if keys, err = next.step(ctx, a.batch); err != nil {
			return 0, err
		}
	}
	var database time.Duration
	for _, walk := range a.walks {
		out, err := walk.doubts.recheckDue(ctx, time.Now())
		database += walk.doubts.spent()
		if err != nil {
			return 0, err
		}
		if err := a.judge(ctx, walk, out); err != nil {
			return 0, err
		}
	}
	if time.Since(a.told) > auditEvery {
		a.told = time.Now()
		a.report(ctx)
	}
	if keys == 0 { // no job has a keyset yet
		return time.Second, nil
	}
	pace := time.Duration(float64(keys)/a.rate*float64(time.Second)) - time.Since(begun)
	rest := time.Duration(float64(database) * (1/a.share - 1))
	return max(pace, rest, 0), nil
}

// next chooses whose turn it is: the job that has waited longest for its share.
func (a *auditor) next(ctx context.Context) (*cursor, error) {
	var all float64
	var best *cursor
	for _, walk := range a.walks {
		if err := walk.renew(ctx); err != nil {
			return nil, err
		}
		if walk.m.Keys == 0 || walk.doubts.open() > mostOpen {
			continue
		}
		all += float64(walk.m.Keys)
		walk.credit += float64(walk.m.Keys)
		if best == nil || walk.credit > best.credit {
			best = walk
		}
	}
	if best != nil {
		best.credit -= all
	}
	return best, nil
}

// mostOpen is how many keys of a job may wait for a verdict before no more are
// looked at.
const mostOpen = 10_000

// judge counts the verdicts on a job's keys, and mends what is wrong.
func (a *auditor) judge(ctx context.Context, walk *cursor, out verdicts) error {
	m, job := a.env.metrics, walk.job.Name
	n := store.Audit{Checked: out.compared + int64(len(out.wrong))}
	for _, s := range out.wrong {
		s.cause = walk.doubts.causeOf(s, walk.m, remembered{s.digest, s.digest != 0})
		if s.kind == Missing {
			n.Missing++
			m.missing.WithLabelValues(job, string(s.cause)).Inc()
		} else {
			n.Stale++
			m.stale.WithLabelValues(job, string(s.cause)).Inc()
		}
		a.logFinding(job, s)
	}
	m.checked.WithLabelValues(job).Add(float64(n.Checked))
	m.moving.WithLabelValues(job).Add(float64(out.moving))
	walk.count(n)
	if len(out.wrong) == 0 {
		return nil
	}
	if err := a.env.mend(ctx, walk.job, "audit", out.wrong); err != nil {
		return err
	}
	m.repaired.WithLabelValues(job).Add(float64(len(out.wrong)))
	walk.count(store.Audit{Repaired: int64(len(out.wrong))})
	return nil
}
