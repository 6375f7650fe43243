package queue

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Asynq takes a task back from a dead worker when its lease has lapsed. It never looks at a task in hand
// that has no lease: one whose lease Redis has lost, or whose worker ended after that. Such a task stays
// in hand for good.

// leaseSlack is how long a lease must have lapsed before its task counts as an orphan: leases are dated by
// the clock of the worker. It is shorter than the 30 seconds after which Asynq hands the task out itself.
const leaseSlack = 15 * time.Second

// mostOrphans is how many tasks in hand are looked at.
const mostOrphans = 1000

const orphanLua = `
local now = tonumber(redis.call('TIME')[1])
local function orphan(lease, id)
	local lapses = redis.call('ZSCORE', lease, id)
	return not lapses or tonumber(lapses) + %d < now
end
`

var (
	orphansScript = redis.NewScript(fmt.Sprintf(orphanLua, int(leaseSlack.Seconds())) + `
local found = {}
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, ARGV[1])) do
	if orphan(KEYS[2], id) then table.insert(found, id) end
end
return found`)

	// the task's message is Protobuf, where a field that comes again replaces the one before: ARGV[2] is
	// appended to it
	archiveScript = redis.NewScript(fmt.Sprintf(orphanLua, int(leaseSlack.Seconds())) + `
local id = ARGV[1]
if not orphan(KEYS[3], id) or redis.call('LREM', KEYS[2], 0, id) == 0 then return 0 end
redis.call('ZREM', KEYS[3], id)
local message = redis.call('HGET', KEYS[1], 'msg')
if not message then
	redis.call('DEL', KEYS[1])
	return 1
end
redis.call('HSET', KEYS[1], 'msg', message .. ARGV[2], 'state', 'archived')
redis.call('ZADD', KEYS[4], now, id)
return 1`)
)

// Orphans returns the tasks of a queue that are in hand and that no worker has, by ID.
func (q *Queues) Orphans(ctx context.Context, queue string) ([]string, error) {
	ids, err := orphansScript.Run(ctx, q.c, []string{q.key(queue, "active"), q.key(queue, "lease")},
		mostOrphans-1).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("look for orphaned tasks of queue %s: %w", queue, err)
	}
	return ids, nil
}

// Archive takes an orphan from the tasks in hand and archives it with the reason. A name without a task is
// only taken from the list. It reports false if the task is no orphan any more.
func (q *Queues) Archive(ctx context.Context, queue, id, reason string) (bool, error) {
	keys := []string{q.key(queue, "t:"+id), q.key(queue, "active"), q.key(queue, "lease"), q.key(queue, "archived")}
	n, err := archiveScript.Run(ctx, q.c, keys, id, failure(reason, time.Now())).Int()
	if err != nil {
		return false, fmt.Errorf("archive the orphaned task %s of queue %s: %w", id, queue, err)
	}
	return n == 1, nil
}

// failure is why and when a task failed, as fields of Asynq's Protobuf message.
func failure(reason string, at time.Time) []byte {
	const errorMsg, lastFailedAt = 7<<3 | 2, 11 << 3 // field number and wire type
	b := binary.AppendUvarint([]byte{errorMsg}, uint64(len(reason)))
	b = append(b, reason...)
	return binary.AppendUvarint(append(b, lastFailedAt), uint64(at.Unix()))
}
