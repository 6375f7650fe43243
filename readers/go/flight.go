package reader

import (
	"context"
	"sync"
	"time"
)

// flights has one piece of work a key under way at a time, whoever waits for it.
type flights struct {
	mu     sync.Mutex
	flying map[string]*flight
	all    sync.WaitGroup
}

// flight is one piece of work. The answer is set when done is closed.
type flight struct {
	done   chan struct{}
	answer Answer
	landed time.Time // zero while it is under way
}

// lingers is how long a flight that has ended is kept for requests that began before.
const lingers = 5 * time.Second

// join waits for the work of a key, and begins it if there is none. Work that has ended since begun, when the request
// began, is as good as work under way. It does not end with a caller who leaves.
func (f *flights) join(ctx context.Context, key string, begun time.Time, work func(context.Context) Answer) (Answer,
	error) {
	f.mu.Lock()
	one := f.flying[key]
	if one == nil || !one.landed.IsZero() && one.landed.Before(begun) {
		one = &flight{done: make(chan struct{})}
		if f.flying == nil {
			f.flying = make(map[string]*flight)
		}
		f.flying[key] = one
		mine := one
		f.all.Go(func() {
			defer close(mine.done)
			defer f.land(key, mine)
			mine.answer = Answer{Outcome: Down} // if the work panics
			mine.answer = work(context.WithoutCancel(ctx))
		})
	}
	f.mu.Unlock()
	select {
	case <-one.done:
		return one.answer, nil
	case <-ctx.Done():
		return Answer{}, ctx.Err()
	}
}

func (f *flights) land(key string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one.landed = time.Now()
	time.AfterFunc(lingers, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.flying[key] == one {
			delete(f.flying, key)
		}
	})
}

func (f *flights) wait() { f.all.Wait() }

// breaker spares a server that is down: after limit failures in a row nobody asks it for a pause, and then one does.
type breaker struct {
	limit int
	pause time.Duration

	mu       sync.Mutex
	failures int
	until    time.Time
}

func (b *breaker) allows() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < b.limit {
		return true
	}
	if time.Now().Before(b.until) {
		return false
	}
	b.until = time.Now().Add(b.pause)
	return true
}

func (b *breaker) note(ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ok {
		b.failures = 0
		return
	}
	if b.failures++; b.failures >= b.limit {
		b.until = time.Now().Add(b.pause)
	}
}
