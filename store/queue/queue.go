// Package queue looks at Asynq's queues, and repairs what Asynq's own API does not reach: a name that is
// taken by a task that no worker will ever be given, and a task in hand that no worker has.
//
//	asynq:{<queue>}:t:<id>                    the task; while it is there, its name is taken
//	asynq:{<queue>}:pending, :active          lists of names
//	asynq:{<queue>}:lease, :scheduled, :retry, :archived, :completed    sorted sets of names
//	asynq:{<queue>}:paused                    since when no worker is given a task
//	stoker:handback:<queue>:<id>@<made>       how often workers have handed a task back
//
// In a namespace, <namespace>:<queue> is what Asynq calls a queue, and the last key begins with
// stoker:ns:<namespace>:.
//
// Asynq changes the first six in scripts, so that no state between two of them is ever seen. Scripts here
// keep to that: what they decide on, they read themselves.
package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
)

// Queues are the queues of runs and of refreshes of one namespace, which its methods call as jobs.Queues does. It is
// safe for concurrent use.
type Queues struct {
	c         redis.UniversalClient
	namespace jobs.Namespace
}

// New returns the queues behind a client, which the caller closes, without a namespace.
func New(c redis.UniversalClient) *Queues { return NewIn("", c) }

// NewIn is New for the queues of a namespace.
func NewIn(n jobs.Namespace, c redis.UniversalClient) *Queues { return &Queues{c, n} }

// key names one of Asynq's keys of a queue.
func (q *Queues) key(queue, kind string) string { return Prefix(q.namespace, queue) + kind }

// Paused returns the queues that someone has paused, in the Asynq dashboard or with its command line.
func (q *Queues) Paused(ctx context.Context) ([]jobs.PausedQueue, error) {
	var paused []jobs.PausedQueue
	for _, name := range jobs.Queues {
		text, err := q.c.Get(ctx, q.key(name, "paused")).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look whether queue %s is paused: %w", name, err)
		}
		p := jobs.PausedQueue{Queue: name}
		if since, err := strconv.ParseInt(text, 10, 64); err == nil && since > 0 {
			p.Since = time.Unix(since, 0).UTC()
		}
		paused = append(paused, p)
	}
	return paused, nil
}

// Pending returns how many tasks of a queue wait for a worker; not those that are active, that wait for their time, or
// that are kept after their end. A queue that has had no task yet has none.
func (q *Queues) Pending(ctx context.Context, queue string) (int64, error) {
	n, err := q.c.LLen(ctx, q.key(queue, "pending")).Result()
	if err != nil {
		return 0, fmt.Errorf("count the tasks that wait in queue %s: %w", queue, err)
	}
	return n, nil
}

// Resume lets workers be given tasks of a queue again, whoever paused it.
func (q *Queues) Resume(ctx context.Context, queue string) error {
	if err := q.c.Del(ctx, q.key(queue, "paused")).Err(); err != nil {
		return fmt.Errorf("resume queue %s: %w", queue, err)
	}
	return nil
}

// releaseScript frees the name ARGV[1]: of a task in one of the states ARGV[3...], and of a ghost: a task
// that is not in the list or set of its state, or that is in hand without a lease. A task whose rescue waits or is
// in hand is not done for: ARGV[2] ends the names of rescues. It returns 1 if the name is free.
var releaseScript = redis.NewScript(`
local id, mark = ARGV[1], ARGV[2]
local places = {pending = 1, active = 2, scheduled = 4, retry = 5, archived = 6, completed = 7}
local function find(id)
	local task = KEYS[8] .. id
	if redis.call('EXISTS', task) == 0 then return nil end
	local state = redis.call('HGET', task, 'state')
	local at, there = places[state], false
	if at and at > 2 then
		there = redis.call('ZSCORE', KEYS[at], id) ~= false
	elseif at then
		for _, other in ipairs(redis.call('LRANGE', KEYS[at], 0, -1)) do
			if other == id then there = true end
		end
		if state == 'active' and not redis.call('ZSCORE', KEYS[3], id) then there = false end
	end
	return state, there
end
local state, there = find(id)
if state == nil then return 1 end
if there then
	local free = false
	for i = 3, #ARGV do
		if ARGV[i] == state then free = true end
	end
	local rescue = id .. mark
	local doing, here = find(rescue)
	while free and doing ~= nil do
		if here and doing ~= 'archived' and doing ~= 'completed' then free = false end
		rescue = rescue .. mark
		doing, here = find(rescue)
	end
	if not free then return 0 end
end
for i = 1, 2 do redis.call('LREM', KEYS[i], 0, id) end
for i = 3, 7 do redis.call('ZREM', KEYS[i], id) end
redis.call('DEL', KEYS[8] .. id)
return 1`)

// Release frees the name of a task that is in one of the states, or that no worker will ever be given
// because Redis has lost a part of it. It reports whether the name is free.
func (q *Queues) Release(ctx context.Context, queue, id string, states ...asynq.TaskState) (bool, error) {
	var keys []string
	for _, kind := range []string{"pending", "active", "lease", "scheduled", "retry", "archived", "completed", "t:"} {
		keys = append(keys, q.key(queue, kind))
	}
	args := []any{id, jobs.RescueID("")}
	for _, s := range states {
		args = append(args, s.String())
	}
	n, err := releaseScript.Run(ctx, q.c, keys, args...).Int()
	if err != nil {
		return false, fmt.Errorf("free the name %s on queue %s: %w", id, queue, err)
	}
	return n == 1, nil
}

// handBackScript counts and returns the count, and since when: the key's life tells.
var handBackScript = redis.NewScript(`
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {n, ARGV[1] - redis.call('PTTL', KEYS[1])}`)

// handBackLife is how long the count of a task is kept.
const handBackLife = 24 * time.Hour

// HandedBack counts that a worker hands a task back because it cannot do it, and returns how often that
// was, with this time, and how long ago the first time.
func (q *Queues) HandedBack(ctx context.Context, queue, id string, made time.Time) (n int64, since time.Duration,
	err error) {
	name := q.namespace.Key(fmt.Sprintf("handback:%s:%s@%d", queue, id, made.UnixMilli()))
	got, err := handBackScript.Run(ctx, q.c, []string{name}, handBackLife.Milliseconds()).Int64Slice()
	if err != nil {
		return 0, 0, fmt.Errorf("count that task %s was handed back: %w", id, err)
	}
	return got[0], time.Duration(got[1]) * time.Millisecond, nil
}
