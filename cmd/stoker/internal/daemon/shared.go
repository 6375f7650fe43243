package daemon

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/queue"
)

// What a daemon has to know of others who use the same Redis: whether a newer version keeps there what this one must
// not write beside, and whether another spec gets in the way.

// formatEvery is how soon it is noticed that a newer version has raised the format: the cache is not written from then
// on, whoever notices.
const formatEvery = 5 * time.Second

// watchFormats ends the daemon, by a cause of its context, when a Redis has a format that it does not know. What is
// lost with a Redis is noted again.
func (d *Daemon) watchFormats(ctx context.Context, end context.CancelCauseFunc) {
	for store.Sleep(ctx, formatEvery) {
		limited, cancel := context.WithTimeout(ctx, formatEvery)
		err := d.knowFormats(limited)
		cancel()
		if _, unknown := errors.AsType[*store.FormatError](err); unknown {
			d.log.Error("a newer version has taken over this redis: the daemon ends", jobs.LogErr, err)
			end(err)
			return
		}
	}
}

// knowFormats refuses a format that is not known, and notes ours in the queue's Redis. In the cache's it stands with
// the epoch, and is noted by who arms.
func (d *Daemon) knowFormats(ctx context.Context) error {
	_, err := d.servers.Cache.CheckFormat(ctx)
	if _, unknown := errors.AsType[*store.FormatError](err); unknown {
		return err
	}
	err = d.servers.Queues().RaiseFormat(ctx) // it reads the number of the queue's, too
	if _, unknown := errors.AsType[*store.FormatError](err); unknown {
		return err
	}
	if err != nil {
		d.log.Debug("the format was not noted", jobs.LogErr, err) // whatever else uses Redis warns
	}
	return nil
}

// registered is this process in the register of daemons.
type registered struct {
	register *queue.Register
	since    time.Time
	member   queue.Member
	known    []queue.Member // at the last look
	usages   map[queue.Member]queue.Usage
}

// startRegister says that this process is there, and logs which others get in its way, until the returned function is
// called.
func (d *Daemon) startRegister() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &registered{register: queue.NewRegister(d.servers.QueueClient), since: time.Now()}
	d.beat(ctx, r) // at once: `stoker purge` must know
	var wg sync.WaitGroup
	wg.Go(func() {
		for store.Sleep(ctx, queue.BeatEvery) {
			d.beat(ctx, r)
		}
	})
	return func() {
		cancel()
		wg.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), queue.BeatEvery)
		defer cancel()
		if err := r.register.Leave(ctx, r.member); err != nil {
			d.log.Debug("the daemon stays registered for some seconds", jobs.LogErr, err)
		}
	}
}

func (d *Daemon) beat(ctx context.Context, r *registered) {
	limited, cancel := context.WithTimeout(ctx, queue.BeatEvery)
	defer cancel()
	member, usage := queue.NewMember(d.current(), r.since, connect.Place())
	if r.member != member && r.member != (queue.Member{}) { // the spec was loaded again
		if err := r.register.Leave(limited, r.member); err != nil {
			d.log.Debug("the spec before stays registered for some seconds", jobs.LogErr, err)
		}
	}
	r.member = member
	all, err := r.register.Beat(limited, member, usage)
	if err == nil && (len(r.usages) < len(all) || !slices.Equal(all, r.known)) {
		r.known = all
		r.usages, err = r.register.Usages(limited, all)
	}
	if err != nil {
		d.log.Debug("the daemon was not registered", jobs.LogErr, err) // whatever else uses Redis warns
		return
	}
	found, before := queue.Conflicts(member, usage, r.usages), d.conflicting()
	for _, conflict := range found {
		if !slices.Contains(before, conflict) {
			d.log.Warn(conflict)
		}
	}
	if len(found) == 0 && len(before) > 0 {
		d.log.Info("no other spec gets in the way of this one any more")
	}
	d.conflicts.Store(&found)
}

// conflicting says where other specs got in the way at the last beat.
func (d *Daemon) conflicting() []string {
	if found := d.conflicts.Load(); found != nil {
		return *found
	}
	return nil
}
