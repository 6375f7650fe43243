package purge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/ledger"
	"github.com/stokerhq/stoker/store/manifest"
	"github.com/stokerhq/stoker/store/purge"
	"github.com/stokerhq/stoker/store/queue"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func client(t *testing.T, url string) redis.UniversalClient {
	t.Helper()
	c, err := cache.Open(jobs.NewSecret(url))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// config is a namespace of its own on two servers, which may be one.
func config(t *testing.T, n jobs.Namespace, values, tasks redis.UniversalClient) purge.Config {
	t.Helper()
	key, err := jobs.ParseKeyTemplate(string(n) + "v:{id}")
	if err != nil {
		t.Fatal(err)
	}
	spec := &jobs.Spec{File: "stoker.yaml", Namespace: n, Jobs: []*jobs.Job{{Name: "j", Key: key, TTL: time.Hour}}}
	if values != tasks {
		spec.Redis.QueueURL = jobs.NewSecret("redis://other")
	}
	return purge.Config{Spec: spec, Cache: cache.NewIn(n, values, time.Minute), CacheClient: values, QueueClient: tasks}
}

// mostKeys is enough for several steps.
const mostKeys = 700

// fill has the namespace have a key of each kind, values of a run, of a refresh and of a run that did not complete, and
// one value that is nowhere on record.
func fill(t *testing.T, c purge.Config) {
	t.Helper()
	ctx, job := t.Context(), c.Spec.Jobs[0]
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a, err := c.Cache.Arm(ctx)
	must(err)
	s, err := c.Cache.Stamp(ctx, a, store.Snapshot{Clock: 5, Origin: "here"})
	if errors.Is(err, cache.ErrNewEpoch) {
		a, err = c.Cache.Arm(ctx)
		must(err)
		s, err = c.Cache.Stamp(ctx, a, store.Snapshot{Clock: 5, Origin: "here"})
	}
	must(err)
	claim, err := c.Cache.ClaimRun(ctx, a, job, s, cache.NewID())
	must(err)
	defer claim.Close()
	m := claim.NewManifest()
	var list, journal manifest.Chunk
	key := func(i int) string { return fmt.Sprintf("%sv:%d", c.Spec.Namespace, i) }
	for i := range mostKeys {
		list.Add([]byte(key(i)), 1)
	}
	must(c.Cache.KeepChunk(ctx, job.Name, &m, list.Bytes(), time.Hour))
	must(c.Cache.KeepManifest(ctx, claim, job.Name, m, cache.Manifest{}, time.Hour))
	journal.Add([]byte(key(mostKeys)), 1)
	must(c.Cache.BeginJournal(ctx, claim, job, journal.Bytes()))
	for i := range mostKeys + 1 {
		must(c.CacheClient.Set(ctx, key(i), "v", time.Hour).Err())
	}
	var b store.Batch
	b.Buf = append(b.Buf, key(mostKeys+1)...)
	b.Buf = append(b.Buf, "v"...)
	b.Add(0, len(key(mostKeys+1)), time.Hour)
	_, err = c.Cache.Put(ctx, c.Cache.ClaimRefresh(a, job, s), &b)
	must(err)
	must(c.CacheClient.Set(ctx, key(mostKeys+2), "of somebody else", 0).Err())
	must(ledger.NewIn(c.Spec.Namespace, c.QueueClient).Add(ctx, store.Record{Job: "j", State: store.StateOK}))
	_, err = queue.NewClient(c.Spec.Namespace, c.QueueClient).EnqueueContext(ctx, jobs.NewRun("j", jobs.CauseCommand))
	must(err)
	must(queue.NewIn(c.Spec.Namespace, c.QueueClient).RaiseFormat(ctx))
	member, uses := queue.NewMember(c.Spec, time.Now(), "host:1")
	_, err = queue.NewRegister(c.QueueClient).Beat(ctx, member, uses)
	must(err)
}

// all is every key and what tells namespaces apart of a register, without what Asynq keeps of its own clients.
func all(t *testing.T, c redis.UniversalClient) (keys []string) {
	t.Helper()
	if cluster, ok := c.(*redis.ClusterClient); ok {
		c, _ := cluster.MasterForKey(t.Context(), "x")
		return all(t, c)
	}
	keys = c.Keys(t.Context(), "*").Val()
	for _, name := range c.SMembers(t.Context(), "asynq:queues").Val() {
		keys = append(keys, "queue "+name)
	}
	for _, member := range c.ZRange(t.Context(), "stoker:daemons", 0, -1).Val() {
		keys = append(keys, "daemon "+strings.SplitN(member, "|", 2)[0])
	}
	for _, field := range c.HKeys(t.Context(), "stoker:specs").Val() {
		keys = append(keys, "spec "+strings.SplitN(field, "|", 2)[0])
	}
	slices.Sort(keys)
	return keys
}

// Broken by: a key of the namespace that is left, or one of another, or of the application's, that goes; a dry run that
// removes; a count that is wrong; values that go unasked, or stay.
func TestPurge(t *testing.T) {
	for name, servers := range map[string]func(*testing.T) (a, b redis.UniversalClient){
		"one redis": func(t *testing.T) (a, b redis.UniversalClient) {
			a = client(t, storetest.Redis(t))
			return a, a
		},
		"two": func(t *testing.T) (a, b redis.UniversalClient) {
			return client(t, storetest.Redis(t)), client(t, storetest.Redis(t))
		},
		"a cluster": cluster,
	} {
		for _, n := range []jobs.Namespace{"", "shop", "shop-eu"} {
			for _, values := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s %t", name, n, values), func(t *testing.T) {
					if name == "a cluster" && (n != "shop" || !values) {
						t.Skip("a server of its own for each is too much")
					}
					a, b := servers(t)
					a.Set(t.Context(), "application", "x", 0)
					b.Set(t.Context(), "asynq:{default}:pending", "x", 0)
					for _, other := range []jobs.Namespace{"", "shop", "shop-eu"} {
						if other != n {
							fill(t, config(t, other, a, b))
						}
					}
					wantA, wantB := all(t, a), all(t, b)
					c := config(t, n, a, b)
					c.Values = values
					fill(t, c)
					if !values {
						wantA = append(wantA, valuesOf(t, a, n)...)
					} else {
						wantA = append(wantA, fmt.Sprintf("%sv:%d", n, mostKeys+2))
					}
					if a == b {
						wantB = wantA
					}
					c.Dry = true
					full := all(t, a)
					dry, err := purge.Run(t.Context(), c)
					if err != nil || !slices.Equal(all(t, a), full) {
						t.Fatalf("the dry run: %+v, %v; or it has removed keys", dry, err)
					}
					c.Dry = false
					got, err := purge.Run(t.Context(), c)
					if err != nil || got != dry || got.Pending != 1 || values != (got.Values == mostKeys+2) {
						t.Errorf("%+v, %v; the dry run said %+v", got, err, dry)
					}
					slices.Sort(wantA)
					slices.Sort(wantB)
					if now := all(t, a); !slices.Equal(now, wantA) {
						t.Errorf("cache: %s", difference(now, wantA))
					}
					if now := all(t, b); !slices.Equal(now, wantB) {
						t.Errorf("queue: %s", difference(now, wantB))
					}
					if again, err := purge.Run(t.Context(), c); again != (purge.Found{}) || err != nil {
						t.Errorf("again: %+v, %v", again, err)
					}
				})
			}
		}
	}
}

