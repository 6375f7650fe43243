package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// measure empties the server, lets one contender fill it, and keeps what that
// cost.
func (b *bench) measure(ctx context.Context, s report.Sample, server *redisServer,
	do func(context.Context) (outcome, error)) error {
	if err := server.flush(ctx); err != nil {
		return err
	}
	m, err := startMeter(ctx, server)
	if err != nil {
		return err
	}
	o, err := do(ctx)
	if err != nil {
		return err
	}
	redis, busy, err := m.stop(ctx)
	if err != nil {
		return err
	}
	s.Keys, s.Wall, s.Backend, s.Client, s.Redis = o.keys, o.wall(), o.backend, o.client, redis
	s.Others = max(0, busy-s.Backend-s.Client-s.Redis)
	b.report.Samples = append(b.report.Samples, s)
	b.say("%s, round %d of %d: (%s) %.2f s", s.Part, s.Round, b.rounds, s.Contender, float64(s.Wall))
	return nil
}

// meter counts the CPU time of a Redis server and of the whole machine.
type meter struct {
	server *redisServer
	redis  report.Seconds
	busy   time.Duration
}

func startMeter(ctx context.Context, server *redisServer) (m meter, err error) {
	m.server = server
	if m.redis, err = server.cpu(ctx); err == nil {
		m.busy, err = proc.Busy()
	}
	return m, err
}

// stop returns what was used since the start.
func (m meter) stop(ctx context.Context) (redis, busy report.Seconds, err error) {
	now, err := proc.Busy()
	if err == nil {
		redis, err = m.server.cpu(ctx)
	}
	return redis - m.redis, report.In(now - m.busy), err
}

// measured is a run of the daemon, with what its backends used.
func (b *bench) measured(ctx context.Context, d *daemon) (o outcome, err error) {
	before, err := b.backends()
	if err != nil {
		return o, err
	}
	if o, err = d.run(ctx); err != nil {
		return o, err
	}
	after, err := b.backends()
	o.backend = grown(before, after)
	return o, err
}

// backends returns the CPU time of every Postgres backend that serves a client,
// ourselves excepted.
func (b *bench) backends() (map[int]report.Seconds, error) {
	lines, err := b.sql.Exec("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> " +
		"pg_backend_pid()")
	if err != nil {
		return nil, fmt.Errorf("look for backends: %w", err)
	}
	all := map[int]report.Seconds{}
	for _, line := range lines {
		pid, err := strconv.Atoi(line)
		if err != nil {
			return nil, fmt.Errorf("look for backends: %w", err)
		}
		// One that ended since has nothing more to say.
		if used, err := proc.CPU(pid); err == nil {
			all[pid] = report.In(used)
		}
	}
	return all, nil
}

// grown is how much more the backends have used than before.
func grown(before, after map[int]report.Seconds) report.Seconds {
	var sum report.Seconds
	for pid, used := range after {
		sum += used - before[pid]
	}
	return sum
}

// checked is how many keys are compared after each contender.
const checked = 1000

// digest sums up some values of a dataset, the same ones each time, so that two
// contenders can be held to have written the same.
func digest(ctx context.Context, server *redisServer, d dataset) (string, error) {
	pick := rand.New(rand.NewPCG(1, 2))
	keys := make([]string, checked)
	for i := range keys {
		keys[i] = d.job.Prefix + strconv.FormatInt(1+pick.Int64N(d.rows), 10)
	}
	values, err := server.client.MGet(ctx, keys...).Result()
	if err != nil {
		return "", fmt.Errorf("read keys back: %w", err)
	}
	var all strings.Builder
	for i, v := range values {
		text, there := v.(string)
		if !there {
			return "", fmt.Errorf("read keys back: %s is not there", keys[i])
		}
		fmt.Fprintf(&all, "%d %s\n", len(text), text)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(all.String()))), nil
}
