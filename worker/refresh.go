package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/tracing"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/equal"
	"github.com/stokerhq/stoker/worker/inhand"
	"github.com/stokerhq/stoker/worker/render"
)

// Refreshed is what a refresh did.
type Refreshed struct {
	Job       string `json:"job"`
	Keys      int64  `json:"keys"`                // written
	Removed   int64  `json:"removed"`             // that were there and have no row, or were to be dropped
	Oversized int64  `json:"oversized,omitempty"` // not written: over max_value_bytes
	BadKeys   int64  `json:"bad_keys,omitempty"`  // asked for, but empty, or beginning as keys of ours do
	// rows not written: another row of the job, which has one row a key, had their key before
	Duplicates int64         `json:"duplicate_keys,omitempty"`
	Bytes      int64         `json:"bytes"`
	Refusals   int           `json:"refusals,omitempty"` // how often something newer was there, and it read again
	Snapshot   string        `json:"snapshot,omitempty"`
	Took       time.Duration `json:"took_ns"`
	Warning    string        `json:"warning,omitempty"` // the first key that was not written, by name
}

// Refresh re-loads exactly the named keys through the job's own query, writes
// those that have rows and removes those that have none. A removal drops them
// without loading. It works now and in this process.
func (w *Worker) Refresh(ctx context.Context, id string, inv jobs.Invalidation) (Refreshed, error) {
	if spec := w.defs.Now(); !spec.Has(inv.Job) {
		return Refreshed{}, &jobs.UnknownJobError{Job: inv.Job, File: spec.File}
	}
	out, err := w.refreshInTime(ctx, id, inv)
	if !errors.Is(err, ErrStopping) {
		w.countRefresh(ctx, inv.Job, len(inv.Keys), err)
	}
	return out, err
}

// RefreshFenced loads keys that a change has made out of date and that are fenced, as Refresh does.
// The caller counts it in the ledger: that would cost as many commands as the refresh itself. The job goes by its name:
// a change feed that is not opened anew when the spec is loaded has definitions from before.
func (w *Worker) RefreshFenced(ctx context.Context, job *jobs.Job, keys []jobs.Key) error {
	return inhand.Again(ctx, func(ctx context.Context) error {
		_, err := w.refreshInTime(ctx, "", jobs.Invalidation{Job: job.Name, Keys: keys, Fenced: true, Exact: true})
		return err
	})
}

// RefreshMissed loads a key that a reader has missed. Nothing has changed, so nothing is fenced. A value that does not
// fit its column is the reader's mistake, and is not kept as the job's last error. The caller logs what fails.
func (w *Worker) RefreshMissed(ctx context.Context, job *jobs.Job, key jobs.Key) (Refreshed, error) {
	out, err := w.refreshInTime(ctx, "", jobs.Invalidation{Job: job.Name, Keys: []jobs.Key{key}, Fenced: true})
	if _, misfit := errors.AsType[*store.KeyValueError](err); !misfit {
		w.countRefresh(ctx, job.Name, 1, err)
	}
	return out, err
}

// refreshInTime refreshes within the job's timeout and observes the end.
func (w *Worker) refreshInTime(ctx context.Context, id string, inv jobs.Invalidation) (Refreshed, error) {
	start := time.Now()
	ctx, job, done, err := w.defs.Begin(ctx, inv.Job)
	if err != nil {
		return Refreshed{}, err
	}
	defer done()
	limited, cancel := context.WithTimeoutCause(ctx, job.Timeout,
		fmt.Errorf("the refresh took longer than the job's timeout of %s", job.Timeout))
	defer cancel()
	var out Refreshed
	err = w.gate.Admit(limited, inv.Fenced)
	if err == nil {
		out, err = w.refresh(limited, job, inv)
		err = w.gate.Note(err)
	}
	if cause := context.Cause(limited); err != nil && cause != nil {
		err = cause
	}
	out.Job, out.Took = job.Name, time.Since(start)
	if span := tracing.Current(ctx); span != nil {
		span.Text("snapshot", out.Snapshot)
		span.Count("asked", int64(len(inv.Keys)))
		span.Count("keys", out.Keys)
		span.Count("removed", out.Removed)
		span.Count("bytes", out.Bytes)
		span.Count("refusals", int64(out.Refusals))
	}
	w.observeRefresh(id, len(inv.Keys), out, err)
	return out, err
}

// errRefused says that a newer fence or refresh owns some of the keys: what was
// read may be older than the change it stands for.
var errRefused = errors.New("a newer change owns some of the keys")

// A refresh that is refused reads again at once, a few times. Then it takes a
// lock that those refused as often wait for, so that they do not refuse each
// other for ever; and in the end leaves the work to the queue, which tries later.
const (
	refusals     = 12
	freeRefusals = 3
	lockTTL      = 5 * time.Second
)

