package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/await"
	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker"
	"github.com/stokerhq/stoker/worker/verify"
)

// runner does what warm and invalidate ask for, through the queue or here.
type runner struct {
	*app
	spec    *jobs.Spec
	servers *connect.Servers
	wait    bool
	local   bool
	how     jobs.Run // of warm: what its flags ask for
	log     *slog.Logger
}

func (a *app) warmCmd() *cobra.Command {
	var wait, local, all bool
	var how jobs.Run
	cmd := &cobra.Command{
		Use:   "warm JOB...",
		Short: "Run jobs now",
		Long: `Runs jobs now: enqueues a run of each and returns, or with --wait follows it to
its end. A run of a job that is already going on is waited for, because it began
before you asked. A run sends only what has changed since the last one.`,
		Example: `  stoker warm product
  stoker warm product top-sellers --wait
  stoker warm --all --local               in this process, without a daemon`,
		ValidArgsFunction: a.completeJobs,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) == 0 && !all {
				return wrong("name the jobs to warm, or give --all")
			}
			if len(names) > 0 && all {
				return wrong("give job names or --all, not both")
			}
			return a.withTraces(cmd, wait, local, func(ctx context.Context, r *runner) error {
				r.how = how
				list := r.spec.Jobs
				if !all {
					var err error
					if list, err = named(r.spec, names); err != nil {
						return err
					}
				}
				return r.runs(ctx, list, false)
			})
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "follow the runs to their end; the exit status tells")
	cmd.Flags().BoolVar(&local, "local", false, "do it in this process instead of enqueueing it")
	cmd.Flags().BoolVar(&all, "all", false, "every job of the spec")
	cmd.Flags().BoolVar(&how.Rewrite, "rewrite", false, "send every value, also those that should be in Redis already")
	cmd.Flags().BoolVar(&how.AcceptShrink, "accept-shrink", false,
		"the result is right to have shrunk: remove the keys that shrink_guard has kept")
	return cmd
}

// with opens the servers for one command.
func (a *app) with(wait, local bool, do func(*runner) error) error {
	spec, err := a.spec()
	if err != nil {
		return err
	}
	log := a.log(slog.LevelWarn)
	s, err := connect.Open(spec, log)
	if err != nil {
		return err
	}
	return errors.Join(do(&runner{app: a, spec: spec, servers: s, wait: wait, local: local, log: log}), s.Close())
}

// withKnown is with for a command that needs Redis as this version knows it.
func (a *app) withKnown(ctx context.Context, wait, local bool, do func(*runner) error) error {
	return a.with(wait, local, func(r *runner) error {
		if err := r.known(ctx); err != nil {
			return err
		}
		return do(r)
	})
}

// knownLimit is how long the look at the format may take. What does not answer, the command itself names.
const knownLimit = 2 * time.Second

// known refuses a Redis that a newer version has written to in another format.
func (r *runner) known(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, knownLimit)
	defer cancel()
	return r.servers.CheckFormats(limited)
}

// withTraces is withKnown for a command that asks for work: it is a span, and the work is in its trace.
func (a *app) withTraces(cmd *cobra.Command, wait, local bool, do func(context.Context, *runner) error) error {
	spec, err := a.spec()
	if err != nil {
		return err
	}
	log := a.log(slog.LevelWarn)
	traces, err := a.traces(cmd.Context(), log)
	if err != nil {
		return err
	}
	defer traces.Close(commandLimit)
	s, err := connect.OpenTraced(spec, log, traces)
	if err != nil {
		return err
	}
	ctx, span := a.command(cmd.Context(), traces, cmd.Name())
	r := &runner{app: a, spec: spec, servers: s, wait: wait, local: local, log: log}
	if err = r.known(ctx); err == nil {
		err = do(ctx, r)
	}
	span.EndWith(err)
	return errors.Join(err, s.Close())
}

// worker does runs and refreshes in this process. The command says itself how
// they end, so the worker's own lines are heard only when asked for.
func (r *runner) worker() *worker.Worker {
	return connect.NewWorker(r.spec, r.servers, prometheus.NewRegistry(), r.app.log(silent))
}

// verifier compares the cache with the database in this process, and repairs through worker.
func (r *runner) verifier() *verify.Verifier {
	return connect.NewVerifier(r.spec, r.servers, r.worker(), prometheus.NewRegistry(), r.app.log(silent))
}

// silent is above every level.
const silent = slog.Level(100)

