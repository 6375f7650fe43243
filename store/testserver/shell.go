package testserver

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Shell is a psql session on a private Postgres: it runs SQL for set-up and for
// a demo's writer without a client library. It is not safe for concurrent use.
type Shell struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	failed bytes.Buffer // what psql says on standard error
}

// Shell opens a session on a database of the server. The session ends with ctx
// at the latest.
func (p *Postgres) Shell(ctx context.Context, database string) (*Shell, error) {
	psql, err := postgresProgram("psql")
	if err != nil {
		return nil, err
	}
	s := &Shell{cmd: exec.CommandContext(ctx, psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", p.URL(database))}
	s.cmd.Env = p.owner.env()
	s.cmd.Dir = p.dir
	s.cmd.SysProcAttr = sysProcAttr(p.owner, 0) // out of the terminal's process group: Ctrl-C is ours to act on
	s.cmd.Stderr = &s.failed
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("open a psql session: %w", err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("open a psql session: %w", err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("open a psql session: %w", err)
	}
	return s, nil
}

// ended is printed by psql after each Exec; no answer of ours looks like it.
const ended = "--stoker-ended--"

// Exec runs SQL and returns the lines it printed. After an error the session is
// over.
func (s *Shell) Exec(sql string) ([]string, error) {
	if _, err := io.WriteString(s.in, sql+"\n;\n\\echo "+ended+"\n"); err != nil {
		return nil, s.failure(err)
	}
	var lines []string
	for {
		line, err := s.out.ReadString('\n')
		if err != nil {
			return nil, s.failure(err)
		}
		if line = strings.TrimSuffix(line, "\n"); line == ended {
			return lines, nil
		}
		lines = append(lines, line)
	}
}

// failure is what psql said, or err if it said nothing.
func (s *Shell) failure(err error) error {
	werr := s.cmd.Wait() // it has ended: its output is complete then
	if said := strings.TrimSpace(s.failed.String()); said != "" {
		return fmt.Errorf("psql: %s", said)
	}
	return fmt.Errorf("psql: %w", errors.Join(err, werr))
}

// Close ends the session.
func (s *Shell) Close() error {
	if s.cmd.ProcessState != nil {
		return nil
	}
	err := s.in.Close()
	if _, cerr := io.Copy(io.Discard, s.out); err == nil {
		err = cerr
	}
	if werr := s.cmd.Wait(); err == nil {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("close a psql session: %w", err)
	}
	return nil
}
