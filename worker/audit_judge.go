package worker

import (
	"context"

	"github.com/stokerhq/stoker/store"
)

// judge counts the verdicts on a job's keys, and mends what is wrong.
func (a *auditor) judge(ctx context.Context, walk *cursor, out verdicts) error {
	m, job := a.w.metrics.audit, walk.job.Name
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
	if err := a.w.mend(ctx, walk.job, "audit", out.wrong); err != nil {
		return err
	}
	m.repaired.WithLabelValues(job).Add(float64(len(out.wrong)))
	walk.count(store.Audit{Repaired: int64(len(out.wrong))})
	return nil
}
