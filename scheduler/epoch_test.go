package scheduler_test

import (
	"context"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/storetest"
)

// epochs is in which epoch a cache is, and in which its history began.
type epochs struct{ now, history uint32 }

// past is a cache whose epoch changes.
type past struct{ atomic.Pointer[epochs] }

func (p *past) Epoch(context.Context) (now, history uint32, err error) {
	e := p.Load()
	return e.now, e.history, nil
}

// Broken by: an epoch after which nobody runs a job; one after which a job that
// watches nothing is run because changes of other jobs' tables were missed; and
// records that were lost together with the cache.
func TestEpochs(t *testing.T) {
	watching := &jobs.Job{Name: "watching", Watch: []jobs.Watch{{Table: "t"}}}
	plain := &jobs.Job{Name: "plain"}
	for name, test := range map[string]struct {
		ran  uint32 // epoch of the last runs; 0: there are none
		late uint32 // epoch of a first run that ends later
		e    epochs
		then epochs
		want []string
	}{
		"the same epoch":              {5, 0, epochs{5, 5}, epochs{5, 5}, nil},
		"a gap":                       {5, 0, epochs{5, 5}, epochs{6, 5}, []string{"watching"}},
		"a gap while nobody looked":   {5, 0, epochs{6, 5}, epochs{6, 5}, []string{"watching"}},
		"another history":             {5, 0, epochs{5, 5}, epochs{7, 7}, []string{"plain", "watching"}},
		"another history, then a gap": {5, 0, epochs{7, 6}, epochs{7, 6}, []string{"plain", "watching"}},
		"never run":                   {0, 0, epochs{5, 5}, epochs{5, 5}, nil},
		"the record was lost, too":    {0, 0, epochs{5, 5}, epochs{}, nil},
		"the epochs began again":      {9, 0, epochs{5, 5}, epochs{5, 5}, []string{"plain", "watching"}},
		"a gap during the first run":  {0, 5, epochs{6, 5}, epochs{6, 5}, []string{"watching"}},
		"cache and records were lost": {0, 0, epochs{5, 5}, epochs{6, 6}, []string{"plain", "watching"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, q, e := storetest.NewLedger(), &queue{}, &past{}
				e.Store(&test.e)
				ran := func(epoch uint32) {
					for _, job := range []*jobs.Job{watching, plain} {
						at := time.Now()
						if err := l.Add(t.Context(),
							store.Record{Job: job.Name, State: store.StateOK, Start: at, End: at,
								Epoch: epoch}); err != nil {
							t.Fatal(err)
						}
					}
				}
				if test.ran > 0 {
					ran(test.ran)
				}
				s := scheduler.New(scheduler.Config{Jobs: []*jobs.Job{watching, plain}, Queue: q, Ledger: l, Epochs: e,
					Metrics: scheduler.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)})
				ctx, cancel := context.WithCancel(t.Context())
				go s.Run(ctx)
				time.Sleep(5 * time.Second)
				synctest.Wait()
				e.Store(&test.then)
				if test.late > 0 {
					ran(test.late)
				}
				time.Sleep(5 * time.Second)
				synctest.Wait()
				cancel()
				synctest.Wait()
				var got []string
				for _, task := range q.tasks {
					if task.Cause == jobs.CauseEpoch {
						got = append(got, task.Job)
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, test.want) {
					t.Errorf("run again: %q, want %q", got, test.want)
				}
			})
		})
	}
}
