package changes

import (
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/store/feed"
)

// truncate is a transaction that changed a table as a whole.
func truncate(xid uint32) *feed.Commits {
	c := commit(xid, product)
	c.Effect.Rerun(product, "a change")
	return c
}

// Broken by: what Redis has lost and is not looked for again; what the queue refused and is
// forgotten.
func TestNoRunIsLost(t *testing.T) {
	play(t, func(r *rig) {
		r.yield(truncate(1))
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
		r.want("enqueued again", r.handed(), "[run product]")
		r.want("what is not done", r.dispatcher.oldest(), 1)
	})
}

// A worker that was killed keeps its task active for a minute; its rescue is what counts.
func TestRescueEndsARun(t *testing.T) {
	play(t, func(r *rig) {
		r.yield(truncate(1))
		r.end("t1", asynq.TaskStateActive)
		r.yield(truncate(2))
		r.sleep(time.Second)
		r.want("the run is in hand", len(r.handed()), 1)
		r.end("t1~", asynq.TaskStateActive) // its worker was killed, too
		r.want("the run is in another hand", len(r.handed()), 1)
		r.end("t1~~", asynq.TaskStateCompleted)
		r.want("the rescue of the rescue is done", r.handed()[1:], "[run product]")
	})
}

// Broken by: a run for each change; a run that began before the last change and is taken to
// show it.
func TestRunsAreSpaced(t *testing.T) {
	play(t, func(r *rig) {
		for xid := range 10 {
			r.yield(truncate(uint32(xid)))
		}
		r.sleep(time.Minute)
		r.want("while it has not begun", r.handed(), "[run product]")
		r.mu.Lock()
		r.tasks["t1"].State = asynq.TaskStateActive
		r.mu.Unlock()
		r.yield(truncate(20))
		r.sleep(time.Minute)
		r.want("while it goes on", len(r.handed()), 1)
		r.end("t1", asynq.TaskStateCompleted)
		r.want("afterwards", len(r.handed()), 2)
		began := time.Now()
		r.end("t2", asynq.TaskStateCompleted)
		r.yield(truncate(21))
		for len(r.handed()) < 3 && time.Since(began) < time.Minute {
			r.sleep(10 * time.Millisecond)
		}
		if time.Since(began) < runPause-50*time.Millisecond {
			t.Errorf("run again after %s", time.Since(began))
		}
	})
}

// A run that has failed for good, or that another one has superseded, has not shown the change.
// Broken by: a change that is forgotten then; a feed that must keep everything because a query
// is broken.
func TestRunThatFailsIsTriedAgain(t *testing.T) {
	for name, end := range map[string]*asynq.TaskInfo{
		"archived":   {State: asynq.TaskStateArchived},
		"superseded": {State: asynq.TaskStateCompleted, Result: []byte(`{"record": {"state": "superseded"}}`)},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(r *rig) {
				r.yield(truncate(1))
				r.mu.Lock()
				r.tasks["t1"] = end
				r.mu.Unlock()
				r.sleep(5 * time.Second)
				r.want("enqueued", r.handed()[1:], "[run product]")
				r.want("what keeps the feed waiting", r.dispatcher.oldest() == noRound, true)
				r.mu.Lock()
				r.tasks["t2"] = &asynq.TaskInfo{State: asynq.TaskStateCompleted,
					Result: []byte(`{"record": {"state": "ok"}}`)}
				r.mu.Unlock()
				r.sleep(time.Minute)
				r.want("afterwards", len(r.handed()), 2)
			})
		})
	}
}
