package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/worker/verify"
)

func (a *app) verifyCmd() *cobra.Command {
	var how verify.Verification
	cmd := &cobra.Command{
		Use:   "verify [JOB...]",
		Short: "Compare the cache with the database, key by key",
		Long: `Compares what Redis has of the named jobs, or of all, with what their queries
give now, key by key, and writes nothing. A key is missing (a row, no key), stale
(another value), an orphan (a key, no row) or right. What looks wrong is looked
at again until it holds still: a change that is on its way is no finding. Keys
that never hold still are counted as moving, keys of somebody else's that only
look like the job's as unclear, keys that shrink_guard keeps as held.

With --repair, what is wrong is loaded again, or removed, as an invalidation
would. The exit status is 1 if anything is wrong, or, after --repair, still is.
It holds one connection to the database, and reads what a run reads.`,
		Example: `  stoker verify
  stoker verify product --sample 1000    so many keys at random of the last run
  stoker verify --repair --json`,
		ValidArgsFunction: a.completeJobs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if cmd.Flags().Changed("sample") && how.Sample < 1 {
				return wrong("--sample is %d: give 1 or more", how.Sample)
			}
			return a.verify(cmd.Context(), names, how)
		},
	}
	cmd.Flags().IntVar(&how.Sample, "sample", 0, "look at so many keys a job, chosen at random, instead of all")
	cmd.Flags().BoolVar(&how.Repair, "repair", false, "load what is wrong again, or remove it")
	return cmd
}

// verify compares the jobs one after the other.
func (a *app) verify(ctx context.Context, names []string, how verify.Verification) error {
	spec, err := a.spec()
	if err != nil {
		return err
	}
	spec.Postgres.MaxConnections = 1
	list := spec.Jobs
	if len(names) > 0 {
		if list, err = named(spec, names); err != nil {
			return err
		}
	}
	log := a.log(slog.LevelWarn)
	s, err := connect.Open(spec, log)
	if err != nil {
		return err
	}
	r := &runner{app: a, spec: spec, servers: s, log: log}
	if err := r.known(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	w, found := r.verifier(), []verify.Verified{}
	for _, job := range list {
		how.Job = job.Name
		progress := show.NewProgress(a.stderr, job.Name)
		var last store.Progress
		out, err := w.Verify(ctx, how, func(at store.Progress) {
			last = at
			_ = progress.Update(at) // a bar that cannot be drawn ends nothing
		})
		_ = progress.Done()
		switch {
		case ctx.Err() != nil:
			out.Stopped = fmt.Sprintf("stopped after %s were compared; no verdict on what did not look right",
				show.Plural(int(last.Keys), "key"))
		case err != nil:
			out.Stopped = err.Error()
		}
		if found = append(found, out); ctx.Err() != nil {
			break
		}
	}
	if err := errors.Join(a.printVerified(found), s.Close()); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(v verify.Verified) bool { return v.Wrong() > 0 || v.Stopped != "" }) {
		return errReported
	}
	return nil
}

// printVerified prints a line a job, and below what is wrong.
func (a *app) printVerified(list []verify.Verified) error {
	if a.json {
		return a.printJSON(list)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "JOB\tCHECKED\tRIGHT\tMISSING\tSTALE\tORPHAN\tREPAIRED\tMOVING\tHELD\tUNCLEAR\tTOOK")
	for _, v := range list {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", v.Job, v.Checked, v.Right, v.Missing, v.Stale,
			v.Orphan, v.Repaired, v.Moving, v.Held, v.Unclear, show.Duration(v.Took))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print what was found: %w", err)
	}
	paint := show.Painter(a.stdout, a.lookup)
	for _, v := range list {
		a.explainVerified(v, paint)
	}
	return nil
}

// explainVerified names what is wrong with a job's keys, and what was left out.
func (a *app) explainVerified(v verify.Verified, paint func(show.Colour, string) string) {
	for _, f := range v.Findings {
		kind, colour := string(f.Kind), show.Red
		if f.Repaired {
			kind, colour = kind+", repaired", show.Green
		}
		fmt.Fprintf(a.stdout, "%s: %s: %s (%s)\n", v.Job, paint(colour, kind), f.Key, f.Cause.Text())
	}
	if more := v.Missing + v.Stale + v.Orphan - int64(len(v.Findings)); more > 0 {
		fmt.Fprintf(a.stdout, "%s: and %d more\n", v.Job, more)
	}
	if v.Volatile {
		fmt.Fprintf(a.stdout, "%s: it is volatile: only its keys were compared, not their values\n", v.Job)
	}
	if v.Sampled {
		fmt.Fprintf(a.stdout, "%s: a sample of the last run's keys: keys that should not be there were not looked "+
			"for\n", v.Job)
	}
	if v.Skipped > 0 {
		fmt.Fprintf(a.stdout, "%s: %s without an entry: no key, a reserved one, or a value over max_value_bytes\n",
			v.Job, show.Plural(int(v.Skipped), "row"))
	}
	if v.Stopped != "" {
		fmt.Fprintf(a.stderr, "stoker: %s: %s\n", v.Job, v.Stopped)
	}
}
