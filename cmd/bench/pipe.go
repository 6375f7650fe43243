package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// redisCLI is Redis' own client, or the same of its fork.
func redisCLI() (string, error) {
	for _, name := range []string{"redis-cli", "valkey-cli"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("redis-cli not found: install redis-tools, or put it in PATH")
}

var pipeSaid = regexp.MustCompile(`errors: (\d+), replies: (\d+)`)

// pipe runs redis-cli --pipe on in, and before it, if there is one, the producer
// that writes the other end of in.
func pipe(ctx context.Context, server *redisServer, in *os.File, producer *exec.Cmd) (o outcome, err error) {
	cli, err := redisCLI()
	if err != nil {
		return o, err
	}
	var said bytes.Buffer
	cmd := exec.Command(cli, "-p", strconv.Itoa(server.Port()), "--pipe")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &said, &said
	o.begin = time.Now()
	consumer, err := launch(cmd)
	if err != nil {
		return o, err
	}
	if producer != nil {
		p, err := produce(ctx, producer)
		if err != nil {
			consumer.kill()
			return o, err
		}
		o.client += p.cpu()
	}
	if err := consumer.wait(ctx); err != nil {
		return o, failure("redis-cli --pipe", err, said.String())
	}
	o.end = time.Now()
	o.client += consumer.cpu()
	m := pipeSaid.FindSubmatch(said.Bytes())
	if m == nil || string(m[1]) != "0" {
		return o, failure("redis-cli --pipe", errors.New("not everything was written"), said.String())
	}
	o.keys, err = strconv.ParseInt(string(m[2]), 10, 64)
	return o, err
}

// produce runs the producer to its end and closes what it wrote to, without
// which its reader would wait for ever.
func produce(ctx context.Context, cmd *exec.Cmd) (*process, error) {
	out := cmd.Stdout.(*os.File)
	var said bytes.Buffer
	cmd.Stderr = &said
	p, err := launch(cmd)
	if cerr := out.Close(); err == nil && cerr != nil {
		p.kill()
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	if err := p.wait(ctx); err != nil {
		return nil, failure("psql", err, said.String())
	}
	return p, nil
}

// psql is a command that prints d as the Redis protocol to out.
func (b *bench) psql(d dataset, out *os.File, cpuFile string) (*exec.Cmd, error) {
	program, err := b.postgres.Program("psql")
	if err != nil {
		return nil, err
	}
	script := filepath.Join(b.dir, d.part+".sql")
	if err := os.WriteFile(script, []byte(baseline.Script(d.job, cpuFile)), 0o600); err != nil {
		return nil, fmt.Errorf("write psql's script: %w", err)
	}
	cmd := exec.Command(program, "-X", "-q", "-A", "-t", "-f", script, b.postgres.URL("postgres"))
	cmd.Env = append(os.Environ(), "PGCLIENTENCODING=UTF8")
	cmd.Stdout = out
	return cmd, nil
}

// psqlPiped is psql making the protocol, piped into redis-cli.
func (b *bench) psqlPiped(ctx context.Context, d dataset, server *redisServer) (o outcome, err error) {
	cpuFile := ""
	if proc.Known() {
		cpuFile = filepath.Join(b.dir, "psql.cpu")
	}
	r, w, err := os.Pipe()
	if err != nil {
		return o, fmt.Errorf("make a pipe: %w", err)
	}
	defer r.Close()
	producer, err := b.psql(d, w, cpuFile)
	if err != nil {
		return o, errors.Join(err, w.Close())
	}
	if o, err = pipe(ctx, server, r, producer); err != nil || cpuFile == "" {
		return o, err
	}
	stat, err := os.ReadFile(cpuFile)
	if err != nil {
		return o, fmt.Errorf("read the backend's CPU time: %w", err)
	}
	used, err := proc.ParseStat(string(stat))
	o.backend = report.In(used)
	return o, err
}

// readyFile makes, once, the file that holds d as the Redis protocol.
func (b *bench) readyFile(ctx context.Context, d dataset) (string, error) {
	if file, ok := b.ready[d.part]; ok {
		return file, nil
	}
	file := filepath.Join(b.dir, d.part+".resp")
	out, err := os.Create(file)
	if err != nil {
		return "", fmt.Errorf("make the file of the %s: %w", d.part, err)
	}
	cmd, err := b.psql(d, out, "")
	if err != nil {
		return "", errors.Join(err, out.Close())
	}
	if _, err := produce(ctx, cmd); err != nil {
		return "", fmt.Errorf("make the file of the %s: %w", d.part, err)
	}
	b.ready[d.part] = file
	return file, nil
}

// ingest is Redis' own speed: redis-cli --pipe of a ready file.
func (b *bench) ingest(ctx context.Context, d dataset, server *redisServer) (o outcome, err error) {
	file, err := b.readyFile(ctx, d)
	if err != nil {
		return o, err
	}
	in, err := os.Open(file)
	if err != nil {
		return o, fmt.Errorf("open the file of the %s: %w", d.part, err)
	}
	defer in.Close()
	return pipe(ctx, server, in, nil)
}
