package cache

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// patienceKey is the key of a context's patience.
type patienceKey struct{}

// waiter is how the writes of one run wait for a Redis that does not answer: one that is paused, stopped, or held up
// by a command that takes long. Each of them may be sent again, as it may have been done or not: what is written twice
// is what the same snapshot says, and under the rules of the book.
type waiter struct {
	note func(err error)

	mu      sync.Mutex
	waiting int
}

// Patiently returns a context whose commands wait, as long as it lives, for a Redis that does not answer. note is given
// why, when waiting begins, and nil when Redis answers again.
func Patiently(ctx context.Context, note func(err error)) context.Context {
	return context.WithValue(ctx, patienceKey{}, &waiter{note: note})
}

func impatiently(ctx context.Context) context.Context {
	return context.WithValue(ctx, patienceKey{}, (*waiter)(nil))
}

func patienceOf(ctx context.Context) *waiter {
	w, _ := ctx.Value(patienceKey{}).(*waiter)
	return w
}

// silent reports whether err says that Redis has not answered in time, or that it is busy with itself for now.
func silent(err error) bool {
	if n, is := errors.AsType[net.Error](err); is && n.Timeout() {
		return true
	}
	r, is := store.RefusalIn(err)
	return is && (r.Code == "LOADING" || r.Code == "BUSY")
}

// How often a Redis that does not answer is asked whether it does again, and how long it has for that.
const (
	answerPause = 200 * time.Millisecond
	answerLimit = 2 * time.Second
)

// await waits until Redis answers a probe, whatever it answers. It reports false if ctx has ended before, has no
// patience, or err is not of a kind that passes.
func (w *waiter) await(ctx context.Context, c redis.UniversalClient, err error) bool {
	if w == nil || !silent(err) || ctx.Err() != nil {
		return false
	}
	w.begin(err)
	defer w.end()
	for store.Sleep(ctx, answerPause) {
		limited, cancel := context.WithTimeout(impatiently(ctx), answerLimit)
		err := Probe(limited, c, "") // any answer will do
		cancel()
		if !silent(err) && ctx.Err() == nil {
			return true
		}
	}
	return false
}

// begin and end call note for the first that waits and the last.
func (w *waiter) begin(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting++; w.waiting == 1 {
		w.note(err)
	}
}

func (w *waiter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting--; w.waiting == 0 {
		w.note(nil)
	}
}

// patientHook has the commands of a patient context wait.
type patientHook struct{ c redis.UniversalClient }

// DialHook implements redis.Hook.
func (patientHook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (h patientHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		for patienceOf(ctx).await(ctx, h.c, err) {
			cmd.SetErr(nil)
			err = next(ctx, cmd)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h patientHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for patienceOf(ctx).await(ctx, h.c, err) {
			for _, cmd := range cmds {
				cmd.SetErr(nil)
			}
			err = next(ctx, cmds)
		}
		return err
	}
}
