package web

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/mask"
	"github.com/stokerhq/stoker/web/reads"
)

// Enqueuer puts a task on its queue. *asynq.Client is one.
type Enqueuer interface {
	EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error)
}

// Fencer marks keys as out of date before anything is enqueued: from then on
// nothing that was read before the call is written to them, also if the task
// waits. It refuses values that do not fit their column, with a
// *store.KeyValueError. After any other error the worker does it.
type Fencer interface {
	Fence(ctx context.Context, job *jobs.Job, keys []jobs.Key) error
}

// ScopeFencer fences the keys of the rows that have some values in their columns; *scope.Fencer is one. Check refuses
// what cannot be asked of the job. See jobs.Invalidator.
type ScopeFencer interface {
	Check(ctx context.Context, job *jobs.Job, where jobs.Where) error
	Fence(ctx context.Context, job *jobs.Job, where jobs.Where, fenced func([]jobs.Key) error) error
}

// Doorbell answers a reader that has missed a key of job. *doorbell.Bell is one.
type Doorbell interface {
	Serve(w http.ResponseWriter, r *http.Request, job *jobs.Job)
}

// Config is what a Server is made of.
type Config struct {
	Spec     *jobs.Spec // required
	Ledger   Ledger     // required
	Enqueuer Enqueuer   // required

	Sampler  Sampler                     // nil: no warmth is shown
	Fencer   Fencer                      // nil: the worker fences, and finds wrong key values
	Scope    ScopeFencer                 // nil: keys are not found by what their rows hold
	Doorbell Doorbell                    // nil: no key is loaded in this process
	Tasks    jobs.TaskReader             // nil: nobody can wait for an invalidation
	Queue    asynq.RedisConnOpt          // where the dashboard looks; nil: no dashboard
	Gatherer prometheus.Gatherer         // nil: no /metrics
	Refused  func() []Refused            // Redis servers that take no writes now; nil: not known
	Probe    func(context.Context) error // whether the Redis servers take writes; nil: not asked
	Ready    func(context.Context) error // what /readyz asks; nil, or a nil error: ready
	Warm     http.Handler                // answers /warmz; nil: there is none
	Version  string                      // shown on the page

	Reload      func(context.Context) (Reloaded, error) // loads the spec again; nil: that is not done
	SpecRefused func(context.Context) *Failure          // why that was refused the last time; nil: it was not

	// an eviction that a person should know of now; nil: it is not looked at
	Eviction func(context.Context) (*store.Eviction, error)

	Conflicts func() []string // specs that get in the way of this one; nil: not known

	Budget http.Handler // answers /api/v1/budget; nil: there is none
	// Reads says how often readers find their key. It may be nil.
	Reads *reads.Handler
	// which queues are paused; nil: they are not looked at
	Paused func(context.Context) ([]jobs.PausedQueue, error)

	Tracer *tracing.Tracer // of what is asked by POST; nil: none is traced
	Logger *slog.Logger    // nil: slog.Default()
}

// Server is the admin listener.
type Server struct {
	cfg       Config
	log       *slog.Logger
	mask      mask.Masker
	auth      *auth                 // nil when the spec sets no token
	dashboard *asynqmon.HTTPHandler // nil without Config.Queue
	status    *statusCache
	pages     *template.Template
	handler   http.Handler
	http      *http.Server
	next      atomic.Pointer[Server] // answers in its place, for a spec that was loaded later; nil: itself

	closeDashboard sync.Once
}

// New returns a Server for cfg. It refuses a spec whose listener needs a token
// and has none. Call Shutdown even if Serve is never called: the dashboard holds
// connections.
func New(cfg Config) (*Server, error) {
	if cfg.Spec == nil || cfg.Ledger == nil || cfg.Enqueuer == nil {
		return nil, errors.New("web: Config needs Spec, Ledger and Enqueuer")
	}
	if err := CheckListen(cfg.Spec.Admin); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Logger, mask: mask.New(cfg.Spec)}
	var err error
	if s.pages, err = newPages(s.link); err != nil {
		return nil, fmt.Errorf("web: prepare the pages: %w", err)
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.status = newStatusCache(func(ctx context.Context) []JobStatus {
		statuses, err := Collect(ctx, cfg.Spec, cfg.Ledger, cfg.Sampler, time.Now())
		if err != nil {
			s.log.Warn("status is incomplete", "err", err)
		}
		MarkRefused(statuses, s.refused())
		MarkSpec(statuses, s.specRefused(ctx))
		if cfg.Conflicts != nil {
			MarkConflicts(statuses, cfg.Conflicts())
		}
		MarkPaused(statuses, s.paused(ctx))
		MarkEviction(statuses, s.eviction(ctx))
		return statuses
	})
	if !cfg.Spec.Admin.Token.IsZero() {
		s.auth = newAuth(cfg.Spec.Admin.Token)
	}
	if cfg.Queue != nil {
		s.dashboard = newDashboard(cfg)
	}
	s.handler = s.gates(s.routes())
	s.http = newHTTPServer(s.Handler(), s.log)
	return s, nil
}

// Handler is everything the listener answers, behind its gates.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.latest().handler.ServeHTTP(w, r) })
}

// gates wraps next in the order the package comment gives.
func (s *Server) gates(next http.Handler) http.Handler {
	if s.auth != nil {
		next = s.tokenOnly(next)
	}
	next = s.sameOrigin(next)
	if s.auth == nil {
		next = s.loopbackOnly(next)
	}
	return s.based(secureHeaders(next))
}

func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// drainTime is how long requests may take to end once Serve's context is done.
const drainTime = 5 * time.Second

// Serve answers on ln until ctx is done or Shutdown is called, lets requests
// that have begun end, and returns nil then.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if err := checkBound(ln.Addr(), s.cfg.Spec.Admin); err != nil {
		ln.Close()
		return err
	}
	s.http.BaseContext = func(net.Listener) context.Context { return context.WithoutCancel(ctx) }
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
		defer cancel()
		stopped <- s.Shutdown(drain)
	})
	err := s.http.Serve(ln)
	if !stop() {
		return <-stopped // ctx is done: the listener closes first, the requests end later
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the admin listener on %s: %w", ln.Addr(), err)
	}
	return nil
}

// Shutdown closes the listener, waits for requests until ctx is done, cuts off
// the rest and closes the dashboard's connections. Calling it again is harmless.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		s.http.Close()
		err = fmt.Errorf("admin requests were cut off: %w", err)
	}
	if s.dashboard != nil {
		s.closeDashboard.Do(func() { err = errors.Join(err, s.dashboard.Close()) })
	}
	return err
}
