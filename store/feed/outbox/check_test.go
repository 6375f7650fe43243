package outbox_test

import (
	"testing"

	"github.com/stokerhq/stoker/jobs"
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
