package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// tracedRuns is how many runs of one daemon are measured in a round.
const tracedRuns = 3

// traces measures runs of products that are all new, by a daemon that exports traces and by one that does not, in turn.
func (b *bench) traces(ctx context.Context) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	var arrived atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived.Add(1)
	}))
	defer collector.Close()
	for round := range b.rounds {
		for turn := range 2 {
			traced := (round+turn)%2 == 1 // the first one of a round is not always the same
			var env []string
			if traced {
				env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL}
			}
			if err := b.tracedTurn(ctx, round+1, traced, server, env); err != nil {
				return err
			}
		}
	}
	if arrived.Load() == 0 {
		return errors.New("no trace has arrived: the daemons with OTEL_EXPORTER_OTLP_ENDPOINT have exported none")
	}
	return nil
}

// tracedTurn is the runs of one daemon.
func (b *bench) tracedTurn(ctx context.Context, round int, traced bool, server *redisServer, env []string) (err error) {
	if err := server.flush(ctx); err != nil {
		return err
	}
	d := b.products()
	daemon, err := b.startDaemon(ctx, d.name, d.job, server, env...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	for range tracedRuns {
		// A flush would have the daemon run the job by itself, too.
		if _, err := b.sql.Exec("UPDATE product SET stock = stock + 1"); err != nil {
			return fmt.Errorf("change all products: %w", err)
		}
		o, err := daemon.run(ctx)
		if err != nil {
			return fmt.Errorf("traced: %t: %w", traced, err)
		}
		b.report.Traced = append(b.report.Traced, report.Traced{Round: round, Traced: traced, Wall: o.wall(),
			Client: o.client})
		b.say("traces, round %d of %d: exported: %t, %.2f s", round, b.rounds, traced, float64(o.wall()))
	}
	return nil
}
