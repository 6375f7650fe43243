// Package baseline is what the benchmark holds Stoker against: other ways to bring
// the rows of a query into Redis, and the reader that feels it. Each is written
// as a sensible person would write it, not to lose. The probe changes rows and
// measures when their keys show it. They run in processes of their own, so that
// no other work is counted as theirs.
package baseline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
)

// TTL is the life of every key that is written.
const TTL = time.Hour

// Job is one query whose rows become keys.
type Job struct {
	Query  string
	Prefix string // of the keys: product:
	Column string // whose value follows the prefix
}

// Task is what a process is asked to do.
type Task struct {
	Do       string `json:"do"` // plain, pipelined, read, get, probe
	Postgres string `json:"postgres,omitempty"`
	Redis    string `json:"redis,omitempty"` // host:port
	Job      Job    `json:"job,omitzero"`
	Keys     int64  `json:"keys,omitempty"`    // for get and probe: ids are 1 to Keys
	File     string `json:"file,omitempty"`    // for get: where its samples go
	Commits  int    `json:"commits,omitempty"` // for probe; 0: as many as it can until it is told to end
	// for probe: commits a second; 0: one at a time, each after the last has shown
	Rate float64 `json:"rate,omitempty"`
}

// Result is what it did.
type Result struct {
	Begin   time.Time     `json:"begin"` // before it connected to anything
	End     time.Time     `json:"end"`   // after the last answer
	Keys    int64         `json:"keys"`
	Bytes   int64         `json:"bytes"`      // of values, as far as it made any
	Backend time.Duration `json:"backend_ns"` // CPU of the Postgres backend that served it
	Probes  []Probe       `json:"probes,omitempty"`
}

// Wall is how long it took.
func (r Result) Wall() time.Duration { return r.End.Sub(r.Begin) }

var tasks = map[string]func(context.Context, Task) (Result, error){
	"plain":     func(ctx context.Context, t Task) (Result, error) { return write(ctx, t, 1) },
	"pipelined": func(ctx context.Context, t Task) (Result, error) { return write(ctx, t, pipeline) },
	"read":      read,
	"get":       get,
	"probe":     probe,
}

// Main does the task in args, as Args made them, and writes its result. It ends
// early when in does: then whoever started this process is gone, or wants
// what get and probe have seen.
func Main(args []string, in io.Reader, out io.Writer) error {
	if len(args) != 1 {
		return fmt.Errorf("a baseline takes one argument, got %d", len(args))
	}
	var t Task
	if err := json.Unmarshal([]byte(args[0]), &t); err != nil {
		return fmt.Errorf("decode a baseline's task: %w", err)
	}
	do, ok := tasks[t.Do]
	if !ok {
		return fmt.Errorf("no baseline %q", t.Do)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		io.Copy(io.Discard, in) // however it ends, it has ended
		cancel()
	}()
	r, err := do(ctx, t)
	if err != nil {
		return fmt.Errorf("baseline %s: %w", t.Do, err)
	}
	return json.NewEncoder(out).Encode(r)
}

// Args are the arguments that make Main do t.
func Args(t Task) ([]string, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode a baseline's task: %w", err)
	}
	return []string{string(b)}, nil
}

// finish completes a result: the backend's figures are there as long as the
// connection is.
func finish(r Result, backend uint32) (Result, error) {
	r.End = time.Now()
	var err error
	r.Backend, err = proc.CPU(int(backend))
	return r, err
}

// quote makes an SQL string constant.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// identifier makes an SQL name.
func identifier(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
