// Package daemon is the composition root of `stoker run`: it wires the parts of the product together, starts them in
// order and stops them in the opposite order.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/probe"
	"github.com/stokerhq/stoker/cmd/stoker/internal/systemd"
	"github.com/stokerhq/stoker/cmd/stoker/internal/trace"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/scheduler"
	"github.com/stokerhq/stoker/scheduler/memory"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/queue"
	"github.com/stokerhq/stoker/web"
	"github.com/stokerhq/stoker/web/doorbell"
	"github.com/stokerhq/stoker/web/notify"
	"github.com/stokerhq/stoker/web/objective"
	"github.com/stokerhq/stoker/web/reads"
	"github.com/stokerhq/stoker/web/sourcebudget"
	"github.com/stokerhq/stoker/web/state"
	"github.com/stokerhq/stoker/web/warmz"
	"github.com/stokerhq/stoker/worker"
	"github.com/stokerhq/stoker/worker/verify"
)

// Roles of a daemon.
const (
	RoleScheduler = "scheduler"
	RoleWorker    = "worker"
	RoleChanges   = "changes"
	RoleAdmin     = "admin"
)

// AllRoles are the roles of a daemon that is told none.
var AllRoles = []string{RoleScheduler, RoleWorker, RoleChanges, RoleAdmin}

// Daemon is one process of `stoker run`.
type Daemon struct {
	spec    atomic.Pointer[jobs.Spec] // in use; a reload replaces it
	roles   []string
	log     *slog.Logger
	servers *connect.Servers
	metrics *prometheus.Registry
	worker  *worker.Worker // the admin role fences with it, too

	verifier *verify.Verifier
	writes   *connect.Writes
	queues   *queue.Watcher

	// what a reload gives another spec; nil where this process does not have it
	reloads   reloads
	web       *web.Server
	exporter  *state.Exporter
	notifier  *notify.Notifier
	meter     *objective.Meter
	scheduler *scheduler.Scheduler
	following following
	audit     loop

	conflicts atomic.Pointer[[]string] // with specs of other daemons, at the last beat of the register

	listener net.Listener // bound by listen
	ready    atomic.Bool
	systemd  systemd.Notifier

	version string
}

// Config is what a daemon needs.
type Config struct {
	Spec            *jobs.Spec
	Roles           []string       // some of AllRoles
	Version, Commit string         // of this build, for metrics, the page and logs
	Tracing         *trace.Tracing // nil: no traces are made; the caller closes it
	Reloads         Reloads        // the zero value: the spec is never loaded again
	Log             *slog.Logger
}

// New opens the servers of a spec for a daemon that Run starts. Its admin listener must have passed web.CheckListen.
func New(c Config) (*Daemon, error) {
	spec, log := c.Spec, c.Log
	s, err := connect.OpenTraced(spec, log, c.Tracing)
	if err != nil {
		return nil, err
	}
	d := &Daemon{roles: c.Roles, log: log, servers: s, metrics: prometheus.NewRegistry(),
		version: c.Version,
		systemd: systemd.Notifier{Log: log}}
	d.spec.Store(spec)
	d.worker = connect.NewWorker(spec, s, d.metrics, log)
	d.verifier = connect.NewVerifier(spec, s, d.worker, d.metrics, log)
	d.writes = connect.NewWrites(spec, s, log)
	d.writes.Register(d.metrics)
	d.queues = queue.NewWatcher(s.Queues(), d.metrics, log)
	state.RegisterBuild(d.metrics, c.Version, c.Commit)
	d.reloads = reloads{Reloads: c.Reloads, requests: make(chan request), loads: state.NewSpecLoads(d.metrics)}
	d.reloads.loads.Observe(nil)
	d.metrics.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return d, nil
}

// current is the spec in use.
func (d *Daemon) current() *jobs.Spec { return d.spec.Load() }

func (d *Daemon) has(role string) bool { return slices.Contains(d.roles, role) }

// Close closes the servers of a daemon that was not run.
func (d *Daemon) Close() error { return d.servers.Close() }

// listen binds the admin address, so that one that is taken is reported before
// anything has begun.
func (d *Daemon) listen() error {
	if !d.has(RoleAdmin) {
		return nil
	}
	var err error
	if d.listener, err = net.Listen("tcp", d.current().Admin.Listen); err != nil {
		return fmt.Errorf("admin.listen: %w (is another stoker running? choose another port in the spec)", err)
	}
	return nil
}

