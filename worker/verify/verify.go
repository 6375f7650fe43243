package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// Verification is what a comparison of the cache with the database is to do.
type Verification struct {
	Job    string
	Sample int  // so many keys at random of the last complete run; 0: all keys, and those that should not be there
	Repair bool // mend what is wrong, as an invalidation would
}

// Verified is what a comparison found.
type Verified struct {
	Job     string `json:"job"`
	Checked int64  `json:"checked"` // keys with a verdict: right, missing, stale, orphan, held
	Right   int64  `json:"right"`   // the cache has what the query gives now
	Missing int64  `json:"missing"` // the query has a row, the cache no key
	Stale   int64  `json:"stale"`   // the cache has another value than the query gives now
	Orphan  int64  `json:"orphan"`  // the cache has a key of the job, the query no row
	Held    int64  `json:"held"`    // keys without a row that shrink_guard keeps
	Moving  int64  `json:"moving"`  // keys that never held still: no verdict
	// keys in the cache that the job's template cannot have made, or in more than one way
	Unclear  int64 `json:"unclear"`
	Repaired int64 `json:"repaired"` // of missing, stale and orphan
	// how often a key was looked at again, because it was not as expected
	Rechecks int64 `json:"rechecks"`
	Volatile bool  `json:"volatile"` // values were not compared, only which keys there are
	Sampled  bool  `json:"sampled"`  // orphans outside the sample were not looked for
	// rows without an entry: no key, a reserved one, a value over max_value_bytes
	Skipped  int64         `json:"skipped"`
	Stopped  string        `json:"stopped,omitzero"` // why it did not come to its end
	Findings []Finding     `json:"findings"`         // the first of what is wrong
	Took     time.Duration `json:"took_ns"`
}

// Wrong is how many keys are not as they should be, and were not repaired.
func (v Verified) Wrong() int64 { return v.Missing + v.Stale + v.Orphan - v.Repaired }

// Kind says what is wrong with a key.
type Kind string

// The kinds.
const (
	Missing Kind = "missing"
	Stale   Kind = "stale"
	Orphan  Kind = "orphan"
	held    Kind = "held" // nothing is wrong
)

// Finding is one key that is not as it should be.
type Finding struct {
	Kind  Kind   `json:"kind"`
	Key   string `json:"key"`
	Cause Cause  `json:"cause"`

	Repaired bool `json:"repaired,omitempty"`
}

// findings is how many of a kind Verified names.
const findings = 5

// Verify compares, key by key, what the cache has of a job with what the job's
// query gives now, and writes nothing unless v says so. What looks wrong is looked
// at again until it holds still, so that a change in between is no finding; see
// doubts. It holds one connection to the database at a time. watch, if not nil, is
// given the progress by one goroutine at a time. On an error, Verified is what was
// found until then.
func (env *Verifier) Verify(ctx context.Context, v Verification, watch func(store.Progress)) (Verified, error) {
	job, ok := env.spec.Job(v.Job)
	if !ok {
		return Verified{}, &jobs.UnknownJobError{Job: v.Job, File: env.spec.File}
	}
	ver := newComparison(env, job, watch)
	err := ver.do(ctx, v)
	return ver.out, err
}

// verifier is one comparison.
type comparison struct {
	env     *Verifier
	job     *jobs.Job
	recheck *recheckQueue
	seen    seenKeys
	out     Verified
	at      store.Progress
	watch   func()
	wrong   []*candidate
}

func newComparison(env *Verifier, job *jobs.Job, watch func(store.Progress)) *comparison {
	v := &comparison{env: env, job: job, recheck: newRecheckQueue(env, job)}
	v.out = Verified{Job: job.Name, Volatile: job.Volatile, Findings: []Finding{}}
	v.at = store.Progress{Job: job.Name, Start: time.Now()}
	v.watch = func() {
		if watch != nil {
			watch(v.at)
		}
	}
	return v
}

// do compares, settles what is in doubt, and mends what is wrong.
func (v *comparison) do(ctx context.Context, how Verification) (err error) {
	v.out.Sampled = how.Sample > 0
	defer func() {
		v.sumUp()
		v.watch() // how far it came
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
	}()
	err = v.check(ctx, how)
	if err == nil && how.Repair {
		err = v.repair(ctx)
	}
	return err
}

