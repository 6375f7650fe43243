package changes

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// slotEvery is how often a permanent slot is read.
const slotEvery = 10 * time.Second

// SlotReader reads the state of a replication slot.
type SlotReader interface {
	Slot(ctx context.Context, name string) (feed.Slot, error)
}

// SlotConfig is what WatchSlot needs. Every field is required.
type SlotConfig struct {
	Name    string // of the slot
	Slots   SlotReader
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// slotMetrics say how much WAL Postgres keeps because of a permanent slot.
type slotMetrics struct {
	lag, safe prometheus.Gauge
	status    *prometheus.GaugeVec
}

func newSlotMetrics(r prometheus.Registerer) slotMetrics {
	m := slotMetrics{
		lag: prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_slot_lag_bytes",
			Help: "WAL that Postgres keeps because the permanent slot has not been told that it is done."}),
		safe: prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_slot_safe_wal_bytes",
			Help: "WAL that may be written before the slot is in danger of being lost; -1 without a limit."}),
		status: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_slot_wal_status",
			Help: "1 for the slot's wal_status: reserved, extended, unreserved, lost, or missing."},
			[]string{"status"}),
	}
	r.MustRegister(m.lag, m.safe, m.status)
	return m
}

// WatchSlot publishes the state of the permanent slot as metrics until ctx ends.
func WatchSlot(ctx context.Context, cfg SlotConfig) {
	m := newSlotMetrics(cfg.Metrics)
	tick := time.NewTicker(slotEvery)
	defer tick.Stop()
	for {
		slot, err := cfg.Slots.Slot(ctx, cfg.Name)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			// At debug level: the follower reports that the database is away.
			cfg.Log.Debug("the slot could not be read", "slot", cfg.Name, jobs.LogErr, err)
		default:
			m.set(slot)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (m slotMetrics) set(slot feed.Slot) {
	if !slot.Exists {
		slot.Status = "missing"
	}
	m.lag.Set(float64(slot.Lag))
	m.safe.Set(float64(slot.Safe))
	m.status.Reset()
	m.status.WithLabelValues(slot.Status).Set(1)
}
