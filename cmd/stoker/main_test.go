package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/store/storetest"
	"github.com/stokerhq/stoker/store/testserver"
)

func TestMain(m *testing.M) {
	// What is ignored stays so in child processes, and under nohup SIGHUP is; what is handled does not.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	// Tests that run daemons mostly wait for them.
	flag.Parse()
	if err := flag.Set("test.parallel", "5"); err != nil {
		panic(err)
	}
	storetest.Main(m)
}

// result is the end of a command run in this process.
type result struct {
	status         int
	stdout, stderr string
}

// stoker runs a command line in this process.
func stoker(t *testing.T, vars map[string]string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	status := execute(t.Context(), args, env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs,
		lookup: func(name string) (string, bool) {
			v, ok := vars[name]
			return v, ok
		}})
	return result{status, out.String(), errs.String()}
}

// specFile writes a spec into a folder of the test.
func specFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stoker.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// process is a stoker running on its own.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *syncBuffer
	done chan struct{}
	err  error
}

// start runs the built binary; it is stopped at the end of the test if it still
// runs then.
func start(t *testing.T, vars map[string]string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(storetest.Stoker(t), args...), vars)
}

// startCommand does the same with a command that runs the binary in its own way.
func startCommand(t *testing.T, cmd *exec.Cmd, vars map[string]string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, log: &syncBuffer{}, done: make(chan struct{})}
	p.cmd.Env = os.Environ()
	for k, v := range vars {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may have ended
		<-p.done
		if t.Failed() {
			t.Logf("output of %s:\n%s", strings.Join(cmd.Args, " "), p.log)
		}
	})
	return p
}

// stop asks the process to end and returns its exit status.
func (p *process) stop(sig os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("signal stoker: %v", err)
	}
	return p.wait(20 * time.Second)
}

func (p *process) wait(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(limit):
		p.t.Fatalf("stoker did not end in %s", limit)
		return -1
	}
}

// peakMemory is the most memory the process has had, in bytes.
func (p *process) peakMemory() int64 {
	p.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(text)[0], 10, 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return kb << 10
		}
	}
	p.t.Fatal("no VmHWM in /proc/PID/status")
	return 0
}

// eventually tries until it gets true, or fails the test.
func eventually(t *testing.T, limit time.Duration, what string, try func() (bool, error)) {
	t.Helper()
	var last error
	deadline := time.Now().Add(storetest.Patience * limit)
	for ; time.Now().Before(deadline); time.Sleep(30 * time.Millisecond) {
		ok, err := try()
		if ok {
			return
		}
		last = err
	}
	t.Fatalf("not within %s: %s (last error: %v)", storetest.Patience*limit, what, last)
}

// freeAddress is where nobody listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	addr, err := testserver.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// get fetches a page.
func get(t *testing.T, url string) (int, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// client connects to a Redis URL for the length of the test.
func client(t *testing.T, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, redis.ErrClosed) {
			t.Error(err)
		}
	})
	return c
}

// gone reports whether a process has ended.
func gone(pid int) bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

// syncBuffer is written by a process and read by the test.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