// check comes to a verdict on every key.
func (v *comparison) check(ctx context.Context, how Verification) error {
	find := v.compareAll
	if how.Sample > 0 {
		find = func(ctx context.Context) error { return v.sample(ctx, how.Sample) }
	}
	err := find(ctx)
	if errors.Is(err, errTooMany) {
		v.out.Stopped, err = err.Error(), nil
	}
	if err != nil {
		return err
	}
	if !v.out.Sampled {
		v.out.Rechecks = int64(v.recheck.open()) // they have been looked at once
	}
	settled, err := v.recheckAll(ctx)
	v.out.Right += settled.right
	v.out.Moving += settled.moving
	v.out.Unclear += settled.unclear
	v.wrong = settled.wrong
	if err == nil {
		err = v.findCauses(ctx)
	}
	if err != nil { // some orphans may be another job's, or held
		v.wrong = slices.DeleteFunc(v.wrong, func(s *candidate) bool { return s.kind == Orphan })
	}
	return err
}

// recheckAll looks again until there is a verdict on every key in doubt.
func (v *comparison) recheckAll(ctx context.Context) (sum verdicts, err error) {
	for v.recheck.open() > 0 {
		if store.Sleep(ctx, v.recheck.wait(time.Now())); ctx.Err() != nil {
			return sum, ctx.Err()
		}
		out, err := v.recheck.recheckDue(ctx, time.Now())
		sum.add(out)
		if v.out.Sampled {
			v.at.Keys = sum.right + int64(len(sum.wrong))
			v.at.Rows = v.at.Keys
		}
		v.watch()
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// sumUp counts what is wrong, and names the first of each kind, in an order that does
// not depend on which was settled first.
func (v *comparison) sumUp() {
	order := []Kind{Missing, Stale, Orphan, held}
	slices.SortFunc(v.wrong, func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.kind), slices.Index(order, b.kind)), cmp.Compare(a.key, b.key))
	})
	for _, s := range v.wrong {
		count := map[Kind]*int64{Missing: &v.out.Missing, Stale: &v.out.Stale, Orphan: &v.out.Orphan,
			held: &v.out.Held}[s.kind]
		if *count++; *count <= findings && s.kind != held {
			v.out.Findings = append(v.out.Findings,
				Finding{Kind: s.kind, Key: s.key, Cause: s.cause, Repaired: s.mended})
		}
		if s.mended {
			v.out.Repaired++
		}
	}
	v.out.Took = time.Since(v.at.Start)
	v.out.Rechecks += v.recheck.rechecks
	v.out.Checked = v.out.Right + v.out.Held + v.out.Missing + v.out.Stale + v.out.Orphan
}

// repair mends what is wrong as an invalidation does, by a fence and a refresh,
// and looks again.
func (v *comparison) repair(ctx context.Context) error {
	mend := slices.DeleteFunc(slices.Clone(v.wrong), func(s *candidate) bool { return s.kind == held })
	if err := v.env.mend(ctx, v.job, "verify", mend); err != nil {
		return fmt.Errorf("repair: %w", err)
	}
	anew := make(map[string]*candidate, len(mend))
	for _, s := range mend {
		anew[s.key] = &candidate{key: s.key, values: s.values}
		v.recheck.add(anew[s.key])
	}
	settled, err := v.recheckAll(ctx)
	if err != nil {
		return fmt.Errorf("look at what was repaired: %w", err)
	}
	for _, s := range settled.wrong {
		delete(anew, s.key)
	}
	for _, s := range mend {
		again, fine := anew[s.key]
		s.mended = fine && !again.moving
	}
	return nil
}

// mend refreshes keys: the one way to write a value. A key without a row is
// removed by it, under a fence of a snapshot that shows that there is none; a
// removal without looking could drop a row that has just come.
func (env *Verifier) mend(ctx context.Context, job *jobs.Job, id string, list []*candidate) error {
	for part := range slices.Chunk(list, jobs.MaxKeys) {
		var keys []jobs.Key
		for _, s := range part {
			if key, ok := s.keyOf(job); ok {
				keys = append(keys, key)
			}
		}
		if len(keys) == 0 {
			continue
		}
		if err := env.refresh(ctx, id, jobs.Invalidation{Job: job.Name, Keys: keys, Exact: true}); err != nil {
			return err
		}
	}
	return nil
}
