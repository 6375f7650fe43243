package checker

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Mix is the random form: writers, readers, forced runs and invalidations at once,
// in rounds of faults by a plan that the seed makes. After each round all is healed,
// and Redis must come to equal Postgres. The first faults come in the second round;
// those after which every job is run, and which so make up for what went wrong, in
// every other one after that.
func Mix(ctx context.Context, o Options, rounds []time.Duration) (Result, error) {
	w, err := NewCluster(ctx, o)
	if err != nil {
		return Result{}, err
	}
	w.logf("seed %d, changes.source %s, slot %s, a Redis for the queue: %t", w.o.Seed, w.o.Source, w.o.Slot,
		w.o.OwnQueue)
	reading, stop := context.WithCancel(ctx)
	var readers sync.WaitGroup
	w.read(reading, &readers)
	rnd := w.random(0)
	for n, long := range rounds {
		var faults []fault
		for _, f := range faultsOf(w) {
			if n > 0 && (!f.heal || n%2 == 0) {
				faults = append(faults, f)
			}
		}
		if !w.broken() {
			w.round(ctx, long, plan(faults, rnd, 0, long), uint64(n))
		}
	}
	stop()
	readers.Wait()
	if !w.broken() {
		w.verified(ctx)
	}
	return w.result(), w.Close()
}

// drainLimit is how long the last of what a round began may take.
const drainLimit = 30 * time.Second

// round has everything go on at once for a while, under faults; then all is quiet.
func (w *Cluster) round(ctx context.Context, long time.Duration, faults []planned, n uint64) {
	w.logf("round %d: %d faults", n, len(faults))
	for _, f := range faults {
		w.logf("  after %4.1fs %s", f.at.Seconds(), f.name)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	writing, stopWriting := context.WithTimeout(ctx, long)
	defer stopWriting()
	// runs after the last commits would make up for what is stale
	forcing, stopForcing := context.WithTimeout(ctx, long*3/4)
	defer stopForcing()
	var all sync.WaitGroup
	for i := range 4 {
		wr := &writer{w: w, n: i, rnd: w.random(10*n + uint64(i) + 1)}
		all.Go(func() { wr.work(writing) })
	}
	w.writeBeside(writing, &all)
	all.Go(func() { w.force(forcing, w.random(10*n+9)) })
	for _, f := range faults {
		all.Go(func() { w.inject(writing, f) })
	}
	all.Wait()
	w.finish(ctx, drainLimit)
	if err := w.finishBeside(ctx, untilLimit); err != nil {
		w.find("I10", "%v", err)
	}
}

func (w *Cluster) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(w.o.Seed, n)) }

// read has readers read until ctx ends.
func (w *Cluster) read(ctx context.Context, readers *sync.WaitGroup) {
	for _, every := range []time.Duration{5 * time.Millisecond, 23 * time.Millisecond} {
		r := newReader(w)
		readers.Go(func() {
			for pause(ctx, every) {
				r.read(ctx)
			}
		})
	}
}

// pause reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// work goes on until ctx ends; what it has begun then ends too, if it can.
func (wr *writer) work(ctx context.Context) {
	defer wr.disconnect()
	for pause(ctx, time.Millisecond+rand.N(6*time.Millisecond)) {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		wr.step(limited)
		cancel()
	}
}

// force asks for runs.
func (w *Cluster) force(ctx context.Context, rnd *rand.Rand) {
	for pause(ctx, 200*time.Millisecond+time.Duration(rnd.IntN(400))*time.Millisecond) {
		d, j := w.daemons[rnd.IntN(len(w.daemons))], w.o.jobs()[rnd.IntN(len(w.o.jobs()))]
		status, _, err := d.call(ctx, http.MethodPost, "/api/v1/jobs/"+j.Name+"/warm", "")
		if err == nil && status == http.StatusAccepted {
			w.count("forced runs", 1)
		}
	}
}

// invalidateAll says of some commits of items, over HTTP, that they have been made.
func (w *Cluster) invalidateAll(changes []change) {
	if changes[0].row.table == "item" && rand.IntN(8) == 0 {
		w.invalidate(w.daemons[rand.IntN(len(w.daemons))], changes...)
	}
}

// invalidate reports to a daemon that items have changed, and reports whether it answers
// that it has fenced them: from then on, nothing older may be read for longer than
// the grace.
func (w *Cluster) invalidate(d *daemon, changes ...change) bool {
	var keys []string
	for _, c := range changes {
		keys = append(keys, fmt.Sprintf(`{"id": %d}`, c.row.id))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	var answer struct{ Fenced bool }
	status, text, err := d.call(ctx, http.MethodPost, "/api/v1/jobs/item/invalidate",
		`{"keys": [`+strings.Join(keys, ", ")+`]}`)
	if err == nil && status == http.StatusAccepted {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil || !answer.Fenced {
		return false
	}
	w.count("invalidations", 1)
	for _, c := range changes {
		c.row.fenced(c.ver, time.Now())
	}
	return true
}

// inject does one fault at its time, and ends it.
func (w *Cluster) inject(ctx context.Context, f planned) {
	if !pause(ctx, f.at) {
		return
	}
	defer w.fault()()
	w.logf("%s", f.name)
	end, err := f.do(context.WithoutCancel(ctx), w) // what is stopped is started again
	if err != nil {
		w.trouble("fault", err)
	} else {
		w.count("faults", 1)
	}
	pause(ctx, f.long)
	if end != nil {
		end()
	}
}

// finish ends what was prepared, and holds the last state to Postgres.
// The limit counts from when all daemons are back: on a busy machine one may take longer to start than a value may
// be stale.
func (w *Cluster) finish(ctx context.Context, limit time.Duration) {
	began := time.Now()
	if conn, err := w.connect(ctx); err != nil {
		w.trouble("writer", err)
	} else {
		if err := endPrepared(ctx, conn, ""); err != nil {
			w.trouble("writer", err)
		}
		conn.Close(ctx)
	}
	if err := w.until(ctx, "the daemons are back", func() (bool, error) { return w.serving(ctx) }); err != nil {
		w.logf("%v", err)
	}
	diff := w.awaitAgreement(ctx, limit)
	if ctx.Err() != nil {
		return // it is called off
	}
	if diff != "" {
		w.find("I1", "%s after all is quiet: %s", limit, diff)
	}
	w.logf("quiet for %s: Redis and Postgres agree: %t", time.Since(began).Round(time.Millisecond), diff == "")
}
