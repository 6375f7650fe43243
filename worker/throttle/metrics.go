package throttle

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/store/postgres/pressure"
)

// Metrics counts how long runs have waited for the database's sake.
type Metrics struct{ seconds *prometheus.CounterVec }

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{Name: "stoker_run_throttled_seconds_total",
		Help: "How long runs have waited to spare the database, by reason: share of postgres.budget, lag, query."},
		[]string{"reason"})}
	r.MustRegister(m.seconds)
	for _, kind := range []string{byShare, pressure.ByLag, pressure.ByQuery} {
		m.seconds.WithLabelValues(kind)
	}
	return m
}

func (m *Metrics) waited(kind string, d time.Duration) {
	m.seconds.WithLabelValues(kind).Add(d.Seconds())
}
