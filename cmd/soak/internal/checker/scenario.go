package checker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Scenario is a few seconds that bring out one part of the write protocol. A sound
// Stoker passes it, a mutant without that part does not.
type Scenario struct {
	Name    string
	Options Options
	do      func(ctx context.Context, w *Cluster) error
	wait    time.Duration // for Redis to equal Postgres at its end
	proof   string        // what a sound Stoker must have counted, or the scenario is blind
}

// errBlind says that what a scenario is about has not happened: it proves nothing.
type errBlind struct{ why string }

func (e errBlind) Error() string { return "the scenario is blind: " + e.why }

// tries is how often a scenario is played that turns out to be blind.
const tries = 3

// Play plays a scenario with a binary, with a mutant alive in it or none.
func Play(ctx context.Context, s Scenario, binary, mutant string, o Options) (r Result, err error) {
	s.Options.Binary, s.Options.Mutant, s.Options.Seed, s.Options.Log = binary, mutant, o.Seed, o.Log
	for range tries {
		r, err = s.play(ctx)
		if _, blind := errors.AsType[errBlind](err); !blind || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("%s, mutant %q: %w", s.Name, mutant, err)
	}
	return r, err
}

func (s Scenario) play(ctx context.Context) (Result, error) {
	w, err := NewCluster(ctx, s.Options)
	if err != nil {
		return Result{}, err
	}
	reading, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	w.read(reading, &readers)
	over := w.fault()
	err = s.do(ctx, w)
	over()
	if err == nil && !w.broken() {
		w.finish(ctx, s.wait)
	}
	stop()
	readers.Wait()
	r := w.result()
	if err == nil && s.proof != "" && s.Options.Mutant == "" && r.Counts[s.proof] == 0 {
		err = errBlind{"no " + s.proof}
	}
	return r, errors.Join(err, w.Close())
}

// broken reports whether something was found: the rest need not be waited for.
func (w *Cluster) broken() bool {
	select {
	case <-w.found:
		return true
	default:
		return false
	}
}

// untilLimit is how long a step may take on a busy machine.
const untilLimit = 45 * time.Second

// until waits until ok, or says that it did not come to that.
func (w *Cluster) until(ctx context.Context, what string, ok func() (bool, error)) error {
	var last error
	for deadline := time.Now().Add(untilLimit); time.Now().Before(deadline) &&
		ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		done, err := ok()
		if done {
			return nil
		}
		last = err
	}
	return errBlind{fmt.Sprintf("not within %s: %s (last error: %v)\n%s", untilLimit, what, last, w.logs())}
}

// set commits a new version of an item.
func (w *Cluster) set(ctx context.Context, id int, before ...string) (change, error) {
	row := w.history.rows["item"][id-1]
	c := change{row: row, ver: w.history.next(row)}
	err := w.exec(ctx, append(before, fmt.Sprintf("UPDATE item SET v = %d WHERE id = %d", c.ver, id))...)
	if err == nil {
		w.history.committed("commit", []change{c})
	}
	return c, err
}

// renew commits a new version, says so, and waits until it is readable.
func (w *Cluster) renew(ctx context.Context, d *daemon, id int, before ...string) error {
	c, err := w.set(ctx, id, before...)
	if err != nil {
		return err
	}
	if !w.invalidate(d, c) {
		return errBlind{"an invalidation has not fenced"}
	}
	return w.readable(ctx, c)
}

// readable waits until a version can be read.
func (w *Cluster) readable(ctx context.Context, c change) error {
	return w.until(ctx, fmt.Sprintf("version %d of %s is readable", c.ver, c.row.name()), func() (bool, error) {
		text, err := w.cache.Get(ctx, fmt.Sprint("item:", c.row.id)).Result()
		if err != nil {
			return false, err
		}
		rows, err := parse("item", text)
		return err == nil && rows[0].V == c.ver, err
	})
}

// gatedRun begins a run of the items, which waits with its snapshot taken; open
// lets it go on.
func (w *Cluster) gatedRun(ctx context.Context, d *daemon) (open func(), err error) {
	gate, err := w.connect(ctx)
	if err != nil {
		return nil, err
	}
	open = sync.OnceFunc(func() { gate.Close(context.WithoutCancel(ctx)) })
	// a run reads nothing if nothing was committed
	err = w.exec(ctx, "SET synchronous_commit = local", "SELECT pg_current_xact_id()")
	if err == nil {
		_, err = gate.Exec(ctx, "SELECT pg_advisory_lock(1)")
	}
	if err == nil {
		var status int
		status, _, err = d.call(ctx, http.MethodPost, "/api/v1/jobs/item/warm", "")
		if err == nil && status != http.StatusAccepted {
			err = fmt.Errorf("a run was refused: %d", status)
		}
	}
	if err == nil {
		err = w.until(ctx, "a run waits at the gate", func() (waits bool, err error) {
			err = gate.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT "+
				"granted)").Scan(&waits)
			return waits, err
		})
	}
	if err != nil {
		open()
	}
	return open, err
}