// Run is the daemon's life, until ctx ends.
//
// Start: the admin listener first, so that probes and metrics answer while we
// wait for Redis; then the workers; then the change feed and the scheduler, which
// have someone to do what they enqueue. Stop, in the opposite order: not ready; no
// new ticks and changes; what is in hand ends or goes back to the queue; and the admin listener last, so
// that metrics stay readable while the workers drain.
func (d *Daemon) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, d.servers.Close()) }()
	if err := d.listen(); err != nil {
		return err
	}
	stopAdmin, err := d.startAdmin()
	if err != nil {
		return err
	}
	defer stopAdmin()
	if err := d.awaitRedis(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped while waiting: nothing had begun
		}
		return err
	}
	defer d.watchWrites()()
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	go d.watchFormats(ctx, end)
	defer d.startRegister()()
	go d.servers.ReportLookups(ctx, d.log)
	if err := d.fitForChanges(ctx, d.current()); err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(context.Background())
	defer stopWatching()
	go d.queues.Run(watching)
	stopWorker, err := d.startWorker()
	if err != nil {
		return err
	}
	defer stopWorker()
	stopChanges := d.startChanges(ctx)
	defer stopChanges()
	stopScheduler := d.startScheduler()
	defer stopScheduler()
	d.ready.Store(true)
	d.systemd.Ready(d.summary())
	d.log.Info("stoker is running", "jobs", len(d.current().Jobs), "roles", d.roles, "admin", d.adminURL(), "version",
		d.version)
	defer d.startReloads(ctx)()
	d.systemd.Watchdog(ctx, d.isAlive)
	<-ctx.Done()
	d.ready.Store(false)
	d.systemd.Stopping()
	d.log.Info("stoker is stopping", "reason", context.Cause(ctx))
	if unknown, is := errors.AsType[*store.FormatError](context.Cause(ctx)); is {
		return unknown
	}
	return nil
}

// watchWrites looks whether the Redis servers take writes until the returned function is called.
func (d *Daemon) watchWrites() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.writes.Watch(ctx) })
	return func() { cancel(); wg.Wait() }
}

func (d *Daemon) adminURL() string {
	if d.listener == nil {
		return ""
	}
	return "http://" + d.listener.Addr().String() + d.current().Admin.BasePath + "/"
}

// awaitRedis waits until Redis answers: it may start after us. A Redis that
// answers but cannot serve is an error.
func (d *Daemon) awaitRedis(ctx context.Context) error {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := d.servers.Fit(ctx, d.current(), d.log)
		if err == nil {
			err = d.knowFormats(ctx)
		}
		if err == nil || ctx.Err() != nil || !passes(err) {
			return err
		}
		d.log.Warn("waiting for redis", jobs.LogErr, err)
		d.systemd.Status("waiting for redis: " + err.Error())
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// passes reports whether err is of the kind that passes by itself: no server listens
// yet, the connection broke off, or Redis is still loading its data.
func passes(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		redis.HasErrorPrefix(err, "LOADING") || redis.HasErrorPrefix(err, "CLUSTERDOWN")
}

func (d *Daemon) startAdmin() (stop func(), err error) {
	if d.listener == nil {
		return func() {}, nil
	}
	warm := warmz.NewHandler(warmz.Config{Spec: d.current, Ledger: d.servers.Ledger, Sampler: d.servers.Sampler(),
		Slots: worker.Share(d.connections()).Runs})
	loads, endLoads := context.WithCancel(context.Background())
	config := web.Config{
		Warm: warm,
		Spec: d.current(), Ledger: d.servers.Ledger, Sampler: d.servers.Sampler(), Enqueuer: d.enqueuer(),
		Reload: d.askReload, SpecRefused: d.specRefused, Conflicts: d.conflicting,
		Eviction: d.servers.Eviction,
		Reads:    &reads.Handler{Read: d.servers.Ledger.Reads},
		Budget:   &sourcebudget.Handler{Spec: d.current, Shared: d.servers.Ledger, Log: d.log},
		Fencer:   d.worker, Scope: connect.NewScope(d.servers, d.worker),
		Doorbell: doorbell.New(loads, d.loadMissed), Tasks: d.servers.Inspector(),
		Queue: connect.QueueOption{Endpoint: d.current().Redis.Queue(), Namespace: d.current().Namespace,
			Count: d.servers.CountQueue},
		Gatherer: d.metrics, Ready: d.isReady,
		Refused: d.writes.Refused, Probe: d.writes.Probe, Paused: d.servers.Queues().Paused, Version: d.version,
		Tracer: d.servers.Tracer(), Logger: d.log,
	}
	if d.reloads.Loader == nil {
		config.Reload = nil
	}
	server, err := web.New(config)
	if err != nil {
		endLoads()
		return nil, errors.Join(err, d.listener.Close())
	}
	d.web = server
	stopState := d.startState()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := server.Serve(context.Background(), d.listener); err != nil {
			d.log.Error("the admin listener ended", jobs.LogErr, err)
		}
	})
	return func() {
		stopState()
		endLoads()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			d.log.Warn("the admin listener did not stop in order", jobs.LogErr, err)
		}
		wg.Wait()
	}, nil
}

