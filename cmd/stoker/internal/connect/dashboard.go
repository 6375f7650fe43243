package connect

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/cache"
)

// QueueOption hands our way of connecting to the Asynq dashboard, which opens
// and closes clients of its own, and shows all queues of a Redis: of a namespace it is given the own ones.
type QueueOption struct {
	Endpoint  jobs.Endpoint
	Namespace jobs.Namespace
	Count     func(redis.UniversalClient) // counts what a client looks up; see Servers.CountQueue
}

// MakeRedisClient implements asynq.RedisConnOpt.
func (o QueueOption) MakeRedisClient() any {
	c, err := cache.OpenAt(o.Endpoint)
	if err != nil {
		// Open has opened the same server: its URL parses.
		panic(err)
	}
	c.AddHook(ownQueues{o.Namespace})
	if o.Count != nil {
		o.Count(c)
	}
	return c
}

// ownQueues keeps a client of Asynq's from the queues of other namespaces. Queues that are not Stoker's are shown where
// there is no namespace, as they are by Asynq's own tools.
type ownQueues struct{ namespace jobs.Namespace }

func (o ownQueues) has(queue string) bool {
	n, ours := jobs.NamespaceOf(queue)
	return ours && n == o.namespace || !ours && o.namespace == ""
}

// foreign returns the queue of another namespace that a command names; "" if it names none.
func (o ownQueues) foreign(cmd redis.Cmder) string {
	for _, arg := range cmd.Args() {
		text, is := arg.(string)
		if rest, found := strings.CutPrefix(text, "asynq:{"); is && found {
			if queue, _, _ := strings.Cut(rest, "}"); !o.has(queue) {
				return queue
			}
		}
	}
	return ""
}

var errOtherNamespace = errors.New("it is not of this namespace")

func (ownQueues) DialHook(next redis.DialHook) redis.DialHook { return next }

func (o ownQueues) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if queue := o.foreign(cmd); queue != "" {
			err := fmt.Errorf("queue %s: %w", queue, errOtherNamespace)
			cmd.SetErr(err)
			return err
		}
		err := next(ctx, cmd)
		if list, is := cmd.(*redis.StringSliceCmd); is && err == nil && len(cmd.Args()) == 2 &&
			cmd.Args()[1] == "asynq:queues" {
			list.SetVal(slices.DeleteFunc(list.Val(), func(queue string) bool { return !o.has(queue) }))
		}
		return err
	}
}

func (o ownQueues) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if queue := o.foreign(cmd); queue != "" {
				return fmt.Errorf("queue %s: %w", queue, errOtherNamespace)
			}
		}
		return next(ctx, cmds)
	}
}
