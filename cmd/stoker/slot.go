package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
)

// slotEvery is how often a permanent slot is looked at.
const slotEvery = 10 * time.Second

// slotMetrics tell how much WAL Postgres keeps because of a permanent slot.
type slotMetrics struct {
	lag, safe prometheus.Gauge
	status    *prometheus.GaugeVec
}

func newSlotMetrics(r prometheus.Registerer) slotMetrics {
	m := slotMetrics{
		lag:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_slot_lag_bytes", Help: "WAL that Postgres keeps because the permanent slot has not been told that it is done."}),
		safe:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "stoker_slot_safe_wal_bytes", Help: "WAL that may be written before the slot is in danger of being lost; -1 without a limit."}),
		status: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "stoker_slot_wal_status", Help: "1 for the slot's wal_status: reserved, extended, unreserved, lost, or missing."}, []string{"status"}),
	}
	r.MustRegister(m.lag, m.safe, m.status)
	return m
}

// watchSlot looks at the permanent slot until ctx ends.
func (d *daemon) watchSlot(ctx context.Context) {
	m := newSlotMetrics(d.metrics)
	tick := time.NewTicker(slotEvery)
	defer tick.Stop()
	for {
		slot, err := d.servers.source.Slot(ctx, d.spec.Changes.Name)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.log.Debug("the slot was not looked at", "slot", d.spec.Changes.Name, jobs.LogErr, err) // the follower says louder that the database is away
		default:
			if !slot.Exists {
				slot.Status = "missing"
			}
			m.lag.Set(float64(slot.Lag))
			m.safe.Set(float64(slot.Safe))
			m.status.Reset()
			m.status.WithLabelValues(slot.Status).Set(1)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
