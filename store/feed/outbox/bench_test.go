package outbox_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// BenchmarkOutboxWriter measures what the outbox costs the application: pgbench
// with a script that updates one row of 100,000 by its primary key a transaction,
// with 8 clients for 10 seconds, in turns: without triggers, with them and nobody
// who reads, and with the feed reading and deleting. Durable, as a server in use
// is. Run it with:
//
//	go test ./store/postgres -run '^$' -bench OutboxWriter -benchtime 3x
func BenchmarkOutboxWriter(b *testing.B) {
	server := storetest.OwnPostgres(b, "fsync = on", "full_page_writes = on", "shared_buffers = 256MB",
		"max_wal_size = 4GB")
	url := server.URL("postgres")
	storetest.Exec(b, url, "CREATE TABLE item (id int PRIMARY KEY, n int, body text)",
		"INSERT INTO item SELECT i, 0, repeat('x', 100) FROM generate_series(1, 100000) i", "VACUUM ANALYZE item")
	script := filepath.Join(b.TempDir(), "update.sql")
	if err := os.WriteFile(script, []byte("\\set id random(1, 100000)\nUPDATE item SET n = n + 1 WHERE id = :id;\n"),
		0o600); err != nil {
		b.Fatal(err)
	}
	var sums [3]float64
	for b.Loop() {
		sums[0] += writer(b, server, script)
		r := newOutboxAt(b, url, map[string][]jobs.Watch{"item:{id}": {{Table: "item",
			Key: map[string]string{"id": "id"}}}})
		r.close()
		sums[1] += writer(b, server, script)
		storetest.Exec(b, url, "TRUNCATE stoker_outbox")
		r.openEvery(100 * time.Millisecond)
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(b.Context())
		go func() { defer close(done); r.follow(ctx) }()
		sums[2] += writer(b, server, script)
		cancel()
		<-done
		r.close()
		script, err := outbox.Remove(b.Context(), r.source)
		if err == nil {
			err = outbox.Apply(b.Context(), r.source, script)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	for i, name := range []string{"without", "triggers", "followed"} {
		b.ReportMetric(sums[i]/float64(b.N), name+"-tps")
	}
	b.ReportMetric(sums[2]/sums[0], "ratio")
}

var tps = regexp.MustCompile(`tps = ([0-9.]+)`)

// writer runs pgbench and returns its transactions a second.
func writer(b *testing.B, server *testserver.Postgres, script string) float64 {
	b.Helper()
	program, err := server.Program("pgbench")
	if err != nil {
		b.Fatal(err)
	}
	out, err := exec.CommandContext(b.Context(), program, "-n", "-M", "prepared", "-c", "8", "-j", "2", "-T", "10",
		"-f", script, server.URL("postgres")).CombinedOutput()
	if err != nil {
		b.Fatalf("pgbench: %v\n%s", err, out)
	}
	n, err := strconv.ParseFloat(string(tps.FindSubmatch(out)[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
