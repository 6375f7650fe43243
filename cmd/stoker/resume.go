package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/jobs"
)

func (a *app) resumeCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "resume [QUEUE ...]",
		Short: "Let workers take tasks from paused queues again",
		Long: `Resumes queues that someone has paused, in the Asynq dashboard or with Asynq's own
command line: while a queue is paused, tasks are put on it and none is done. Without
names it resumes every queue that is paused. What waits on them is done then.`,
		Example: `  stoker resume
  stoker resume stoker-run`,
		ValidArgs: jobs.Queues,
		RunE: func(cmd *cobra.Command, names []string) error {
			for _, name := range names {
				if !slices.Contains(jobs.Queues, name) {
					return wrong("there is no queue %q; they are: %s", name, strings.Join(jobs.Queues, ", "))
				}
			}
			return a.withKnown(cmd.Context(), false, false, func(r *runner) error {
				return r.resume(cmd, names)
			})
		},
	}
}

// resume resumes the queues of these names that are paused; without names, all that are.
func (r *runner) resume(cmd *cobra.Command, names []string) error {
	queues := r.servers.Queues()
	paused, err := queues.Paused(cmd.Context())
	if err != nil {
		return err
	}
	resumed := []string{}
	for _, p := range paused {
		if len(names) > 0 && !slices.Contains(names, p.Queue) {
			continue
		}
		if err := queues.Resume(cmd.Context(), p.Queue); err != nil {
			return err
		}
		resumed = append(resumed, p.Queue)
	}
	if r.json {
		return r.printJSON(resumed)
	}
	for _, name := range resumed {
		fmt.Fprintf(r.stdout, "queue %s is resumed\n", name)
	}
	if len(resumed) == 0 {
		fmt.Fprintln(r.stdout, "no queue was paused")
	}
	return nil
}
