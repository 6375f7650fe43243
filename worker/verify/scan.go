package verify

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/worker/render"
)

// compareAll holds every key to the query, and then looks for keys that the query
// does not have.
func (v *comparison) compareAll(ctx context.Context) error {
	var fits keyPrefilter
	err := v.env.source.Run(ctx, v.job, func(r *store.Reading) error {
		fits = newKeyPrefilter(v.job, r)
		return v.compareRows(ctx, r)
	})
	if err != nil {
		return err
	}
	return v.scanOrphans(ctx, fits)
}

// progressEvery is how often progress is reported.
const progressEvery = 250 * time.Millisecond

// fullScan is one reading on its way past the cache. Batches are compared beside it.
type fullScan struct {
	v     *comparison
	faces fingerprinter
	names *keyValues

	mu sync.Mutex // v, but for at
}

// pour compares every row of a reading. It is the way of a run, but for its end:
// what would be written is held to what is there.
func (v *comparison) compareRows(ctx context.Context, r *store.Reading) error {
	last, ok, err := v.env.ledger.LastComplete(ctx, v.job.Name)
	if err == nil && ok {
		v.at.Expected = last.Rows // what is wrong with the ledger, a run will tell
	}
	p := &fullScan{v: v, faces: fingerprinter{v.job}}
	pipe := render.NewPipeline(ctx, p.compare)
	s, err := render.New(v.job, r, pipe.Send)
	if err != nil {
		return pipe.Wait(err)
	}
	s.Uncompressed() // what Redis has is decompressed instead
	p.names = newKeyValues(v.job, s)
	told := time.Now()
	err = pipe.Wait(s.RenderAll(p.names.over(r.Rows), func(n int64) {
		if v.at.Rows = n; n%1024 == 0 && time.Since(told) > progressEvery {
			told = time.Now()
			v.at.Keys, v.at.Bytes = pipe.Progress()
			v.watch()
		}
	}))
	v.at.Keys, v.at.Bytes = pipe.Progress()
	v.out.Skipped = s.NullKeys + s.BadKeys + s.Oversized + s.Duplicates
	return err
}

// compare holds a batch to what Redis has. It writes nothing: its signature is
// that of what writes a run's batches.
func (p *fullScan) compare(ctx context.Context, b *store.Batch) (cache.Outcome, error) {
	keys := make([]string, b.Len())
	for i := range keys {
		keys[i] = string(b.Entry(i).Key)
	}
	same := make([]bool, len(keys))
	var problem error
	err := p.v.env.cache.Values(ctx, p.v.job.Type, keys, func(i int, s cache.Seen) {
		var err error
		if same[i], err = p.same(b.Entry(i).Value, s); err != nil {
			problem = err
		}
	})
	if err == nil {
		err = problem
	}
	if err != nil {
		return cache.Outcome{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, key := range keys {
		values := p.names.take(key)
		p.v.seen.add(key)
		if same[i] {
			p.v.out.Right++
			continue
		}
		if p.v.recheck.open() == mostDoubts {
			return cache.Outcome{}, errTooMany
		}
		p.v.recheck.add(&candidate{key: key, values: values})
	}
	return cache.Outcome{}, nil
}

// same reports whether Redis has a value that was made. Bytes that are equal need
// no closer look.
func (p *fullScan) same(value []byte, s cache.Seen) (bool, error) {
	if s.Text != nil && p.v.job.Type != jobs.TypeHash && bytes.Equal(s.Text, value) {
		return true, nil
	}
	made, err := p.faces.made(value)
	return made == p.faces.found(s), err
}

// keyValues keeps the column values of keys whose text does not tell them, from their row until they
// are compared. It is safe for concurrent use; nil keeps none.
type keyValues struct {
	job      *jobs.Job
	renderer *render.Renderer // of its own: it counts

	mu   sync.Mutex
	kept map[string]jobs.Key
}

// mostKeyValues bounds what rows leave that never come to a comparison.
const mostKeyValues = 1 << 14

func newKeyValues(job *jobs.Job, s *render.Renderer) *keyValues {
	if s.Columns() < 2 {
		return nil // the text tells
	}
	return &keyValues{job: job, renderer: s.Clone(), kept: make(map[string]jobs.Key)}
}

// over keeps the values of rows as they pass.
func (n *keyValues) over(rows store.Rows) store.Rows {
	if n == nil {
		return rows
	}
	return func(yield func(store.Row, error) bool) {
		var buf []byte
		for row, err := range rows {
			if err == nil {
				buf = n.remember(buf, row)
			}
			if !yield(row, err) {
				return
			}
		}
	}
}

func (n *keyValues) remember(buf []byte, row store.Row) []byte {
	key, ok, err := n.renderer.Key(buf[:0], row)
	if err != nil || !ok {
		return buf // the renderer of the scan reports it
	}
	if _, fit := n.job.Key.Parse(string(key)); fit == jobs.OneFit {
		return key
	}
	values := make(jobs.Key, n.renderer.Columns())
	for i, name := range n.job.Key.Columns() {
		values[name] = n.renderer.ColumnText(i)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.kept) == mostKeyValues {
		clear(n.kept)
	}
	n.kept[string(key)] = values
	return key
}

// take returns what is kept of a key, and forgets it.
func (n *keyValues) take(key string) jobs.Key {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	values := n.kept[key]
	delete(n.kept, key)
	return values
}
