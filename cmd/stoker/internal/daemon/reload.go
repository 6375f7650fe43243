package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/reload"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/web"
	"github.com/stokerhq/stoker/web/state"
)

// How a spec that has changed comes into use. The parts of the daemon live on and take the next spec one after the
// other, each by a Replace of its own; they are not stopped and started as a whole. A start costs what a reload must
// not: every run in hand begins again, a temporary slot ends and with it the place in the change feed, so that every
// watched job is run, and counters begin at 0. Jobs that stay as they are keep their *jobs.Job, and nothing that
// belongs to them is touched. The order is that of the start, from what does work to what asks for it:
//
//  1. cache and worker: work in hand of changed and removed jobs ends, and begins again by the new definition
//  2. state and notifications, change feed, audit, pages
//  3. scheduler: runs of changed and new jobs are asked for, now that nothing here writes by the old definition
//
// A spec is taken whole or not at all: all that can be refused is refused before the first step.

// Reloads says how a daemon loads its spec again.
type Reloads struct {
	Loader *reload.Loader
	Poll   time.Duration    // how often the files are looked at; 0: only when asked
	Hangup <-chan os.Signal // SIGHUP asks
}

// PollEvery is how often the files of the spec are looked at: with the time that they must hold still, a good spec is
// in use within five seconds.
const PollEvery = 2 * time.Second

// reloads loads the spec of a daemon again.
type reloads struct {
	Reloads
	requests chan request
	loads    *state.SpecLoads
	refused  atomic.Pointer[web.Failure] // nil: the last load was right
}

// request is that of somebody who waits for the answer.
type request struct{ answer chan<- answer }

type answer struct {
	out web.Reloaded
	err error
}

// startReloads serves those who ask for the spec to be loaded, until the returned function is called.
func (d *Daemon) startReloads(ctx context.Context) (stop func()) {
	if d.reloads.Loader == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { d.serveReloads(ctx) })
	return func() { cancel(); wg.Wait() }
}

func (d *Daemon) serveReloads(ctx context.Context) {
	var poll <-chan time.Time // nil: never
	if d.reloads.Poll > 0 {
		tick := time.NewTicker(d.reloads.Poll)
		defer tick.Stop()
		poll = tick.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-d.reloads.requests:
			out, err := d.reload(ctx, "asked by the API")
			r.answer <- answer{out, err}
		case <-d.reloads.Hangup: // nil in a test: never
			_, _ = d.reload(ctx, "SIGHUP") // it is logged
		case <-poll:
			if d.reloads.Loader.Changed() {
				_, _ = d.reload(ctx, "the file has changed") // it is logged
			}
		}
	}
}

// askReload is what the API calls.
func (d *Daemon) askReload(ctx context.Context) (web.Reloaded, error) {
	answers := make(chan answer, 1)
	select {
	case d.reloads.requests <- request{answers}:
	case <-ctx.Done():
		return web.Reloaded{}, ctx.Err()
	}
	select {
	case a := <-answers:
		return a.out, a.err
	case <-ctx.Done():
		return web.Reloaded{}, ctx.Err()
	}
}

// specRefused says why the last load was refused; nil: it was not.
func (d *Daemon) specRefused(context.Context) *web.Failure { return d.reloads.refused.Load() }

// reload loads the spec and takes it, or refuses it and goes on with the one before.
func (d *Daemon) reload(ctx context.Context, why string) (web.Reloaded, error) {
	d.systemd.Reloading()
	plan, err := d.plan(ctx)
	if ctx.Err() != nil { // the daemon stops
		return web.Reloaded{}, ctx.Err()
	}
	if err == nil {
		d.take(plan)
	}
	d.reloads.loads.Observe(err)
	if err != nil {
		at := time.Now().UTC()
		if before := d.reloads.refused.Load(); before != nil && before.Message == err.Error() {
			at = before.At
		}
		d.reloads.refused.Store(&web.Failure{Of: web.FailedSpec, Message: err.Error(), At: at})
		d.logRefused(why, err)
		first, _, _ := strings.Cut(err.Error(), "\n")
		d.systemd.Ready("the spec was not loaded, the one before goes on: " + first)
		return web.Reloaded{}, err
	}
	d.reloads.refused.Store(nil)
	d.logTaken(why, plan)
	d.systemd.Ready(d.summary())
	return web.Reloaded{Added: plan.Added, Changed: plan.Changed, Altered: plan.Altered, Removed: plan.Removed}, nil
}

