package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/daemon"
	"github.com/stokerhq/stoker/cmd/stoker/internal/reload"

	"github.com/stokerhq/stoker/web"
)

// stopLimit is how long the daemon may take to stop: less than the 30 seconds
// after which an orchestrator kills it without a word.
const stopLimit = 25 * time.Second

// watchdog ends a process that does not stop in time, because a server hangs. It
// is called off by the function it returns.
func (a *app) watchdog(ctx context.Context, log *slog.Logger) (callOff func()) {
	stopped := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		select {
		case <-stopped:
		case <-time.After(stopLimit):
			log.Error("stopping took too long; leaving now, tasks in hand are taken up by other workers", "limit",
				stopLimit)
			os.Exit(exitFailed)
		}
	})
	return func() { cancel(); close(stopped) }
}

// runName is the name of the daemon's command.
const runName = "run"

func (a *app) runCmd() *cobra.Command {
	var roles []string
	var poll bool
	cmd := &cobra.Command{
		Use:   runName,
		Short: "The daemon: schedules, runs and refreshes, and serves the status page",
		Long: `The daemon. All roles work in one process unless named: the scheduler enqueues
ticks, the worker does runs and refreshes, admin serves the status page, the
API, metrics and the Asynq dashboard. Any number of daemons may run: each tick
is run once. SIGTERM or Ctrl-C stops it in order; what was in hand goes back to
the queue. A changed spec comes into use within five seconds, or at once by SIGHUP or
POST /api/v1/reload; one with mistakes is refused, and the one before goes on.`,
		Example: `  stoker run
  stoker run --config shop.yaml --log-format json
  stoker run --roles worker                        one of many workers`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, r := range roles {
				if !slices.Contains(daemon.AllRoles, r) {
					return wrong("--roles: %q is no role; they are: %s", r, strings.Join(daemon.AllRoles, ", "))
				}
			}
			loader := a.loader()
			spec, err := located(loader.First())
			if err != nil {
				return err
			}
			log := a.log(slog.LevelInfo)
			for _, w := range spec.Warnings {
				log.Warn(w.String())
			}
			if err := web.CheckListen(spec.Admin); err != nil {
				return usageError{err}
			}
			traces, err := a.traces(cmd.Context(), log)
			if err != nil {
				return err
			}
			defer traces.Close(flushLimit)
			d, err := daemon.New(daemon.Config{Spec: spec, Roles: roles, Version: version(), Commit: revision(),
				Tracing: traces, Reloads: a.reloads(loader, poll), Log: log})
			if err != nil {
				return err
			}
			defer a.watchdog(cmd.Context(), log)()
			return d.Run(cmd.Context())
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", daemon.AllRoles, "what this process does")
	cmd.Flags().BoolVar(&poll, "reload", true,
		"look every two seconds whether the spec has changed; SIGHUP and the API load it also without")
	return cmd
}

// reloads says how the daemon loads its spec again.
func (a *app) reloads(loader *reload.Loader, poll bool) daemon.Reloads {
	r := daemon.Reloads{Loader: loader, Hangup: a.hangup}
	if poll {
		r.Poll = daemon.PollEvery
	}
	return r
}
