package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// MissingError says that a server program is not installed, and what to do.
type MissingError struct {
	Program string
	Debian  string // package
	Brew    string // formula
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s not found: install it (Debian, Ubuntu: apt-get install %s; macOS: brew install %s) or "+
		"put it in PATH", e.Program, e.Debian, e.Brew)
}

// FindPostgres finds the folder of the server programs of one major version: where $STOKER_POSTGRES_18, of version 18
// for instance, says, where packages put them, or where deploy/dev/postgres18.sh does, which keeps them out of the way
// of all other tests.
func FindPostgres(major int) (bin string, err error) {
	folders := []string{os.Getenv(fmt.Sprintf("STOKER_POSTGRES_%d", major)),
		fmt.Sprintf("/usr/lib/postgresql/%d/bin", major), fmt.Sprintf("/usr/pgsql-%d/bin", major),
		fmt.Sprintf("/opt/homebrew/opt/postgresql@%d/bin", major),
		fmt.Sprintf("/usr/local/lib/stoker-postgres/%d/bin", major)}
	if cache, err := os.UserCacheDir(); err == nil {
		folders = append(folders, filepath.Join(cache, "stoker-postgres", strconv.Itoa(major), "bin"))
	}
	for _, folder := range folders {
		if _, err := os.Stat(filepath.Join(folder, "initdb")); folder != "" && err == nil {
			return folder, nil
		}
	}
	name := fmt.Sprintf("postgresql-%d", major)
	return "", &MissingError{Program: fmt.Sprintf("Postgres %d (deploy/dev/postgres18.sh installs it)", major),
		Debian: name, Brew: fmt.Sprintf("postgresql@%d", major)}
}

// postgresProgram finds a program of the Postgres server. Debian keeps them out
// of PATH, in a folder a version; what it has in PATH under their names are
// wrappers that look for a cluster of the machine's own.
func postgresProgram(name string) (string, error) {
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/", "/usr/pgsql-*/bin/",
		"/opt/homebrew/opt/postgresql*/bin/", "/usr/local/opt/postgresql*/bin/"} {
		matches, err := filepath.Glob(pattern + name)
		if err == nil {
			found = append(found, matches...)
		}
	}
	if len(found) > 0 {
		return slices.MaxFunc(found, func(a, b string) int { return versionIn(a) - versionIn(b) }), nil
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return "", &MissingError{Program: name, Debian: "postgresql", Brew: "postgresql"}
}

// versionIn returns the first number in a path, its Postgres version.
func versionIn(path string) int {
	start := strings.IndexAny(path, "0123456789")
	if start < 0 {
		return 0
	}
	end := start
	for end < len(path) && path[end] >= '0' && path[end] <= '9' {
		end++
	}
	v, err := strconv.Atoi(path[start:end])
	if err != nil {
		return 0
	}
	return v
}

func redisProgram() (string, error) {
	for _, name := range []string{"redis-server", "valkey-server"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	for _, path := range []string{"/usr/bin/redis-server", "/opt/homebrew/bin/redis-server",
		"/usr/local/bin/redis-server"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", &MissingError{Program: "redis-server", Debian: "redis-server", Brew: "redis"}
}
