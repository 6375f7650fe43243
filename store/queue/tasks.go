package queue

import (
	"context"
	"fmt"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
)

// Client puts tasks on the queues of one namespace, which callers name as jobs.Queues does: of what Asynq calls them,
// only this package, the servers that take tasks from them, and the dashboard know.
type Client struct {
	client    *asynq.Client
	namespace jobs.Namespace
}

// NewClient returns a client that shares a connection, and needs no closing.
func NewClient(n jobs.Namespace, c redis.UniversalClient) *Client {
	return &Client{asynq.NewClientFromRedisClient(c), n}
}

// EnqueueContext is that of *asynq.Client. A task goes to the queue of its type, unless an option names another.
func (c *Client) EnqueueContext(ctx context.Context, t *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
	if c.namespace == "" {
		return c.client.EnqueueContext(ctx, t, opts...)
	}
	queue := jobs.QueueRun
	if t.Type() == jobs.TypeRefresh {
		queue = jobs.QueueRefresh
	}
	for _, o := range opts {
		if name, is := o.Value().(string); is && o.Type() == asynq.QueueOpt {
			queue = name
		}
	}
	info, err := c.client.EnqueueContext(ctx, t, append(opts[:len(opts):len(opts)],
		asynq.Queue(c.namespace.Queue(queue)))...)
	if info != nil {
		info.Queue = queue
	}
	return info, err
}

// Inspector looks at the tasks of one namespace, and calls its queues as jobs.Queues does.
type Inspector struct {
	inspector *asynq.Inspector
	namespace jobs.Namespace
}

// NewInspector returns an inspector that shares a connection, and needs no closing.
func NewInspector(n jobs.Namespace, c redis.UniversalClient) *Inspector {
	return &Inspector{asynq.NewInspectorFromRedisClient(c), n}
}

// GetTaskInfo is that of *asynq.Inspector.
func (i *Inspector) GetTaskInfo(queue, id string) (*asynq.TaskInfo, error) {
	info, err := i.inspector.GetTaskInfo(i.namespace.Queue(queue), id)
	if info != nil {
		info.Queue = queue
	}
	return info, err
}

// ListActiveTasks is that of *asynq.Inspector.
func (i *Inspector) ListActiveTasks(queue string, opts ...asynq.ListOption) ([]*asynq.TaskInfo, error) {
	list, err := i.inspector.ListActiveTasks(i.namespace.Queue(queue), opts...)
	for _, info := range list {
		info.Queue = queue
	}
	return list, err
}

// GetQueueInfo is that of *asynq.Inspector.
func (i *Inspector) GetQueueInfo(queue string) (*asynq.QueueInfo, error) {
	info, err := i.inspector.GetQueueInfo(i.namespace.Queue(queue))
	if info != nil {
		info.Queue = queue
	}
	return info, err
}

// Servers is that of *asynq.Inspector, of the servers that take tasks of the namespace.
func (i *Inspector) Servers() ([]*asynq.ServerInfo, error) {
	all, err := i.inspector.Servers()
	var own []*asynq.ServerInfo
	for _, s := range all {
		queues := make(map[string]int)
		for name, priority := range s.Queues {
			for _, queue := range jobs.Queues {
				if name == i.namespace.Queue(queue) {
					queues[queue] = priority
				}
			}
		}
		if len(queues) > 0 {
			s.Queues = queues
			own = append(own, s)
		}
	}
	return own, err
}

// Announce registers the queues of a namespace with Asynq's tools.
func Announce(ctx context.Context, n jobs.Namespace, c redis.UniversalClient) error {
	if err := c.SAdd(ctx, queuesKey, n.Queues()).Err(); err != nil {
		return fmt.Errorf("register the queues: %w", err)
	}
	return nil
}

// Renounce takes the queues of a namespace off that register. Their keys are the caller's to remove.
func Renounce(ctx context.Context, n jobs.Namespace, c redis.UniversalClient) error {
	if err := c.SRem(ctx, queuesKey, n.Queues()).Err(); err != nil {
		return fmt.Errorf("take the queues off the register: %w", err)
	}
	return nil
}

// Prefix is how all of Asynq's keys of a queue begin.
func Prefix(n jobs.Namespace, queue string) string { return "asynq:{" + n.Queue(queue) + "}:" }

// queuesKey is Asynq's set of all queues there are.
const queuesKey = "asynq:queues"
