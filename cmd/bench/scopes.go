package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// scopes measures invalidations by a column that is in no key: a tenth of the accounts at once, which are all in the
// cache. Half of them end when the keys are fenced and enqueued, the others when all are fresh.
func (b *bench) scopes(ctx context.Context) (err error) {
	server, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.close()) }()
	d := b.accounts()
	daemon, err := b.startDaemon(ctx, d.name, d.job, server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	branches := max(1, d.rows/pgbenchRows)
	if _, err := b.scope(ctx, daemon, server, branches, true); err != nil { // the first one begins the job's tally
		return fmt.Errorf("invalidate for the first time: %w", err)
	}
	for round := range b.rounds {
		for _, fresh := range []bool{false, true} {
			branch := 1 + int64(2*round)%branches
			if fresh {
				branch = 1 + int64(2*round+1)%branches
			}
			s, err := b.scope(ctx, daemon, server, branch, fresh)
			if err != nil {
				return fmt.Errorf("invalidate branch %d: %w", branch, err)
			}
			s.Round = round + 1
			b.report.Scopes = append(b.report.Scopes, s)
			b.say("scopes, round %d of %d: %d keys, until fresh: %t, %.3f s, %d values old", round+1, b.rounds, s.Keys,
				fresh, float64(s.Wall), s.Old)
		}
	}
	return nil
}

// scope changes the accounts of a branch and invalidates them.
func (b *bench) scope(ctx context.Context, daemon *daemon, server *redisServer, branch int64,
	fresh bool) (s report.Scope, err error) {
	for _, sql := range []string{"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE bid = %d",
		"VACUUM pgbench_accounts -- %d", "CHECKPOINT -- %d"} {
		if _, err := b.sql.Exec(fmt.Sprintf(sql, branch)); err != nil {
			return s, fmt.Errorf("change the accounts: %w", err)
		}
	}
	if err := server.awaitQuiet(ctx); err != nil {
		return s, err
	}
	before, err := b.written(ctx, server)
	if err != nil {
		return s, err
	}
	path := "/invalidate"
	status := http.StatusAccepted
	if fresh {
		path, status = path+"?wait=1", http.StatusOK
	}
	begin := time.Now()
	where := map[string]string{"bid": strconv.FormatInt(branch, 10)}
	answer, err := daemon.post(ctx, path, map[string]any{"where": where}, status)
	s = report.Scope{Fresh: fresh, Wall: report.In(time.Since(begin)), Keys: answer.Keys}
	if err != nil {
		return s, err
	}
	if fresh {
		if s.Old, err = b.old(ctx, server, branch); err != nil {
			return s, err
		}
	}
	if err := server.awaitQuiet(ctx); err != nil {
		return s, err
	}
	after, err := b.written(ctx, server)
	s.Left = after - before
	return s, err
}

// written is how many keys of the cache are neither accounts nor Asynq's own, which forgets its tasks by itself.
func (b *bench) written(ctx context.Context, server *redisServer) (n int64, err error) {
	all, err := server.client.DBSize(ctx).Result()
	if err != nil {
		return 0, fmt.Errorf("count the keys: %w", err)
	}
	queue := int64(0)
	it := server.client.Scan(ctx, 0, "asynq:*", 10_000).Iterator()
	for it.Next(ctx) {
		queue++
	}
	if err := it.Err(); err != nil {
		return 0, fmt.Errorf("count the keys of the queue: %w", err)
	}
	return all - queue - b.accounts().rows, nil
}

// old counts values of the branch that are not as the database has them, of a hundred.
func (b *bench) old(ctx context.Context, server *redisServer, branch int64) (old int, err error) {
	d := b.accounts()
	lines, err := b.sql.Exec(fmt.Sprintf("SELECT aid, abalance FROM pgbench_accounts WHERE bid = %d AND aid <= %d AND "+
		"aid %% %d = 0", branch, d.rows, max(1, min(d.rows, pgbenchRows)/100)))
	if err != nil {
		return 0, fmt.Errorf("look at the accounts: %w", err)
	}
	for _, line := range lines {
		id, balance, _ := bytes.Cut([]byte(line), []byte("|"))
		value, err := server.client.Get(ctx, d.job.Prefix+string(id)).Result()
		if err != nil {
			return 0, fmt.Errorf("look at account %s in the cache: %w", id, err)
		}
		var has struct {
			Balance json.Number `json:"abalance"`
		}
		if err := json.Unmarshal([]byte(value), &has); err != nil || has.Balance.String() != string(balance) {
			old++
		}
	}
	return old, nil
}

// posted is what we read of the answer to an invalidation.
type posted struct {
	Keys int64 `json:"keys"`
}

// post asks the daemon's API for something of its job.
func (d *daemon) post(ctx context.Context, path string, body any, want int) (answer posted, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return answer, err
	}
	url := d.base + "/api/v1/jobs/" + d.job + path
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return answer, fmt.Errorf("ask the daemon: %w", err)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return answer, fmt.Errorf("ask the daemon: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return answer, failure("POST "+req.URL.Path, fmt.Errorf("the daemon answers %s", resp.Status), logText(d.log))
	}
	return answer, json.NewDecoder(resp.Body).Decode(&answer)
}
