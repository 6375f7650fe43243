package connect

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/budget"
	"github.com/stokerhq/stoker/store/postgres/pressure"
	"github.com/stokerhq/stoker/worker"
	"github.com/stokerhq/stoker/worker/headroom"
	"github.com/stokerhq/stoker/worker/scope"
	"github.com/stokerhq/stoker/worker/throttle"
	"github.com/stokerhq/stoker/worker/verify"
)

// NewWorker returns what does runs and refreshes of a spec on its servers.
func NewWorker(spec *jobs.Spec, s *Servers, metrics prometheus.Registerer, log *slog.Logger) *worker.Worker {
	return worker.New(worker.Config{
		Spec: spec, Source: s.throttled(spec, metrics, log), Analyst: s.Analyst, Cache: s.Cache,
		Headroom: s.Headroom(spec, metrics), Ledger: s.Ledger,
		Metrics: worker.NewMetrics(metrics), Tracer: s.Tracer(), Log: log,
	})
}

// Headroom is what keeps the runs of a spec from filling the cache.
func (s *Servers) Headroom(spec *jobs.Spec, metrics prometheus.Registerer) *headroom.Guard {
	return headroom.New(headroom.Config{Free: spec.Redis.Free, Cache: s.Cache, Warmth: s.Sampler(),
		Ledger: s.Ledger, Metrics: metrics})
}

// NewScope returns what fences the keys of a job that a condition on columns names.
func NewScope(s *Servers, w *worker.Worker) *scope.Fencer {
	return scope.New(scope.Config{Source: s.Source, Cache: s.Cache, Keys: worker.Exact{Worker: w}.Fence})
}

// throttled is the source of runs.
func (s *Servers) throttled(spec *jobs.Spec, metrics prometheus.Registerer, log *slog.Logger) *throttle.Source {
	return throttle.NewSource(s.Source, throttle.New(throttle.Config{
		Budget: func() budget.Budget { return spec.Postgres.Budget }, Ledger: s.Ledger,
		Pressure: func(b budget.Budget) throttle.Pressure {
			return pressure.New(s.Source, spec.Postgres.Endpoint(), b)
		},
		Metrics: throttle.NewMetrics(metrics), Log: log,
	}))
}

// NewVerifier returns what compares cache and database, and repairs through w.
func NewVerifier(spec *jobs.Spec, s *Servers, w *worker.Worker, metrics prometheus.Registerer,
	log *slog.Logger) *verify.Verifier {
	mend := func(ctx context.Context, id string, inv jobs.Invalidation) error {
		_, err := w.Refresh(ctx, id, inv)
		return err
	}
	return verify.New(verify.Config{
		Spec: spec, Source: s.Source, Cache: s.Cache, Ledger: s.Ledger, Mend: mend,
		Metrics: verify.NewMetrics(metrics), Log: log,
	})
}
