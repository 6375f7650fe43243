package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// killed measures what is sent again of a run whose daemon is killed when nine tenths of its keys are there.
func (b *bench) killed(ctx context.Context) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	for round := range b.rounds {
		if err := server.flush(ctx); err != nil {
			return err
		}
		k, err := b.killAndGoOn(ctx, server)
		if err != nil {
			return err
		}
		k.Round = round + 1
		b.report.Killed = append(b.report.Killed, k)
		b.say("killed, round %d of %d: of %d keys %d were there when the daemon was killed, the next run sends %d",
			round+1, b.rounds, k.Keys, k.There, k.Sent)
	}
	return nil
}

// killAndGoOn kills one daemon in its run, and has another one go on.
func (b *bench) killAndGoOn(ctx context.Context, server *redisServer) (k report.Killed, err error) {
	d := b.products()
	text := specOf("killed", d.job)
	first, err := b.launchDaemon("killed", text, server)
	if err != nil {
		return k, err
	}
	k.There, err = server.awaitKeys(ctx, d.rows*9/10)
	first.kill()
	if err != nil {
		return k, failure("wait for keys", err, logText(first.log))
	}
	if k.There, err = server.client.DBSize(ctx).Result(); err != nil { // with what was on its way
		return k, fmt.Errorf("count the keys: %w", err)
	}
	second, err := b.launchDaemon("killed", text, server)
	if err != nil {
		return k, err
	}
	defer func() { err = errors.Join(err, second.stop()) }()
	r, err := second.record(ctx, func(r runRecord) bool { return r.State == "ok" })
	k.Keys, k.Sent = r.Keys, r.Keys-r.Kept
	return k, err
}

// awaitKeys waits until the server has so many keys.
func (r *redisServer) awaitKeys(ctx context.Context, least int64) (n int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lostLimit,
		fmt.Errorf("there are no %d keys after %s", least, lostLimit))
	defer cancel()
	for {
		n, err := r.client.DBSize(ctx).Result()
		if err != nil || n >= least {
			return n, err
		}
		select {
		case <-ctx.Done():
			return n, context.Cause(ctx)
		case <-time.After(time.Millisecond):
		}
	}
}
