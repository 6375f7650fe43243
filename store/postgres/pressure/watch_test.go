package pressure_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/budget"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/pressure"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

func watch(t *testing.T, url string, b budget.Budget) *pressure.Watch {
	t.Helper()
	cfg := jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 1, StatementTimeout: time.Minute}
	source, err := postgres.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(source.Close)
	w := pressure.New(source, cfg.Endpoint(), b)
	t.Cleanup(w.Close)
	return w
}

// Broken by: a text or a number that is taken for true or false the other way round; a query that writes; one that
// takes long; an error that is swallowed.
func TestQuery(t *testing.T) {
	url := storetest.Postgres(t)
	for sql, want := range map[string]string{
		"SELECT false": "", "SELECT 0": "", "SELECT 0.0": "", "SELECT ''": "", "SELECT NULL": "",
		"SELECT 1 WHERE false": "", "SELECT 'f'": "",
		"SELECT true": "throttle_query says t", "SELECT 3": "throttle_query says 3",
		"SELECT 'backup is running'": "throttle_query says backup is running",
	} {
		w := watch(t, url, budget.Budget{Query: sql})
		if reason, kind, err := w.Reason(t.Context()); reason != want || kind != pressure.ByQuery || err != nil {
			t.Errorf("%s: %q, %s, %v; want %q", sql, reason, kind, err, want)
		}
	}
	for sql, want := range map[string]string{"SELECT x": `throttle_query: ERROR: column "x" does not exist`,
		"CREATE TABLE t (i int)": "read-only", "SELECT pg_sleep(5)": "statement timeout"} {
		w := watch(t, url, budget.Budget{Query: sql})
		if reason, _, err := w.Reason(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v; want %q", sql, reason, err, want)
		}
	}
}

// Broken by: the feed's own connection that is taken for a standby; a lag of nothing, on an idle primary; a role that
// may not see the lag and is told that there is none.
func TestLag(t *testing.T) {
	primary := storetest.OwnPostgres(t, "max_wal_senders = 4")
	standby, err := primary.StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer standby.Close()
	url := primary.URL("postgres")
	w := watch(t, url, budget.Budget{MaxLag: 300 * time.Millisecond})
	storetest.Eventually(t, 10*time.Second, "the standby is not behind", func() bool {
		reason, _, err := w.Reason(t.Context())
		return reason == "" && err == nil
	})
	storetest.Exec(t, standby.URL("postgres"), "SELECT pg_wal_replay_pause()")
	storetest.Exec(t, url, "CREATE TABLE item AS SELECT generate_series(1, 1000) AS id")
	storetest.Eventually(t, 20*time.Second, "the standby is behind", func() bool {
		storetest.Exec(t, url, "UPDATE item SET id = id + 1 WHERE id < 10")
		reason, kind, err := w.Reason(t.Context())
		return strings.Contains(reason, "behind, max_lag is 300ms") && kind == pressure.ByLag && err == nil
	})
	storetest.Exec(t, url, "CREATE ROLE plain LOGIN PASSWORD 'p'")
	blind := watch(t, strings.Replace(url, url[strings.Index(url, "//")+2:strings.Index(url, "@")], "plain:p", 1),
		budget.Budget{MaxLag: time.Second})
	if reason, _, err := blind.Reason(t.Context()); err == nil || !strings.Contains(err.Error(), "GRANT pg_monitor") {
		t.Errorf("a role without rights: %q, %v", reason, err)
	}
	storetest.Exec(t, standby.URL("postgres"), "SELECT pg_wal_replay_resume()")
	storetest.Eventually(t, 20*time.Second, "the standby has caught up", func() bool {
		reason, _, err := w.Reason(t.Context())
		return reason == "" && err == nil
	})
}
