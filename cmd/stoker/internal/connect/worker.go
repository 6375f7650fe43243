package connect

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/worker"
	"github.com/stokerhq/stoker/worker/scope"
	"github.com/stokerhq/stoker/worker/verify"
)

// NewWorker returns what does runs and refreshes of a spec on its servers.
func NewWorker(spec *jobs.Spec, s *Servers, metrics prometheus.Registerer, log *slog.Logger) *worker.Worker {
	return worker.New(worker.Config{
		Spec: spec, Source: s.Source, Analyst: s.Analyst, Cache: s.Cache, Ledger: s.Ledger,
		Metrics: worker.NewMetrics(metrics), Tracer: s.Tracer(), Log: log,
	})
}

// NewScope returns what fences the keys of a job that a condition on columns names.
func NewScope(s *Servers, w *worker.Worker) *scope.Fencer {
	return scope.New(scope.Config{Source: s.Source, Cache: s.Cache, Keys: worker.Exact{Worker: w}.Fence})
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
