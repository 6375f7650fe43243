package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
	"github.com/stokerhq/stoker/store/testserver"
)

// redisServer is a private Redis and our connection to it. Only such a server
// is ever flushed.
type redisServer struct {
	*testserver.Redis
	client *redis.Client
}

func startRedis(ctx context.Context) (*redisServer, error) {
	server, err := testserver.StartRedis(ctx)
	if err != nil {
		return nil, err
	}
	return &redisServer{server, redis.NewClient(&redis.Options{Addr: server.Addr()})}, nil
}

// startRedis starts the server of one part, and says in the report what it is.
func (b *bench) startRedis(ctx context.Context) (*redisServer, error) {
	server, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}
	info, err := server.info(ctx)
	if err != nil {
		return nil, errors.Join(err, server.close())
	}
	b.report.Redis = info["redis_version"]
	return server, nil
}

func (r *redisServer) close() error { return left(errors.Join(r.client.Close(), r.Redis.Close())) }

// flush empties the server and waits until it has nothing left to do.
func (r *redisServer) flush(ctx context.Context) error {
	if err := r.client.FlushAll(ctx).Err(); err != nil {
		return fmt.Errorf("flush the private redis: %w", err)
	}
	return r.awaitQuiet(ctx)
}

// Redis is idle when it uses less than a tenth of a processor and has freed
// what was removed.
const (
	settleStep  = 100 * time.Millisecond
	settleShare = 0.1
	settleLimit = 30 * time.Second
)

// awaitQuiet waits until the server is idle, its replica included.
func (r *redisServer) awaitQuiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, settleLimit, errors.New("it is still busy"))
	defer cancel()
	for {
		before, err := r.cpu(ctx)
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until the private redis is idle: %w", context.Cause(ctx))
		case <-time.After(settleStep):
		}
		info, err := r.info(ctx)
		if err != nil {
			return err
		}
		used := cpuOf(info) - before
		if used < report.In(settleStep)*settleShare && info["lazyfree_pending_objects"] == "0" && replicated(info) {
			return nil
		}
	}
}

// info is INFO, all sections in one.
func (r *redisServer) info(ctx context.Context) (map[string]string, error) {
	text, err := r.client.Info(ctx).Result()
	if err != nil {
		return nil, fmt.Errorf("ask the private redis how it is: %w", err)
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

// cpu is the processor time that the server has used.
func (r *redisServer) cpu(ctx context.Context) (report.Seconds, error) {
	info, err := r.info(ctx)
	return cpuOf(info), err
}

func cpuOf(info map[string]string) report.Seconds {
	var sum float64
	for _, name := range []string{"used_cpu_sys", "used_cpu_user"} {
		v, err := strconv.ParseFloat(info[name], 64)
		if err == nil { // every Redis we can start says it
			sum += v
		}
	}
	return report.Seconds(sum)
}

// offset is how many bytes have gone into the replication stream.
func (r *redisServer) offset(ctx context.Context) (int64, error) {
	info, err := r.info(ctx)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(info["master_repl_offset"], 10, 64)
}

// lag is how far a replica may be behind to count as in sync: an idle daemon
// writes a little all the time.
const lag = 64 << 10

// replicated reports whether the replica, if there is one, has everything.
func replicated(info map[string]string) bool {
	if info["connected_slaves"] == "0" {
		return true
	}
	sent, err := strconv.ParseInt(info["master_repl_offset"], 10, 64)
	for field := range strings.SplitSeq(info["slave0"], ",") {
		if text, is := strings.CutPrefix(field, "offset="); is && err == nil {
			var has int64
			has, err = strconv.ParseInt(text, 10, 64)
			sent -= has
		}
	}
	return err == nil && sent < lag && strings.Contains(info["slave0"], "state=online")
}

// attachReplica starts a second server that follows this one, and waits until
// it is in sync.
func (r *redisServer) attachReplica(ctx context.Context) (*redisServer, error) {
	for name, value := range map[string]string{
		"repl-diskless-sync-delay":   "0",             // no other replica will come
		"client-output-buffer-limit": "replica 0 0 0", // a slow machine must not cut it off
	} {
		if err := r.client.ConfigSet(ctx, name, value).Err(); err != nil {
			return nil, fmt.Errorf("prepare the private redis for a replica: %w", err)
		}
	}
	replica, err := startRedis(ctx)
	if err != nil {
		return nil, err
	}
	if err := replica.follow(ctx, r); err != nil {
		return nil, errors.Join(fmt.Errorf("attach a replica: %w", err), replica.close())
	}
	return replica, nil
}

func (r *redisServer) follow(ctx context.Context, primary *redisServer) error {
	host, port, err := net.SplitHostPort(primary.Addr())
	if err != nil {
		return err
	}
	if err := r.client.ReplicaOf(ctx, host, port).Err(); err != nil {
		return err
	}
	for {
		info, err := primary.info(ctx)
		if err != nil {
			return err
		}
		if info["connected_slaves"] == "1" && replicated(info) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(settleStep):
		}
	}
}
