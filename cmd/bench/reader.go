package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/stokerhq/stoker/cmd/internal/report"
	"github.com/stokerhq/stoker/cmd/internal/rival"
)

// The reader measures each state for this long at scale 1, and for so many runs
// at least.
const (
	readFor   = 8 * time.Second
	readRuns  = 3
	readStart = 200 * time.Millisecond // what the reader needs to start
)

// span is a time in which a state held.
type span struct{ begin, end time.Time }

// reader measures what GETs feel of a run: in a process of its own, with one
// connection, on keys that are all there.
func (b *bench) reader(ctx context.Context) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	d := b.products()
	if _, err := b.ingest(ctx, d, server); err != nil {
		return err
	}
	if err := server.settle(ctx); err != nil {
		return err
	}
	for _, state := range []struct {
		name string
		hold func(context.Context) ([]span, error)
	}{
		{report.StateIdle, b.idle},
		{report.StatePipelines, func(ctx context.Context) ([]span, error) {
			return b.again(func() (outcome, error) {
				return b.rival(ctx, rival.Task{Do: "pipelined", Postgres: b.postgres.URL("postgres"), Redis: server.Addr(), Job: d.job})
			})
		}},
	} {
		if err := b.read(ctx, state.name, server, state.hold); err != nil {
			return err
		}
	}
	if err := b.readRuns(ctx, report.StateRun, "product-new", b.everNew(), server); err != nil {
		return err
	}
	return b.readRuns(ctx, report.StateUnchanged, d.name, d.job, server)
}

// everNew is the products' job with a value that differs in every run and every
// row, so that none is taken for unchanged.
func (b *bench) everNew() rival.Job {
	job := b.products().job
	job.Query = "SELECT id, sku, name, price, stock + (extract(epoch FROM now()) * 100)::bigint % 100000000 AS stock, tags, updated_at, active, attributes FROM product"
	return job
}

// readRuns measures while a daemon runs a job again and again.
func (b *bench) readRuns(ctx context.Context, state, name string, job rival.Job, server *redisServer) (err error) {
	daemon, err := b.startDaemon(ctx, name, job, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	return b.read(ctx, state, server, func(ctx context.Context) ([]span, error) {
		return b.again(func() (outcome, error) { return daemon.run(ctx) })
	})
}

// read lets the reader read while the state holds. Only GETs that began within
// the state's spans count: between two runs nothing goes on.
func (b *bench) read(ctx context.Context, state string, server *redisServer, hold func(context.Context) ([]span, error)) (err error) {
	d := b.products()
	file := filepath.Join(b.dir, "gets")
	s, err := b.startRival(rival.Task{Do: "get", Redis: server.Addr(), Job: d.job, Keys: d.rows, File: file})
	if err != nil {
		return err
	}
	defer s.kill()
	spans, err := hold(ctx)
	if err != nil {
		return err
	}
	if err := s.closeIn(); err != nil {
		return err
	}
	if _, err := s.result(ctx); err != nil {
		return err
	}
	gets, err := rival.Gets(file)
	if err != nil {
		return err
	}
	l := report.NewLatency(state, within(gets, spans))
	b.report.Latency = append(b.report.Latency, l)
	b.say("reader: %s: %d GETs, p99 %.0f us", state, l.Gets, float64(l.P99)*1e6)
	return nil
}

// within picks the GETs that began in one of the spans.
func within(gets []rival.Get, spans []span) []time.Duration {
	var took []time.Duration
	for _, g := range gets {
		for _, s := range spans {
			if !g.At.Before(s.begin) && g.At.Before(s.end) {
				took = append(took, g.Took)
				break
			}
		}
	}
	return took
}

// shortest is how long a state is measured at least.
func (b *bench) shortest() time.Duration {
	return time.Duration(min(1, b.scale) * float64(readFor))
}

// idle is nothing at all.
func (b *bench) idle(ctx context.Context) ([]span, error) {
	begin := time.Now()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-time.After(b.shortest() + readStart):
		return []span{{begin, time.Now()}}, nil
	}
}

// again does one thing over and over.
func (b *bench) again(do func() (outcome, error)) ([]span, error) {
	var spans []span
	var sum time.Duration
	for sum < b.shortest() || len(spans) < readRuns {
		o, err := do()
		if err != nil {
			return nil, err
		}
		spans = append(spans, span{o.begin, o.end})
		sum += o.end.Sub(o.begin)
	}
	return spans, nil
}
