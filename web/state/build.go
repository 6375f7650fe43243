package state

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// RegisterBuild registers stoker_build_info of this process.
func RegisterBuild(r prometheus.Registerer, version, commit string) {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_build_info",
		Help: "1; the labels say which build this process is."}, []string{"version", "commit", "goversion"})
	r.MustRegister(g)
	g.WithLabelValues(version, commit, runtime.Version()).Set(1)
}

// SpecLoads are the metrics of how the spec was loaded by this process.
type SpecLoads struct{ successful, at prometheus.Gauge }

// NewSpecLoads registers them.
func NewSpecLoads(r prometheus.Registerer) *SpecLoads {
	l := &SpecLoads{
		successful: prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_spec_last_load_successful",
			Help: "1 if the spec was right when it was loaded the last time; 0: the one before is still in use."}),
		at: prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_spec_last_load_success_timestamp_seconds",
			Help: "When the spec that is in use was loaded."}),
	}
	r.MustRegister(l.successful, l.at)
	return l
}

// Observe notes a load and whether it was right.
func (l *SpecLoads) Observe(err error) {
	if err != nil {
		l.successful.Set(0)
		return
	}
	l.successful.Set(1)
	l.at.SetToCurrentTime()
}