// runs runs the jobs, or removes their keysets, one after the other; one that
// fails does not keep the next from its turn.
func (r *runner) runs(ctx context.Context, list []*jobs.Job, remove bool) error {
	if r.local {
		w := r.worker()
		return r.each(list, func(job *jobs.Job) error {
			return r.follow(job.Name, func(watch func(store.Progress) error) (store.Record, error) {
				waiting := func() { r.say("%s: another run is going on; this one starts when it ends", job.Name) }
				return w.RunLocal(ctx, r.run(job, jobs.CauseLocal, remove), waiting,
					func(p store.Progress) { _ = watch(p) })
			})
		})
	}
	if err := r.servers.Suitable(ctx, r.log); err != nil {
		return err
	}
	var tasks []*asynq.Task
	for _, job := range list {
		tasks = append(tasks, r.run(job, jobs.CauseCommand, remove).Task())
	}
	infos, err := r.invalidator().All(ctx, tasks)
	if err != nil {
		return err
	}
	if !r.wait {
		r.warnPaused(ctx, infos)
		return r.enqueued(infos, func(i int) string { return list[i].Name })
	}
	next := 0
	return r.each(list, func(job *jobs.Job) error {
		info := infos[next]
		next++
		return r.follow(job.Name, func(watch func(store.Progress) error) (store.Record, error) {
			return r.await(ctx, job.Name, info, watch)
		})
	})
}

// run is what is asked of a job.
func (r *runner) run(job *jobs.Job, cause jobs.Cause, remove bool) jobs.Run {
	run := r.how
	run.Job, run.Cause, run.Remove = job.Name, cause, remove
	return run
}

// waiter follows tasks of a job; watch, if not nil, gets a run's progress.
func (r *runner) waiter(job string, watch func(store.Progress) error) *await.Waiter {
	return &await.Waiter{Inspector: r.servers.Inspector(), Ledger: r.servers.Ledger,
		Watch: watch,
		Probe: func(ctx context.Context) error { return cache.Probe(ctx, r.servers.QueueClient, r.spec.Namespace) },
		Note:  func(why string) { r.say("%s: %s", job, why) }}
}

// await waits for a run task.
func (r *runner) await(ctx context.Context, job string, info *asynq.TaskInfo,
	watch func(store.Progress) error) (store.Record, error) {
	b, err := r.waiter(job, watch).Wait(ctx, job, info)
	if err != nil {
		return store.Record{}, err
	}
	result, err := await.Result[store.RunResult](b)
	if err == nil && result.Skipped != "" {
		err = fmt.Errorf("skipped: %s", result.Skipped)
	}
	return result.Record, err
}

// each calls do for every job and reports the failures at once.
func (r *runner) each(list []*jobs.Job, do func(*jobs.Job) error) error {
	failed := 0
	for _, job := range list {
		if err := do(job); err != nil {
			failed++
			fmt.Fprintf(r.stderr, "stoker: %s: %v\n", job.Name, store.WithRemedy(err))
		}
	}
	if failed > 0 {
		return errReported
	}
	return nil
}

// follow shows the progress of one run and its end. A run that left keys
// unwritten is a failure.
func (r *runner) follow(job string, run func(watch func(store.Progress) error) (store.Record, error)) error {
	progress := show.NewProgress(r.stderr, job)
	rec, err := run(progress.Update)
	if derr := progress.Done(); err == nil {
		err = derr
	}
	if err != nil {
		return err
	}
	if r.json {
		err = r.printJSON(rec)
	} else {
		_, err = fmt.Fprintln(r.stdout, show.Summary(rec))
	}
	if err == nil && rec.Warning != "" {
		return errors.New(rec.Warning)
	}
	return err
}

// enqueued prints the IDs of tasks that are not waited for.
func (r *runner) enqueued(infos []*asynq.TaskInfo, name func(i int) string) error {
	type line struct {
		Job   string `json:"job"`
		Task  string `json:"task_id"`
		Queue string `json:"queue"`
	}
	lines := make([]line, len(infos))
	for i, info := range infos {
		lines[i] = line{name(i), info.ID, info.Queue}
	}
	if r.json {
		return r.printJSON(lines)
	}
	for _, l := range lines {
		fmt.Fprintf(r.stdout, "%s: enqueued as task %s\n", l.Job, l.Task)
	}
	return nil
}

// warnPaused says that a queue is paused on which tasks were put.
func (r *runner) warnPaused(ctx context.Context, infos []*asynq.TaskInfo) {
	paused, err := r.servers.Queues().Paused(ctx)
	if err != nil {
		r.say("stoker: %v", err)
	}
	for _, p := range paused {
		if slices.ContainsFunc(infos, func(i *asynq.TaskInfo) bool { return i.Queue == p.Queue }) {
			r.say("stoker: %s", p)
		}
	}
}

// say prints something beside the output proper.
func (r *runner) say(format string, args ...any) {
	fmt.Fprintf(r.stderr, format+"\n", args...)
}
