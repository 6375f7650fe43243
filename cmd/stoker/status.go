package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/statustable"
	"github.com/stokerhq/stoker/web"
)

func (a *app) statusCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "A line a job: keys, warmth, age, last run, next tick, errors",
		Example: `  stoker status
  stoker status --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withKnown(cmd.Context(), false, false, func(r *runner) error {
				if err := r.servers.QueueClient.Ping(cmd.Context()).Err(); err != nil { // once, not for each job
					return fmt.Errorf("reach redis at %s: %w", r.spec.Redis.QueueURL.Redacted(), err)
				}
				list, err := web.Collect(cmd.Context(), r.spec, r.servers.Ledger, r.servers.Sampler(), time.Now())
				if err != nil {
					return err
				}
				notices, err := r.servers.Notices(cmd.Context(), r.spec)
				if err != nil {
					return err
				}
				if a.json {
					notices.Mark(list)
					return a.printJSON(list)
				}
				for _, line := range notices.Lines() {
					fmt.Fprintf(a.stdout, "%s\n\n", line)
				}
				known, err := r.servers.Ledger.Reads(cmd.Context())
				return errors.Join(err, statustable.Print(a.stdout, list, known, time.Now()))
			})
		},
	}
}
