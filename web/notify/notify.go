// Package notify sends what needs a person to the receivers that the spec names.
//
//	state of the jobs ──detect──► incidents ──► new ones, by a mark in Redis ──► a POST to each receiver, tried again
//
// One replica does it, the one that exports the state. The mark of an incident stays while it lasts, so that it is sent
// once, whichever replica sees it; when it is over, the mark goes.
package notify

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/web"
)

// Config is what a Notifier needs.
type Config struct {
	Receivers []jobs.Notify
	Marks     Marks
	// Following reports whether a replica follows the changes. Nil: there is no change feed.
	Following func(context.Context) (bool, error)
	// SpecRefused says why the spec was refused when it was loaded the last time; nil: it was not. It may be nil
	// itself.
	SpecRefused func(context.Context) *web.Failure
	Version     string // for the User-Agent
	Log         *slog.Logger
}

// Marks remembers which incidents were sent; store/ledger does.
type Marks interface {
	Notified(ctx context.Context) ([]string, error)                  // incidents that were marked
	MarkNotified(ctx context.Context, incident string) (bool, error) // false: it had been
	ForgetNotified(ctx context.Context, incident string) error
}

// Notifier detects incidents and sends them. Its methods are called by one goroutine.
type Notifier struct {
	cfg       Config
	receivers atomic.Pointer[[]jobs.Notify]
	client    *http.Client
	before    map[string]bool // incidents that the last look has seen
	wg        sync.WaitGroup
	ctx       context.Context // of deliveries
	cancel    context.CancelFunc
}

// New returns a notifier.
func New(c Config) *Notifier {
	n := &Notifier{cfg: c, client: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // a signed POST is for the receiver that was named
	}}, before: make(map[string]bool)}
	n.receivers.Store(&c.Receivers)
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// Replace has what is new from now on sent to other receivers. It may be called while Observe is.
func (n *Notifier) Replace(receivers []jobs.Notify) { n.receivers.Store(&receivers) }

// stopLimit is how long deliveries that are under way may take when the process stops.
const stopLimit = 3 * time.Second

// Close waits a moment for deliveries; what is not delivered then is in the log.
func (n *Notifier) Close() {
	stop := time.AfterFunc(stopLimit, n.cancel)
	defer stop.Stop()
	n.wg.Wait()
	n.cancel()
}

// Observe looks at a state of the jobs and sends what is new in it.
func (n *Notifier) Observe(ctx context.Context, statuses []web.JobStatus, now time.Time) {
	if len(*n.receivers.Load()) == 0 {
		return
	}
	incidents, known := detect(statuses, now)
	incidents = append(incidents, n.feed(ctx, known, now)...)
	if n.cfg.SpecRefused != nil {
		if f := n.cfg.SpecRefused(ctx); f != nil {
			incidents = append(incidents, incident{Event: jobs.EventSpecRefused, At: f.At,
				Message: "a changed spec was not loaded, the one before goes on: " + f.Message})
		}
	}
	marked, err := n.cfg.Marks.Notified(ctx)
	if err != nil {
		n.cfg.Log.Warn("notifications cannot be looked at", jobs.LogErr, err)
		return
	}
	current := make(map[string]bool)
	for _, i := range incidents {
		name := i.name()
		current[name] = true
		// What may pass by itself must be there twice.
		passing := i.Event == jobs.EventCold || i.Event == jobs.EventFeedLost
		if slices.Contains(marked, name) || passing && !n.before[name] {
			continue
		}
		n.send(ctx, i)
	}
	n.before = current
	for _, name := range marked {
		if _, job, _ := strings.Cut(name, ":"); !current[name] && known[job] {
			if err := n.cfg.Marks.ForgetNotified(ctx, name); err != nil {
				n.cfg.Log.Warn("a notification stays marked", "incident", name, jobs.LogErr, err)
			}
		}
	}
}

// feed returns the incident of a feed that no replica follows. The feed is known as the job without a name.
func (n *Notifier) feed(ctx context.Context, known map[string]bool, now time.Time) []incident {
	if n.cfg.Following == nil {
		known[""] = true
		return nil
	}
	following, err := n.cfg.Following(ctx)
	if err != nil {
		return nil
	}
	if known[""] = true; following {
		return nil
	}
	return []incident{{Event: jobs.EventFeedLost, At: now,
		Message: "no replica follows the changes: values are as old as " +
			"the schedule makes them; look at the log of the daemons with the role changes, or: stoker check"}}
}

// send marks an incident and delivers it to each receiver that wants it, beside the caller.
func (n *Notifier) send(ctx context.Context, i incident) {
	first, err := n.cfg.Marks.MarkNotified(ctx, i.name())
	if err != nil {
		n.cfg.Log.Warn("a notification waits", "incident", i.name(), jobs.LogErr, err)
		return
	}
	if !first {
		return
	}
	id := "msg_" + rand.Text()
	for at, to := range *n.receivers.Load() {
		if !slices.Contains(to.On, i.Event) {
			continue
		}
		n.wg.Go(func() {
			log := n.cfg.Log.With("event", string(i.Event), jobs.LogJob, i.Job, "receiver", at+1)
			if err := n.deliver(n.ctx, to, id, i); err != nil {
				log.Error("a notification could not be delivered", "message", i.Message, jobs.LogErr, err)
				return
			}
			log.Info("notified", "message", i.Message)
		})
	}
}
