// Package inhand has the definitions of jobs that a worker works with, and what becomes of work in hand when a spec
// that is loaded anew replaces them.
package inhand

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hibiken/asynq"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/worker/intake"
)

// Definitions are the jobs that a worker does now. A spec that is loaded anew replaces them while work goes on. Work
// on a job begins with one definition and ends with it, or is broken off as at the end of the process: no run and no
// refresh is half of one and half of another. Jobs that stay as they are keep their *jobs.Job, and their work in hand.
type Definitions struct {
	stopping error

	mu      sync.Mutex
	spec    *jobs.Spec
	hands   map[*jobs.Job]*hand
	earlier map[string][]string // :: job -> definitions that it had in this process
}

// hand is the work in hand of one definition.
type hand struct {
	context.Context // ends when the definition is replaced
	end             context.CancelCauseFunc
	inHand          sync.WaitGroup
}

// keptEarlier is how many earlier definitions of a job are remembered: tasks of any of them may wait.
const keptEarlier = 16

// New returns the definitions of a spec. stopping is the error that ends work when the process stops: work on a
// replaced definition ends with it, too.
func New(spec *jobs.Spec, stopping error) *Definitions {
	d := &Definitions{stopping: stopping, earlier: make(map[string][]string)}
	d.Replace(spec)
	return d
}

// Replace has work begin with another spec's definitions, and returns what waits for the end of the work that was
// begun with definitions that are gone.
func (d *Definitions) Replace(spec *jobs.Spec) (wait func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, gone := d.spec, d.hands
	d.spec, d.hands = spec, make(map[*jobs.Job]*hand)
	for _, job := range spec.Jobs {
		if h := gone[job]; h != nil {
			d.hands[job] = h
			delete(gone, job)
		}
		d.remember(before, job)
	}
	for _, h := range gone {
		h.end(fmt.Errorf("%w (%w)", ErrReplaced, d.stopping))
	}
	return func() {
		for _, h := range gone {
			h.inHand.Wait()
		}
	}
}

// remember notes which definition a job had before, if it is another one.
func (d *Definitions) remember(before *jobs.Spec, job *jobs.Job) {
	now := job.Definition()
	list := slices.DeleteFunc(d.earlier[job.Name], func(s string) bool { return s == now })
	if before != nil {
		if old, is := before.Job(job.Name); is && old.Definition() != now {
			list = append(list, old.Definition())
		}
	}
	d.earlier[job.Name] = list[max(0, len(list)-keptEarlier):]
}

// Now is the spec that is worked with.
func (d *Definitions) Now() *jobs.Spec {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.spec
}

// ErrReplaced ends work on a job that has another definition now, or none. It is as if the worker stopped: nothing
// has failed.
var ErrReplaced = errors.New("the spec was loaded again, and the job has another definition")

// Begin takes a job in hand. The context ends when its definition does, with a cause that is that of stopping and
// ErrReplaced. done is called when the work has ended.
func (d *Definitions) Begin(ctx context.Context, name string) (_ context.Context, job *jobs.Job, done func(),
	err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	job, ok := d.spec.Job(name)
	if !ok {
		return ctx, nil, nil, &jobs.UnknownJobError{Job: name, File: d.spec.File}
	}
	h := d.hands[job]
	if h == nil {
		h = &hand{}
		h.Context, h.end = context.WithCancelCause(context.Background())
		d.hands[job] = h
	}
	h.inHand.Add(1)
	ctx, cancel := context.WithCancelCause(ctx)
	forget := context.AfterFunc(h, func() { cancel(context.Cause(h)) })
	return ctx, job, func() { forget(); cancel(nil); h.inHand.Done() }, nil
}

// Other says why a task should be done by another worker: it was made with a definition of its job that this process
// does not know, so that a newer spec may be on its way, or an older one may still be in use. A task of a definition
// that this process had itself before is done with the one that has replaced it.
func (d *Definitions) Other(task *asynq.Task) error {
	made := jobs.DefinitionOf(task)
	name := jobs.JobOf(task)
	d.mu.Lock()
	defer d.mu.Unlock()
	job, ok := d.spec.Job(name)
	if made == "" || !ok || made == job.Definition() || slices.Contains(d.earlier[name], made) {
		return nil
	}
	return &intake.OtherDefinitionError{Job: name, File: d.spec.File}
}

// Again does a task, and once more with the new definition when its job gets one meanwhile. The task stays in hand:
// if it went back to the queue, a worker that still has the old definition could take it.
func Again(ctx context.Context, do func(context.Context) error) error {
	for {
		err := do(ctx)
		if !errors.Is(err, ErrReplaced) || ctx.Err() != nil {
			return err
		}
	}
}
