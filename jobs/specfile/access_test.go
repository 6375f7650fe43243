package specfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/jobs"
)

const accessSpec = `
postgres:
  url_file: secrets/postgres
redis:
  url: redis://stoker@cache:26379?master_name=m&username=data
  password_file: ${CREDENTIALS_DIRECTORY}/password
  sentinel_password_file: secrets/password
  queue_url_file: secrets/redis
  queue_password_file: secrets/password
  queue_tls: {server_name: queue.internal}
admin: {listen: "0.0.0.0:8080", token_file: secrets/token}
changes: {source: wal, url: "host=db user=app dbname=shop", password_file: secrets/password, tls: {server_name: db}}
notify:
  - {url: "https://host/path", secret_file: secrets/token}
jobs:
  - {name: a, query: SELECT 1 AS id, key: "a:{id}"}
`

// Secrets of files stand where those of the spec would, and the files are kept for new connections; one that everybody
// can read is a warning at its place. Broken by: a path from the working folder; a password that is merged into the
// Sentinels' place.
func TestSecretsFromFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"secrets/postgres": "postgres://app:pg@db/shop\n",
		"secrets/redis": "rediss://cache:6379/0\r\n", "secrets/password": "p w/@\n",
		"secrets/token": "a-token-that-is-long-enough", "stoker.yaml": accessSpec} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "secrets/postgres"), 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := Load(filepath.Join(dir, "stoker.yaml"), func(string) (string, bool) {
		return filepath.Join(dir, "secrets"), true
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		got  jobs.Secret
		want string
	}{
		{spec.Postgres.URL, "postgres://app:pg@db/shop"},
		{spec.Redis.URL, "redis://stoker:p%20w%2F%40@cache:26379?master_name=m&password=p+w%2F%40&username=data"},
		{spec.Redis.QueueURL, "rediss://:p%20w%2F%40@cache:6379/0"},
		{spec.Changes.URL, "host='db' user='app' dbname='shop' password='p w/@'"},
		{spec.Admin.Token, "a-token-that-is-long-enough"}, {spec.Notify[0].Secret, "a-token-that-is-long-enough"},
	} {
		if tt.got.Reveal() != tt.want {
			t.Errorf("%s, want %s", tt.got.Reveal(), tt.want)
		}
	}
	if e := spec.Redis.Queue(); e.URLFile != filepath.Join(dir, "secrets/redis") ||
		e.TLS.ServerName != "queue.internal" ||
		e.Name("tls") != "redis.queue_tls" || spec.Redis.Shared() {
		t.Errorf("queue: %+v", e)
	}
	if w := spec.Warnings; len(w) == 0 || w[0].Line != 3 || w[0].Col != 13 ||
		!strings.Contains(w[0].Message, "mode 0644") {
		t.Errorf("warnings: %v", w)
	}
}
