package testserver

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// process is a started command; done is closed when it has ended with err.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid once done is closed
}

// startProcess starts cmd as the owner with its output in logFile. The goroutine
// that starts it keeps its thread until the command ends, because Linux sends
// the parent-death signal when the starting thread, not the process, dies.
func startProcess(cmd *exec.Cmd, logFile string, o *owner, death syscall.Signal) (*process, error) {
	out, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open its log: %w", err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = sysProcAttr(o, death)
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

const stopTimeout = 10 * time.Second

// end sends sig and, if the process is still there after stopTimeout, hard and
// then SIGKILL. It returns when the process has been reaped.
func (p *process) end(sig, hard syscall.Signal) {
	for _, s := range []syscall.Signal{sig, hard, syscall.SIGKILL} {
		// A signal to a process that has ended is refused; done says so.
		_ = p.cmd.Process.Signal(s)
		// A paused process acts on nothing but SIGKILL before it is continued.
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		select {
		case <-p.done:
			return
		case <-time.After(stopTimeout):
		}
	}
	<-p.done
}
