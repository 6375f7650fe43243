// Package statustable prints the status of jobs for people.
package statustable

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web"
	"github.com/stokerhq/stoker/web/reads"
)

// Print writes a line a job, and what is wrong with jobs below; and how often readers find their key.
func Print(out io.Writer, list []web.JobStatus, known store.Reads, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
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
		if st.Running != nil && st.Running.Waiting != "" {
			fmt.Fprintf(out, "\n%s: its run waits: %s\n", st.Name, st.Running.Waiting)
		}
		if o := st.Objective; o != nil {
			fmt.Fprintf(out, "\n%s: objective %s: %s; %s\n", st.Name, o.Goal(), o.Text(), o.Details())
			if o.Reason != "" {
				fmt.Fprintf(out, "%s: objective is not met now: %s\n", st.Name, o.Reason)
			}
		}
		if st.LastRun != nil && st.LastRun.Held > 0 {
			fmt.Fprintf(out, "\n%s: the result shrank by more than shrink_guard: %d keys that are no longer "+
				"in it are kept; if that is right: stoker warm %s --accept-shrink\n", st.Name, st.LastRun.Held, st.Name)
		}
		if st.LastRun != nil && st.LastRun.Warning != "" {
			fmt.Fprintf(out, "\n%s: not everything is written: %s\n", st.Name, st.LastRun.Warning)
		}
		for _, f := range st.Failures {
			fmt.Fprintf(out, "\n%s: %s failed: %s\n", st.Name, f.Of, f.Message)
		}
	}
	fmt.Fprintf(out, "\n%s\n", reads.NewReport(known, now).Sentence())
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
