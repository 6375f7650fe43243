package worker

import (
	"github.com/stokerhq/stoker/jobs"
)

// Replace has the worker do the jobs of another spec from now on. It returns when the work has ended that was begun
// with a definition that is gone: it is broken off, and its tasks are begun again with the new one. Nothing of an
// old definition is written by this worker after that.
func (w *Worker) Replace(spec *jobs.Spec) {
	w.metrics.begin(spec.Jobs)
	before := w.defs.Now()
	w.defs.Replace(spec)()
	for _, job := range before.Jobs {
		if _, stays := spec.Job(job.Name); !stays {
			w.metrics.held.DeleteLabelValues(job.Name)
		}
	}
}
