package changes_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/stokerhq/stoker/scheduler/changes"
	"github.com/stokerhq/stoker/store/feed"
)

// heldNow is what the looks find.
type heldNow struct{ held chan feed.Held }

func (h *heldNow) Held(ctx context.Context) (feed.Held, error) {
	select {
	case held := <-h.held:
		return held, nil
	case <-ctx.Done():
		return feed.Held{}, ctx.Err()
	}
}

// Broken by: a log line each ten seconds; a session that is busy with short transactions
// taken for one that is open for long; a metric that stays when the transaction has ended.
func TestWatchHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		registry := prometheus.NewRegistry()
		now := &heldNow{held: make(chan feed.Held)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go changes.WatchHeld(ctx, changes.HeldConfig{Outbox: now, Metrics: registry,
			Log: slog.New(slog.NewTextHandler(&log, nil))})
		step := func(what string, held feed.Held, lines, series int) {
			t.Helper()
			now.held <- held
			synctest.Wait()
			time.Sleep(10 * time.Second)
			if n := strings.Count(log.String(), "\n"); n != lines {
				t.Errorf("%s: %d lines, want %d:\n%s", what, n, lines, log.String())
			}
			n, err := testutil.GatherAndCount(registry, "stoker_outbox_oldest_transaction_seconds")
			if err != nil || n != series {
				t.Errorf("%s: %d series, want %d (%v)", what, n, series, err)
			}
		}
		of := func(size int64, age time.Duration) feed.Held {
			return feed.Held{Bytes: size, Holder: feed.Holder{Kind: "session", PID: 77, Application: "report",
				Database: "shop", Role: "app", State: "idle in transaction", Age: age, Transaction: "901"}}
		}
		step("nothing", feed.Held{}, 0, 0)
		step("a short one", of(50<<20, 20*time.Second), 0, 0)
		step("a long one, of a small outbox", of(1<<20, 2*time.Minute), 0, 1)
		step("a long one, of a large outbox", of(20<<20, 3*time.Minute), 1, 1)
		for range 6 {
			step("it goes on", of(30<<20, 4*time.Minute), 1, 1)
		}
		step("the outbox has doubled", of(41<<20, 5*time.Minute), 2, 1)
		step("it has ended", feed.Held{Bytes: 41 << 20}, 2, 0)
		busy := of(200<<20, 0) // the age is another role's
		for i := range 9 {
			busy.Holder.Transaction = string(rune('a' + i))
			step("short ones of one session", busy, 2, 0)
		}
		for range 5 {
			step("one whose age is hidden", busy, 2, 0)
		}
		step("after a minute", busy, 3, 1)
		for _, part := range []string{"pid=77", "application=report", "database=shop", "age=3m0s",
			"pg_terminate_backend(77)"} {
			if !strings.Contains(log.String(), part) {
				t.Errorf("the log does not say %s", part)
			}
		}
	})
}
