package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// Sizes at scale 1.
const (
	changedRows  = 100_000
	aloneCommits = 500
	pacedCommits = 4000
)

// pacedRate is how many commits a second are made while keys are watched.
const pacedRate = 200

// feed is the part of the changes. It has servers of its own: here rows change,
// the log is decoded, and vacuum runs as in a database that is in use.
type feed struct {
	*bench
	data   dataset
	server *redisServer
}

// changes measures how long a committed change takes to be readable, what that
// costs who changes, and whether it holds while very many are made.
func (b *bench) changes(ctx context.Context) (err error) {
	own := *b
	b = &own
	b.say("changes: starting a private Postgres")
	if b.postgres, err = b.startPostgres(ctx, "wal_level = logical", "autovacuum = on"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, left(b.postgres.Close())) }()
	if b.sql, err = b.postgres.Shell(ctx, "postgres"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.sql.Close()) }()
	f := &feed{bench: b, data: b.products()}
	f.data.part, f.data.rows = report.Changes, b.sized(changedRows)
	if f.server, err = b.startRedis(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.server.close()) }()
	if err := errors.Join(b.fillProducts(f.data), f.rest(), b.describe(f.data)); err != nil {
		return err
	}
	if err := f.measure(ctx); err != nil {
		return fmt.Errorf("%s: %w", partChanges, err)
	}
	return nil
}

// rest leaves the table as a database at rest has it.
func (f *feed) rest() error {
	for _, sql := range []string{"VACUUM ANALYZE product", "CHECKPOINT"} {
		if _, err := f.sql.Exec(sql); err != nil {
			return fmt.Errorf("put the products to rest: %w", err)
		}
	}
	return nil
}

// measure does what is held to figures first, and compares then.
func (f *feed) measure(ctx context.Context) error {
	if f.before != "" {
		return f.compareBuilds(ctx)
	}
	err := f.beside(ctx, report.BesideWAL, func(d *daemon) error {
		if err := f.lagsBesideRecv(ctx); err != nil {
			return err
		}
		return f.load(ctx, d)
	})
	if err != nil {
		return err
	}
	err = f.beside(ctx, report.BesideOutbox, func(*daemon) error {
		return f.lags(ctx, report.WhileAlone, report.ByOutbox, f.commits(aloneCommits), 0, nil)
	})
	if err != nil {
		return err
	}
	for round := range f.rounds {
		for _, beside := range report.Besides {
			err := f.beside(ctx, beside, func(*daemon) error { return f.fullSpeed(ctx, round+1, beside) })
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// lagsBesideRecv measures lags that pg_recvlogical shows too. It ends before more
// is asked of the machine.
func (f *feed) lagsBesideRecv(ctx context.Context) error {
	r, err := f.startRecv(ctx)
	if err != nil {
		return err
	}
	err = f.lags(ctx, report.WhileAlone, report.ByWAL, f.commits(aloneCommits), 0, r)
	if err == nil {
		err = f.lags(ctx, report.WhilePaced, report.ByWAL, f.commits(pacedCommits), pacedRate, r)
	}
	return errors.Join(err, r.stop(f.sql))
}

// commits shrinks a number of commits; some must remain for percentages to mean
// something.
func (f *feed) commits(n int) int {
	const fewest = 20
	return max(int(float64(n)*min(1, f.scale)), fewest)
}

// lags lets a probe commit and watch, and keeps what it saw, and what
// pg_recvlogical saw of the same commits.
func (f *feed) lags(ctx context.Context, while, by string, commits int, rate float64, r *recv) error {
	f.say("changes: %s, %s", while, by)
	s, err := f.startBaseline(f.probe(commits, rate))
	if err != nil {
		return err
	}
	defer s.kill()
	result, err := s.result(ctx)
	if err := errors.Join(err, s.closeIn()); err != nil {
		return err
	}
	f.keepLag(lagOf(while, by, result.Probes))
	if r == nil {
		return nil
	}
	took, lost := r.lags(ctx, result.Probes)
	f.keepLag(report.NewLag(while, report.ByRecv, lost, took))
	return nil
}

// probe is the task of who commits and watches.
func (f *feed) probe(commits int, rate float64) baseline.Task {
	return baseline.Task{Do: "probe", Postgres: f.postgres.URL("postgres"), Redis: f.server.Addr(), Job: f.data.job,
		Keys: f.data.rows, Commits: commits, Rate: rate}
}

func (f *feed) keepLag(l report.Lag) {
	f.report.Lags = append(f.report.Lags, l)
	f.say("changes: %s, %s: %d commits, p50 %.1f ms, p99 %.1f ms", l.While, l.By, l.Commits, float64(l.P50)*1e3,
		float64(l.P99)*1e3)
}

// lagOf sums up what a probe saw.
func lagOf(while, by string, probes []baseline.Probe) report.Lag {
	var took []time.Duration
	lost := 0
	for _, p := range probes {
		took = append(took, p.Took)
		if p.Lost {
			lost++
		}
	}
	return report.NewLag(while, by, lost, took)
}
