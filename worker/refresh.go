package worker

import (
	"context"
	"fmt"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
)

// Refreshed is what a refresh did.
type Refreshed struct {
	Job       string        `json:"job"`
	Keys      int64         `json:"keys"`                // written
	Removed   int64         `json:"removed"`             // that were there and have no row, or were to be dropped
	Oversized int64         `json:"oversized,omitempty"` // not written: over max_value_bytes
	BadKeys   int64         `json:"bad_keys,omitempty"`  // asked for, but empty, or beginning as keys of ours do
	Bytes     int64         `json:"bytes"`
	Snapshot  string        `json:"snapshot,omitempty"`
	Took      time.Duration `json:"took_ns"`
	Warning   string        `json:"warning,omitempty"` // the first of these, by name
}

// Refresh re-loads exactly the named keys through the job's own query, writes
// those that have rows and removes those that have none. A removal drops them
// without loading. It works now and in this process.
func (w *Worker) Refresh(ctx context.Context, id string, inv jobs.Invalidation) (Refreshed, error) {
	job, ok := w.spec.Job(inv.Job)
	if !ok {
		return Refreshed{}, unknownJob(inv.Job, w.spec.File)
	}
	start := time.Now()
	limited, cancel := context.WithTimeoutCause(ctx, job.Timeout, fmt.Errorf("the refresh took longer than the job's timeout of %s", job.Timeout))
	defer cancel()
	out, err := w.refresh(limited, job, inv)
	if cause := context.Cause(limited); err != nil && cause != nil {
		err = cause
	}
	out.Job, out.Took = job.Name, time.Since(start)
	w.observeRefresh(ctx, id, len(inv.Keys), out, err)
	return out, err
}

// refresh is the recipe: arm, read, encode, put, remove.
func (w *Worker) refresh(ctx context.Context, job *jobs.Job, inv jobs.Invalidation) (out Refreshed, err error) {
	armed, err := w.cache.Arm(ctx)
	if err != nil {
		return out, err
	}
	read := w.source.Refresh
	if inv.Remove {
		read = w.source.Keys
	}
	err = read(ctx, job, inv.Keys, func(r *store.Reading) error {
		f := refresh{w: w, job: job, armed: armed, reading: r, out: &out}
		out.Snapshot = r.Snapshot
		return f.do(ctx)
	})
	return out, err
}

// refresh is one reading of some keys on its way to the cache.
type refresh struct {
	w       *Worker
	job     *jobs.Job
	armed   cache.Armed
	reading *store.Reading
	out     *Refreshed
	written map[string]bool // :: key -> its value was put
}

func (f *refresh) do(ctx context.Context) error {
	f.written = make(map[string]bool)
	s, err := newShaper(f.job, f.reading, func(b *store.Batch) (*store.Batch, error) { return f.put(ctx, b) })
	if err != nil {
		return err
	}
	gone, err := f.asked(s)
	if err != nil {
		return err
	}
	f.out.BadKeys = s.badKeys
	if f.reading.Rows != nil {
		if err := s.pour(f.reading.Rows, func(int64) {}); err != nil {
			return err
		}
	}
	f.out.Oversized, f.out.Warning = s.oversized, s.warning
	gone = without(gone, f.written)
	f.out.Removed, err = f.w.cache.Remove(ctx, f.armed, gone)
	return err
}

// asked names the asked keys, from the values as Postgres reads them: 007 asks
// for the same key as 7.
func (f *refresh) asked(s *shaper) ([][]byte, error) {
	keys := make([][]byte, 0, len(f.reading.Given))
	narrow := *s
	narrow.keys = make([]int, len(s.keys)) // the columns of Given are the key columns
	for i := range narrow.keys {
		narrow.keys[i] = i
	}
	narrow.bind()
	for _, row := range f.reading.Given {
		key, ok, err := narrow.key(nil, row)
		if err != nil {
			err = s.skipBad(err) // one key that may not be must not cost the others
		}
		if err != nil {
			return nil, err
		}
		if ok {
			keys = append(keys, key)
		}
	}
	return keys, nil
}

// put writes a batch and gives it back empty.
func (f *refresh) put(ctx context.Context, b *store.Batch) (*store.Batch, error) {
	if b == nil {
		return &store.Batch{}, nil
	}
	if err := f.w.cache.Put(ctx, f.armed, b); err != nil {
		return nil, err
	}
	for i := range b.Len() {
		f.written[string(b.Entry(i).Key)] = true
	}
	f.out.Keys += int64(b.Len())
	f.out.Bytes += int64(b.Size())
	b.Reset()
	return b, nil
}

// without returns the keys that were not written: they have no row, or a value
// that is too large, and what the cache has of them is out of date.
func without(keys [][]byte, written map[string]bool) [][]byte {
	var gone [][]byte
	for _, k := range keys {
		if !written[string(k)] {
			gone = append(gone, k)
		}
	}
	return gone
}
