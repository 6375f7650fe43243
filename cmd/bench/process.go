package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// process is a started program; done is closed when it has ended with err.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// launch starts cmd in a process group of its own: a Ctrl-C on the terminal is
// ours to act on. On Linux it ends with us even if we are killed; the kernel
// counts the thread that started it as us, so that thread is kept.
func launch(cmd *exec.Cmd) (*process, error) {
	cmd.SysProcAttr = attributes()
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Args[0], err)
	}
	return p, nil
}

// wait returns when the process has ended, or has been killed because ctx ended.
func (p *process) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		p.kill()
		return context.Cause(ctx)
	}
}

// patience is how long a process may take to stop when it is asked to.
const patience = 20 * time.Second

// stop asks the process to end, and insists.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended: done tells
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		p.kill()
		return fmt.Errorf("%s did not stop within %s", p.cmd.Args[0], patience)
	}
}

// kill ends the process and, with its group, what it has started itself, as go
// does compilers.
func (p *process) kill() {
	select {
	case <-p.done: // its number may be another's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // it may end this very moment
	}
	<-p.done
}

// cpu is the time that an ended process and the children it waited for used.
func (p *process) cpu() report.Seconds {
	return report.In(p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime())
}

// command runs a program in a folder and returns what it printed. Its temporary
// files are in our folder, and go with it if it is killed.
func (b *bench) command(ctx context.Context, dir, name string, args ...string) (string, error) {
	return b.commandWith(ctx, append(os.Environ(), "TMPDIR="+b.dir), dir, name, args...)
}

// commandWith does so in an environment of its own.
func (b *bench) commandWith(ctx context.Context, env []string, dir, name string, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, env
	cmd.Stdout, cmd.Stderr = &out, &said
	what := filepath.Base(name) + " " + args[0]
	p, err := launch(cmd)
	if err != nil {
		return "", err
	}
	if err := p.wait(ctx); err != nil {
		return "", failure(what, err, said.String()+out.String())
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// failure is an error with what the program said of it.
func failure(what string, err error, said string) error {
	if said = strings.TrimSpace(said); said == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	lines := strings.Split(said, "\n")
	const last = 15
	return fmt.Errorf("%s: %w\n%s", what, err, strings.Join(lines[max(0, len(lines)-last):], "\n"))
}

// errLeft: something that we made could not be removed.
var errLeft = errors.New("something was left behind")

func left(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errLeft, err)
	}
	return nil
}

// leftover is what remains to be reported of an error after Ctrl-C, which cut off
// everything else.
func leftover(err error) error {
	if errors.Is(err, errLeft) {
		return err
	}
	return nil
}

// logText returns the content of a log file, for an error message.
func logText(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
