package shop

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/stokerhq/stoker/readers"
)

// Reader is an API node in Python that reads what the demo keeps warm. It has no files, and ends with its standard
// input: nothing is left of it, however the demo ends.
type Reader struct {
	URL string // of its page

	cmd *exec.Cmd
	in  io.Closer
}

// ErrNoPython says that a machine lacks what the reader stands on.
var ErrNoPython = errors.New("no Python with FastAPI, redis, uvicorn, httpx and asyncpg (Debian, Ubuntu: apt-get " +
	"install python3-fastapi python3-redis python3-uvicorn python3-httpx python3-asyncpg)")

// loader makes modules of the sources that come in the first line of standard input.
const loader = `import json, sys, types
for name, text in json.loads(sys.stdin.readline()):
    sys.modules[name] = module = types.ModuleType(name)
    exec(compile(text, name + ".py", "exec"), module.__dict__)
`

// Python finds a Python that the reader can run on. Debian's own is tried first, because another one may stand before
// it in PATH.
func Python(ctx context.Context) (string, error) {
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		if exec.CommandContext(ctx, name, "-c", "import fastapi, redis.asyncio, uvicorn, httpx, asyncpg").Run() == nil {
			return name, nil
		}
	}
	return "", ErrNoPython
}

// StartReader starts the reader. The error is ErrNoPython where it cannot run.
func StartReader(ctx context.Context, postgresURL, redisURL, stokerURL string) (*Reader, error) {
	python, err := Python(ctx)
	if err != nil {
		return nil, err
	}
	r := &Reader{cmd: exec.Command(python, "-c", loader)}
	r.cmd.Env = append(os.Environ(), "DATABASE_URL="+postgresURL, "REDIS_URL="+redisURL, "STOKER_URL="+stokerURL)
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is the demo's to act on
	in, err := r.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the reader: %w", err)
	}
	r.in = in
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the reader: %w", err)
	}
	if err := r.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the reader: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { r.cmd.Process.Kill() })
	defer stop()
	sources, err := json.Marshal([][2]string{{"stoker_reader", readers.Python}, {"__demo__", readers.Demo}})
	if err == nil {
		_, err = fmt.Fprintf(in, "%s\n", sources)
	}
	var hello struct {
		URL string `json:"url"`
	}
	if err == nil {
		err = json.NewDecoder(bufio.NewReader(out)).Decode(&hello)
	}
	if err != nil {
		r.cmd.Process.Kill()
		r.Close()
		return nil, fmt.Errorf("start the reader: %w", err)
	}
	r.URL = hello.URL
	return r, nil
}

// Close ends the reader.
func (r *Reader) Close() {
	r.in.Close()
	kill := time.AfterFunc(5*time.Second, func() { r.cmd.Process.Kill() })
	defer kill.Stop()
	r.cmd.Wait() // how it has ended says nothing to anybody
}