func (d *Daemon) logRefused(why string, err error) {
	problems, located := errors.AsType[jobs.Problems](err)
	if !located {
		d.log.Error("the spec was not loaded; the one before goes on", "reason", why, jobs.LogErr, err)
		return
	}
	for _, p := range problems {
		d.log.Error("a mistake in the spec", "problem", p.String())
	}
	d.log.Error("the spec was not loaded; the one before goes on", "reason", why, "problems", len(problems))
}

func (d *Daemon) logTaken(why string, plan *reload.Plan) {
	for _, w := range plan.Spec.Warnings {
		d.log.Warn(w.String())
	}
	for _, name := range plan.Removed {
		d.log.Warn("a job is gone from the spec: it is not run any more, and its keys stay until their TTL",
			jobs.LogJob, name)
	}
	if plan.Same() {
		d.log.Info("the spec was loaded: all jobs are as they were", "reason", why)
		return
	}
	d.log.Info("the spec was loaded", "reason", why, "added", plan.Added, "changed", plan.Changed, "altered",
		plan.Altered, "removed", plan.Removed)
}

// summary is what systemd shows of a daemon that works.
func (d *Daemon) summary() string {
	return fmt.Sprintf("%s, roles %s", show.Plural(len(d.current().Jobs), "job"), strings.Join(d.roles, ", "))
}

// plan loads the spec and refuses what a start would refuse, and what only a start can do.
func (d *Daemon) plan(ctx context.Context) (*reload.Plan, error) {
	next, err := d.reloads.Loader.Load(ctx)
	if err != nil {
		return nil, err
	}
	plan, err := reload.Compare(d.current(), next)
	if err != nil {
		return nil, err
	}
	if err := web.CheckListen(next.Admin); err != nil {
		return nil, err
	}
	// A server that does not answer is no reason: it was there, and the daemon waits for it as it is.
	if err := d.servers.Fit(ctx, next, slog.New(slog.DiscardHandler)); err != nil && !passes(err) {
		return nil, err
	}
	if plan.Feed {
		if err := d.fitForChanges(ctx, next); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

// take puts a spec into use.
func (d *Daemon) take(plan *reload.Plan) {
	before, spec := d.current(), plan.Spec
	d.servers.Cache.AllowLonger(connect.Longest(spec))
	d.spec.Store(spec)
	d.worker.Replace(spec)
	if d.exporter != nil {
		d.exporter.Replace(spec)
		d.notifier.Replace(spec.Notify)
		d.meter.Replace(spec)
	}
	if d.follows() {
		d.refollow(plan)
	}
	if !plan.Same() || spec.Audit != before.Audit { // or it would begin its round again
		d.audit.restart()
	}
	if d.web != nil {
		if err := d.web.Replace(spec); err != nil { // its one reason was looked at before
			d.log.Error("the pages still show the spec before", jobs.LogErr, err)
		}
	}
	if d.scheduler != nil {
		d.scheduler.Replace(spec.Jobs)
	}
}

// loop is work that is begun anew with each spec. It is started and stopped by one goroutine at a time.
type loop struct {
	run     func(context.Context) // nil: there is nothing to do
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (l *loop) start() {
	if l.run == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.cancel = cancel
	l.running.Go(func() { l.run(ctx) })
}

func (l *loop) stop() {
	if l.cancel != nil {
		l.cancel()
	}
	l.running.Wait()
	l.cancel = nil
}

// restart begins anew what has begun.
func (l *loop) restart() {
	if l.cancel != nil {
		l.stop()
		l.start()
	}
}
