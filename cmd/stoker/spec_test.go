package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stokerhq/stoker/cmd/stoker/internal/check"
	"github.com/stokerhq/stoker/store/storetest"
)

// What a driver refuses in a URL, and what another library or another cron would take, ends
// every command with status 2 and the place, before anything connects. Broken by: Load in
// place of LoadWith.
func TestWrongURLsAndSchedulesAreMistakesOfTheSpec(t *testing.T) {
	for name, tt := range map[string]struct{ postgres, redis, schedule, want string }{
		"certificate": {"postgres://a:hunter2@db/x?sslmode=verify-full&sslrootcert=/none/ca.pem", "redis://c", "@daily",
			"stoker.yaml:1:17: url cannot be used: failed to configure TLS"},
		"service": {"service=none servicefile=/none/services", "redis://c", "@daily",
			"stoker.yaml:1:17: url cannot be used: failed to read service"},
		"library": {"postgresql+asyncpg://a:hunter2@db/x", "redis://c", "@daily",
			"stoker.yaml:1:17: url names +asyncpg"},
		"redis": {"postgres://a:hunter2@db/x", "redis://:hunter2@c/zero", "@daily", "stoker.yaml:2:14: url "},
		"cron":  {"postgres://a:hunter2@db/x", "redis://c", "0 3 * * FRI-MON", "write two ranges: 5-7,1"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "stoker.yaml")
			text := "postgres: {url: \"" + tt.postgres + "\"}\nredis: {url: \"" + tt.redis + "\"}\njobs:\n" +
				"  - {name: a, query: SELECT 1 AS id, key: \"a:{id}\", ttl: 3d, schedule: \"" + tt.schedule + "\"}\n"
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, command := range []string{"check", "run", "status", "warm a"} {
				got := stoker(t, nil, append(strings.Fields(command), "--config", file)...)
				leaks := strings.Contains(got.stderr, "hunter2")
				if got.status != 2 || !strings.Contains(got.stderr, tt.want) || leaks {
					t.Errorf("%s: status %d\n%s", command, got.status, got.stderr)
				}
			}
		})
	}
}

// check shows the next ticks also where a secret came with a line break, and says a warning of
// many jobs once.
func TestCheckShowsTicksAndOneWarning(t *testing.T) {
	vars := map[string]string{"PG": storetest.Postgres(t) + "\r\n", "RD": " " + storetest.Redis(t) + "\n"}
	spec := specFile(t, `postgres: {url: "${PG}"}
redis: {url: "${RD}"}
defaults: {ttl: 10m}
jobs:
  - {name: one, query: "SELECT 1 AS id -- tag", key: "one:{id}", schedule: "0 3 * * 7", time_zone: Europe/Berlin}
  - {name: two, query: "SELECT 1 AS id;", key: "two:{id}", schedule: "@hourly"}
`)
	text := stoker(t, vars, "check", "--config", spec)
	if text.status != 0 || strings.Count(text.stdout, "warn  spec") != 1 ||
		strings.Count(text.stdout, "schedule 0 3 * * 7: next Sun ") != 1 {
		t.Errorf("status %d\n%s%s", text.status, text.stdout, text.stderr)
	}
	var list []check.Finding
	if err := json.Unmarshal([]byte(stoker(t, vars, "check", "--json", "--config", spec).stdout), &list); err != nil {
		t.Fatal(err)
	}
	ticks := 0
	for _, x := range list {
		ticks += len(x.Next)
	}
	if ticks != 6 {
		t.Errorf("%d ticks in %v", ticks, list)
	}
}
