package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// How pgbench is in the foreground, at scale 1, and what is warmed behind it.
const (
	foregroundFor     = 20 * time.Second
	foregroundClients = 4
	rewarmJobs        = 3 // and as many daemons
)

// rewarmSpec is the spec of the daemons behind it; %s is a budget.
const rewarmSpec = `postgres: {url: "${BENCH_POSTGRES}", statement_timeout: 30m%s}
redis: {url: "${BENCH_REDIS}"}
admin: {listen: "${BENCH_LISTEN}"}
jobs:
`

// rewarmJob has values that differ in each run, so that each run writes them all.
const rewarmJob = `  - name: %s
    query: >-
      SELECT i AS id, 'SKU-' || i AS sku, 'a product with a name of some words' AS name, i * 1.25 AS price,
      clock_timestamp() AS read_at FROM (SELECT generate_series(1, %d) AS i) s
    key: "%s:{id}"
    ttl: 1h
    timeout: 30m
    volatile: true
`

// foreground measures what pgbench feels of a re-warm of millions of rows by three daemons, with and without a budget.
func (b *bench) foreground(ctx context.Context) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	for round := range b.rounds {
		for _, state := range report.ForegroundStates {
			if err := server.flush(ctx); err != nil {
				return err
			}
			f, err := b.beside(ctx, server, state)
			if err != nil {
				return fmt.Errorf("pgbench, %s: %w", state, err)
			}
			f.Round = round + 1
			b.report.Foreground = append(b.report.Foreground, f)
			b.say("foreground, round %d of %d, %s: %.0f transactions/s, p99 %.2f ms, %.0f MB/s into Redis", f.Round,
				b.rounds, state, f.TPS, f.P99, f.Written)
		}
	}
	return nil
}

// beside runs pgbench, and behind it the daemons of a state.
func (b *bench) beside(ctx context.Context, server *redisServer, state string) (f report.Foreground, err error) {
	if state != report.ForegroundAlone {
		stop, err := b.rewarm(ctx, server, state)
		if err != nil {
			return f, err
		}
		defer func() { err = errors.Join(err, stop()) }()
	}
	before, err := server.received(ctx)
	if err != nil {
		return f, err
	}
	begin := time.Now()
	latencies, lasted, err := b.pgbench(ctx)
	if err != nil {
		return f, err
	}
	after, err := server.received(ctx)
	slices.Sort(latencies)
	f = report.Foreground{State: state, TPS: float64(len(latencies)) / lasted.Seconds(),
		P50: report.Percentile(latencies, 0.5), P99: report.Percentile(latencies, 0.99),
		Written: float64(after-before) / 1e6 / time.Since(begin).Seconds()}
	return f, err
}

// rewarm has daemons run their jobs again and again, until stop is called.
func (b *bench) rewarm(ctx context.Context, server *redisServer, state string) (stop func() error, err error) {
	budget := ""
	if state == report.ForegroundBudget {
		budget = `, budget: "25%"`
	}
	text := fmt.Sprintf(rewarmSpec, budget)
	names := make([]string, rewarmJobs)
	for i := range names {
		names[i] = "wide" + strconv.Itoa(i+1)
		text += fmt.Sprintf(rewarmJob, names[i], b.sized(largeRows)/rewarmJobs, names[i])
	}
	ctx, cancel := context.WithCancel(ctx)
	var loops sync.WaitGroup
	var daemons []*daemon
	stop = func() (err error) {
		cancel()
		loops.Wait()
		for _, d := range daemons {
			err = errors.Join(err, d.stop())
		}
		return err
	}
	for _, name := range names {
		d, err := b.launchDaemon(name, text, server)
		if err != nil {
			return nil, errors.Join(err, stop())
		}
		daemons = append(daemons, d)
	}
	for _, d := range daemons {
		loops.Go(func() {
			// what fails here is that the API does not listen yet, or the end
			for ctx.Err() == nil {
				if _, err := d.run(ctx); err != nil {
					time.Sleep(lookEvery)
				}
			}
		})
	}
	// the first runs are under way
	_, err = server.awaitKeys(ctx, min(1000, b.sized(largeRows)/rewarmJobs))
	if err != nil {
		err = errors.Join(failure("wait for the first keys", err, logText(daemons[0].log)), stop())
	}
	return stop, err
}

// pgbench runs its own script, and returns how long each transaction took, in milliseconds.
func (b *bench) pgbench(ctx context.Context) (ms []float64, lasted time.Duration, err error) {
	program, err := b.postgres.Program("pgbench")
	if err != nil {
		return nil, 0, err
	}
	dir, err := os.MkdirTemp(b.dir, "pgbench-")
	if err != nil {
		return nil, 0, fmt.Errorf("make a folder for pgbench's log: %w", err)
	}
	seconds := max(2, int(math.Round(foregroundFor.Seconds()*b.scale)))
	if _, err := b.command(ctx, dir, program, "-n", "-c", strconv.Itoa(foregroundClients), "-j", "2", "-T",
		strconv.Itoa(seconds), "-l", "--log-prefix=log", b.postgres.URL("postgres")); err != nil {
		return nil, 0, err
	}
	logs, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil || len(logs) == 0 {
		return nil, 0, fmt.Errorf("pgbench has left no log in %s: %w", dir, err)
	}
	for _, name := range logs {
		if ms, err = appendLatencies(ms, name); err != nil {
			return nil, 0, err
		}
	}
	return ms, time.Duration(seconds) * time.Second, os.RemoveAll(dir)
}

// appendLatencies reads a log of pgbench: client, number of the transaction, its time in microseconds, and more.
func appendLatencies(ms []float64, name string) ([]float64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read pgbench's log: %w", err)
	}
	defer f.Close() // it was only read
	for lines := bufio.NewScanner(f); ; {
		if !lines.Scan() {
			return ms, lines.Err()
		}
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 {
			return nil, fmt.Errorf("pgbench's log has the line %q", lines.Text())
		}
		us, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("pgbench's log has the line %q: %w", lines.Text(), err)
		}
		ms = append(ms, us/1000)
	}
}

// received is how many bytes have come to the server.
func (r *redisServer) received(ctx context.Context) (int64, error) {
	info, err := r.info(ctx)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(info["total_net_input_bytes"], 10, 64)
}
