package specfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
)

// loadSpec loads a spec that is given as text, with an environment.
func loadSpec(t *testing.T, text string, env map[string]string) (*jobs.Spec, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stoker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file, func(name string) (string, bool) { v, set := env[name]; return v, set })
}

// What a secret's file, an env file or a block scalar adds to a secret is taken off, of
// URLs and of the token alike. Broken by: trimBlanks that returns its text.
func TestSecretsLoseBlanksAtTheirEnds(t *testing.T) {
	const postgres, redis = "postgres://app:hunter2@db/shop", "redis://:hunter2@cache:6379/0"
	const token = "hunter2-hunter2-hunter2"
	for name, around := range map[string][2]string{
		"line break":      {"", "\n"},
		"two line breaks": {"", "\n\n"},
		"CRLF":            {"", "\r\n"},
		"CR":              {"", "\r"},
		"blanks":          {"  ", "\t "},
		"byte order mark": {"\ufeff", "\n"},
		"no-break space":  {"\u00a0", "\u00a0"},
		"zero width":      {"\u200b", "\u200b"},
		"NUL":             {"", "\x00"},
	} {
		with := func(s string) string { return around[0] + s + around[1] }
		env := map[string]string{"PG": with(postgres), "RD": with(redis), "TOKEN": with(token),
			"PASSWORD": with("hunter2"), "TTL": with("7m"), "LISTEN": with("0.0.0.0:8080"),
			"BLANK": around[0] + around[1]}
		t.Run(name, func(t *testing.T) {
			spec, err := loadSpec(t, `
postgres: {url: "${PG}"}
redis: {url: "redis://:${PASSWORD}@cache:6379/0", queue_url: "${RD}"}
admin: {token: "${TOKEN}", listen: "${LISTEN}"}
changes: {source: wal, url: "postgres://app:${PASSWORD}@db/shop"}
jobs: [{name: a, query: SELECT 1 AS id, key: "a:{id}", ttl: "${TTL}"}]`, env)
			if err != nil {
				t.Fatal(err)
			}
			checkSecrets(t, spec, postgres, redis, token)
			if _, err := loadSpec(t, `
postgres: {url: "${BLANK}"}
redis: {url: "${RD}"}
jobs: [{name: a, query: SELECT 1 AS id, key: "a:{id}"}]`, env); err == nil ||
				!strings.Contains(err.Error(), "2:17: url is empty once the environment is put in") {
				t.Errorf("blanks alone: %v", err)
			}
		})
	}
	inline, err := loadSpec(t, "\ufeffpostgres:\r\n  url: |\r\n    "+postgres+"\r\nredis:\r\n  url: "+
		"\" "+redis+"\\n\"\r\n"+
		"  queue_url: >\r\n    "+redis+"\r\n\r\nadmin:\r\n  token: |+\r\n    "+token+"\r\n\r\n"+
		"changes: {source: wal, url: \"\\t"+postgres+"\"}\r\n"+
		"jobs: [{name: a, query: SELECT 1 AS id, key: \"a:{id}\"}]\r\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	checkSecrets(t, inline, postgres, redis, token)
}

func checkSecrets(t *testing.T, spec *jobs.Spec, postgres, redis, token string) {
	t.Helper()
	for what, pair := range map[string][2]string{
		"postgres.url": {spec.Postgres.URL.Reveal(), postgres},
		"changes.url":  {spec.Changes.URL.Reveal(), postgres},
		"redis.url":    {spec.Redis.URL.Reveal(), redis},
		"queue_url":    {spec.Redis.QueueURL.Reveal(), redis},
		"token":        {spec.Admin.Token.Reveal(), token},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s = %q, want %q", what, pair[0], pair[1])
		}
	}
}

// A line break in the middle is a mistake, which is named and not shown.
func TestSecretsWithALineBreakInside(t *testing.T) {
	_, err := loadSpec(t, `
postgres: {url: "postgres://app:hun\nter2@db/shop"}
redis: {url: "redis://:hun\nter2@cache", queue_url: "redis://:hun\r\nter2@cache"}
admin: {token: "hun\nter2"}
jobs: [{name: a, query: SELECT 1 AS id, key: "a:{id}"}]`, nil)
	problems, _ := errors.AsType[jobs.Problems](err)
	if len(problems) != 4 || strings.Contains(err.Error(), "ter2") {
		t.Errorf("err = %v", err)
	}
	for _, p := range problems {
		if !strings.Contains(p.Message, "line break") {
			t.Errorf("%s lacks the reason", p)
		}
	}
}

// pool_max_conns holds where the spec does not say max_connections.
func TestPoolMaxConnsOfTheURL(t *testing.T) {
	const rest = "\nredis: {url: redis://c}\njobs: [{name: a, query: SELECT 1 AS id, key: \"a:{id}\"}]"
	for text, want := range map[string]int{
		`postgres: {url: "postgres://db/shop?pool_max_conns=4"}`:                     4,
		`postgres: {url: "postgres://db/shop?pool_max_conns=4", max_connections: 6}`: 6,
		"postgres: {url: host=db pool_max_conns=3}":                                  3,
		"postgres: {url: postgres://db/shop}":                                        8,
	} {
		spec, err := loadSpec(t, text+rest, nil)
		if err != nil || spec.Postgres.MaxConnections != want {
			t.Errorf("%s: %v, %v", text, spec, err)
		}
	}
	_, err := loadSpec(t, `postgres: {url: "postgres://db/shop?pool_max_conns=many"}`+rest, nil)
	if err == nil || !strings.Contains(err.Error(), ":1:17: url has a pool_max_conns") {
		t.Errorf("err = %v", err)
	}
}

// The driver's word comes at the place of its URL.
func TestDriversRefuseAtThePlace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "stoker.yaml")
	if err := os.WriteFile(file, []byte(`postgres: {url: postgres://db/shop}
redis: {url: redis://c}
changes: {source: wal, url: postgres://db/shop}
jobs: [{name: a, query: SELECT 1 AS id, key: "a:{id}"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	refuse := func(jobs.Secret) error { return errors.New("no such certificate") }
	_, err := LoadWith(file, os.LookupEnv, Drivers{Postgres: refuse, Redis: refuse})
	for _, want := range []string{":1:17: url cannot be used: no such certificate", ":2:14: url cannot be used",
		":3:29: url cannot be used"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v lacks %q", err, want)
		}
	}
}
