package worker

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// with returns a spec of jobs, to take the place of the rig's.
func (r *rig) with(list ...*jobs.Job) *jobs.Spec { return &jobs.Spec{File: "new.yaml", Jobs: list} }

// marked returns a task that was made by a spec with these jobs.
func marked(task *asynq.Task, list ...*jobs.Job) *asynq.Task {
	jobs.MarkDefinition(task, &jobs.Spec{Jobs: list})
	return task
}

// named is a job whose values say of which definition they are.
func named(definition string) *jobs.Job {
	return newJob("j", jobs.ValueRow, "j:{id}", "SELECT id, '"+definition+"' AS by FROM generate_series(1, 3) id")
}

// A job gets another definition while its run is in hand. The run is broken off and made by the new one: nothing of
// the old one is written once the spec is in use. The run of a job that stays goes on.
//
// Broken by: a run that ends by the old definition after Replace; a task that is failed, or waits for another worker;
// a run of another job that is broken off.
func TestReplaceBreaksOffWorkInHand(t *testing.T) {
	t.Parallel()
	slow := func(name, by string) *jobs.Job {
		return newJob(name, jobs.ValueRow, name+":{id}",
			"SELECT id, '"+by+"' AS by, pg_sleep(0.02)::text AS nap, repeat('x', 4000) AS pad "+
				"FROM generate_series(1, 100) id")
	}
	stays := slow("stays", "old")
	old, next := slow("j", "old"), slow("j", "new")
	r := newRig(t, plan{jobs: []*jobs.Job{stays, old}})
	r.serve(Share(4), brisk)
	kept := r.enqueue(marked(jobs.NewRun("stays", jobs.CauseCommand), stays, old))
	info := r.enqueue(marked(jobs.NewRun("j", jobs.CauseCommand), stays, old))
	r.running("j")
	r.running("stays")
	r.w.Replace(r.with(stays, next))
	if n, err := r.redis.Exists(t.Context(), "j:100").Result(); err != nil || n > 0 {
		t.Errorf("the run was not broken off: %d, %v", n, err)
	}
	done := r.await(info, asynq.TaskStateCompleted, 30*time.Second)
	if rec := r.result(done).Record; done.Retried != 0 || rec.Definition != next.Definition() {
		t.Errorf("retried %d, the record is of %s, want %s", done.Retried, rec.Definition, next.Definition())
	}
	if text := r.texts()["j:1"]; !strings.Contains(text, `"by":"new"`) {
		t.Errorf("j:1 is %s", text)
	}
	r.await(kept, asynq.TaskStateCompleted, 30*time.Second)
	if list := r.records("stays"); len(list) != 1 || list[0].State != store.StateOK {
		t.Errorf("a job that stays has the records %v", list)
	}
	if list := r.records("j"); len(list) != 2 || list[1].State != store.StateInterrupted {
		t.Errorf("the job has the records %v", list)
	}
}

// A task is done by the definition that it was made with, or by one that has replaced that in the same process. One of
// a definition that is not known is left to others for a while, without a failure or a retry, and then done.
//
// Broken by: a worker that takes any task of a job that it knows; one that fails it; one that leaves it for ever.
func TestTasksOfAnotherDefinition(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{named("one")}})
	p := brisk
	p.other = time.Hour
	r.serve(Share(4), p)
	one := r.enqueue(marked(jobs.NewRun("j", jobs.CauseAPI), named("one")))
	r.await(one, asynq.TaskStateCompleted, 20*time.Second)
	two := r.enqueue(marked(jobs.NewRun("j", jobs.CauseAPI), named("two")))
	inv, err := jobs.NewInvalidation("j", jobs.Key{"id": "2"})
	if err != nil {
		t.Fatal(err)
	}
	refresh := r.enqueue(marked(inv, named("two")))
	for _, info := range []*asynq.TaskInfo{two, refresh} {
		if left := r.await(info, asynq.TaskStateRetry, 20*time.Second); left.Retried != 0 ||
			!strings.HasSuffix(left.LastErr, jobs.HandedBack) {
			t.Errorf("retried %d: %s", left.Retried, left.LastErr)
		}
	}
	if text := r.texts()["j:2"]; !strings.Contains(text, "one") {
		t.Errorf("j:2 is %s", text)
	}
	r.w.Replace(r.with(named("two")))
	r.await(two, asynq.TaskStateCompleted, 20*time.Second)
	r.await(refresh, asynq.TaskStateCompleted, 20*time.Second)
	late := r.enqueue(marked(jobs.NewRun("j", jobs.CauseAPI), named("one")))
	if got := r.result(r.await(late, asynq.TaskStateCompleted, 20*time.Second)).Record.Definition; got !=
		named("two").Definition() {
		t.Errorf("a task of the definition before was done by %s", got)
	}
	if n := r.metric("stoker_tasks_freed_total"); n != 0 {
		t.Errorf("%v tasks were given up", n)
	}
}

// No worker has the definition any more: then the task is done by the one there is.
func TestTaskOfADefinitionThatIsGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{named("one")}})
	p := brisk
	p.other = 1500 * time.Millisecond
	r.serve(Share(4), p)
	info := r.enqueue(marked(jobs.NewTick("j", time.Now(), jobs.CauseTick), named("gone")))
	if got := r.result(r.await(info, asynq.TaskStateCompleted, 20*time.Second)).Record; got.Definition !=
		named("one").Definition() {
		t.Errorf("%+v", got)
	}
}

// A tick is covered by a run of its own definition alone.
func TestTickIsCoveredByItsOwnDefinition(t *testing.T) {
	t.Parallel()
	r := newRig(t, plan{jobs: []*jobs.Job{named("one")}})
	r.serve(Share(4), brisk)
	r.run("j")
	due := time.Now().Add(-time.Minute)
	skipped := r.enqueue(jobs.NewTick("j", due, jobs.CauseCatchUp))
	if out := r.result(r.await(skipped, asynq.TaskStateCompleted, 20*time.Second)); out.Skipped == "" {
		t.Errorf("a covered tick was run: %+v", out)
	}
	r.w.Replace(r.with(named("two")))
	run := r.enqueue(jobs.NewTick("j", due.Add(time.Second), jobs.CauseCatchUp))
	if out := r.result(r.await(run, asynq.TaskStateCompleted, 20*time.Second)); out.Skipped != "" {
		t.Errorf("a tick was skipped for a run of another definition: %s", out.Skipped)
	}
}

// The change feed may hold jobs of a spec before: what it asks for is done by the definition of now.
func TestFeedGoesByTheNameOfAJob(t *testing.T) {
	t.Parallel()
	old := named("one")
	r := newRig(t, plan{jobs: []*jobs.Job{old}})
	r.w.Replace(r.with(named("two")))
	keys := []jobs.Key{{"id": "1"}}
	if err := (Exact{r.w}).Fence(t.Context(), old, keys); err != nil {
		t.Fatal(err)
	}
	if err := r.w.RefreshFenced(t.Context(), old, keys); err != nil {
		t.Fatal(err)
	}
	if text := r.texts()["j:1"]; !strings.Contains(text, "two") {
		t.Errorf("j:1 is %s", text)
	}
	r.w.Replace(r.with())
	_, gone := errors.AsType[*jobs.UnknownJobError](r.w.RefreshFenced(t.Context(), old, keys))
	if !gone {
		t.Error("a job that is gone was refreshed")
	}
}
