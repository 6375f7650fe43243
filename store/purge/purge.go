// Package purge removes what a namespace has in Redis: step by step with SCAN and UNLINK, so that nobody else who uses
// the servers waits for it.
//
//	values, by manifests and untracked keys  ->  keys of the cache's Redis  ->  queues, and keys of theirs
//
// What tells of the values goes after them: a purge that was stopped is ended by another one.
package purge

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/store/queue"
)

// step is how many keys one round trip looks at, or removes: a bigger one is what API nodes would feel.
const step = 250

// Config says what is removed.
type Config struct {
	Spec        *jobs.Spec // its namespace, and its jobs
	Cache       *cache.Cache
	CacheClient redis.UniversalClient
	QueueClient redis.UniversalClient
	Values      bool        // also the values of jobs
	Dry         bool        // remove nothing, count only
	Progress    func(Found) // called now and then, by one at a time
}

// Found is what there is of the namespace, or was, before it was removed.
type Found struct {
	Values  int64 `json:"values"`  // keys of jobs
	Cache   int64 `json:"cache"`   // keys of ours in the cache's Redis
	Queue   int64 `json:"queue"`   // keys of ours in the queue's Redis; with one Redis, those of Asynq alone
	Pending int64 `json:"pending"` // tasks that nobody will do
}

// Run removes, or counts. What was found until an error is returned with it.
func Run(ctx context.Context, c Config) (Found, error) {
	p := purge{Config: c}
	for _, do := range []func(context.Context) error{p.values, p.cache, p.queues, p.register} {
		if err := do(ctx); err != nil {
			return p.found, err
		}
	}
	return p.found, nil
}

type purge struct {
	Config
	found Found
}

func (p *purge) own(key string) bool { return p.Spec.Namespace.HasKey(key) && !queue.IsRegister(key) }

// cache removes our keys beside the values.
func (p *purge) cache(ctx context.Context) error {
	return p.sweep(ctx, p.CacheClient, p.Spec.Namespace.Prefix()+"*", p.own, &p.found.Cache)
}

// queues removes the queues, and our keys beside them.
func (p *purge) queues(ctx context.Context) error {
	if !p.Spec.Redis.Shared() {
		if err := p.sweep(ctx, p.QueueClient, p.Spec.Namespace.Prefix()+"*", p.own, &p.found.Queue); err != nil {
			return err
		}
	}
	waiting := queue.NewIn(p.Spec.Namespace, p.QueueClient)
	for _, name := range jobs.Queues {
		n, err := waiting.Pending(ctx, name)
		if err != nil {
			return err
		}
		p.found.Pending += n
		prefix := queue.Prefix(p.Spec.Namespace, name)
		all := func(key string) bool { return strings.HasPrefix(key, prefix) }
		if err := p.sweep(ctx, p.QueueClient, prefix+"*", all, &p.found.Queue); err != nil {
			return err
		}
	}
	return nil
}

// register takes the namespace off what all namespaces share.
func (p *purge) register(ctx context.Context) error {
	if p.Dry {
		return nil
	}
	if err := queue.Renounce(ctx, p.Spec.Namespace, p.QueueClient); err != nil {
		return err
	}
	return queue.NewRegister(p.QueueClient).Purge(ctx, p.Spec.Namespace)
}

// sweep removes the keys that match a pattern and are own.
func (p *purge) sweep(ctx context.Context, c redis.UniversalClient, pattern string, own func(string) bool,
	count *int64) error {
	var mu sync.Mutex // in Cluster, masters are swept at once
	node := func(ctx context.Context, one redis.Cmdable) error {
		for cursor := uint64(0); ; {
			keys, next, err := one.Scan(ctx, cursor, pattern, step).Result()
			if err != nil {
				return fmt.Errorf("look for keys like %s: %w", pattern, err)
			}
			var list []string
			for _, key := range keys {
				if own(key) {
					list = append(list, key)
				}
			}
			mu.Lock()
			err = p.remove(ctx, c, list, count)
			mu.Unlock()
			if err != nil {
				return err
			}
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	if cluster, ok := c.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, one *redis.Client) error { return node(ctx, one) })
	}
	return node(ctx, c)
}

// remove removes keys, which may be gone already, and counts those that were there.
func (p *purge) remove(ctx context.Context, c redis.UniversalClient, keys []string, count *int64) error {
	for from := 0; from < len(keys); from += step {
		var cmds []*redis.IntCmd
		_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, key := range keys[from:min(from+step, len(keys))] {
				if p.Dry {
					cmds = append(cmds, pipe.Exists(ctx, key))
				} else {
					cmds = append(cmds, pipe.Unlink(ctx, key))
				}
			}
			return nil
		})
		for _, cmd := range cmds {
			*count += cmd.Val()
		}
		if err != nil {
			return fmt.Errorf("remove %d keys, the first is %s: %w", len(keys), keys[0], store.WithRemedy(err))
		}
		if p.Progress != nil {
			p.Progress(p.found)
		}
	}
	return nil
}

// values removes the values of all jobs whose keys are on record, also of those that the spec has no more.
func (p *purge) values(ctx context.Context) error {
	if !p.Values {
		return nil
	}
	names, err := p.jobs(ctx)
	if err != nil {
		return err
	}
	for _, job := range names {
		if err := p.valuesOf(ctx, job); err != nil {
			return fmt.Errorf("the values of job %s: %w", job, err)
		}
	}
	return nil
}

// jobs are the names of jobs that there are, or were.
func (p *purge) jobs(ctx context.Context) ([]string, error) {
	seen := make(map[string]bool)
	var names []string
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, job := range p.Spec.Jobs {
		add(job.Name)
	}
	head := p.Spec.Namespace.Key("manifest:")
	err := p.Cache.Scan(ctx, head+"*:head", func(keys []string) error {
		for _, key := range keys {
			if name := strings.TrimSuffix(strings.TrimPrefix(key, head), ":head"); jobs.IsName(name) && p.own(key) {
				add(name)
			}
		}
		return nil
	})
	return names, err
}

func (p *purge) valuesOf(ctx context.Context, job string) error {
	m, is, err := p.Cache.Manifest(ctx, job)
	if err != nil {
		return err
	}
	if is {
		if err := p.listed(ctx, p.Cache.Chunks(ctx, job, m)); err != nil {
			return err
		}
	}
	untracked, err := p.Cache.Untracked(ctx, job)
	if err != nil {
		return err
	}
	list := make([]string, 0, len(untracked.Keys))
	for key := range untracked.Keys {
		list = append(list, key)
	}
	if err := p.remove(ctx, p.CacheClient, list, &p.found.Values); err != nil {
		return err
	}
	for _, id := range untracked.Journals {
		if err := p.listed(ctx, p.Cache.Journaled(ctx, job, id)); err != nil {
			return err
		}
	}
	return nil
}

// listed removes the values that chunks list. A list that has lost its end is no reason to stop: the rest lives as long
// as its TTL.
func (p *purge) listed(ctx context.Context, chunks manifest.Chunks) error {
	var list []string
	for e, err := range manifest.Read(chunks) {
		if cache.NoManifest(err) {
			break
		}
		if err != nil {
			return err
		}
		if list = append(list, string(e.Key)); len(list) == step {
			if err := p.remove(ctx, p.CacheClient, list, &p.found.Values); err != nil {
				return err
			}
			list = list[:0]
		}
	}
	return p.remove(ctx, p.CacheClient, list, &p.found.Values)
}
