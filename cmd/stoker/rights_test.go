package main

import (
	"bufio"
	"io"
	"iter"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stokerhq/stoker/store/storetest"
)

// Broken by: a right beyond SELECT that a daemon without a change feed needs; and by
// a tick that asks more than the clock while nothing is committed.
func TestSelectIsEnough(t *testing.T) {
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()",
		"CREATE ROLE reader LOGIN PASSWORD 'secret-word'",
		"CREATE TABLE item AS SELECT i AS id FROM generate_series(1, 50) i", "GRANT SELECT ON item TO reader")
	_, address, _ := strings.Cut(w.vars["PG"], "@")
	server, rest, _ := strings.Cut(address, "/")
	count := countStatements(t, server)
	w.vars["PG"] = "postgres://reader:secret-word@" + count.address + "/" + rest
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs: [{name: item, key: "i:{id}", query: SELECT id FROM item, schedule: "@every 1s", ttl: 1h}]
`)
	d := start(t, w.vars, "run", "--config", spec)
	idle := func() int { return strings.Count(d.log.String(), "nothing was committed since the last one") }
	eventually(t, 20*time.Second, "a tick finds nothing to do", func() (bool, error) { return idle() > 0, nil })
	ticks, statements := idle(), count.statements.Load()
	time.Sleep(6 * time.Second)
	ticks, statements = idle()-ticks, count.statements.Load()-statements
	// one tick may be half way; the daemon looks at the servers every ten seconds
	if looks := int64(1); ticks < 4 || statements > int64(ticks)+1+looks {
		t.Errorf("%d statements in %d idle ticks", statements, ticks)
	}
	for _, args := range [][]string{{"check"}, {"verify"}, {"invalidate", "item", "id=7", "--wait"},
		{"warm", "item", "--wait"}} {
		if r := stoker(t, w.vars, append(args, "--config", spec)...); r.status != 0 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	d.stop(os.Interrupt)
}

// A hardened server, or one that lacks functions. Broken by: a function beyond snapshots
// that must be callable; a warning that is not given, or given again and again.
func TestHardenedServer(t *testing.T) {
	t.Parallel()
	w := newServers(t)
	storetest.Exec(t, w.vars["PG"], "CREATE ROLE reader LOGIN PASSWORD 'secret-word'",
		"CREATE TABLE item AS SELECT i AS id FROM generate_series(1, 50) i", "GRANT SELECT ON item TO reader",
		"REVOKE EXECUTE ON FUNCTION pg_current_wal_lsn(), pg_walfile_name(pg_lsn), pg_control_system(), "+
			"pg_control_checkpoint(), pg_postmaster_start_time(), pg_stat_get_backend_idset(), "+
			"pg_stat_get_activity(integer) FROM PUBLIC")
	_, address, _ := strings.Cut(w.vars["PG"], "@")
	w.vars["PG"] = "postgres://reader:secret-word@" + address
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
admin: {listen: "${LISTEN}"}
jobs: [{name: item, key: "i:{id}", query: SELECT id FROM item, schedule: "@every 1s", ttl: 1h}]
`)
	r := stoker(t, w.vars, "check", "--config", spec)
	for _, part := range []string{"warn  postgres", "a restart of Postgres", "a crash that Postgres recovers from",
		"GRANT EXECUTE ON FUNCTION pg_control_system(), pg_walfile_name(pg_lsn)", "TO reader", "1 warning, 0 failed"} {
		if r.status != 0 || !strings.Contains(r.stdout, part) {
			t.Errorf("check ends with %d and does not say %q:\n%s", r.status, part, r.stdout)
		}
	}
	d := start(t, w.vars, "run", "--config", spec)
	eventually(t, 20*time.Second, "the job completes", func() (bool, error) {
		return completedSince(t, w.client, "item", time.Time{}), nil
	})
	for _, args := range [][]string{{"verify"}, {"invalidate", "item", "id=7", "--wait"}, {"warm", "item", "--wait"}} {
		if r := stoker(t, w.vars, append(args, "--config", spec)...); r.status != 0 {
			t.Errorf("%v: %+v", args, r)
		}
	}
	time.Sleep(11 * time.Second) // the daemon has looked at its servers again
	if n := strings.Count(d.log.String(), "may go unnoticed"); n != 1 {
		t.Errorf("the log says %d times what may go unnoticed", n)
	}
	d.stop(os.Interrupt)
}

// counter is a front of a Postgres that counts the statements that pass.
type counter struct {
	*front
	statements atomic.Int64
}

func countStatements(t *testing.T, server string) *counter {
	t.Helper()
	c := &counter{}
	c.front = newFront(t, server, c.forward)
	return c
}

func (c *counter) forward(out io.Writer, in io.Reader) {
	for typ := range c.messages(bufio.NewReader(in), out) {
		if typ == 'P' || typ == 'Q' { // Parse, Query
			c.statements.Add(1)
		}
	}
}

// messages copies the messages of a client, and yields their types: a byte, a length
// that counts itself, and so many bytes. The first one has no type.
func (c *counter) messages(r *bufio.Reader, out io.Writer) iter.Seq[byte] {
	return func(yield func(byte) bool) {
		for first := true; ; first = false {
			typed := 1
			if first {
				typed = 0
			}
			head, err := r.Peek(typed + 4)
			if err != nil {
				return
			}
			typ, n := head[0], int64(typed+bigEndian(head[typed:]))
			if typ == 'Q' {
				if text, err := r.Peek(int(n)); err == nil && strings.HasPrefix(string(text[5:]), "-- ping") {
					typ = 0 // the pool's look whether an idle connection lives: an empty query
				}
			}
			if _, err := io.CopyN(out, r, n); err != nil {
				return
			}
			if !first && !yield(typ) {
				return
			}
		}
	}
}

func bigEndian(b []byte) int { return int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3]) }
