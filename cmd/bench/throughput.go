package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// race is the contenders on one dataset.
type race struct {
	*bench
	data   dataset
	server *redisServer
	wrote  string // digest of what the first contender wrote
}

// contender is one way to fill the cache.
type contender struct {
	letter report.Contender
	rounds int  // at most
	same   bool // it writes the very bytes that we write
	do     func(context.Context) (outcome, error)
}

// throughput measures the contenders in turn, so that what changes on the
// machine meanwhile meets them all.
func (b *bench) throughput(ctx context.Context, d dataset) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	b.say("%s: making the file for redis-cli", d.part)
	if _, err := b.readyFile(ctx, d); err != nil {
		return err
	}
	r := &race{bench: b, data: d, server: server}
	for round := range b.rounds {
		for _, c := range r.contenders() {
			if round >= c.rounds {
				continue
			}
			if err := r.measure(ctx, round+1, c); err != nil {
				return fmt.Errorf("contender %s: %w", c.letter, err)
			}
		}
	}
	return nil
}

// contenders in the order of a round. The plain loop waits for an answer half a
// million times: one round of it is enough.
func (r *race) contenders() []contender {
	b, d := r.bench, r.data
	task := func(do string) func(context.Context) (outcome, error) {
		return func(ctx context.Context) (outcome, error) {
			return b.baseline(ctx, baseline.Task{Do: do, Postgres: b.postgres.URL("postgres"), Redis: r.server.Addr(),
				Job: d.job})
		}
	}
	list := []contender{
		{report.Ours, b.rounds, true, nil}, // see measure: it needs a daemon
		{report.Ingest, b.rounds, true, func(ctx context.Context) (outcome,
			error) {
			return b.ingest(ctx, d, r.server)
		}},
		{report.Psql, b.rounds, true, func(ctx context.Context) (outcome,
			error) {
			return b.psqlPiped(ctx, d, r.server)
		}},
		{report.Plain, 1, false, task("plain")},
		{report.Pipelined, b.rounds, false, task("pipelined")},
		{report.Read, b.rounds, false, task("read")},
	}
	if d.part != report.Products { // the loops are written for products
		return append(list[:3:3], list[5])
	}
	return list
}

// measure is one contender's turn. What it wrote is held against the others'.
func (r *race) measure(ctx context.Context, round int, c contender) error {
	if c.letter == report.Ours {
		return r.withDaemon(ctx, func(d *daemon) error {
			c.do = func(ctx context.Context) (outcome, error) { return r.measured(ctx, d) }
			return r.turn(ctx, round, c)
		})
	}
	return r.turn(ctx, round, c)
}

// withDaemon lets a daemon live for one turn: its idle hum would be counted as
// the other contenders' work. It has run the job once when the turn begins, as a
// daemon in use has.
func (r *race) withDaemon(ctx context.Context, do func(*daemon) error) (err error) {
	if err := r.server.flush(ctx); err != nil { // so that the job has never been run
		return err
	}
	d, err := r.startDaemon(ctx, r.data.name, r.data.job, r.server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	return do(d)
}

func (r *race) turn(ctx context.Context, round int, c contender) error {
	err := r.bench.measure(ctx, report.Sample{Part: r.data.part, Contender: c.letter, Round: round}, r.server,
		func(ctx context.Context) (outcome, error) {
			o, err := c.do(ctx)
			if err == nil && o.keys != r.data.rows {
				err = fmt.Errorf("%d keys, want %d", o.keys, r.data.rows)
			}
			return o, err
		})
	if err != nil || !c.same {
		return err
	}
	wrote, err := digest(ctx, r.server, r.data)
	if err != nil {
		return err
	}
	if r.wrote == "" {
		r.wrote = wrote
	}
	if wrote != r.wrote {
		return errors.New("it wrote other values than the contender before it")
	}
	return nil
}
