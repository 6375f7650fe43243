package checker

import (
	"context"
	"errors"
	"time"
)

// one and two are the roles of scenarios: all in one daemon; or the work in
// another one than the rest.
var (
	one = []string{"scheduler,worker,changes,admin"}
	two = []string{"scheduler,changes,admin", "worker"}
)

// fenceScenario: what an invalidation has said is out of date may be read for the
// grace, and no longer, though no worker is there to load it again.
var fenceScenario = Scenario{
	Name:    "an invalidation while the worker is paused",
	Options: Options{Roles: two, Grace: 500 * time.Millisecond},
	do: func(ctx context.Context, w *Cluster) error {
		w.daemons[1].pause()
		defer w.daemons[1].resume()
		c, err := w.set(ctx, 7)
		if err != nil {
			return err
		}
		if !w.invalidate(w.daemons[0], c) {
			return errBlind{"an invalidation has not fenced"}
		}
		pause(ctx, w.o.Grace+3*slack)
		return nil
	},
	wait:  5 * time.Second,
	proof: "misses",
}

// nonceScenario: a run with an old snapshot, and the fence that would refuse it is
// lost with the book.
var nonceScenario = Scenario{
	Name:    "the book is lost while a run is slow",
	Options: Options{Roles: one},
	do: func(ctx context.Context, w *Cluster) error {
		d := w.daemons[0]
		open, err := w.gatedRun(ctx, d)
		if err != nil {
			return err
		}
		defer open()
		if err := w.renew(ctx, d, 7); err != nil {
			return err
		}
		if _, err := loseBook(ctx, w); err != nil {
			return err
		}
		if err := w.renew(ctx, d, 8); err != nil { // opens a new book
			return err
		}
		open()
		pause(ctx, 500*time.Millisecond)
		return nil
	},
	wait:  5 * time.Second,
	proof: "stoker_run_restarts_total",
}

// deadlineScenario: a run with an old snapshot, and the fence that would refuse it
// is pruned, because nothing that old may still be written.
var deadlineScenario = Scenario{
	Name:    "a run that takes longer than the book remembers",
	Options: Options{Roles: one, Life: 2 * time.Second},
	do: func(ctx context.Context, w *Cluster) error {
		d := w.daemons[0]
		open, err := w.gatedRun(ctx, d)
		if err != nil {
			return err
		}
		defer open()
		if err := w.renew(ctx, d, 7); err != nil {
			return err
		}
		err = w.until(ctx, "the fence is pruned", func() (bool, error) {
			there, err := w.cache.HExists(ctx, "stoker:{cache}:book", "item:7").Result()
			return !there, err
		})
		open()
		pause(ctx, 500*time.Millisecond)
		return err
	},
	wait:  5 * time.Second,
	proof: "stoker_run_restarts_total",
}

// epochScenario: Postgres crashes and loses commits that were answered and cached:
// what is cached of them must go.
var epochScenario = Scenario{
	Name: "postgres crashes and loses commits",
	Options: Options{Roles: one, Settings: []string{"synchronous_commit = off", "wal_writer_delay = 10s",
		"wal_writer_flush_after = 1GB", "autovacuum = off"}},
	do: func(ctx context.Context, w *Cluster) error {
		if err := w.exec(ctx, "CHECKPOINT"); err != nil { // what was there before stays
			return err
		}
		lost, err := w.set(ctx, 7)
		if err != nil {
			return err
		}
		if !w.invalidate(w.daemons[0], lost) {
			return errBlind{"an invalidation has not fenced"}
		}
		if err := w.readable(ctx, lost); err != nil {
			return err
		}
		if _, err := crashPostgres(ctx, w); err != nil {
			return err
		}
		conn, err := w.connect(ctx)
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		var ver int64
		if err := conn.QueryRow(ctx, "SELECT v FROM item WHERE id = 7").Scan(&ver); err != nil {
			return err
		}
		if ver == lost.ver {
			return errBlind{"the commit was not lost"}
		}
		next, err := w.set(ctx, 8) // its fence notices the crash at once; without it, that takes ten seconds
		w.invalidate(w.daemons[0], next)
		return err
	},
	wait:  8 * time.Second,
	proof: "epochs seen",
}

// clockScenario: a run whose snapshot misses a commit that is in the log already.
// By the log's position it is as new as the fence of that commit.
var clockScenario = Scenario{
	Name:    "a run while a commit waits for a standby",
	Options: Options{Roles: one, Settings: []string{"autovacuum = off"}},
	do: func(ctx context.Context, w *Cluster) error {
		d := w.daemons[0]
		end, err := holdCommits(ctx, w)
		if err != nil {
			return err
		}
		var c change
		done := make(chan error, 1)
		go func() {
			c, err = w.set(ctx, 7)
			done <- err
		}()
		if err := w.waiting(ctx); err != nil {
			end()
			return errors.Join(err, <-done)
		}
		open, gerr := w.gatedRun(ctx, d)
		end()
		if err := errors.Join(gerr, <-done); err != nil {
			return err
		}
		defer open()
		if !w.invalidate(d, c) {
			return errBlind{"an invalidation has not fenced"}
		}
		if err := w.readable(ctx, c); err != nil {
			return err
		}
		open()
		pause(ctx, 500*time.Millisecond)
		return nil
	},
	wait: 5 * time.Second,
}
