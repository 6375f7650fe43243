package worker

import (
	"context"
	"time"

	"github.com/stokerhq/stoker/store/cache"
)

// running reports whether a run of the job is going on, and which was the last
// one to complete.
func (d *recheckQueue) running(ctx context.Context) (busy bool, last string, err error) {
	holder, _, err := d.w.ledger.Holder(ctx, d.job.Name)
	if err != nil {
		return false, "", err
	}
	m, _, err := d.w.cache.Manifest(ctx, d.job.Name)
	return holder != "", m.ID, err
}

// recheck looks at some keys and says what is to be said of each.
func (d *recheckQueue) recheck(ctx context.Context, part []*candidate, busy bool, run string, out *verdicts, done map[*candidate]bool) error {
	before, err := d.readCache(ctx, part)
	if err != nil {
		return err
	}
	begun := time.Now()
	l, err := d.w.load(ctx, d.job, part)
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
		free := loose && (now.after.face.there() || !now.want.face.there())
		if free {
			now.want.face = now.after.face
		}
		done[s] = d.decide(s, now, busy, run, free, out)
	}
	return nil
}

// decide counts a key that there is a verdict on, and has the others looked at
// again.
func (d *recheckQueue) decide(s *candidate, now observation, busy bool, run string, free bool, out *verdicts) (done bool) {
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
		if now.want.face.there() {
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

// readCache sees what Redis has of some keys.
func (d *recheckQueue) readCache(ctx context.Context, part []*candidate) ([]cacheRead, error) {
	keys, out := make([]string, len(part)), make([]cacheRead, len(part))
	for i, s := range part {
		keys[i] = s.key
	}
	err := d.c.Observe(ctx, d.job.Type, keys, func(i int, s cache.Seen) {
		out[i] = cacheRead{d.faces.found(s), s.Mark, s.TTL}
	})
	return out, err
}
