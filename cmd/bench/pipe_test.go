package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

// hardSQL makes rows that a protocol made of text can trip over: lengths in bytes
// and not in characters, line ends, quotes, and what looks like the protocol.
const hardSQL = `CREATE TABLE hard (key text, note text, n numeric, at timestamptz, list text[], doc jsonb);
INSERT INTO hard VALUES
	('plain', 'x', 1.50, '2026-01-02 03:04:05+00', '{}', '{}'),
	('Zoë ☕ 日本', 'Ünïcode 🚀', 'NaN', 'infinity', '{"a b",NULL,"\"q\""}', '{"ключ": "значение"}'),
	('it''s', E'quote " backslash \\ slash / tab \t', -0.00, NULL, '{"\\\\"}', '[1, 2.50, null]'),
	('lines', E'one\r\n$5\r\ntwo\nthree\r', 1e20, '1999-12-31 23:59:59.999999+00', NULL, '"$3\r\nSET"'),
	('control', E'\x01\x1f\x7f', 0, 'epoch', '{""}', 'null'),
	('empty', '', NULL, NULL, NULL, NULL),
	(E'key\r\nwith lines', 'v', 0, NULL, NULL, NULL),
	('long', repeat('ß"', 50000), 0, NULL, NULL, NULL)`

// What psql's SQL makes must load into Redis as the very values that we write:
// only then are the contenders' times comparable.
func TestPsqlWritesWhatWeWrite(t *testing.T) {
	binary := storetest.Stoker(t)
	ownTemp(t)
	ctx := t.Context()
	b := &bench{options: options{stoker: binary, scale: 1}, dir: t.TempDir(), ready: map[string]string{}}
	var err error
	if b.postgres, err = testserver.StartPostgres(ctx); err != nil {
		t.Fatal(err)
	}
	defer b.postgres.Close()
	if b.sql, err = b.postgres.Shell(ctx, "postgres"); err != nil {
		t.Fatal(err)
	}
	defer b.sql.Close()
	if _, err := b.sql.Exec(hardSQL); err != nil {
		t.Fatal(err)
	}
	d := dataset{part: "hard", name: "hard", rows: 8,
		job: baseline.Job{Query: "SELECT key, note, n, at, list, doc FROM hard", Prefix: "hard:", Column: "key"}}

	want := filled(t, func(s *redisServer) error { return warmLocally(t, b, d, s) })
	piped := filled(t, func(s *redisServer) error {
		o, err := b.psqlPiped(ctx, d, s)
		if o.keys != d.rows || o.wall() <= 0 {
			t.Errorf("psqlPiped: %+v", o)
		}
		return err
	})
	ready := filled(t, func(s *redisServer) error { _, err := b.ingest(ctx, d, s); return err })
	if len(want) != int(d.rows) {
		t.Fatalf("we write %d keys, want %d", len(want), d.rows)
	}
	if diff := cmp.Diff(want, piped); diff != "" {
		t.Errorf("psql piped (-ours +psql):\n%s", diff)
	}
	if diff := cmp.Diff(want, ready); diff != "" {
		t.Errorf("the ready file (-ours +file):\n%s", diff)
	}
}

// warmLocally writes the dataset the way Stoker does, without a daemon.
func warmLocally(t *testing.T, b *bench, d dataset, s *redisServer) error {
	spec := filepath.Join(b.dir, "hard.yaml")
	if err := os.WriteFile(spec, []byte(specOf(d.name, d.job)), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(t.Context(), b.stoker, "warm", d.name, "--local", "--config", spec)
	cmd.Env = b.specEnv(s, "127.0.0.1:0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("%s", out)
	}
	return err
}

// filled returns what do writes into an empty Redis under the dataset's keys.
func filled(t *testing.T, do func(*redisServer) error) map[string]string {
	t.Helper()
	ctx := t.Context()
	s, err := startRedis(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := do(s); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, key := range s.client.Keys(ctx, "hard:*").Val() {
		all[key] = s.client.Get(ctx, key).Val()
		if ttl := s.client.PTTL(ctx, key).Val(); ttl <= baseline.TTL/2 || ttl > baseline.TTL {
			t.Errorf("%s lives for %s", key, ttl)
		}
	}
	return all
}

// A line of the protocol that Redis refuses must not count as written.
func TestPipeTellsErrors(t *testing.T) {
	s, err := startRedis(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	file := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(file, []byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$3\r\nBAD\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if o, err := pipe(t.Context(), s, in, nil); err == nil {
		t.Errorf("%+v", o)
	}
}

func TestReplicated(t *testing.T) {
	info := func(replicas, slave string) map[string]string {
		return map[string]string{"connected_slaves": replicas, "slave0": slave, "master_repl_offset": "1000000"}
	}
	for _, tt := range []struct {
		info map[string]string
		want bool
	}{
		{info("0", ""), true},
		{info("1", "ip=::1,port=1,state=online,offset=1000000,lag=0"), true},
		{info("1", "ip=::1,port=1,state=online,offset=999000,lag=0"), true},
		{info("1", "ip=::1,port=1,state=online,offset=1000,lag=0"), false},
		{info("1", "ip=::1,port=1,state=wait_bgsave,offset=1000000,lag=0"), false},
		{info("1", "ip=::1,port=1,state=online,offset=x,lag=0"), false},
	} {
		if got := replicated(tt.info); got != tt.want {
			t.Errorf("%v: %v", tt.info, got)
		}
	}
}

func gets(at ...time.Time) []baseline.Get {
	var list []baseline.Get
	for _, a := range at {
		list = append(list, baseline.Get{At: a, Took: time.Millisecond})
	}
	return list
}
