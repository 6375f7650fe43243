package analyze_test

import (
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// newJob returns a job that watches.
func newJob(t *testing.T, query, key string, watch ...jobs.Watch) *jobs.Job {
	t.Helper()
	k, err := jobs.ParseKeyTemplate(key)
	if err != nil {
		t.Fatal(err)
	}
	return &jobs.Job{Name: "j", Query: query, Key: k, Value: jobs.ValueRow, Timeout: time.Minute, Watch: watch}
}

// newAnalyst makes a database with these tables, and an analyst of it.
func newAnalyst(t *testing.T, statements ...string) (a *analyze.Analyst, pg string) {
	t.Helper()
	pg = storetest.Postgres(t)
	storetest.Exec(t, pg, statements...)
	return analystOf(t, pg), pg
}

func analystOf(t *testing.T, pg string) *analyze.Analyst {
	t.Helper()
	s, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(pg), MaxConnections: 2, StatementTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return analyze.New(s)
}

func factsOf(t *testing.T, a *analyze.Analyst, job *jobs.Job) *analyze.Facts {
	t.Helper()
	facts, err := a.Facts(t.Context(), job)
	if err != nil {
		t.Fatalf("%s: %v", job.Query, err)
	}
	return facts
}