// refresh tries until nothing newer refuses what was read.
func (w *Worker) refresh(ctx context.Context, job *jobs.Job, inv jobs.Invalidation) (out Refreshed, err error) {
	var found *equal.Found // nil: not looked for yet
	if inv.Exact {
		found = &equal.Found{}
	}
	for n := 0; ; n++ {
		out, err = w.refreshOnce(ctx, job, inv, &found)
		out.Refusals = n
		again := errors.Is(err, errRefused) || errors.Is(err, cache.ErrSuperseded) || cache.Again(err)
		if !again || n == refusals || ctx.Err() != nil {
			if err == nil && out.Warning == "" && out.Keys+out.Removed < int64(len(inv.Keys)) {
				out.Warning = found.Warning(job)
			}
			return out, err
		}
		if n == freeRefusals {
			defer w.lockKey(ctx, job, inv.Keys[0], err)()
		}
		store.Sleep(ctx, time.Duration(n)*time.Millisecond+rand.N(5*time.Millisecond))
	}
}

// refreshOnce is the recipe: arm, read, fence unless that is done, encode, put.
// The keys that the cache has and that are equal to those that were named are looked for once, and refreshed with
// them.
func (w *Worker) refreshOnce(ctx context.Context, job *jobs.Job, inv jobs.Invalidation,
	found **equal.Found) (out Refreshed, err error) {
	armed, err := w.cache.Arm(ctx)
	if err != nil {
		return out, err
	}
	if *found == nil {
		others, err := w.finder().Find(ctx, job, inv.Keys)
		if err != nil {
			return out, err
		}
		*found = &others
	}
	inv.Keys = append(inv.Keys[:len(inv.Keys):len(inv.Keys)], (*found).Keys...)
	read := w.source.Refresh
	if inv.Remove {
		read = w.source.Keys
	}
	reading, span := tracing.Child(ctx, "snapshot", job.Name)
	defer func() { span.EndWith(err) }()
	err = read(reading, job, inv.Keys, func(r *store.Reading) error {
		stamp, err := w.calls.stamp(ctx, armed, r.Snapshot)
		if err != nil {
			return err
		}
		f := refresh{w: w, job: job, reading: r, out: &out, armed: armed, stamp: stamp,
			claim: w.cache.ClaimRefresh(armed, job, stamp)}
		out.Snapshot = r.Snapshot.Text
		return f.do(ctx, inv)
	})
	if cache.Again(err) {
		w.cache.Disarm(armed)
	}
	return out, err
}

// refresh is one reading of some keys on its way to the cache.
type refresh struct {
	w       *Worker
	job     *jobs.Job
	armed   *cache.Armed
	stamp   store.Stamp
	claim   *cache.Claim
	reading *store.Reading
	out     *Refreshed
	old     int64
	removed [][]byte        // by the fence
	written map[string]bool // :: key -> its value was put
	others  [][]byte        // keys of rows that are equal to another row's, and written to that one's key
}

func (f *refresh) do(ctx context.Context, inv jobs.Invalidation) error {
	f.written = make(map[string]bool)
	s, asked, err := f.name(ctx)
	if err == nil && !inv.Fenced {
		err = f.fence(ctx, asked, inv.Remove)
	}
	if err != nil {
		return err
	}
	f.out.BadKeys = s.BadKeys
	s.Respelled = func(key []byte) { f.others = append(f.others, bytes.Clone(key)) }
	if f.reading.Rows != nil {
		if err := s.RenderAll(f.reading.Rows, func(int64) {}); err != nil {
			return err
		}
	}
	f.out.Oversized, f.out.Duplicates, f.out.Warning = s.Oversized, s.Duplicates, s.Warning
	for key := range s.Returned { // its rows do not follow one another: what was written is not whole
		f.others = append(f.others, []byte(key))
		delete(f.written, key)
	}
	if !inv.Remove {
		if err := f.drop(ctx, append(asked, f.others...)); err != nil {
			return err
		}
	}
	for _, key := range f.removed {
		if !f.written[string(key)] {
			f.out.Removed++
		}
	}
	if f.old > 0 {
		return errRefused
	}
	return nil
}

// put writes a batch and gives it back empty.
func (f *refresh) put(ctx context.Context, b *store.Batch) (*store.Batch, error) {
	if b == nil {
		return &store.Batch{}, nil
	}
	if b.Len() == 0 {
		return b, nil
	}
	out, err := f.w.calls.put(ctx, f.claim, b)
	if err != nil {
		return nil, err
	}
	for i := range b.Len() {
		f.written[string(b.Entry(i).Key)] = true
	}
	f.old += out.Old
	f.out.Keys += out.Written
	f.out.Bytes += out.Bytes
	f.out.Removed += out.Removed
	b.Reset()
	return b, nil
}

// drop removes the asked keys that were not written: they have no row, or a value
// that is too large, and what the cache has of them is out of date.
func (f *refresh) drop(ctx context.Context, asked [][]byte) error {
	b := &store.Batch{}
	for _, key := range asked {
		if f.written[string(key)] {
			continue
		}
		if b.Remove(key); b.Len() == render.BatchKeys {
			var err error
			if b, err = f.put(ctx, b); err != nil {
				return err
			}
		}
	}
	_, err := f.put(ctx, b)
	return err
}
