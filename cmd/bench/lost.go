package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// lostRows is how many keys are lost at scale 1.
const lostRows = 200_000

// lostLimit is when a cache counts as lost for good.
const lostLimit = 30 * time.Second

// lost measures how long it takes until a cache that has lost everything is whole again: by a flush, and by a restart
// of Redis. The queue is in the same Redis, so that it is lost too.
func (b *bench) lost(ctx context.Context) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	d := b.products()
	rows := min(d.rows, b.sized(lostRows))
	d.job.Query += " WHERE id <= " + strconv.FormatInt(rows, 10)
	daemon, err := b.startDaemon(ctx, "lost", d.job, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	for round := range b.rounds {
		for _, cause := range []string{report.LostByFlush, report.LostByRestart} {
			l := report.Lost{Round: round + 1, Cause: cause, Keys: rows}
			if l.Wall, err = b.recovery(ctx, server, cause, d.job.Prefix, rows); err != nil {
				return failure("after a "+cause, err, logText(daemon.log))
			}
			if err := server.awaitQuiet(ctx); err != nil {
				return err
			}
			out, err := daemon.run(ctx)
			if err != nil {
				return err
			}
			l.Run = report.In(out.end.Sub(out.begin))
			b.report.Lost = append(b.report.Lost, l)
			b.say("lost, round %d of %d: %d keys are whole %.2f s after a %s; an unchanged run takes %.2f s", round+1,
				b.rounds, rows, float64(l.Wall), cause, float64(l.Run))
			if err := server.awaitQuiet(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// recovery empties the server and waits until every key is there again.
func (b *bench) recovery(ctx context.Context, server *redisServer, cause, prefix string,
	rows int64) (report.Seconds, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lostLimit, fmt.Errorf("the keys are not back after %s", lostLimit))
	defer cancel()
	begin := time.Now()
	if cause == report.LostByRestart {
		server.Kill()
		if err := server.Start(ctx); err != nil {
			return 0, err
		}
	} else if err := server.client.FlushAll(ctx).Err(); err != nil {
		return 0, fmt.Errorf("flush the private redis: %w", err)
	}
	for {
		n, err := server.client.DBSize(ctx).Result()
		if err != nil {
			return 0, fmt.Errorf("count the keys: %w", err)
		}
		if n >= rows {
			end := time.Now()
			whole, err := server.whole(ctx, prefix, rows)
			if err != nil || whole {
				return report.In(end.Sub(begin)), err
			}
		}
		select {
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// whole reports whether the keys with these numbers are all there, 1 to rows.
func (r *redisServer) whole(ctx context.Context, prefix string, rows int64) (bool, error) {
	const step = 10_000
	keys := make([]string, 0, step)
	for i := int64(1); i <= rows; i++ {
		keys = append(keys, prefix+strconv.FormatInt(i, 10))
		if len(keys) < step && i < rows {
			continue
		}
		n, err := r.client.Exists(ctx, keys...).Result()
		if err != nil || n < int64(len(keys)) {
			return false, err
		}
		keys = keys[:0]
	}
	return true, nil
}
