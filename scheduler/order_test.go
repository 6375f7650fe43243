package scheduler_test

import (
	"context"
	"errors"
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

// counted counts the samples that are taken.
type counted struct {
	warm
	samples *atomic.Int64
}

func (c counted) Warmth(ctx context.Context, job string) (present, sampled int, err error) {
	c.samples.Add(1)
	return c.warm.Warmth(ctx, job)
}

// warm is what is left of each job, in tenths; a job that is not there cannot be read.
type warm map[string]int

func (w warm) Warmth(_ context.Context, job string) (present, sampled int, err error) {
	n, known := w[job]
	if !known {
		return 0, 0, errors.New("redis does not answer")
	}
	return n, 10, nil
}

// The jobs of a lost cache are enqueued by priority, then those with the fewest keys left, then the cheapest.
//
// Broken by: samples that are taken while nothing is to be run, or again for each look; the order of the spec; a cost
// of a run that read nothing; a job that is left out because its warmth
// cannot be read.
func TestOrderOfALostCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		list := []*jobs.Job{{Name: "late", Priority: -1}, {Name: "warm"}, {Name: "dear"}, {Name: "cheap"},
			{Name: "unread"}, {Name: "urgent", Priority: 5}}
		took := map[string]time.Duration{"late": 1, "warm": 1, "dear": 60, "cheap": 10, "unread": 20, "urgent": 90}
		l, q, e := storetest.NewLedger(), &queue{}, &past{}
		var samples atomic.Int64
		e.Store(&epochs{5, 5})
		for _, job := range list {
			end := time.Now()
			rec := store.Record{Job: job.Name, State: store.StateOK, End: end, Epoch: 5,
				Start: end.Add(-took[job.Name] * time.Second)}
			if err := l.Add(t.Context(), rec); err != nil {
				t.Fatal(err)
			}
		}
		s := scheduler.New(scheduler.Config{Jobs: list, Queue: q, Ledger: l, Epochs: e,
			Warmth:  counted{warm{"late": 0, "warm": 9, "dear": 0, "cheap": 0, "urgent": 10}, &samples},
			Metrics: scheduler.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler)})
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := samples.Load(); n != 0 {
			t.Errorf("%d samples while nothing was to be run", n)
		}
		rec := store.Record{Job: "dear", State: store.StateOK, Start: time.Now(), End: time.Now(), Epoch: 5,
			Unchanged: true}
		if err := l.Add(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		e.Store(&epochs{6, 6})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		cancel()
		synctest.Wait()
		var got []string
		for _, task := range q.tasks {
			if task.Cause == jobs.CauseEpoch {
				got = append(got, task.Job)
			}
		}
		if want := []string{"urgent", "cheap", "unread", "dear", "warm", "late"}; !slices.Equal(got, want) {
			t.Errorf("enqueued %q, want %q", got, want)
		}
		if n := samples.Load(); n != int64(len(list)) {
			t.Errorf("%d samples of %d jobs in one epoch", n, len(list))
		}
	})
}
