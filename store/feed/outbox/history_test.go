package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// A standby may show a row before any snapshot of the primary shows what it tells
// of; and what another history has is not what was fenced. Both end the feed, and
// no row is yielded or deleted.
func TestOutboxEndsWithItsHistory(t *testing.T) {
	t.Parallel()
	const row = "UPDATE product SET name = 'x' WHERE id = 1"
	watches := feedtest.ShopWatches()
	t.Run("standby", func(t *testing.T) {
		server := storetest.OwnPostgres(t)
		r := newOutboxAt(t, server.URL("postgres"), watches, feedtest.Shop)
		r.openEvery(4 * time.Second) // so that the server comes back before the next poll
		r.next(false)
		r.exec(row, "DO $$BEGIN EXECUTE format('COPY (SELECT 1 WHERE false) TO %L', "+
			"current_setting('data_directory') || '/standby.signal'); END$$")
		server.Stop()
		if err := server.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if commits, err := r.ended(); !errors.Is(err, postgres.ErrStandby) {
			t.Errorf("on a standby: %d commits, %v", commits, err)
		}
	})
	t.Run("another history", func(t *testing.T) {
		server := storetest.OwnPostgres(t)
		r := newOutboxAt(t, server.URL("postgres"), watches, feedtest.Shop)
		r.exec(row)
		r.next(true)
		r.openEvery(6 * time.Second) // so that the server is back before the next poll
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		read, err := r.feed.Next(ctx)
		if err != nil || len(read) != 1 {
			t.Fatalf("%v, %v", read, err)
		}
		storetest.Crash(t, server)
		r.exec("UPDATE product SET name = 'x' WHERE id = 2")
		time.Sleep(1100 * time.Millisecond) // the pool looks whether a connection lives that was idle for longer
		if err := r.feed.Done(t.Context(), read[0].Position); err != nil {
			t.Error(err)
		}
		if commits, err := r.ended(); err == nil || !strings.Contains(err.Error(), "another history") {
			t.Errorf("in another history: %d commits, %v", commits, err)
		}
		if n := r.count("SELECT count(*) FROM stoker_outbox"); n != 2 {
			t.Errorf("%d rows are left, want 2: of another history nothing is deleted", n)
		}
	})
}

// A sign that is refused from now on ends the feed; who opens it next goes on without it.
// Broken by: signs that only a restart of Stoker tries again.
func TestOutboxGoesOnWithoutASign(t *testing.T) {
	t.Parallel()
	server := storetest.OwnPostgres(t)
	r := newOutboxAt(t, server.URL("postgres"), feedtest.ShopWatches(), feedtest.Shop)
	r.next(false)
	r.exec("ALTER FUNCTION pg_catalog.pg_control_system() RENAME TO pg_control_system_elsewhere")
	if _, err := r.ended(); err == nil || !strings.Contains(err.Error(), "pg_control_system") {
		t.Errorf("without a sign: %v", err)
	}
	r.open()
	r.exec("UPDATE product SET name = 'x' WHERE id = 1")
	r.want("opened again", "product map[id:1]", "supplier by 1")
}

// ended is what the feed yields until it fails, or nothing comes for some seconds.
func (r *outboxRig) ended() (commits int, err error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for ctx.Err() == nil && err == nil {
		var list []*feed.Commits
		list, err = r.feed.Next(ctx)
		commits += len(list)
	}
	return commits, err
}
