package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// watchText is what the spec of the products has besides, where their changes are
// followed.
const watchText = `    watch: [{table: product, key: {id: id}}]
changes: {source: %s}
`

func (f *feed) spec(source string) string {
	return specOf(f.data.name, f.data.job) + fmt.Sprintf(watchText, source)
}

// beside lets a state hold while something is measured, and undoes it: the
// daemon, if it has one, follows changes by then, and is otherwise at rest.
func (f *feed) beside(ctx context.Context, what string, do func(*daemon) error) error {
	if err := f.rest(); err != nil {
		return err
	}
	switch what {
	case report.BesideWAL:
		return f.withFollower(ctx, "wal", do)
	case report.BesideTriggers:
		return f.withTriggers(ctx, func() error { return do(nil) })
	case report.BesideOutbox:
		return f.withTriggers(ctx, func() error { return f.withFollower(ctx, "outbox", do) })
	}
	return do(nil)
}

func (f *feed) withFollower(ctx context.Context, source string, do func(*daemon) error) (err error) {
	if err := f.server.flush(ctx); err != nil { // so that the job has never been run
		return err
	}
	d, err := f.launchDaemon(f.data.name, f.spec(source), f.server)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := f.followed(ctx, d); err != nil {
		return fmt.Errorf("wait until changes are followed: %w", err)
	}
	return do(d)
}

// withTriggers installs the triggers of the outbox for as long.
func (f *feed) withTriggers(ctx context.Context, do func() error) (err error) {
	if err := f.outbox(ctx, "install"); err != nil {
		return err
	}
	// They must go also when ctx has ended.
	defer func() { err = errors.Join(err, f.outbox(context.WithoutCancel(ctx), "remove")) }()
	return do()
}

// outbox runs the command that makes or removes triggers.
func (f *feed) outbox(ctx context.Context, what string) error {
	spec, err := f.specFile("outbox", f.spec("outbox"))
	if err != nil {
		return err
	}
	_, err = f.commandWith(ctx, f.specEnv(f.server, "127.0.0.1:0"), ".", f.stoker, "outbox", what, "--apply",
		"--config", spec)
	return err
}

// followLimit is when a daemon counts as one that will not follow.
const followLimit = 2 * time.Minute

// followed waits until the daemon follows changes and has run the job since: what
// was committed before it followed, no refresh makes good.
func (f *feed) followed(ctx context.Context, d *daemon) error {
	ctx, cancel := context.WithTimeoutCause(ctx, followLimit, fmt.Errorf("it did not within %s", followLimit))
	defer cancel()
	for {
		m, err := d.metrics(ctx)
		if err == nil && m["stoker_changes_following"] == 1 {
			break
		}
		select {
		case <-ctx.Done():
			return failure("the daemon", errors.Join(context.Cause(ctx), err), logText(d.log))
		case <-d.done:
			return failure("the daemon ended by itself", errors.Join(d.err, err), logText(d.log))
		case <-time.After(lookEvery):
		}
	}
	epoch, err := f.server.client.HGet(ctx, "stoker:epoch:postgres", "epoch").Uint64()
	if err != nil {
		return fmt.Errorf("ask which epoch it is: %w", err)
	}
	if _, err := d.record(ctx, func(r runRecord) bool { return r.Epoch == epoch }); err != nil {
		return err
	}
	return f.server.awaitQuiet(ctx)
}

// metrics returns what the daemon counts: by name, and by name{labels}.
func (d *daemon) metrics(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.base+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon for its metrics: %w", err)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon for its metrics: %w", err)
	}
	defer resp.Body.Close()
	m := map[string]float64{}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		if m[line[:at]], err = strconv.ParseFloat(line[at+1:], 64); err != nil {
			return nil, fmt.Errorf("read the daemon's metrics: %q: %w", line, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the daemon's metrics: %w", err)
	}
	return m, nil
}
