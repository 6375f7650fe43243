package testserver_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/stokerhq/stoker/store/testserver"
)

func TestMain(m *testing.M) {
	if os.Getenv("STOKER_TEST_CHILD") != "" {
		child()
		return
	}
	goleak.VerifyTestMain(m)
}

type server interface {
	Start(context.Context) error
	Stop()
	Kill()
	Close() error
	Addr() string
	PID() int
}

func TestServers(t *testing.T) {
	for name, start := range map[string]func(context.Context) (server, error){
		"postgres": func(ctx context.Context) (server, error) { return testserver.StartPostgres(ctx) },
		"redis":    func(ctx context.Context) (server, error) { return testserver.StartRedis(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			makeReachable(t, dir)
			t.Setenv("TMPDIR", dir)
			s, err := start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			pid := s.PID()
			wantListening(t, s.Addr(), true)
			wantOwner(t, pid)
			s.Stop()
			wantListening(t, s.Addr(), false)
			if err := s.Start(t.Context()); err != nil {
				t.Fatalf("start again: %v", err)
			}
			s.Kill()
			if err := s.Start(t.Context()); err != nil {
				t.Fatalf("start after a kill: %v", err)
			}
			pid = s.PID()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			wantListening(t, s.Addr(), false)
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d is still there: %v", pid, err)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A killed owner must not leave a server behind.
func TestServersEndWithAKilledOwner(t *testing.T) {
	if _, err := os.Stat("/proc/self"); err != nil {
		t.Log("the kernel ends children only on Linux; nothing to check here")
		return
	}
	dir := t.TempDir()
	makeReachable(t, dir)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STOKER_TEST_CHILD=1", "TMPDIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatalf("child said nothing: %v", err)
	}
	pids := strings.Fields(string(buf[:n]))
	if len(pids) != 2 {
		t.Fatalf("child said %q", buf[:n])
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed: the error says so
	deadline := time.Now().Add(10 * time.Second)
	for _, p := range pids {
		pid, err := strconv.Atoi(p)
		if err != nil {
			t.Fatal(err)
		}
		for syscall.Kill(pid, 0) == nil && !zombie(pid) {
			if time.Now().After(deadline) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
				t.Fatalf("server %d outlived its owner", pid)
			}
			time.Sleep(20 * time.Millisecond) // another process' end cannot be waited for
		}
	}
}

func child() {
	ctx := context.Background()
	p, err := testserver.StartPostgres(ctx)
	if err != nil {
		panic(err)
	}
	r, err := testserver.StartRedis(ctx)
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(strconv.Itoa(p.PID()) + " " + strconv.Itoa(r.PID()) + "\n")
	select {}
}

func zombie(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// makeReachable lets the servers' user walk into a test's folder.
func makeReachable(t *testing.T, dir string) {
	t.Helper()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func wantListening(t *testing.T, addr string, want bool) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, time.Second)
	if err == nil {
		c.Close()
	}
	if (err == nil) != want {
		t.Errorf("listening on %s: %v, want %v", addr, err == nil, want)
	}
}

func wantOwner(t *testing.T, pid int) {
	t.Helper()
	fi, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid)))
	if err != nil {
		return // not Linux
	}
	if st := fi.Sys().(*syscall.Stat_t); st.Uid == 0 {
		t.Errorf("process %d runs as root", pid)
	}
}

// A server of other programs than those that are installed runs beside them.
func TestPostgresOfGivenFolder(t *testing.T) {
	bin, err := testserver.FindPostgres(18)
	if _, missing := errors.AsType[*testserver.MissingError](err); missing && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, err := testserver.StartPostgresIn(t.Context(), bin)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	shell, err := p.Shell(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer shell.Close()
	if rows, err := shell.Exec("SHOW server_version_num"); err != nil || len(rows) != 1 ||
		!strings.HasPrefix(rows[0], "18") {
		t.Errorf("version %q, %v", rows, err)
	}
	if program, err := p.Program("initdb"); err != nil || filepath.Dir(program) != bin {
		t.Errorf("initdb is %s, %v", program, err)
	}
	if _, err := testserver.StartPostgresIn(t.Context(), t.TempDir(), "port = 0"); err == nil {
		t.Error("a folder without the programs is passed over")
	}
}
