package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
	"github.com/stokerhq/stoker/store/testserver"
)

// daemon is a `stoker run` with a spec of one job.
type daemon struct {
	*process
	job  string
	base string // of its API
	log  string // file
	http http.Client
}

// startDaemon starts a daemon and waits until it has run the job once, as it
// does by itself with a job that has never been run. env is added to its environment.
func (b *bench) startDaemon(ctx context.Context, name string, job baseline.Job, server *redisServer,
	env ...string) (*daemon, error) {
	d, err := b.launchDaemon(name, specOf(name, job), server, env...)
	if err != nil {
		return nil, err
	}
	if _, err := d.record(ctx, func(runRecord) bool { return true }); err != nil {
		return nil, errors.Join(err, d.stop())
	}
	return d, server.awaitQuiet(ctx)
}

// launchDaemon starts a daemon with a spec of one job of that name.
func (b *bench) launchDaemon(name, text string, server *redisServer, env ...string) (*daemon, error) {
	listen, err := testserver.FreeAddress()
	if err != nil {
		return nil, err
	}
	spec, err := b.specFile(name, text)
	if err != nil {
		return nil, err
	}
	d := &daemon{job: name, base: "http://" + listen, log: filepath.Join(b.dir, name+".log"),
		http: http.Client{Transport: &http.Transport{}, Timeout: patience}}
	out, err := os.Create(d.log)
	if err != nil {
		return nil, fmt.Errorf("make the daemon's log: %w", err)
	}
	defer out.Close() // the daemon has its own
	cmd := exec.Command(b.stoker, "run", "--config", spec)
	cmd.Env = append(b.specEnv(server, listen), env...)
	cmd.Stdout, cmd.Stderr = out, out
	d.process, err = launch(cmd)
	return d, err
}

// stop ends the daemon in order.
func (d *daemon) stop() error {
	d.http.CloseIdleConnections()
	if err := d.process.stop(); err != nil {
		return failure("stop the daemon", err, logText(d.log))
	}
	return nil
}

// run asks for a run and waits for its end. The outcome begins just before the
// daemon is asked and ends with the end that the run's record has.
func (d *daemon) run(ctx context.Context) (o outcome, err error) {
	before, err := proc.CPU(d.cmd.Process.Pid)
	if err != nil {
		return o, err
	}
	o.begin = time.Now()
	var task struct {
		ID string `json:"task_id"`
	}
	if err := d.call(ctx, http.MethodPost, "/warm", http.StatusAccepted, &task); err != nil {
		return o, err
	}
	r, err := d.record(ctx, func(r runRecord) bool { return r.ID == task.ID })
	if err != nil {
		return o, err
	}
	o.end, o.keys = r.End, r.Rows
	after, err := proc.CPU(d.cmd.Process.Pid)
	o.client = report.In(after - before)
	return o, err
}

// lookEvery is how often the daemon is asked for its last run. The figures do
// not depend on it; asking often would cost the daemon what we measure.
const lookEvery = 100 * time.Millisecond

// runLimit is when a run counts as lost, on the slowest machine.
const runLimit = 15 * time.Minute

// runRecord is the part of a run's record that we read. It is no type of
// Stoker's own, so that other versions of the daemon can be measured too.
type runRecord struct {
	ID    string    `json:"id"`
	State string    `json:"state"`
	End   time.Time `json:"end"`
	Rows  int64     `json:"rows"`
	Keys  int64     `json:"keys"`
	Kept  int64     `json:"kept"`
	Epoch uint64    `json:"epoch"`
	Error string    `json:"error"`
}

// seenRuns is how many runs are looked at: after a flush a daemon runs jobs by itself, too.
const seenRuns = 10

// record waits for the record of the wanted run, which is among the last ones.
func (d *daemon) record(ctx context.Context, wanted func(runRecord) bool) (r runRecord, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, runLimit, fmt.Errorf("no run of the daemon ended within %s", runLimit))
	defer cancel()
	for {
		var job struct {
			Runs []runRecord `json:"runs"`
		}
		// Before it listens, and while it is busy, the daemon may not answer.
		err := d.call(ctx, http.MethodGet, fmt.Sprintf("?runs=%d", seenRuns), http.StatusOK, &job)
		if at := slices.IndexFunc(job.Runs, wanted); err == nil && at >= 0 {
			r = job.Runs[at]
			if r.State != "ok" {
				return r, failure("a run of the daemon", fmt.Errorf("it ended as %s: %s", r.State, r.Error),
					logText(d.log))
			}
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, failure("wait for a run", context.Cause(ctx), logText(d.log))
		case <-d.done:
			return r, failure("the daemon ended by itself", errors.Join(d.err, err), logText(d.log))
		case <-time.After(lookEvery):
		}
	}
}

// call asks the daemon's API about its job.
func (d *daemon) call(ctx context.Context, method, path string, want int, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, d.base+"/api/v1/jobs/"+d.job+path, nil)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: the daemon answers %s", method, req.URL.Path, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, req.URL.Path, err)
	}
	return nil
}

// peak is the most memory the daemon has had resident.
func (d *daemon) peak() (int64, error) { return proc.Peak(d.cmd.Process.Pid) }
