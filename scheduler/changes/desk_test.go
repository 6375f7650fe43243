package changes

import (
	"fmt"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
)

// Broken by: a task for each change; and by a change that came after its key was
// loaded and is forgotten.
func TestBurstIsFolded(t *testing.T) {
	play(t, func(r *rig) {
		for xid := range 100 {
			r.yield(commit(uint32(xid), product, "hot"))
			r.sleep(100 * time.Microsecond)
		}
		r.want("fences", len(r.fences["product"]), 100)
		r.want("while the first task goes on", r.handed(), "[product[hot]]")
		r.end("t1", asynq.TaskStateCompleted)
		r.want("afterwards", r.handed(), "[ended product[hot]]")
		r.end("t2", asynq.TaskStateCompleted)
		r.sleep(time.Minute)
		r.want("in the end", r.handed(), "[ended ended]")
	})
}

func TestSlots(t *testing.T) {
	play(t, func(r *rig) {
		for n := range slots + 2 {
			r.yield(commit(uint32(n), product, fmt.Sprint(n)))
		}
		r.want("tasks", len(r.handed()), slots)
		r.end("t1", asynq.TaskStateCompleted)
		r.want("the rest goes together", r.handed()[slots:], "[product[4 5]]")
		r.yield(commit(90, other, "1"))
		r.want("another job has slots of its own", r.handed()[slots+1:], "[other[1]]")
	})
}

func TestManyKeysAreSplit(t *testing.T) {
	play(t, func(r *rig) {
		var all []string
		for n := range jobs.MaxKeys + 1 {
			all = append(all, fmt.Sprint(n))
		}
		r.yield(commit(1, product, all...))
		r.want("tasks", len(r.handed()), 2)
	})
}

// Broken by: what Redis has lost and nobody asks for again; what the queue refused
// and is forgotten.
func TestNothingIsLost(t *testing.T) {
	play(t, func(r *rig) {
		r.yield(commit(1, product, "1", "2"))
		r.mu.Lock()
		delete(r.tasks, "t1")
		r.order = nil
		r.closed = true
		r.mu.Unlock()
		r.sleep(5 * time.Second)
		r.want("while the queue refuses", len(r.handed()), 0)
		r.mu.Lock()
		r.closed = false
		r.mu.Unlock()
		r.sleep(time.Second)
		r.want("handed out anew", r.handed(), "[product[1 2]]")
		r.want("what is not done", r.desk.oldest(), 1)
	})
}

// A worker that was killed keeps its task active for a minute; its twin is what
// counts.
func TestTwinEndsATask(t *testing.T) {
	play(t, func(r *rig) {
		r.yield(commit(1, product, "1"))
		r.end("t1", asynq.TaskStateActive)
		r.yield(commit(2, product, "1"))
		r.sleep(time.Second)
		r.want("the key is in hand", len(r.handed()), 1)
		r.end("t1~", asynq.TaskStateActive) // its worker was killed, too
		r.want("the key is in the second hand", len(r.handed()), 1)
		r.end("t1~~", asynq.TaskStateCompleted)
		r.want("the twin's twin is done", r.handed()[1:], "[product[1]]")
	})
}

// Broken by: a run for each change; a run that began before the last change and is
// taken to show it.
func TestRunsAreSpaced(t *testing.T) {
	whole := func(xid uint32) *jobs.Commits {
		c := commit(xid, product)
		c.Effect.Whole(product, "a change")
		return c
	}
	play(t, func(r *rig) {
		for xid := range 10 {
			r.yield(whole(uint32(xid)))
		}
		r.sleep(time.Minute)
		r.want("while it has not begun", r.handed(), "[run]")
		r.mu.Lock()
		r.tasks["t1"].State = asynq.TaskStateActive
		r.mu.Unlock()
		r.yield(whole(20))
		r.sleep(time.Minute)
		r.want("while it goes on", len(r.handed()), 1)
		r.end("t1", asynq.TaskStateCompleted)
		r.want("afterwards", len(r.handed()), 2)
		began := time.Now()
		r.end("t2", asynq.TaskStateCompleted)
		r.yield(whole(21))
		for len(r.handed()) < 3 && time.Since(began) < time.Minute {
			r.sleep(10 * time.Millisecond)
		}
		if time.Since(began) < runPause-50*time.Millisecond {
			t.Errorf("run again after %s", time.Since(began))
		}
	})
}

// A run that has failed for good, or that another one has superseded, has not seen to
// the change. Broken by: a change that is forgotten then; by a feed that must keep
// everything because a query is broken.
func TestRunThatFailsIsTriedAgain(t *testing.T) {
	for name, end := range map[string]*asynq.TaskInfo{
		"archived":   {State: asynq.TaskStateArchived},
		"superseded": {State: asynq.TaskStateCompleted, Result: []byte(`{"record": {"state": "superseded"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(r *rig) {
				c := commit(1, product)
				c.Effect.Whole(product, "a change")
				r.yield(c)
				r.mu.Lock()
				r.tasks["t1"] = end
				r.mu.Unlock()
				r.sleep(5 * time.Second)
				r.want("handed out", r.handed()[1:], "[run]")
				r.want("what keeps the feed waiting", r.desk.oldest() == noRound, true)
				r.mu.Lock()
				r.tasks["t2"] = &asynq.TaskInfo{State: asynq.TaskStateCompleted, Result: []byte(`{"record": {"state": "ok"}}`)}
				r.mu.Unlock()
				r.sleep(time.Minute)
				r.want("afterwards", len(r.handed()), 2)
			})
		})
	}
}

// Without a worker, keys do not pile up for ever.
func TestDeskIsBounded(t *testing.T) {
	play(t, func(r *rig) {
		r.show(1000, "")
		for n := range 400 {
			var keys []string
			for k := range 10 {
				keys = append(keys, fmt.Sprint(n, "-", k))
			}
			r.yield(commit(uint32(n), product, keys...))
		}
		r.desk.mu.Lock()
		waiting := len(r.desk.ledgers["product"].wait)
		r.desk.mu.Unlock()
		if waiting > 1000 {
			t.Errorf("%d keys wait", waiting)
		}
		if got := r.handed(); got[len(got)-1] != "run" {
			t.Errorf("handed out last: %s", got[len(got)-1])
		}
	})
}
