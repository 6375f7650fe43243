package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/store/testserver"
)

// version is one state of one row.
type version struct{ id, version int64 }

// recv is pg_recvlogical, Postgres' own program, and when it showed what: as soon
// as a change feed can have it. It writes each change at once, unbuffered.
type recv struct {
	*process
	said bytes.Buffer

	mu   sync.Mutex
	rest []byte // of a line that is not complete
	seen map[version]time.Time
}

const recvSlot = "bench_recv"

// startRecv starts it and waits until it follows. It makes a slot that outlives
// it: it knows no temporary ones.
func (f *feed) startRecv(ctx context.Context) (*recv, error) {
	program, err := f.postgres.Program("pg_recvlogical")
	if err != nil {
		return nil, err
	}
	r := &recv{seen: map[version]time.Time{}}
	cmd := exec.Command(program, "-d", f.postgres.URL("postgres"), "-S", recvSlot, "-P", "test_decoding",
		"--create-slot", "--start", "--no-loop",
		"-o", "include-xids=0", "-o", "skip-empty-xacts=1", "--fsync-interval=0", "-f", "-")
	cmd.Stdout, cmd.Stderr = r, &r.said
	if r.process, err = launch(cmd); err != nil {
		return nil, err
	}
	for {
		lines, err := f.sql.Exec("SELECT 1 FROM pg_replication_slots WHERE active AND slot_name = '" + recvSlot + "'")
		switch {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("wait for pg_recvlogical: %w", err), r.stop(f.sql))
		case len(lines) > 0:
			return r, nil
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), r.stop(f.sql))
		case <-r.done:
			return nil, failure("pg_recvlogical", r.err, r.said.String())
		case <-time.After(lookEvery):
		}
	}
}

// recvLine is a change as test_decoding writes it.
var recvLine = regexp.MustCompile(`^table public\.product: UPDATE: id\[bigint\]:(\d+) .* stock\[integer\]:(\d+) `)

// Write takes what pg_recvlogical writes, at the moment it does.
func (r *recv) Write(p []byte) (int, error) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rest = append(r.rest, p...)
	for {
		line, rest, whole := bytes.Cut(r.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		if m := recvLine.FindSubmatch(line); m != nil {
			id, err1 := strconv.ParseInt(string(m[1]), 10, 64)
			v, err2 := strconv.ParseInt(string(m[2]), 10, 64)
			if err := errors.Join(err1, err2); err != nil {
				return 0, err
			}
			r.seen[version{id, v}] = now
		}
		r.rest = rest
	}
}

// lags returns how long commits took to be shown. Those of the last moments may
// still come.
func (r *recv) lags(ctx context.Context, probes []baseline.Probe) (took []time.Duration, lost int) {
	for end := time.Now().Add(patience); r.missing(probes) > 0 && time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(lookEvery)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range probes {
		at, shown := r.seen[version{p.ID, p.Version}]
		if !shown {
			took, lost = append(took, baseline.ProbeLimit), lost+1
			continue
		}
		took = append(took, at.Sub(p.Commit))
	}
	return took, lost
}

func (r *recv) missing(probes []baseline.Probe) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range probes {
		if _, shown := r.seen[version{p.ID, p.Version}]; !shown {
			n++
		}
	}
	return n
}

// stop ends it, and drops its slot, which would keep the log from then on.
func (r *recv) stop(sql *testserver.Shell) error {
	_ = r.cmd.Process.Signal(syscall.SIGINT) // it may have ended: done tells
	select {
	case <-r.done:
	case <-time.After(patience):
		r.kill()
	}
	if r.err != nil {
		return failure("pg_recvlogical", r.err, r.said.String())
	}
	return dropRecvSlot(sql)
}

// dropRecvSlot drops the slot as soon as the server lets go of it: that is some
// moments after the program has ended.
func dropRecvSlot(sql *testserver.Shell) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(lookEvery) {
		dropped, err := sql.Exec("SELECT slot_name, pg_drop_replication_slot(slot_name) FROM pg_replication_slots " +
			"WHERE NOT active AND slot_name = '" + recvSlot + "'")
		if err != nil {
			return fmt.Errorf("drop the slot of pg_recvlogical: %w", err)
		}
		if len(dropped) > 0 {
			return nil
		}
	}
	return fmt.Errorf("drop the slot of pg_recvlogical: the server still held %s %s after its end", recvSlot, patience)
}
