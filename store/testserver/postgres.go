package testserver

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Postgres is a private Postgres server with one superuser, stoker.
type Postgres struct {
	Server
	password string
	bin      string // folder of its programs; "": those that are installed
}

// StartPostgres makes a new database cluster in a temporary folder and starts
// it. Settings are "name=value" lines for postgresql.conf, over the defaults
// here: nothing is made durable, and logical decoding is on.
func StartPostgres(ctx context.Context, settings ...string) (*Postgres, error) {
	return StartPostgresIn(ctx, "", settings...)
}

// StartPostgresIn is StartPostgres with the server programs of a folder, of another version perhaps: see
// FindPostgres. If we are root, the server runs as another user, who must be able to read the folder.
func StartPostgresIn(ctx context.Context, bin string, settings ...string) (*Postgres, error) {
	p := &Postgres{password: rand.Text(), bin: bin}
	initdb, err := p.serverProgram("initdb")
	if err != nil {
		return nil, err
	}
	server, err := p.serverProgram("postgres")
	if err != nil {
		return nil, err
	}
	o, err := findOwner()
	if err != nil {
		return nil, err
	}
	dir, err := newFolder("postgres", o)
	if err != nil {
		return nil, err
	}
	p.Server = Server{
		name: "postgres", dir: dir, owner: o,
		soft: syscall.SIGINT, hard: syscall.SIGQUIT,
		ready: postgresReady,
		argv: func(s *Server) []string {
			return []string{server, "-D", dataDir(s), "-p", strconv.Itoa(s.port)}
		},
	}
	if err := p.init(ctx, initdb, settings); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := startOnFreePort(ctx, &p.Server); err != nil {
		return nil, err
	}
	return p, nil
}

// URL is the connection string of a database on the server; every cluster has
// one named postgres.
func (p *Postgres) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("stoker", p.password), Host: p.Addr(), Path: "/" + database,
		RawQuery: "sslmode=disable"}
	return u.String()
}

// serverProgram is Program, but of this Postgres alone.
func (p *Postgres) serverProgram(name string) (string, error) {
	path, err := p.Program(name)
	if err == nil && p.bin != "" && filepath.Dir(path) != filepath.Clean(p.bin) {
		return "", fmt.Errorf("there is no %s in %s: name the folder of the programs of a Postgres server", name, p.bin)
	}
	return path, err
}

// Program returns the path of a client program of this Postgres, as pgbench or
// psql; of the installed one, where the folder of this Postgres lacks it.
func (p *Postgres) Program(name string) (string, error) {
	if p.bin != "" {
		if path := filepath.Join(p.bin, name); isFile(path) {
			return path, nil
		}
	}
	return postgresProgram(name)
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func dataDir(s *Server) string { return filepath.Join(s.dir, "data") }

func (p *Postgres) init(ctx context.Context, initdb string, settings []string) error {
	args := []string{"-U", "stoker", "-A", "password", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync",
		"--no-instructions"}
	kept, keep := templateFor(initdb, args)
	if keep {
		password, ok, err := kept.copyTo(dataDir(&p.Server), p.owner)
		if err != nil {
			return err
		}
		if ok {
			p.password = password
			return p.configure(settings)
		}
	}
	if err := p.runInitdb(ctx, initdb, args); err != nil {
		return err
	}
	if keep {
		if err := kept.keep(dataDir(&p.Server), p.password); err != nil {
			return err
		}
	}
	return p.configure(settings)
}

func (p *Postgres) runInitdb(ctx context.Context, initdb string, args []string) error {
	pw := filepath.Join(p.dir, "password")
	if err := os.WriteFile(pw, []byte(p.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the password of private postgres: %w", err)
	}
	if err := p.owner.give(pw); err != nil {
		return fmt.Errorf("hand over the password of private postgres: %w", err)
	}
	cmd := exec.CommandContext(ctx, initdb, append([]string{"-D", dataDir(&p.Server), "--pwfile", pw}, args...)...)
	cmd.Dir, cmd.Env = p.dir, p.owner.env()
	cmd.SysProcAttr = sysProcAttr(p.owner, 0)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb of private postgres: %w\n%s", err, out)
	}
	return nil
}

func (p *Postgres) configure(settings []string) error {
	lines := append([]string{
		"listen_addresses = '127.0.0.1'", "unix_socket_directories = ''",
		"fsync = off", "full_page_writes = off", "shared_buffers = 64MB", "max_connections = 60",
		"wal_level = logical", "max_wal_size = 512MB", "timezone = 'UTC'", "log_min_messages = fatal",
	}, settings...)
	f, err := os.OpenFile(filepath.Join(dataDir(&p.Server), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("configure private postgres: %w", err)
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("configure private postgres: %w", err)
	}
	return nil
}

// postgresReady reads the last line of postmaster.pid, which the server itself
// keeps at "ready" while it takes connections: no client library needed.
func postgresReady(_ context.Context, s *Server) bool {
	b, err := os.ReadFile(filepath.Join(dataDir(s), "postmaster.pid"))
	if err != nil {
		return false
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) <= 7 {
		return false
	}
	status := strings.TrimSpace(lines[7])
	return status == "ready" || status == "standby" // takes connections for reading
}
