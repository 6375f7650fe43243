package worker

import (
	"context"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// report gives the ledger what was counted since, and says how old the oldest
// confirmation is.
func (a *auditor) report(ctx context.Context) {
	for _, k := range a.walks {
		if !k.whole.IsZero() {
			a.w.metrics.audit.oldest.WithLabelValues(k.job.Name).Set(time.Since(k.whole).Seconds())
		}
		if k.counts == (store.Audit{}) {
			continue
		}
		if err := a.w.ledger.Audited(ctx, k.job.Name, k.counts); err != nil {
			if ctx.Err() == nil {
				a.logFailure(err)
			}
			return // they are told next time
		}
		k.counts = store.Audit{}
	}
}

// logFinding tells the log of a key that is wrong.
func (a *auditor) logFinding(job string, s *candidate) {
	ok, left := a.lines.allow(time.Now())
	if !ok {
		return
	}
	attrs := []any{jobs.LogJob, job, "key", s.key, "kind", s.kind, jobs.LogCause, s.cause, "why", s.cause.Text()}
	if left > 0 {
		attrs = append(attrs, "not_told", left)
	}
	a.w.log.Warn("audit: a key was not as it should be; it is loaded again", attrs...)
}

// logFailure tells the log that the audit could not go on.
func (a *auditor) logFailure(err error) {
	if ok, _ := a.lines.allow(time.Now()); ok {
		a.w.log.Warn("the audit could not go on; it tries again", jobs.LogErr, err)
	}
}

// limiter lets a few lines of log through a minute, and counts the others.
type limiter struct {
	begun time.Time
	lines int
	left  int // not let through
}

const linesPerMinute = 20

// allow reports whether a line may be told, and how many before it were not.
func (l *limiter) allow(now time.Time) (ok bool, left int) {
	if now.Sub(l.begun) >= time.Minute {
		l.begun, l.lines = now, 0
	}
	if l.lines == linesPerMinute {
		l.left++
		return false, 0
	}
	l.lines++
	left, l.left = l.left, 0
	return true, left
}
