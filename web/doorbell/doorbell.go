// Package doorbell is what a reader rings at when it has missed a key: Stoker loads that key, at once and in this
// process. Nothing has changed in the database, so nothing is fenced; and however many readers ring for a key, one
// query answers them all.
//
//	reader GET: no key ── POST .../refresh ──> Bell ── one load a key ──> worker's recipe ──> Redis
//	reader ...: no key ── POST .../refresh ──> (joins it)
package doorbell

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// State is what became of a key that was rung for.
type State string

// The states.
const (
	Loaded   State = "loaded"   // its value is in Redis
	Absent   State = "absent"   // the query has no row for it
	Withheld State = "withheld" // it has a row, and is not written: too large, a bad key, or two rows of one key
)

// Load loads one key of a job through the job's query and writes it. It ends by itself.
type Load func(ctx context.Context, job *jobs.Job, key jobs.Key) (State, error)

const (
	// maxLoads is how many keys are loaded or wait for a connection at once. Who rings for one more asks its own
	// database: the doorbell must not become a queue that grows.
	maxLoads = 64

	// remembered is for readers whose GET missed while the key was being loaded and who ring afterwards. Only that a
	// key was loaded is remembered: a row may be inserted at any time.
	remembered = 3 * time.Second
)

// errBusy says that too many keys are being loaded.
var errBusy = errors.New("too many keys are being loaded: try again, or ask the database")

// Bell folds the calls of readers. Its zero value is not ready for use: see New.
type Bell struct {
	ctx  context.Context // of all loads: they outlive who rang
	load Load

	mu    sync.Mutex
	loads map[string]*loading // by job and key
	going int                 // of loads, without those that are only remembered
}

// loading is one load. State and err are set when done is closed.
type loading struct {
	done  chan struct{}
	state State
	err   error
}

// New returns a Bell that loads with load until ctx ends.
func New(ctx context.Context, load Load) *Bell {
	return &Bell{ctx: ctx, load: load, loads: make(map[string]*loading)}
}

// Ring loads a key, or waits for the load of it that is under way. A caller that leaves does not end the load: the
// next one finds the key.
func (b *Bell) Ring(ctx context.Context, job *jobs.Job, key jobs.Key) (State, error) {
	name, err := json.Marshal(key) // sorted by column
	if err != nil {
		return "", err
	}
	l, err := b.join(job.Name+" "+string(name), job, key)
	if err != nil {
		return "", err
	}
	select {
	case <-l.done:
		return l.state, l.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// join returns the load of a key, and begins it if there is none.
func (b *Bell) join(name string, job *jobs.Job, key jobs.Key) (*loading, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l, under := b.loads[name]; under {
		return l, nil
	}
	if b.going >= maxLoads {
		return nil, errBusy
	}
	l := &loading{done: make(chan struct{})}
	b.loads[name] = l
	b.going++
	go func() {
		l.state, l.err = b.load(b.ctx, job, key)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.going--
		if l.err != nil || l.state != Loaded {
			delete(b.loads, name)
		} else {
			time.AfterFunc(remembered, func() { b.forget(name) })
		}
		close(l.done)
	}()
	return l, nil
}

func (b *Bell) forget(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.loads, name)
}
