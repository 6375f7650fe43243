// Package patience has commands wait for a Redis that does not answer, in place of failing what they are a part of.
package patience

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store"
)

// key is that of a context's Waiter.
type key struct{}

// Waiter is how the writes of one run wait for a Redis that does not answer: one that is paused, stopped, or held up
// by a command that takes long. Each of them may be sent again, as it may have been done or not: what is written twice
// is what the same snapshot says, and under the rules of the book.
type Waiter struct {
	note func(err error)

	mu      sync.Mutex
	waiting int
}

// With returns a context whose commands wait, as long as it lives, for a Redis that does not answer. note is given why,
// when waiting begins, and nil when Redis answers again.
func With(ctx context.Context, note func(err error)) context.Context {
	return context.WithValue(ctx, key{}, &Waiter{note: note})
}

func without(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, (*Waiter)(nil))
}

// Of returns how commands of a context wait; nil: not at all.
func Of(ctx context.Context) *Waiter {
	w, _ := ctx.Value(key{}).(*Waiter)
	return w
}

// Silent reports whether err says that Redis has not answered in time, or that it is busy with itself for now.
func Silent(err error) bool {
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

// Probe asks Redis whether it answers.
type Probe func(context.Context) error

// Await waits until Redis answers a probe, whatever it answers. It reports false if ctx has ended before, there is no
// waiter, or err is not of a kind that passes.
func (w *Waiter) Await(ctx context.Context, probe Probe, err error) bool {
	if w == nil || !Silent(err) || ctx.Err() != nil {
		return false
	}
	w.begin(err)
	defer w.end()
	for store.Sleep(ctx, answerPause) {
		limited, cancel := context.WithTimeout(without(ctx), answerLimit)
		err := probe(limited)
		cancel()
		if !Silent(err) && ctx.Err() == nil {
			return true
		}
	}
	return false
}

// begin and end call note for the first that waits and the last.
func (w *Waiter) begin(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting++; w.waiting == 1 {
		w.note(err)
	}
}

func (w *Waiter) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiting--; w.waiting == 0 {
		w.note(nil)
	}
}

// Hook returns the hook of a client by which the commands of a patient context wait.
func Hook(p Probe) redis.Hook { return hook{p} }

type hook struct{ probe Probe }

// DialHook implements redis.Hook.
func (hook) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		for Of(ctx).Await(ctx, h.probe, err) {
			cmd.SetErr(nil)
			err = next(ctx, cmd)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for Of(ctx).Await(ctx, h.probe, err) {
			for _, cmd := range cmds {
				cmd.SetErr(nil)
			}
			err = next(ctx, cmds)
		}
		return err
	}
}
