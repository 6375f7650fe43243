package readers

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// runners start the server of a language's cases, and return its URLs by framework.
var runners = map[string]func(t *testing.T, broken string) map[string]string{
	"python": runPython,
	"node":   runNode,
	"go":     runGo,
}

// missing skips a test whose tools are not there; in continuous integration, where CI is set, it fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED: %s: %s\n", t.Name(), what)
	t.Skip(what)
}

// python finds a Python that has the reader's libraries: Debian's own is tried first, because another one may stand
// before it in PATH.
func python(t *testing.T) string {
	t.Helper()
	const needs = "import fastapi, redis.asyncio, uvicorn, httpx"
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.Command(name, "-c", needs).Run() == nil {
			return name
		}
	}
	missing(t, "no Python with FastAPI, redis, uvicorn and httpx: install it (deploy/dev/install.sh test; Debian, "+
		"Ubuntu: apt-get install python3-fastapi python3-redis python3-uvicorn python3-httpx)")
	return ""
}

// pythonRunner is the command of a Python file of the reader, whose warnings are errors.
func pythonRunner(t *testing.T, file string, args ...string) *exec.Cmd {
	// -X dev shows what is never awaited and never closed. What libraries of an older Debian say of themselves is not
	// ours.
	cmd := exec.Command(python(t), append([]string{"-X", "dev", "-W", "ignore::DeprecationWarning", file}, args...)...)
	cmd.Dir = "python"
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

func runPython(t *testing.T, broken string) map[string]string {
	t.Helper()
	cmd := pythonRunner(t, "conformance.py")
	cmd.Env = append(cmd.Env, "STOKER_READER_BROKEN="+broken)
	return startRunner(t, cmd)
}

func runNode(t *testing.T, _ string) map[string]string {
	t.Helper()
	return startRunner(t, nodeRunner(t, "conformance.js"))
}

// nodeRunner is the command of a JavaScript file of the reader, beside the packages that its lock names.
func nodeRunner(t *testing.T, file string, args ...string) *exec.Cmd {
	t.Helper()
	out, err := exec.Command("node", "--version").Output()
	major, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	if n, nerr := strconv.Atoi(major); err != nil || nerr != nil || n < 20 {
		missing(t, "no Node 20 or newer: install it with npm, see https://nodejs.org/")
	}
	modules := nodeModules(t)
	dir := t.TempDir()
	for _, name := range []string{"package.json", "stoker-reader.js", file} {
		text, err := os.ReadFile(filepath.Join("node", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", append([]string{file}, args...)...)
	cmd.Dir = dir
	return cmd
}

// nodeModules returns the packages of the lock, which are installed once for all tests to come.
func nodeModules(t *testing.T) string {
	t.Helper()
	lock, err := os.ReadFile("node/package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "stoker-readers", fmt.Sprintf("%x", sha256.Sum256(lock))[:16])
	modules := filepath.Join(dir, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), "install-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("node", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = work
	if out, err := npm.CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("npm ci: %v: %s", err, out))
	}
	if err := os.Rename(work, dir); err != nil { // another test process was faster
		if _, serr := os.Stat(modules); serr != nil {
			t.Fatal(err)
		}
	}
	return modules
}

// startRunner starts a server, reads where it listens, and holds it to saying nothing on standard error: a warning at
// the end of the event loop would be there. It ends with its standard input.
func startRunner(t *testing.T, cmd *exec.Cmd) map[string]string {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	var once sync.Once
	end := func() {
		once.Do(func() {
			in.Close()
			kill := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
			io.Copy(io.Discard, lines)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%s: %v", strings.Join(cmd.Args, " "), err)
			}
			kill.Stop()
			if said := complaints(errs.String()); said != "" {
				t.Errorf("%s says:\n%s", strings.Join(cmd.Args, " "), said)
			}
		})
	}
	t.Cleanup(end)
	text, err := lines.ReadString('\n')
	var hello struct {
		Servers map[string]string `json:"servers"`
	}
	if err := errors.Join(err, json.Unmarshal([]byte(text), &hello)); err != nil {
		end()
		t.Fatalf("%s: %v: %q", strings.Join(cmd.Args, " "), err, text)
	}
	return hello.Servers
}

// complaints is what a runner has said, without what a reader is to say: that somebody does not answer.
func complaints(text string) string {
	var rest strings.Builder
	for line := range strings.Lines(text) {
		// on a busy machine, asyncio's debug mode complains of everything that takes long
		expected := strings.HasPrefix(line, "a key of ") && strings.Contains(line, " was not loaded: ")
		for _, begins := range []string{"Executing <", "redis did not answer: ", "stoker did not load a key of "} {
			expected = expected || strings.HasPrefix(line, begins)
		}
		if !expected {
			rest.WriteString(line)
		}
	}
	return rest.String()
}
