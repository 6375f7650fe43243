package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// changedShare is the part of the products that changes before a re-run.
const changedShare = 0.01

// reruns measures runs of products that are all in the cache already: with
// nothing changed, and with a few changed. Rounds without a replica are for the
// time, one with a replica is for the bytes it is sent.
func (b *bench) reruns(ctx context.Context) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	d := b.products()
	daemon, err := b.startDaemon(ctx, d.name, d.job, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	for round := range b.rounds {
		if err := b.rerun(ctx, round+1, daemon, server, false); err != nil {
			return err
		}
	}
	if err := server.flush(ctx); err != nil { // less for the replica to copy
		return err
	}
	replica, err := server.attachReplica(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, replica.close()) }()
	if err := b.rerun(ctx, 1, daemon, server, true); err != nil {
		return err
	}
	peak, err := daemon.peak()
	b.report.Memory = append(b.report.Memory, report.Memory{What: report.MemoryRerun, Rows: d.rows, Peak: peak})
	return err
}

// rerun is a cold run and the two kinds of runs that follow it.
func (b *bench) rerun(ctx context.Context, round int, daemon *daemon, server *redisServer, replica bool) error {
	for _, step := range []struct {
		kind    string
		prepare func(context.Context) error
	}{
		{report.KindCold, server.flush},
		{report.KindUnchanged, server.awaitQuiet},
		{report.KindChanged, func(ctx context.Context) error {
			return errors.Join(b.change(),
				server.awaitQuiet(ctx))
		}},
	} {
		if err := step.prepare(ctx); err != nil {
			return err
		}
		before, err := server.offset(ctx)
		if err != nil {
			return err
		}
		o, err := daemon.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", step.kind, err)
		}
		after, err := server.offset(ctx)
		if err != nil {
			return err
		}
		r := report.Rerun{Round: round, Kind: step.kind, Wall: o.wall(), Replica: replica}
		if replica {
			r.Replication = after - before
		}
		b.report.Reruns = append(b.report.Reruns, r)
		b.say("re-runs, round %d: %s %.2f s", round, step.kind, float64(r.Wall))
	}
	return nil
}

// change updates a few random products.
func (b *bench) change() error {
	n := int64(float64(b.products().rows) * changedShare)
	_, err := b.sql.Exec(fmt.Sprintf("UPDATE product SET stock = stock + 1, updated_at = now() WHERE id IN (SELECT "+
		"id FROM product ORDER BY random() LIMIT %d)", n))
	if err != nil {
		return fmt.Errorf("change some products: %w", err)
	}
	return nil
}
