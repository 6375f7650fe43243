package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// memory measures how much a daemon takes for a small and for a large result of
// narrow rows: a fresh daemon each, after its first run and after one more.
func (b *bench) memory(ctx context.Context) (err error) {
	if !proc.Known() {
		b.say("memory: not measured, this system does not tell a process' peak")
		return nil
	}
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	for _, size := range []struct {
		rows         int64
		first, again string
	}{
		{b.sized(smallRows), report.MemorySmall, report.MemorySmallAgain},
		{b.sized(largeRows), report.MemoryLarge, report.MemoryLargeAgain},
	} {
		if err := server.flush(ctx); err != nil {
			return err
		}
		if err := b.peaks(ctx, server, size.rows, size.first, size.again); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) peaks(ctx context.Context, server *redisServer, rows int64, first, again string) (err error) {
	b.say("memory: %d rows", rows)
	// generate_series stands beside SELECT, where Postgres streams it; after
	// FROM it would be collected first.
	daemon, err := b.startDaemon(ctx, "narrow", baseline.Job{
		Query: fmt.Sprintf("SELECT i AS id, i %% 1000 AS stock, i %% 2 = 0 AS active FROM (SELECT "+
			"generate_series(1, %d) AS i) s", rows),
		Prefix: "narrow:", Column: "id",
	}, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	if err := b.keepPeak(daemon, first, rows); err != nil {
		return err
	}
	o, err := daemon.run(ctx)
	if err != nil {
		return err
	}
	b.say("memory: %d rows again: %.2f s", rows, float64(o.wall()))
	return b.keepPeak(daemon, again, rows)
}

func (b *bench) keepPeak(d *daemon, what string, rows int64) error {
	peak, err := d.peak()
	b.report.Memory = append(b.report.Memory, report.Memory{What: what, Rows: rows, Peak: peak})
	return err
}
