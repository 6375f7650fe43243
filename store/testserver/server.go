// Package testserver starts throw-away Postgres and Redis servers for the demo and
// for tests: own processes on free loopback ports, in a temporary folder, never
// as root, and gone with Close. It never touches a server that was already
// there. On Linux the servers also end when the process that started them is
// killed.
package testserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Server is one private server process. It is not safe for concurrent use.
type Server struct {
	name  string // for messages: postgres, redis
	dir   string // everything the server writes; removed by Close
	port  int
	owner *owner
	argv  func(s *Server) []string
	ready func(ctx context.Context, s *Server) bool
	soft  syscall.Signal // asks for an orderly end
	hard  syscall.Signal // ends at once, no child left behind

	proc *process // nil while stopped
}

// Addr is host:port.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// PID is the server's process id, 0 while it is stopped.
func (s *Server) PID() int {
	if s.proc == nil {
		return 0
	}
	return s.proc.cmd.Process.Pid
}

const startTimeout = 30 * time.Second

// Start starts the server again after Stop or Kill, on the same port and data,
// and waits until it answers.
func (s *Server) Start(ctx context.Context) error {
	if s.proc != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	argv := s.argv(s)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir = s.dir
	cmd.Env = s.owner.env()
	proc, err := startProcess(cmd, s.logFile(), s.owner, s.hard)
	if err != nil {
		return fmt.Errorf("start private %s: %w", s.name, err)
	}
	for !s.ready(ctx, s) {
		select {
		case <-proc.done:
			return fmt.Errorf("start private %s: it ended at once: %v\n%s", s.name, proc.err, s.logTail())
		case <-ctx.Done():
			proc.end(s.hard, s.hard)
			return fmt.Errorf("start private %s: not ready: %w\n%s", s.name, context.Cause(ctx), s.logTail())
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.proc = proc
	return nil
}

// Stop ends the server in order and keeps its data.
func (s *Server) Stop() { s.end(s.soft) }

// Kill ends the server at once, as a crash would, and keeps its data.
func (s *Server) Kill() { s.end(s.hard) }

func (s *Server) end(sig syscall.Signal) {
	if s.proc == nil {
		return
	}
	s.proc.end(sig, s.hard)
	s.proc = nil
}

// Signal sends sig to the server process, for tests that pause it.
func (s *Server) Signal(sig syscall.Signal) error {
	if s.proc == nil {
		return fmt.Errorf("signal private %s: it is stopped", s.name)
	}
	return s.proc.cmd.Process.Signal(sig)
}

// Close ends the server and removes everything it wrote.
func (s *Server) Close() error {
	s.end(s.hard)
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the folder of private %s: %w", s.name, err)
	}
	return nil
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }

func (s *Server) logTail() string {
	b, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// newFolder makes the server's folder and hands it to the owner.
func newFolder(name string, o *owner) (string, error) {
	dir, err := os.MkdirTemp("", "stoker-"+name+"-")
	if err != nil {
		return "", fmt.Errorf("make a folder for private %s: %w", name, err)
	}
	if err := o.give(dir); err != nil {
		return "", errors.Join(fmt.Errorf("make a folder for private %s: %w", name, err), os.RemoveAll(dir))
	}
	return dir, nil
}

// FreeAddress returns an address, host:port, of this machine where nothing listens. Another process may take it before
// the caller does, who then starts again with a new one.
func FreeAddress() (string, error) {
	port, err := freePort()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), err
}

// freePort is the port of FreeAddress.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startOnFreePort tries a few ports, for the race that FreeAddress describes.
func startOnFreePort(ctx context.Context, s *Server) error {
	var errs error
	for range 3 {
		var err error
		if s.port, err = freePort(); err == nil {
			err = s.Start(ctx)
		}
		if err == nil {
			return nil
		}
		errs = errors.Join(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs, os.RemoveAll(s.dir))
}
