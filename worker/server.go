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
)

// Server takes tasks from the queues. It is two Asynq servers, one a queue, so
// that runs, however long, never keep a refresh waiting.
type Server struct {
	w         *Worker
	client    redis.UniversalClient
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

// How often the queues are looked at. Asynq does not block on Redis: half of
// this is what a task waits when nothing else is going on.
const (
	lookForRuns      = 100 * time.Millisecond
	lookForRefreshes = 10 * time.Millisecond
)

// stopGrace is how long a stopped server waits for its tasks. They end at once
// but for the batch that is being written.
const stopGrace = 10 * time.Second

// NewServer prepares both Asynq servers on a client that is theirs alone (a
// hook is added to it) and that the caller closes after Shutdown.
func NewServer(w *Worker, client redis.UniversalClient, c Concurrency) *Server {
	client.AddHook(calm{})
	s := &Server{w: w, client: client, stop: make(chan struct{})}
	s.runs = asynq.NewServerFromRedisClient(client, s.config(jobs.QueueRun, c.Runs, lookForRuns))
	s.refreshes = asynq.NewServerFromRedisClient(client, s.config(jobs.QueueRefresh, c.Refreshes, lookForRefreshes))
	return s
}

func (s *Server) config(queue string, concurrency int, look time.Duration) asynq.Config {
	return asynq.Config{
		Concurrency:              concurrency,
		Queues:                   map[string]int{queue: 1},
		TaskCheckInterval:        look,
		DelayedTaskCheckInterval: time.Second,
		ShutdownTimeout:          stopGrace,
		RetryDelayFunc:           retryDelay,
		IsFailure:                isFailure,
		Logger:                   asynqLog{s.w.log.With("queue", queue)},
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
		s.runs.Stop()
		s.refreshes.Stop()
		close(s.stop)
		var both sync.WaitGroup
		both.Go(s.runs.Shutdown)
		both.Go(s.refreshes.Shutdown)
		both.Wait()
		s.loops.Wait()
	})
}

// handler makes do the handler of the one type of task its queue carries.
func (s *Server) handler(queue, typ string, do func(context.Context, *asynq.Task) error) asynq.Handler {
	return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		if task.Type() != typ {
			return fmt.Errorf("task type %q is not one of Stoker's on queue %s: %w", task.Type(), queue, asynq.SkipRetry)
		}
		if at, ok := jobs.EnqueuedAt(task); ok {
			s.w.metrics.observeWait(queue, at)
		}
		ctx, cancel := stoppable(ctx, s.stop)
		defer cancel()
		err := do(ctx, task)
		if err != nil && errors.Is(context.Cause(ctx), ErrStopping) {
			return ErrStopping
		}
		return err
	})
}

// announceEvery is how often the queues are registered again.
const announceEvery = 10 * time.Second

// announce registers the queues with Asynq's tools, again and again: a client
// does so once in its life, and after Redis lost its data the dashboard would
// not find them.
func (s *Server) announce() {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		if err := s.client.SAdd(ctx, "asynq:queues", jobs.QueueRun, jobs.QueueRefresh).Err(); err != nil {
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
