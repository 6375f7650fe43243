package outbox_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/storetest"
)

func TestCheckOutbox(t *testing.T) {
	r := newShopOutbox(t)
	feedtest.WantProblems(t, "installed", checked(t, r.source, r.spec))
	r.exec("CREATE TABLE sale (at int, id int) PARTITION BY RANGE (at)",
		"CREATE ROLE outbox_checker LOGIN PASSWORD 'checker'")
	t.Cleanup(func() { storetest.Exec(t, r.url, "DROP OWNED BY outbox_checker", "DROP ROLE outbox_checker") })
	job, _ := r.spec.Job("menu")
	job.Watch[0].Table = "sale"
	const ask = ": have the owner of the tables run: stoker outbox install --apply"
	feedtest.WantProblems(t, "another table", checked(t, r.source, r.spec),
		"fail: table public.sale has no triggers that write to the outbox"+ask)
	r.install()
	r.exec("CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM (0) TO (10)",
		"ALTER TABLE price DISABLE TRIGGER "+r.triggerName("price", "update"),
		"DROP TRIGGER "+r.triggerName("product", "truncate")+" ON product")
	feedtest.WantProblems(t, "half of it", checked(t,
		feedtest.Open(t, feedtest.AsRole(t, r.url, "outbox_checker", "checker")), r.spec),
		"fail: table public.product has no trigger for truncate that writes to the outbox"+ask,
		"fail: the triggers of table public.price for update are disabled, or not enabled always"+ask,
		"fail: Stoker's role may not SELECT and DELETE the outbox: GRANT SELECT, DELETE ON public.stoker_outbox TO "+
			"outbox_checker",
		"warn: of table public.sale, statements that name its part public.sale_a directly are not recorded: run "+
			"stoker outbox install --apply after a part was added")
	r.install()
	feedtest.WantProblems(t, "installed again", checked(t, r.source, r.spec))
	r.exec("DROP TABLE stoker_outbox")
	feedtest.WantProblems(t, "dropped", checked(t, r.source, r.spec),
		"fail: there is no table stoker_outbox in the search_path of Stoker's role"+ask)
}

func checked(t *testing.T, s *postgres.Source, spec *jobs.Spec) []string {
	t.Helper()
	return feedtest.Checked(t, s, spec, outbox.Check)
}

// Broken by: a check that is green while a forgotten session keeps every dead row.
func TestCheckNamesTheOldestTransaction(t *testing.T) {
	held := feed.Held{Bytes: 300 << 20, Holder: feed.Holder{Kind: "session", PID: 77, Application: "report",
		Database: "shop", Role: "app", Age: 12 * time.Minute}}
	want := []string{`a transaction is open for 12m0s, of session pid 77 (application "report", role app, database ` +
		`shop): as long as it is, dead rows cannot be removed, neither those of the outbox, which has 300 MB, nor ` +
		`those of other tables; end it: SELECT pg_terminate_backend(77)`}
	if diff := cmp.Diff(want, outbox.WarnHeld(held)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	held.Holder.Age = 4 * time.Minute
	if got := outbox.WarnHeld(held); len(got) > 0 {
		t.Errorf("after four minutes: %v", got)
	}
}
