package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web"
	"github.com/stokerhq/stoker/web/warmz"
	"github.com/stokerhq/stoker/worker"
)

func (a *app) waitCmd() *cobra.Command {
	var warm string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait [JOB...]",
		Short: "Wait until the cache is warm, as a step of a deployment",
		Long: `Waits until each job named, or every job, is warm: until at least that share of its
keys is in Redis, as a sample of them says. It starts nothing: a daemon does the
runs. Exit status 1 if the time-out comes first; then the last line says what was
missing. GET /warmz of a daemon answers the same question.`,
		Example: `  stoker wait --warm 99% --timeout 5m
  stoker wait product top-sellers`,
		RunE: func(cmd *cobra.Command, args []string) error {
			least, err := warmz.ParseShare(warm)
			if err != nil {
				return wrong("--warm is %q: %v", warm, err)
			}
			if timeout <= 0 {
				return wrong("--timeout is %s: give a time, as 5m", timeout)
			}
			return a.withKnown(cmd.Context(), false, false, func(r *runner) error {
				if len(args) > 0 {
					list, err := named(r.spec, args)
					if err != nil {
						return err
					}
					r.spec.Jobs = list // nothing is asked of the others
				}
				return r.awaitWarm(cmd.Context(), least, timeout)
			})
		},
	}
	cmd.Flags().StringVar(&warm, "warm", "99%", "the share of each job's keys that must be there")
	cmd.Flags().DurationVar(&timeout, "timeout", 5*time.Minute, "how long to wait")
	return cmd
}

// warmEvery is how often the cache is sampled; warmSilence, how often a line is printed where there is no terminal.
const (
	warmEvery   = 500 * time.Millisecond
	warmSilence = 10 * time.Second
)

// awaitWarm samples the cache until the jobs of the spec are warm to the share least.
func (r *runner) awaitWarm(ctx context.Context, least float64, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	terminal := show.IsTerminal(r.app.stderr)
	writes := connect.NewWrites(r.spec, r.servers, slog.New(slog.DiscardHandler))
	var report warmz.Report
	var said time.Time
	for {
		next, err := r.warmth(ctx, writes)
		switch {
		case err == nil:
			report = next
		case ctx.Err() == nil: // the servers may start later than a deployment begins to wait
			report = warmz.Report{Error: 1, Reason: store.WithRemedy(err).Error()}
		}
		if err == nil && report.Warm(least) {
			return r.reportWarm(report, terminal)
		}
		if terminal {
			fmt.Fprintf(r.app.stderr, "\r\x1b[K%s", report)
		} else if time.Since(said) >= warmSilence {
			said = time.Now()
			r.say("%s", report)
		}
		if !store.Sleep(ctx, warmEvery) {
			break
		}
	}
	if err := r.reportWarm(report, terminal); err != nil {
		return err
	}
	if context.Cause(ctx) == context.DeadlineExceeded {
		return fmt.Errorf("not warm to %s within %s: %s", warmz.Percent(least), show.Duration(timeout), report.Reason)
	}
	return errors.New("stopped waiting; the daemons go on")
}

func (r *runner) reportWarm(report warmz.Report, terminal bool) error {
	if terminal {
		fmt.Fprint(r.app.stderr, "\r\x1b[K")
	}
	if r.app.json {
		return r.app.printJSON(report)
	}
	_, err := fmt.Fprintln(r.app.stdout, report)
	return err
}

// warmth samples the jobs of the spec.
func (r *runner) warmth(ctx context.Context, writes *connect.Writes) (warmz.Report, error) {
	now := time.Now()
	list, err := web.Collect(ctx, r.spec, r.servers.Ledger, r.servers.Sampler(), now)
	if err != nil {
		return warmz.Report{}, err
	}
	paused, err := r.servers.Queues().Paused(ctx)
	if err != nil {
		return warmz.Report{}, err
	}
	web.MarkPaused(list, paused)
	if err := writes.Probe(ctx); err != nil {
		web.MarkRefused(list, writes.Refused())
	}
	return warmz.Of(list, worker.Share(r.spec.Postgres.MaxConnections).Runs, now), nil
}
