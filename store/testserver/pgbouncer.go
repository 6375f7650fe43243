package testserver

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// PgBouncer is a private PgBouncer in transaction mode before a private Postgres.
type PgBouncer struct {
	Server
	password string
}

// StartPgBouncer starts a pooler with two connections to the server. Settings are
// "name = value" lines for pgbouncer.ini. A program that is not installed is a
// MissingError.
func StartPgBouncer(ctx context.Context, to *Postgres, settings ...string) (*PgBouncer, error) {
	program, err := pgbouncerProgram()
	if err != nil {
		return nil, err
	}
	dir, err := newFolder("pgbouncer", to.owner)
	if err != nil {
		return nil, err
	}
	b := &PgBouncer{password: to.password, Server: Server{
		name: "pgbouncer", dir: dir, owner: to.owner,
		soft: syscall.SIGINT, hard: syscall.SIGTERM, // the latter is its immediate end
		ready: listens,
		argv:  func(s *Server) []string { return []string{program, filepath.Join(s.dir, "pgbouncer.ini")} },
	}}
	if b.port, err = freePort(); err != nil {
		return nil, err
	}
	if err := b.configure(to, settings); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := b.Start(ctx); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return b, nil
}

// URL is the connection string of a database through the pooler.
func (b *PgBouncer) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("stoker", b.password), Host: b.Addr(), Path: "/" + database,
		RawQuery: "sslmode=disable"}
	return u.String()
}

func (b *PgBouncer) configure(to *Postgres, settings []string) error {
	ini := fmt.Sprintf(`[databases]
* = host=127.0.0.1 port=%d
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = plain
auth_file = %s/users
pool_mode = transaction
default_pool_size = 2
%s
`, to.port, b.port, b.dir, strings.Join(settings, "\n"))
	for name, text := range map[string]string{"pgbouncer.ini": ini,
		"users": `"stoker" ` + strconv.Quote(b.password) + "\n"} {
		path := filepath.Join(b.dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("configure private pgbouncer: %w", err)
		}
		if err := b.owner.give(path); err != nil {
			return fmt.Errorf("configure private pgbouncer: %w", err)
		}
	}
	return nil
}

// listens reports whether somebody takes connections.
func listens(ctx context.Context, s *Server) bool {
	d := net.Dialer{Timeout: time.Second}
	c, err := d.DialContext(ctx, "tcp", s.Addr())
	return err == nil && c.Close() == nil
}

func pgbouncerProgram() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	for _, path := range []string{"/usr/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer", "/usr/local/bin/pgbouncer"} {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", &MissingError{Program: "pgbouncer", Debian: "pgbouncer", Brew: "pgbouncer"}
}
