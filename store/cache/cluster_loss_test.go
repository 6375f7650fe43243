package cache_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// A master of a Cluster that is lost is seen by the next check, whichever slots it has: one that was started again
// without its data, and one whose place a replica has taken; and an epoch begins once, for all processes.
//
// Broken by: the loss of the record's own master alone; the set of masters compared as a whole, so that two processes
// begin an epoch each; a replica that is asked as the master it was; a record of an older version taken for a loss.
func TestClusterLost(t *testing.T) {
	nodes := make([]*testserver.Redis, 3) // two masters, and a replica of the second
	singles := make([]redis.UniversalClient, len(nodes))
	for i := range nodes {
		nodes[i] = storetest.OwnRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "5000",
			"--databases", "1", "--save", "")
		singles[i] = client(t, nodes[i].URL(0))
	}
	do := func(i int, args ...any) {
		t.Helper()
		if err := singles[i].Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range nodes { // as redis-cli --cluster create does: of two of one epoch, each may keep a slot
		do(i, "cluster", "set-config-epoch", i+1)
	}
	do(0, "cluster", "addslotsrange", 8192, 16383)
	do(1, "cluster", "addslotsrange", 0, 8191)
	for _, i := range []int{1, 2} {
		do(0, "cluster", "meet", "127.0.0.1", fmt.Sprint(nodes[i].Port()))
	}
	eventually := func(what string, is func(ctx context.Context) bool) {
		t.Helper()
		storetest.Eventually(t, 20*time.Second, what, func() bool { return is(t.Context()) })
	}
	id, err := singles[1].ClusterMyID(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	eventually("the replica follows", func(ctx context.Context) bool {
		return singles[2].ClusterReplicate(ctx, id).Err() == nil
	})
	values := make([]*cache.Cache, 2) // of two processes
	for i := range values {
		c := clusterClient(t, nodes[0].Addr(), nodes[1].Addr(), nodes[2].Addr())
		values[i] = cache.New(c, time.Minute)
	}
	eventually("the cluster is ready", func(ctx context.Context) bool {
		_, err := values[0].Renew(ctx)
		return err == nil && strings.Contains(singles[2].Info(ctx, "replication").Val(), "master_link_status:up")
	})
	last, _, err := values[0].Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	quiet := func(when string) {
		t.Helper()
		for range 2 {
			for i, v := range values {
				if lost, err := v.Lost(t.Context()); err != nil || lost != "" {
					t.Errorf("%s, process %d: %q, %v", when, i, lost, err)
				}
			}
			time.Sleep(time.Second) // they ask the servers anew
		}
	}
	quiet("nothing has happened")

	cluster := clusterClient(t, nodes[0].Addr(), nodes[1].Addr())
	const record = "stoker:epoch:postgres"
	if slot := cluster.ClusterKeySlot(t.Context(), record).Val(); slot < 8192 {
		t.Fatalf("the record is in slot %d, of the server that is lost", slot)
	}
	if err := cluster.HDel(t.Context(), record, "masters").Err(); err != nil {
		t.Fatal(err)
	}
	quiet("a record of an older version")
	if _, err := values[1].Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now, _, err := values[1].Epoch(t.Context()); err != nil || now != last {
		t.Errorf("a record of an older version: epoch %d after %d, %v", now, last, err)
	}
	if n, err := cluster.HExists(t.Context(), record, "masters").Result(); err != nil || !n {
		t.Errorf("the masters are not noted: %v", err)
	}

	for _, name := range []string{"started again", "a replica takes over"} {
		nodes[1].Kill()
		if name == "started again" {
			if err := nodes[1].Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		} else {
			do(2, "cluster", "failover", "takeover")
			// They tell each other within half a node timeout; who asks the wrong one is sent to a server that is gone.
			eventually("the other master knows of it", func(ctx context.Context) bool {
				slots, err := singles[0].ClusterSlots(ctx).Result()
				return err == nil && slices.ContainsFunc(slots, func(s redis.ClusterSlot) bool {
					return s.Start == 0 && s.Nodes[0].Addr == nodes[2].Addr()
				})
			})
		}
		eventually(name+": it is lost", func(ctx context.Context) bool {
			lost, err := values[0].Lost(ctx)
			if err != nil {
				t.Log(name, err) // until the others know of it
			}
			return err == nil && lost != ""
		})
		for _, v := range values {
			eventually(name+": an epoch begins", func(ctx context.Context) bool {
				_, err := v.Renew(ctx)
				return err == nil
			})
		}
		now, _, err := values[0].Epoch(t.Context())
		if err != nil || now != last+1 {
			t.Errorf("%s: epoch %d after %d, %v", name, now, last, err)
		}
		last = now
		quiet("after " + name)
	}
}

func clusterClient(t *testing.T, first string, more ...string) redis.UniversalClient {
	t.Helper()
	url := "redis://" + first + "?addr=" + first
	for _, addr := range more {
		url += "&addr=" + addr
	}
	return client(t, url)
}
