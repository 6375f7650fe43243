package checker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// barrierScenario: a commit that waits for a standby comes through the log before
// any snapshot shows it. Whoever fences and loads its keys then loads the old
// value, and it is not repeated.
var barrierScenario = Scenario{
	Name:    "a commit that waits for a standby",
	Options: Options{Roles: one, Source: "wal"},
	do: func(ctx context.Context, w *Cluster) error {
		end, err := holdCommits(ctx, w)
		if err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() {
			_, err := w.set(ctx, 7)
			done <- err
		}()
		err = w.waiting(ctx)
		w.misled(ctx)
		end()
		return errors.Join(err, <-done)
	},
	wait:  3 * time.Second,
	proof: "stoker_changes_barrier_waits_total",
}

// misled waits until the keys were fenced and loaded again, as they should not be
// yet; or long enough for who would do so.
func (w *Cluster) misled(ctx context.Context) {
	for deadline := time.Now().Add(2500 * time.Millisecond); time.Now().Before(deadline) &&
		pause(ctx, 10*time.Millisecond); {
		fenced := w.cache.HExists(ctx, "stoker:{cache}:book", "tag:7").Val() &&
			w.cache.HExists(ctx, "stoker:{cache}:book", "item:7").Val()
		if fenced && min(w.cache.TTL(ctx, "tag:7").Val(), w.cache.TTL(ctx, "item:7").Val()) > w.o.Grace {
			return
		}
	}
}

// untrackedScenario: a row comes after the last run and goes with a TRUNCATE: no
// manifest has its key, and no fence reports it.
var untrackedScenario = Scenario{
	Name:    "a TRUNCATE after an INSERT",
	Options: Options{Roles: one, Source: "wal"},
	do: func(ctx context.Context, w *Cluster) error {
		if err := w.empty(ctx); err != nil {
			return err
		}
		err := w.until(ctx, "a run has found no items", func() (bool, error) {
			n, err := w.cache.Exists(ctx, "item:7", "tag:7").Result()
			return n == 0, err
		})
		if err != nil {
			return err
		}
		row := w.history.rows["item"][6]
		c := change{row: row, ver: w.history.next(row)}
		if err := w.exec(ctx, fmt.Sprintf("INSERT INTO item VALUES (7, 1, %d)", c.ver)); err != nil {
			return err
		}
		w.history.committed("commit", []change{c})
		if err := w.readable(ctx, c); err != nil {
			return err
		}
		return w.empty(ctx)
	},
	wait:  4 * time.Second,
	proof: "stoker_changes_runs_total",
}

// empty truncates the items.
func (w *Cluster) empty(ctx context.Context) error {
	sql, changes := truncateItems(w.history, nil).do(w.history.next)
	err := w.exec(ctx, sql...)
	if err == nil {
		w.history.committed("commit", changes)
	}
	return err
}

// waiting waits until a commit waits for a standby.
func (w *Cluster) waiting(ctx context.Context) error {
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return w.until(ctx, "a commit waits for a standby", func() (waits bool, err error) {
		err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = "+
			"'SyncRep')").Scan(&waits)
		return waits, err
	})
}

// acknowledgeScenario: the daemon is killed between receiving a change and fencing
// it. Its slot remembers where it was.
var acknowledgeScenario = Scenario{
	Name:    "kill -9 between a change and its fence",
	Options: Options{Roles: one, Source: "wal", Slot: "permanent"},
	do: func(ctx context.Context, w *Cluster) error {
		d := w.daemons[0]
		first, err := w.set(ctx, 6)
		if err != nil {
			return err
		}
		if err := w.readable(ctx, first); err != nil {
			return err
		}
		err = w.until(ctx, "it is noted how far changes were followed", func() (bool, error) {
			position, err := w.cache.HGet(ctx, epochKey, "position").Uint64()
			return position > 0, err
		})
		if err != nil {
			return err
		}
		d.toPostgres.set(traffic{hold: true}) // it receives, and cannot fence
		if _, err := w.set(ctx, 7); err != nil {
			return err
		}
		pause(ctx, 2500*time.Millisecond) // it tells Postgres each second how far it is
		d.kill()
		d.toPostgres.set(traffic{})
		if text := w.cache.Get(ctx, "item:7").Val(); text == "" {
			return errBlind{fmt.Sprintf("item:7 is %q: it was fenced", text)}
		}
		return d.start()
	},
	wait:  6 * time.Second,
	proof: "stoker_changes_keys_total",
}

// failedRefreshScenario: the load of a changed key fails, because the query waits too long for a
// lock. The key is fenced; without another try, its old value is served until the grace is over,
// and then none.
var failedRefreshScenario = Scenario{
	Name:    "a refresh that fails",
	Options: Options{Roles: one, Source: "wal", Grace: 30 * time.Second},
	do: func(ctx context.Context, w *Cluster) error {
		gate, err := w.connect(ctx)
		if err != nil {
			return err
		}
		defer gate.Close(ctx)
		if _, err := gate.Exec(ctx, "SELECT pg_advisory_lock(1)"); err != nil {
			return err
		}
		if _, err := w.set(ctx, 1); err != nil {
			return err
		}
		const waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
		for _, want := range []bool{true, false} { // it begins, and fails
			err := w.until(ctx, fmt.Sprintf("a refresh waits at the gate: %t", want), func() (bool, error) {
				var waits bool
				err := gate.QueryRow(ctx, waiting).Scan(&waits)
				return waits == want, err
			})
			if err != nil {
				return err
			}
		}
		return nil
	},
	wait:  6 * time.Second,
	proof: "stoker_changes_keys_total",
}

// foldedScenario: a key changes again right after a load of it was written, while that load still
// counts as going on.
var foldedScenario = Scenario{
	Name:    "a change while its key is being loaded",
	Options: Options{Roles: one, Source: "wal", Grace: 30 * time.Second},
	do: func(ctx context.Context, w *Cluster) error {
		first, err := w.set(ctx, 7)
		if err == nil {
			err = w.readable(ctx, first)
		}
		if err == nil {
			_, err = w.set(ctx, 7)
		}
		return err
	},
	wait:  4 * time.Second,
	proof: "stoker_changes_keys_total",
}
