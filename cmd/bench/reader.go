package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// readFor is how long every state is measured at scale 1, over all rounds.
const readFor = 8 * time.Second

// span is a time in which a state held.
type span struct{ begin, end time.Time }

// held is what a state was.
type held struct {
	spans []span
	cpu   report.Seconds // that it used itself, Redis and the reader aside
}

// reading is the reader's part: GETs on keys that are all there.
type reading struct {
	*bench
	data   dataset
	server *redisServer
	round  int
}

// reader measures what GETs feel of a run, in a process of its own with one
// connection. States take turns, as contenders do.
func (b *bench) reader(ctx context.Context) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	r := &reading{bench: b, data: b.products(), server: server}
	if _, err := b.ingest(ctx, r.data, server); err != nil {
		return err
	}
	for round := range b.rounds {
		r.round = round + 1
		if err := r.read(ctx, report.StateIdle, r.idle); err != nil {
			return err
		}
		if err := r.read(ctx, report.StatePipelines, r.pipelines); err != nil {
			return err
		}
		if err := r.runs(ctx, report.StateRun, "product-new", b.everNew()); err != nil {
			return err
		}
		if err := r.runs(ctx, report.StateUnchanged, r.data.name, r.data.job); err != nil {
			return err
		}
	}
	return nil
}

// everNew is the products' job with a value that differs in every run and every
// row, so that none is taken for unchanged.
func (b *bench) everNew() baseline.Job {
	job := b.products().job
	job.Query = "SELECT id, sku, name, price, stock + (extract(epoch FROM now()) * 100)::bigint % 100000000 AS " +
		"stock, tags, updated_at, active, attributes FROM product"
	return job
}

// runs measures while a daemon runs a job again and again. The run before makes
// the cache what the job last wrote.
func (r *reading) runs(ctx context.Context, state, name string, job baseline.Job) (err error) {
	d, err := r.startDaemon(ctx, name, job, r.server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if _, err := d.run(ctx); err != nil {
		return err
	}
	return r.read(ctx, state, func(ctx context.Context) (held, error) {
		return r.again(func() (outcome, error) { return r.measured(ctx, d) })
	})
}

// pipelines measures while the plain Go loop writes in pipelines.
func (r *reading) pipelines(ctx context.Context) (held, error) {
	return r.again(func() (outcome, error) {
		return r.baseline(ctx, baseline.Task{Do: "pipelined", Postgres: r.postgres.URL("postgres"),
			Redis: r.server.Addr(), Job: r.data.job})
	})
}

// idle is nothing at all.
func (r *reading) idle(ctx context.Context) (held, error) {
	begin := time.Now()
	select {
	case <-ctx.Done():
		return held{}, context.Cause(ctx)
	case <-time.After(r.shortest()):
		return held{spans: []span{{begin, time.Now()}}}, nil
	}
}

// again does one thing over and over.
func (r *reading) again(do func() (outcome, error)) (h held, err error) {
	for sum := time.Duration(0); sum < r.shortest() || h.spans == nil; {
		o, err := do()
		if err != nil {
			return h, err
		}
		h.spans = append(h.spans, span{o.begin, o.end})
		h.cpu += o.backend + o.client
		sum += o.end.Sub(o.begin)
	}
	return h, nil
}

// shortest is how long a state holds in one round at least.
func (r *reading) shortest() time.Duration {
	return time.Duration(min(1, r.scale) * float64(readFor) / float64(r.rounds))
}

// read lets the reader read while the state holds. Only GETs that began within
// the state's spans count: between two runs nothing goes on.
func (r *reading) read(ctx context.Context, state string, hold func(context.Context) (held, error)) error {
	if err := r.server.awaitQuiet(ctx); err != nil {
		return err
	}
	m, err := startMeter(ctx, r.server)
	if err != nil {
		return err
	}
	var h held
	gets, readerCPU, err := r.gets(ctx, func() (err error) { h, err = hold(ctx); return err })
	if err != nil {
		return err
	}
	redis, busy, err := m.stop(ctx)
	if err != nil {
		return err
	}
	l := report.NewLatency(state, r.round, within(gets, h.spans))
	l.Others = max(0, busy-redis-h.cpu-readerCPU)
	r.report.Latency = append(r.report.Latency, l)
	r.say("reader, round %d of %d: %s: %d GETs, p99 %.0f us", r.round, r.rounds, state, l.Gets, float64(l.P99)*1e6)
	return nil
}

// gets runs the reader for as long as meanwhile takes.
func (r *reading) gets(ctx context.Context, meanwhile func() error) ([]baseline.Get, report.Seconds, error) {
	file := filepath.Join(r.dir, "gets")
	if err := os.RemoveAll(file); err != nil { // of the state before
		return nil, 0, err
	}
	s, err := r.startBaseline(baseline.Task{Do: "get", Redis: r.server.Addr(), Job: r.data.job, Keys: r.data.rows,
		File: file})
	if err != nil {
		return nil, 0, err
	}
	defer s.kill()
	if err := s.reads(ctx, file); err != nil {
		return nil, 0, err
	}
	if err := meanwhile(); err != nil {
		return nil, 0, err
	}
	if err := s.closeIn(); err != nil {
		return nil, 0, err
	}
	if _, err := s.result(ctx); err != nil {
		return nil, 0, err
	}
	gets, err := baseline.Gets(file)
	return gets, s.cpu(), err
}

// reads waits until a reader has made its file: until then it would miss what is measured.
func (s *started) reads(ctx context.Context, file string) error {
	limit := time.After(patience)
	for {
		if _, err := os.Stat(file); err == nil {
			return nil
		}
		select {
		case <-s.done:
			return failure("the reader", s.err, s.said.String())
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit:
			return fmt.Errorf("the reader has not begun to read within %s", patience)
		case <-time.After(lookEvery):
		}
	}
}

// within picks the GETs that began in one of the spans.
func within(gets []baseline.Get, spans []span) []time.Duration {
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
