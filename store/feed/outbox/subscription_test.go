package outbox_test

import (
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/feedtest"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/storetest"
)

// Logical replication fires no statement triggers: the outbox misses what it
// applies. A table that is filled so is refused, also where what is filled is the
// table that it is part of.
func TestOutboxRefusesSubscribedTables(t *testing.T) {
	server := storetest.OwnPostgres(t)
	from, to := server.URL("postgres"), server.URL("subscriber")
	const tables = "CREATE TABLE item (id int PRIMARY KEY); CREATE TABLE sale (id int PRIMARY KEY) PARTITION BY " +
		"RANGE (id); CREATE TABLE sale_a PARTITION OF sale FOR VALUES FROM (0) TO (10)"
	storetest.Exec(t, from, tables, "CREATE DATABASE subscriber",
		"CREATE PUBLICATION p FOR TABLE item, sale WITH (publish_via_partition_root = true)",
		"SELECT pg_create_logical_replication_slot('s', 'pgoutput')")
	r := newOutboxAt(t, to, map[string][]jobs.Watch{
		"a:{id}": {{Table: "item", Key: map[string]string{"id": "id"}}},
		"b:{id}": {{Table: "sale_a", Key: map[string]string{"id": "id"}}},
	}, tables)
	feedtest.WantProblems(t, "before", checked(t, r.source, r.spec))
	r.exec("CREATE SUBSCRIPTION s CONNECTION '" + from + "' PUBLICATION p WITH (create_slot = false, slot_name = 's')")
	t.Cleanup(func() { storetest.Exec(t, to, "DROP SUBSCRIPTION s") })
	feedtest.Eventually(t, "the tables are in step",
		func() bool { return r.count("SELECT count(*) FROM pg_subscription_rel WHERE srsubstate = 'r'") == 2 })
	storetest.Exec(t, from, "INSERT INTO item VALUES (1); INSERT INTO sale VALUES (1)")
	feedtest.Eventually(t, "the change is applied",
		func() bool { return r.count("SELECT count(*) FROM item, sale_a") == 1 })
	r.want("what replication applied") // nothing: if this fails, the refusal can go
	const remedy = " is filled by logical replication, which fires no statement triggers, so that the outbox would " +
		"miss its changes: use changes.source: wal on this server, or have Stoker watch the publisher"
	feedtest.WantProblems(t, "subscribed", checked(t, r.source, r.spec), "fail: table public.item"+remedy,
		"fail: table public.sale"+remedy)
	_, _, err := outbox.Open(t.Context(), outbox.Config{Source: r.source, Spec: r.spec})
	if err == nil || !strings.Contains(err.Error(), "public.sale"+remedy) {
		t.Errorf("opened all the same: %v", err)
	}
}
