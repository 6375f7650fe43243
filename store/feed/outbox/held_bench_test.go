package outbox_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/storetest"
)

// BenchmarkOutboxHeld measures the feed while a transaction of another session is open, so
// that the dead rows of the outbox stay: 1,000 updates a second, a transaction each, for as
// many seconds as STOKER_HELD_SECONDS says (20). Each line it logs has how many dead rows
// there are, what share of a core the feed's sessions take, and how long after its commit
// a change was read, at most, since the line before. Run it with:
//
//	STOKER_HELD_SECONDS=1200 go test ./store/feed/outbox -run '^$' -bench OutboxHeld -benchtime 1x -timeout 30m
func BenchmarkOutboxHeld(b *testing.B) {
	seconds, err := strconv.Atoi(os.Getenv("STOKER_HELD_SECONDS"))
	if err != nil {
		seconds = 20
	}
	server := storetest.OwnPostgres(b, "shared_buffers = 256MB", "max_wal_size = 4GB")
	url := server.URL("postgres")
	storetest.Exec(b, url, "CREATE TABLE item (id int PRIMARY KEY, n int, body text)",
		"INSERT INTO item SELECT i, 0, repeat('x', 100) FROM generate_series(1, 100000) i", "VACUUM ANALYZE item")
	script := filepath.Join(b.TempDir(), "update.sql")
	if err := os.WriteFile(script, []byte("\\set id random(1, 100000)\nUPDATE item SET n = n + 1 WHERE id = :id;\n"),
		0o600); err != nil {
		b.Fatal(err)
	}
	r := newOutboxAt(b, url, map[string][]jobs.Watch{"item:{id}": {{Table: "item",
		Key: map[string]string{"id": "id"}}}})
	r.openEvery(100 * time.Millisecond)
	holder := r.conn()
	if _, err := holder.Exec(b.Context(), "BEGIN; CREATE TEMP TABLE held (id int)"); err != nil {
		b.Fatal(err)
	}
	program, err := server.Program("pgbench")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		lags := make(chan time.Duration, 1<<20)
		done := make(chan struct{})
		go func() { defer close(done); r.measure(ctx, lags) }()
		load := exec.CommandContext(ctx, program, "-n", "-M", "prepared", "-c", "8", "-j", "2", "-R", "1000", "-T",
			strconv.Itoa(seconds), "-f", script, url)
		if err := load.Start(); err != nil {
			b.Fatal(err)
		}
		share, lag := r.watch(time.Duration(seconds)*time.Second, lags)
		b.ReportMetric(share, "cores")
		b.ReportMetric(float64(lag.Milliseconds()), "lag-ms")
		if err := load.Wait(); err != nil {
			b.Error(err)
		}
		cancel()
		<-done
	}
}

// measure follows, and says how old each commit is when it is read.
func (r *outboxRig) measure(ctx context.Context, lags chan<- time.Duration) {
	for ctx.Err() == nil {
		commits, err := r.feed.Next(ctx)
		if err != nil {
			r.t.Error(err)
			return
		}
		for _, c := range commits {
			lags <- time.Since(c.Committed)
			if err := r.feed.Done(r.t.Context(), c.Position); err != nil {
				r.t.Error(err)
			}
		}
	}
}

// watch logs what the feed costs until the time is over, and returns the last figures.
func (r *outboxRig) watch(long time.Duration, lags <-chan time.Duration) (share float64, lag time.Duration) {
	step := max(long/10, 5*time.Second)
	used := r.cpu()
	for until := time.Now().Add(long); time.Now().Before(until); {
		began := time.Now()
		time.Sleep(min(step, time.Until(until)))
		lag = 0
		for len(lags) > 0 {
			lag = max(lag, <-lags)
		}
		now := r.cpu()
		share = (now - used).Seconds() / time.Since(began).Seconds()
		used = now
		r.t.Logf("%8d dead rows  %6.1f %% of a core  lag %v", r.count("SELECT n_dead_tup FROM pg_stat_user_tables "+
			"WHERE relname = 'stoker_outbox'"), 100*share, lag.Round(time.Millisecond))
	}
	return share, lag
}

// cpu is what the sessions of the feed have used.
func (r *outboxRig) cpu() (used time.Duration) {
	r.t.Helper()
	conn := r.conn()
	rows, err := conn.Query(r.t.Context(), "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'stoker%'")
	if err != nil {
		r.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var pid int
		if err := rows.Scan(&pid); err != nil {
			r.t.Fatal(err)
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			r.t.Skip("the benchmark reads /proc: ", err)
		}
		fields := strings.Fields(string(stat[strings.LastIndex(string(stat), ")"):]))
		for _, ticks := range fields[12:14] { // utime and stime
			n, err := strconv.Atoi(ticks)
			if err != nil {
				r.t.Fatal(err)
			}
			used += time.Duration(n) * 10 * time.Millisecond
		}
	}
	return used
}
