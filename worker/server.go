package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/queue"
	"github.com/stokerhq/stoker/worker/debt"
	"github.com/stokerhq/stoker/worker/inhand"
	"github.com/stokerhq/stoker/worker/intake"
)

// Server takes tasks from the queues. It is two Asynq servers, one a queue, so
// that runs, however long, never keep a refresh waiting.
type Server struct {
	w         *Worker
	client    redis.UniversalClient
	handBack  *intake.HandBack
	pace      pace
	runs      *asynq.Server
	refreshes *asynq.Server

	stop     chan struct{}
	stopOnce sync.Once
	loops    sync.WaitGroup
}

// Concurrency is how many tasks of a kind are done at once.
type Concurrency struct{ Runs, Refreshes int }

// Share divides the database connections Stoker may use: half for runs, half
// for refreshes, one of each at least.
func Share(maxConnections int) Concurrency {
	runs := max(1, maxConnections/2)
	return Concurrency{Runs: runs, Refreshes: max(1, maxConnections-runs)}
}

// pace is how a Server spends time.
type pace struct {
	// How often the queues are polled: Asynq does not block on Redis, and waits between half and
	// one and a half of this. It is what a task waits while nothing else goes on, and most of what
	// an idle daemon asks of Redis. Someone may wait for an on-demand refresh (?wait=1); a run takes
	// longer than this anyway, and changes do not come this way.
	runs, refreshes time.Duration

	// what a stopped server waits for its tasks; they end at once but for the batch that is being written
	grace    time.Duration
	announce time.Duration // how often the queues are registered again
	handBack time.Duration // for how long a task that no worker here can do is handed back for others
	other    time.Duration // for how long one of another definition of its job is
}

var usual = pace{
	runs: 250 * time.Millisecond, refreshes: 36 * time.Millisecond,
	grace: 10 * time.Second, announce: 10 * time.Second, handBack: 15 * time.Minute,
	other: 30 * time.Second, // less than `warm --wait` has patience with a task that nobody takes
}

// NewServer prepares both Asynq servers on a client that is theirs alone (a
// hook is added to it) and that the caller closes after Shutdown.
func NewServer(w *Worker, client redis.UniversalClient, c Concurrency) *Server {
	return newServer(w, client, c, usual)
}

func newServer(w *Worker, client redis.UniversalClient, c Concurrency, p pace) *Server {
	client.AddHook(debt.Hook{})
	s := &Server{w: w, client: client, pace: p, stop: make(chan struct{})}
	namespace := w.defs.Now().Namespace
	s.handBack = &intake.HandBack{Counter: queue.NewIn(namespace, client), Client: queue.NewClient(namespace, client),
		Limit: p.handBack, Other: p.other, Metrics: w.metrics.intake, Log: w.log}
	s.runs = asynq.NewServerFromRedisClient(client, s.config(jobs.QueueRun, c.Runs, p.runs))
	s.refreshes = asynq.NewServerFromRedisClient(client, s.config(jobs.QueueRefresh, c.Refreshes, p.refreshes))
	return s
}

func (s *Server) config(name string, concurrency int, look time.Duration) asynq.Config {
	return asynq.Config{
		Concurrency:              concurrency,
		Queues:                   map[string]int{s.w.defs.Now().Namespace.Queue(name): 1},
		TaskCheckInterval:        look,
		DelayedTaskCheckInterval: time.Second,
		ShutdownTimeout:          s.pace.grace,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		Logger:                   asynqLog{s.w.log.With("queue", name)},
		LogLevel:                 asynq.InfoLevel,
	}
}

// Start begins to take tasks and returns. Redis must answer.
func (s *Server) Start() error {
	if err := s.runs.Start(s.handler(jobs.QueueRun, jobs.TypeRun, s.w.handleRun)); err != nil {
		return fmt.Errorf("start taking runs: %w", err)
	}
	if err := s.refreshes.Start(s.handler(jobs.QueueRefresh, jobs.TypeRefresh, s.w.handleRefresh)); err != nil {
		s.runs.Shutdown()
		return fmt.Errorf("start taking refreshes: %w", err)
	}
	s.loops.Go(s.announce)
	return nil
}

// Shutdown stops taking tasks, has those in hand end (the current batch is
// written, the query is cancelled, the task goes back to the queue) and returns
// when they have.
func (s *Server) Shutdown() {
	s.stopOnce.Do(func() {
		close(s.stop) // first: to stop taking tasks can mean to wait for a Redis that hangs
		var both sync.WaitGroup
		both.Go(s.runs.Shutdown)
		both.Go(s.refreshes.Shutdown)
		both.Wait()
		s.loops.Wait()
	})
}

// handler makes do the handler of the one type of task its queue carries.
func (s *Server) handler(from, typ string, do func(context.Context, *asynq.Task) error) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		if task.Type() != typ {
			return s.handBack.Return(ctx, from, task,
				fmt.Errorf("task type %q is not one of Stoker's on queue %s", task.Type(), from))
		}
		if at, ok := jobs.EnqueuedAt(task); ok {
			s.w.metrics.observeWait(from, at)
		}
		stopped, cancel := stoppable(ctx, s.stop)
		defer cancel()
		err := context.Cause(stopped)
		if why := s.w.defs.Other(task); err == nil && why != nil {
			if err := s.handBack.Leave(ctx, from, task, why); err != nil {
				return err
			}
		}
		if err == nil {
			err = debt.Patiently(stopped, func(ctx context.Context) error {
				return inhand.Again(ctx, func(ctx context.Context) error { return do(ctx, task) })
			})
		}
		if unfit, is := errors.AsType[*intake.UnfitError](err); is {
			return s.handBack.Return(ctx, from, task, unfit.Err)
		}
		if err == nil || !errors.Is(context.Cause(stopped), ErrStopping) {
			return err
		}
		if debt.LastTry(ctx) {
			<-ctx.Done() // Asynq puts the task back by itself when the grace is over
		}
		return ErrStopping
	})
}

// announce registers the queues with Asynq's tools, again and again: a client
// does so once in its life, and after Redis lost its data the dashboard would
// not find them.
func (s *Server) announce() {
	tick := time.NewTicker(s.pace.announce)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		if err := queue.Announce(ctx, s.w.defs.Now().Namespace, s.client); err != nil {
			s.w.log.Warn("the queues were not registered", jobs.LogErr, err)
		}
		cancel()
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
	}
}

// asynqLog hands Asynq's log lines to slog.
type asynqLog struct{ log *slog.Logger }

func (l asynqLog) Debug(args ...any) { l.log.Debug("asynq: " + fmt.Sprint(args...)) }
func (l asynqLog) Info(args ...any)  { l.log.Debug("asynq: " + fmt.Sprint(args...)) }
func (l asynqLog) Warn(args ...any)  { l.log.Warn("asynq: " + fmt.Sprint(args...)) }
func (l asynqLog) Error(args ...any) { l.log.Error("asynq: " + fmt.Sprint(args...)) }
func (l asynqLog) Fatal(args ...any) { l.log.Error("asynq: " + fmt.Sprint(args...)) }
