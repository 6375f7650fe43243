package testserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// StartStandby copies the server as it is and starts the copy as a standby, which
// follows the server until it is promoted. It has the same password.
func (p *Postgres) StartStandby(ctx context.Context) (*Postgres, error) {
	program, err := p.Program("pg_basebackup")
	if err != nil {
		return nil, err
	}
	dir, err := newFolder("postgres", p.owner)
	if err != nil {
		return nil, err
	}
	s := &Postgres{password: p.password, bin: p.bin, Server: p.Server}
	s.dir, s.proc = dir, nil
	cmd := exec.CommandContext(ctx, program, "-D", dataDir(&s.Server), "-d", p.URL("postgres"), "-R", "-X", "stream",
		"-c", "fast", "--no-sync")
	cmd.Dir, cmd.Env = dir, p.owner.env()
	cmd.SysProcAttr = sysProcAttr(p.owner, 0)
	if out, err := cmd.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("copy private postgres: %w\n%s", err, out)
	}
	if err := startOnFreePort(ctx, &s.Server); err != nil {
		return nil, err
	}
	return s, nil
}
