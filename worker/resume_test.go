package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/worker/render"
)

// stopping ends runs after so many batches; those that are on their way then are not written.
type stopping struct {
	Cache
	left atomic.Int64
}

var errStopped = errors.New("the power is gone")

func (s *stopping) Put(ctx context.Context, cl *cache.Claim, b *store.Batch) (cache.Outcome, error) {
	if s.left.Add(-1) < 0 {
		return cache.Outcome{}, errStopped
	}
	return s.Cache.Put(ctx, cl, b)
}

const never = 1 << 40

// runStopped runs the job until so many batches are written.
func (s *stopping) runStopped(t *testing.T, w *Worker, batches int64) {
	t.Helper()
	s.left.Store(batches)
	defer s.left.Store(never)
	if _, err := w.Run(t.Context(), "stopped", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil); !errors.Is(err,
		errStopped) {
		t.Fatalf("the run ended with %v", err)
	}
}

func (s *stopping) parts(t *testing.T, r *rig) (parts, chunks int) {
	t.Helper()
	for _, key := range r.redis.Keys(t.Context(), "stoker:manifest:j:*").Val() {
		switch {
		case strings.HasSuffix(key, ":part"):
			parts++
		case !strings.HasSuffix(key, ":head"):
			chunks++
		}
	}
	return parts, chunks
}

// resumeRig is a rig whose runs can be stopped.
func resumeRig(t *testing.T, n int, in func(Cache) Cache) (*rig, *Worker, *stopping) {
	r := stockRig(t, n, func(j *jobs.Job) { j.Query += " ORDER BY id" })
	s := &stopping{Cache: in(r.real)}
	s.left.Store(never)
	return r, r.another(s), s
}

func asItIs(c Cache) Cache { return c }

// A run that was stopped goes on: what it has written is not sent again, but for a chunk of the manifest and what was
// on its way. Nothing of it stays behind.
//
// Broken by: a manifest that is removed when its run fails; a part that stays beside the complete manifest.
func TestStoppedRunGoesOn(t *testing.T) {
	t.Parallel()
	const rows = 5*manifest.ChunkKeys + 1000
	for name, before := range map[string]bool{"the first run": false, "after a complete one": true} {
		t.Run(name, func(t *testing.T) {
			r, w, s := resumeRig(t, rows, asItIs)
			if before {
				r.run("j")
				r.exec("UPDATE item SET v = 2", "DELETE FROM item WHERE id <= 10")
			}
			const written = rows * 9 / 10
			s.runStopped(t, w, written/render.BatchKeys)
			if parts, chunks := s.parts(t, r); parts != 1 || chunks < 4 {
				t.Errorf("the run has left %d parts and %d chunks", parts, chunks)
			}
			rec, err := w.Run(t.Context(), "on", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
			if err != nil {
				t.Fatal(err)
			}
			const least = written - manifest.ChunkKeys - 10*render.BatchKeys
			if rec.Kept < least || rec.Kept > written {
				t.Errorf("%d keys are kept of %d, want %d", rec.Kept, rec.Keys, least)
			}
			r.wantCache(stockWant)
			if parts, chunks := s.parts(t, r); parts != 0 || chunks != 6 {
				t.Errorf("%d parts and %d chunks are left", parts, chunks)
			}
		})
	}
}

// Whatever happens between two runs that are stopped and one that completes, values are those of the database after it.
//
// Broken by: digests of a part that are trusted after another run has written; a key that a refresh has written since,
// or that is gone, that is kept.
func TestStoppedRunsLeaveNoStaleValue(t *testing.T) {
	t.Parallel()
	const rows = 4*manifest.ChunkKeys + 500
	r, w, s := resumeRig(t, rows, asItIs)
	random := rand.New(rand.NewPCG(7, 7))
	part := func() (from, to int) { from = random.IntN(rows); return from, from + random.IntN(rows-from) + 1 }
	resumed := 0
	for round := range 8 {
		for range 1 + random.IntN(3) {
			from, to := part()
			r.exec(fmt.Sprintf("UPDATE item SET v = %d WHERE id BETWEEN %d AND %d", 1+random.IntN(2), from, to))
			switch id := 1 + random.IntN(rows); random.IntN(4) {
			case 0:
				s.runStopped(t, w, int64(random.IntN(rows/render.BatchKept)))
			case 1:
				r.exec(fmt.Sprintf("UPDATE item SET v = 3 - v WHERE id = %d", id))
				if _, err := w.Refresh(t.Context(), "refresh", jobs.Invalidation{Job: "j",
					Keys: []jobs.Key{{"id": fmt.Sprint(id)}}}); err != nil {
					t.Fatal(err)
				}
				r.exec(fmt.Sprintf("UPDATE item SET v = 3 - v WHERE id = %d", id)) // as before, and nobody tells of it
			case 2:
				r.redis.Del(t.Context(), fmt.Sprint("item:", id))
			case 3:
				r.exec(fmt.Sprintf("DELETE FROM item WHERE id = %d", id))
			}
		}
		s.runStopped(t, w, int64(random.IntN(rows/render.BatchKept)))
		before, _ := s.parts(t, r)
		rec, err := w.Run(t.Context(), "whole", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if before > 0 && rec.Kept > 0 {
			resumed++
		}
		r.wantCache(stockWant)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if resumed < 3 {
		t.Errorf("only %d runs went on where one was stopped", resumed)
	}
}

// foreignPart gives runs the digests of the run before the last.
type foreignPart struct {
	Cache
	r      *rig
	chunks [][]byte
}

func (f *foreignPart) Part(ctx context.Context, cl *cache.Claim, job string) (cache.Manifest, bool, error) {
	m, ok, err := f.Cache.Part(ctx, cl, job)
	if !ok || err != nil {
		return m, ok, err
	}
	if f.chunks == nil {
		for n := range m.Chunks {
			b, err := f.r.real.Chunk(ctx, job, m, n)
			if err != nil {
				return m, false, err
			}
			f.chunks = append(f.chunks, b)
		}
		return m, ok, nil
	}
	for n, b := range f.chunks {
		f.r.redis.Set(ctx, fmt.Sprintf("stoker:manifest:%s:%s:%d", job, m.ID, n), b, time.Hour)
	}
	m.Chunks = len(f.chunks)
	return m, true, nil
}

// Only the run right before says what Redis holds. Broken by: the part of a run after which another has written.
func TestOnlyTheLastStoppedRunIsTrusted(t *testing.T) {
	for name, sound := range map[string]bool{"as it is": true, "the run before the last": false} {
		t.Run(name, func(t *testing.T) {
			const rows = 3*manifest.ChunkKeys + 500
			broken := &foreignPart{}
			r, w, s := resumeRig(t, rows, func(c Cache) Cache {
				broken.Cache = c
				if sound {
					return c
				}
				return broken
			})
			broken.r = r
			for _, v := range []int{2, 3} {
				r.exec(fmt.Sprintf("UPDATE item SET v = %d", v))
				s.runStopped(t, w, rows*9/10/render.BatchKeys)
			}
			r.exec("UPDATE item SET v = 2")
			if _, err := w.Run(t.Context(), "whole", jobs.Run{Job: "j", Cause: jobs.CauseCommand}, nil); err != nil {
				t.Fatal(err)
			}
			stale := 0
			for _, text := range r.texts() {
				if strings.Contains(text, `"v":3`) {
					stale++
				}
			}
			if (stale == 0) != sound {
				t.Errorf("%d values are stale, and it is sound: %v", stale, sound)
			}
		})
	}
}