func valuesOf(t *testing.T, c redis.UniversalClient, n jobs.Namespace) (keys []string) {
	for _, key := range all(t, c) {
		if strings.HasPrefix(key, string(n)+"v:") {
			keys = append(keys, key)
		}
	}
	return keys
}

func difference(got, want []string) string {
	var out []string
	for _, key := range got {
		if !slices.Contains(want, key) {
			out = append(out, "+"+key)
		}
	}
	for _, key := range want {
		if !slices.Contains(got, key) {
			out = append(out, "-"+key)
		}
	}
	return strings.Join(out[:min(len(out), 20)], " ")
}

// cluster is a cluster of one node that is cache and queue.
func cluster(t *testing.T) (a, b redis.UniversalClient) {
	r := storetest.OwnRedis(t, "--cluster-enabled", "yes", "--databases", "1")
	single := client(t, r.URL(0))
	if err := single.Do(t.Context(), "cluster", "addslotsrange", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(single.ClusterInfo(t.Context()).Val(),
		"cluster_state:ok"); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the cluster does not become ready")
		}
	}
	a = client(t, "redis://"+r.Addr()+"?addr="+r.Addr())
	return a, a
}

// Broken by: a purge that goes on after Ctrl-C, and one that cannot be ended by another.
func TestPurgeIsStopped(t *testing.T) {
	c := client(t, storetest.Redis(t))
	before := all(t, c)
	config := config(t, "shop", c, c)
	fill(t, config)
	ctx, cancel := context.WithCancel(t.Context())
	config.Values = true
	config.Progress = func(purge.Found) { cancel() }
	found, err := purge.Run(ctx, config)
	if !errors.Is(err, context.Canceled) || found.Values == 0 || found.Values > mostKeys/2 {
		t.Errorf("%+v, %v", found, err)
	}
	config.Progress = nil
	if _, err := purge.Run(t.Context(), config); err != nil {
		t.Error(err)
	}
	want := append(before, fmt.Sprintf("shopv:%d", mostKeys+2))
	if now := all(t, c); !slices.Equal(now, want) {
		t.Errorf("left: %s", difference(now, want))
	}
}
