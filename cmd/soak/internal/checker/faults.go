package checker

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// fault is something that goes wrong: do begins it, and returns what ends it, if
// anything has to.
type fault struct {
	name string
	on   string // faults on one thing do not overlap
	heal bool   // every job is run after it, which makes up for what went wrong before
	long time.Duration
	do   func(ctx context.Context, w *Cluster) (end func(), err error)
}

// faultsOf are all faults of a world.
func faultsOf(w *Cluster) []fault {
	all := []fault{
		{"commits wait for a standby", "postgres", false, 2 * time.Second, holdCommits},
		{"the walsender is terminated", "postgres", true, 0, endWalsender},
		{"postgres crashes", "postgres", true, 0, crashPostgres},
		{"the gate is closed", "gate", false, 3 * time.Second, closeGate},
		{"items are locked", "lock", false, 1800 * time.Millisecond, lockItems},
		{"the book is lost", "redis", false, 0, loseBook},
		{"the book is lost again and again", "book", false, 2 * time.Second, loseBooks},
		{"redis is flushed", "redis", true, 0, flush},
		{"redis starts empty", "redis", true, 0, restartRedis},
	}
	for _, d := range w.daemons {
		on := fmt.Sprintf("daemon %d", d.n)
		all = append(all,
			fault{on + " is killed", on, true, 4 * time.Second, killing(d)},
			fault{on + " is paused", on, false, 2 * time.Second, pausing(d)},
			fault{on + " is paused for long", on, true, 3500 * time.Millisecond, pausing(d)},
			d.rule(d.toPostgres, "postgres is slow", false,
				traffic{delay: 20 * time.Millisecond, jitter: 60 * time.Millisecond}),
			d.rule(d.toRedis, "redis is slow", false,
				traffic{delay: 10 * time.Millisecond, jitter: 40 * time.Millisecond}),
			d.rule(d.toPostgres, "postgres is held up", false, traffic{hold: true}),
			d.rule(d.toFeed, "the feed is held up", false, traffic{hold: true}),
			d.rule(d.toFeed, "the feed is cut", true, traffic{cut: true}),
			d.rule(d.toRedis, "redis is half open", false, traffic{lose: true}),
			d.rule(d.toQueue, "the queue is cut", false, traffic{cut: true}),
		)
	}
	return all
}

// rule is a fault of the network of one daemon.
func (d *daemon) rule(p *proxy, what string, heal bool, t traffic) fault {
	name, on := fmt.Sprintf("daemon %d: %s", d.n, what), fmt.Sprintf("net of daemon %d", d.n)
	return fault{name, on, heal, 1500 * time.Millisecond, func(context.Context, *Cluster) (func(), error) {
		p.set(t)
		return func() { p.set(traffic{}) }, nil
	}}
}

func killing(d *daemon) func(context.Context, *Cluster) (func(), error) {
	return func(_ context.Context, w *Cluster) (func(), error) {
		d.kill()
		return func() {
			if err := d.start(); err != nil {
				w.trouble("daemon", err)
			}
		}, nil
	}
}

func pausing(d *daemon) func(context.Context, *Cluster) (func(), error) {
	return func(context.Context, *Cluster) (func(), error) {
		d.pause()
		return d.resume, nil
	}
}

// holdCommits has commits wait for a standby that is not there: they are in the
// write-ahead log, and in no snapshot.
func holdCommits(ctx context.Context, w *Cluster) (func(), error) {
	err := w.standby(ctx, "nobody")
	return func() {
		if err := w.standby(ctx, ""); err != nil {
			w.trouble("fault", err)
		}
	}, err
}

func (w *Cluster) standby(ctx context.Context, name string) error {
	w.servers.Lock()
	defer w.servers.Unlock()
	return w.exec(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+name+"'", "SELECT pg_reload_conf()")
}

func endWalsender(ctx context.Context, w *Cluster) (func(), error) {
	return nil, w.exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")
}

func crashPostgres(ctx context.Context, w *Cluster) (func(), error) {
	w.servers.Lock()
	defer w.servers.Unlock()
	w.postgres.Kill()
	return nil, w.postgres.Start(ctx)
}

func loseBook(ctx context.Context, w *Cluster) (func(), error) {
	return nil, w.cache.Del(ctx, "stoker:{cache}:book").Err()
}

func flush(ctx context.Context, w *Cluster) (func(), error) {
	return nil, w.cache.FlushAll(ctx).Err()
}

func restartRedis(ctx context.Context, w *Cluster) (func(), error) {
	w.servers.Lock()
	defer w.servers.Unlock()
	w.redis.Kill()
	return nil, w.redis.Start(ctx)
}

// loseBooks loses it as soon as it is there again.
func loseBooks(ctx context.Context, w *Cluster) (func(), error) {
	ctx, stop := context.WithCancel(ctx)
	var losing sync.WaitGroup
	losing.Go(func() {
		for pause(ctx, 50*time.Millisecond) {
			_, _ = loseBook(ctx, w) // Redis may be away
		}
	})
	return func() { stop(); losing.Wait() }, nil
}

// closeGate holds up runs of the items with their snapshots taken.
func closeGate(ctx context.Context, w *Cluster) (func(), error) {
	gate, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err = gate.Exec(ctx, "SELECT pg_advisory_lock(1)"); err == nil {
		for _, d := range w.daemons {
			_, _, err = d.call(ctx, http.MethodPost, "/api/v1/jobs/item/warm", "")
		}
	}
	return func() { gate.Close(ctx) }, err
}

// lockItems holds up whoever reads items, but not their fences.
func lockItems(ctx context.Context, w *Cluster) (func(), error) {
	lock, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, sql := range []string{"SET lock_timeout = '1s'", "BEGIN", "LOCK TABLE item IN ACCESS EXCLUSIVE MODE"} {
		if err == nil {
			_, err = lock.Exec(ctx, sql)
		}
	}
	return func() { lock.Close(ctx) }, err
}

// planned is a fault at its time.
type planned struct {
	fault
	at time.Duration
}

// plan spreads faults over a time, each once if there is time; those on different
// things overlap.
func plan(all []fault, rnd *rand.Rand, from, to time.Duration) (p []planned) {
	free := make(map[string]time.Duration)
	for _, i := range rnd.Perm(len(all)) {
		f := all[i]
		at := max(free[f.on], from) + time.Duration(rnd.IntN(1000))*time.Millisecond
		if at+f.long > to {
			continue
		}
		p = append(p, planned{f, at})
		free[f.on] = at + f.long + 200*time.Millisecond
	}
	slices.SortFunc(p, func(a, b planned) int { return cmp.Compare(a.at, b.at) })
	return p
}
