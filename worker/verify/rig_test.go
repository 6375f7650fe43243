package verify

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stokerhq/stoker/jobs"
)

// fedJob is a job that a change feed reports the changes of.
func fedJob(name string, value jobs.ValueKind, key, query string) *jobs.Job {
	job := newJob(name, value, key, query)
	job.Watch = []jobs.Watch{{Table: "item", Key: map[string]string{"id": "id"}}}
	return job
}

// feed says that there is a change feed.
func (r *rig) feed() *rig {
	r.spec.Changes.Source = jobs.SourceWAL
	return r
}

// shortPause is what tests wait for, where nobody is to mend anything.
const shortPause = 100 * time.Millisecond

func (r *rig) verify(v Verification) Verified {
	r.t.Helper()
	return r.verifyAs(v, shortPause, judge)
}

func (r *rig) verifyAs(v Verification, pause time.Duration, judge func(*observation, observation) verdict) Verified {
	r.t.Helper()
	job, _ := r.spec.Job(v.Job)
	ver := newComparison(r.v, job, nil)
	ver.recheck.pause, ver.recheck.judge = pause, judge
	if err := ver.do(r.t.Context(), v); err != nil {
		r.t.Fatalf("verify %s: %v", v.Job, err)
	}
	return ver.out
}

// wantFound holds a verification to counts and findings, whatever their order.
func wantFound(t *testing.T, got Verified, want Verified) {
	t.Helper()
	got.Took, got.Rechecks = 0, 0
	order := func(a, b Finding) int { return slices.Compare([]string{a.Key}, []string{b.Key}) }
	slices.SortFunc(got.Findings, order)
	slices.SortFunc(want.Findings, order)
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("verify (-want +got):\n%s", diff)
	}
}

// causes is what an audit has counted of a metric, by cause.
func (r *rig) causes(name string) map[string]float64 {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "cause" {
					out[l.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	maps.DeleteFunc(out, func(_ string, n float64) bool { return n == 0 })
	return out
}
