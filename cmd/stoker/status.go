package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
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
				if err := r.servers.QueueClient.Ping(cmd.Context()).Err(); err != nil {
					// once, not for each job
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
				return a.printStatus(list, time.Now())
			})
		},
	}
}

func (a *app) printStatus(list []web.JobStatus, now time.Time) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tKEYS\tWARMTH\tAGE\tLAST RUN\tNEXT TICK\tMISSED\tSKIPPED")
	for _, st := range list {
		warmth, age, next := "-", "-", "-"
		if st.Warmth != nil {
			warmth = fmt.Sprintf("%.0f%%", *st.Warmth*100)
		}
		if st.AgeSeconds != nil {
			age = show.Duration(time.Duration(*st.AgeSeconds * float64(time.Second)))
		}
		if !st.NextTick.IsZero() {
			next = "in " + show.Duration(st.NextTick.Sub(now))
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%d\t%d\n", st.Name, st.Keys, warmth, age, lastRun(st), next, st.Missed,
			st.Skipped)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the status: %w", err)
	}
	for _, st := range list {
		if o := st.Objective; o != nil {
			fmt.Fprintf(a.stdout, "\n%s: objective %s: %s; %s\n", st.Name, o.Goal(), o.Text(), o.Details())
			if o.Reason != "" {
				fmt.Fprintf(a.stdout, "%s: objective is not met now: %s\n", st.Name, o.Reason)
			}
		}
		if st.LastRun != nil && st.LastRun.Held > 0 {
			fmt.Fprintf(a.stdout, "\n%s: the result shrank by more than shrink_guard: %d keys that are no longer "+
				"in it are kept; if that is right: stoker warm %s --accept-shrink\n", st.Name, st.LastRun.Held, st.Name)
		}
		if st.LastRun != nil && st.LastRun.Warning != "" {
			fmt.Fprintf(a.stdout, "\n%s: not everything is written: %s\n", st.Name, st.LastRun.Warning)
		}
		for _, f := range st.Failures {
			fmt.Fprintf(a.stdout, "\n%s: %s failed: %s\n", st.Name, f.Of, f.Message)
		}
	}
	return nil
}

func lastRun(st web.JobStatus) string {
	switch {
	case st.Running != nil:
		return fmt.Sprintf("running, %d keys", st.Running.Keys)
	case st.LastRun == nil:
		return "never"
	}
	r := st.LastRun
	return fmt.Sprintf("%s in %s", r.State, show.Duration(r.End.Sub(r.Start)))
}
