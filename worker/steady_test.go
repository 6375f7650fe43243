package worker

import (
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres/analyze"
)

// A query that reads the time behind a view is run although nothing was committed, and a row goes when its time is
// over. Broken by: an analyst that is not asked, with which the row is kept for ever.
func TestTimeBehindAView(t *testing.T) {
	t.Parallel()
	views := []string{`CREATE TABLE offer (id int, until timestamptz)`, "CREATE VIEW open AS SELECT id FROM offer WHERE until > now()",
		"CREATE VIEW steady AS SELECT id FROM offer",
		"INSERT INTO offer VALUES (1, now() + interval '3 seconds'), (2, now() + interval '1 hour')"}
	timed := newJob("timed", jobs.ValueRow, "open:{id}", "SELECT * FROM open")
	plain := newJob("plain", jobs.ValueRow, "plain:{id}", "SELECT * FROM steady")
	vouched := newJob("vouched", jobs.ValueRow, "vouched:{id}", "SELECT * FROM open")
	vouched.Steady = true
	timed.ShrinkGuard, vouched.ShrinkGuard = 1, 1
	r := newRig(t, plan{pg: alonePostgres(t), sql: views, jobs: []*jobs.Job{timed, plain, vouched}})
	r.w = New(Config{Spec: r.spec, Source: r.source, Analyst: analyze.New(r.source), Cache: r.real, Ledger: r.ledger,
		Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.NewTextHandler(r.logs, nil))})
	for _, job := range []string{"timed", "plain", "vouched"} {
		r.run(job)
	}
	time.Sleep(4 * time.Second)
	if rec := r.run("timed"); rec.Unchanged || rec.Keys != 1 {
		t.Errorf("a view with now(): %+v", rec)
	}
	if _, there := r.keys()["open:1"]; there {
		t.Error("the row is kept after its end")
	}
	for range 2 {
		if rec := r.run("plain"); !rec.Unchanged || rec.Keys != 2 {
			t.Errorf("a view without: %+v", rec)
		}
	}
	if rec := r.run("vouched"); !rec.Unchanged {
		t.Errorf("volatile: false is written: %+v", rec)
	}
	r.exec("CREATE OR REPLACE VIEW steady AS SELECT id FROM offer WHERE until > now()")
	for range 2 {
		if rec := r.run("plain"); rec.Unchanged || rec.Keys != 1 {
			t.Errorf("the view reads the time by now: %+v", rec)
		}
	}
}
