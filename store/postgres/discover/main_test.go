package discover

import (
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// run discovers what a database is asked.
func run(t *testing.T, url string, change func(*Config)) *Report {
	t.Helper()
	source, err := postgres.Open(jobs.Postgres{URL: jobs.NewSecret(url), MaxConnections: 1,
		StatementTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	cfg := Config{Source: source, Analyst: analyze.New(source), Statements: 200, Watch: 2 * time.Second,
		Budget: time.Minute, MaxRows: 1e6, MaxBytes: 256 << 20}
	if change != nil {
		change(&cfg)
	}
	report, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return report
}
