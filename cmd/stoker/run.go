package main

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) runCmd() *cobra.Command {
	var roles []string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "The daemon: schedules, runs and refreshes, and serves the status page",
		Long: `The daemon. All roles work in one process unless named: the scheduler enqueues
ticks, the worker does runs and refreshes, admin serves the status page, the
API, metrics and the Asynq dashboard. Any number of daemons may run: each tick
is run once. SIGTERM or Ctrl-C stops it in order; what was in hand goes back to
the queue.`,
		Example: `  stoker run
  stoker run --config shop.yaml --log-format json
  stoker run --roles worker                        one of many workers`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, r := range roles {
				if !slices.Contains(allRoles, r) {
					return wrong("--roles: %q is no role; they are: %s", r, strings.Join(allRoles, ", "))
				}
			}
			spec, err := a.spec()
			if err != nil {
				return err
			}
			log := a.log(slog.LevelInfo)
			for _, w := range spec.Warnings {
				log.Warn(w.String())
			}
			d, err := newDaemon(spec, roles, log)
			if err != nil {
				return err
			}
			return d.run(cmd.Context())
		},
	}
	cmd.Flags().StringSliceVar(&roles, "roles", allRoles, "what this process does")
	return cmd
}