// loadMissed loads a key that a reader has missed.
func (d *Daemon) loadMissed(ctx context.Context, job *jobs.Job, key jobs.Key) (doorbell.State, error) {
	out, err := d.worker.RefreshMissed(ctx, job, key)
	_, misfit := errors.AsType[*store.KeyValueError](err)
	switch {
	case misfit:
		return "", err
	case err != nil:
		d.log.Warn("a key that a reader has missed was not loaded", jobs.LogJob, job.Name, jobs.LogErr, err)
		return "", err
	case out.Keys > 0:
		return doorbell.Loaded, nil
	case out.Oversized+out.BadKeys+out.Duplicates > 0:
		return doorbell.Withheld, nil
	}
	return doorbell.Absent, nil
}

// isReady is what /readyz asks: this process does its work, and Redis takes what it writes.
func (d *Daemon) isReady(ctx context.Context) error {
	if !d.ready.Load() {
		return errors.New("starting or stopping")
	}
	if err := d.writes.Probe(ctx); err != nil {
		return err
	}
	if d.has(RoleWorker) {
		return d.servers.Source.Ping(ctx)
	}
	return nil
}

// isAlive is what the watchdog of systemd asks: the process answers itself.
func (d *Daemon) isAlive(ctx context.Context) error {
	if d.listener == nil {
		return nil // the loop that asks runs
	}
	return probe.Get(ctx, probe.LoopbackURL(d.listener.Addr().String())+"/livez")
}

func (d *Daemon) startWorker() (stop func(), err error) {
	if !d.has(RoleWorker) {
		return func() {}, nil
	}
	// Asynq has a client of its own: its hook must not slow down anybody else.
	client, err := cache.OpenForAsynq(d.current().Redis.Queue())
	if err != nil {
		return nil, err
	}
	d.servers.CountQueue(client)
	server := worker.NewServer(d.worker, client, worker.Share(d.connections()))
	if err := server.Start(); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	var loops sync.WaitGroup
	loops.Go(func() { d.worker.Prune(ctx, d.servers.Cache) })
	evictions := memory.New(memory.Config{Spec: d.current, Warmth: d.servers.Sampler(), Ledger: d.servers.Ledger,
		Enqueuer: d.enqueuer(), Metrics: d.metrics, Log: d.log})
	d.servers.Cache.OnState(evictions.Observe)
	loops.Go(func() { evictions.Run(ctx) })
	loops.Go(func() { d.worker.Watch(ctx, d.servers.Cache) })
	loops.Go(func() { d.servers.WarnUnnoticed(ctx, d.log) })
	d.audit.run = func(ctx context.Context) {
		spec := d.current()
		d.verifier.With(spec).Audit(ctx, spec.Audit.Rate)
	}
	d.audit.start()
	return func() {
		d.audit.stop()
		cancel()
		server.Shutdown()
		loops.Wait()
		if err := client.Close(); err != nil {
			d.log.Warn("the queue's client did not close", jobs.LogErr, err)
		}
	}, nil
}

// connections are those that the workers share. The change feed has the others: one for its
// fences, which must not wait for runs, and one for each refresh.
func (d *Daemon) connections() int {
	n := d.current().Postgres.MaxConnections
	if !d.follows() || n <= 2 {
		return n
	}
	return n - 1 - d.refreshers()
}

// refreshers is how many refreshes go on at a time because of changes: as many as the spec says,
// but at most half of the connections that fences leave.
func (d *Daemon) refreshers() int {
	return min(d.current().Changes.Concurrency, max(1, (d.current().Postgres.MaxConnections-1)/2))
}

// enqueuer marks tasks with the definition that their job has now.
func (d *Daemon) enqueuer() connect.Enqueuer { return d.servers.Enqueuer(d.current) }

func (d *Daemon) startScheduler() (stop func()) {
	if !d.has(RoleScheduler) {
		return func() {}
	}
	d.scheduler = scheduler.New(scheduler.Config{
		Jobs: d.current().Jobs, Queue: d.servers.Ticks(d.current), Tasks: d.servers.Inspector(),
		Repairs: d.servers.Queues(), Ledger: d.servers.Ledger, Epochs: d.servers.Cache, Warmth: d.servers.Sampler(),
		Metrics: scheduler.NewMetrics(d.metrics), Tracer: d.servers.Tracer(), Log: d.log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { d.scheduler.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}
