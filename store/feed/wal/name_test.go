package wal_test

import (
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

// The replication connection says whose it is; the URL's own name wins.
func TestReplicationConnectionHasAName(t *testing.T) {
	base := storetest.Postgres(t)
	storetest.Exec(t, base, walSQL...)
	own := base + "&application_name=shop-cache"
	for url, want := range map[string]string{base: "stoker changes", own: "shop-cache"} {
		s, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 4,
			StatementTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		spec := walSpec(t, url)
		w, _ := openWAL(t, s, spec)
		row, err := s.Row(t.Context(), "SELECT string_agg(application_name, ',') FROM pg_stat_replication WHERE "+
			"pid IN (SELECT active_pid FROM pg_replication_slots WHERE database = current_database())")
		if err != nil || row[0] != want {
			t.Errorf("%s: %v, %v, want %s", url, row, err, want)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
}
