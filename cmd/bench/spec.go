package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
)

// specText is the spec of a measured job: what a user would write, with limits
// that a slow machine does not reach.
const specText = `postgres: {url: "${BENCH_POSTGRES}", statement_timeout: 30m}
redis: {url: "${BENCH_REDIS}"}
admin: {listen: "${BENCH_LISTEN}"}
jobs:
  - name: %s
    query: %q
    key: "%s{%s}"
    value: row
    ttl: %s
    timeout: 30m
    volatile: %t
`

func specOf(name string, job baseline.Job) string {
	return fmt.Sprintf(specText, name, job.Query, job.Prefix, job.Column, baseline.TTL,
		strings.Contains(job.Query, "now()"))
}

// specEnv is the environment that specText asks for.
func (b *bench) specEnv(server *redisServer, listen string) []string {
	return append(os.Environ(), "BENCH_POSTGRES="+b.postgres.URL("postgres"), "BENCH_REDIS="+server.URL(0),
		"BENCH_LISTEN="+listen)
}

// specFile writes a spec for programs to be given.
func (b *bench) specFile(name, text string) (string, error) {
	file := filepath.Join(b.dir, name+".yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("write the daemon's spec: %w", err)
	}
	return file, nil
}
