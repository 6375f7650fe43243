package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/baseline"
	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// The writer that is followed for long, and the probe that measures how far behind
// its changes are read.
const (
	loadRows  = 10_000 // a second
	probeRate = 10
)

// load follows a writer for as long as was asked.
func (f *feed) load(ctx context.Context, d *daemon) error {
	f.say("changes: %s, %d rows a second for %s", report.WhileLoaded, loadRows, f.lasts)
	s, err := f.startBaseline(f.probe(0, probeRate))
	if err != nil {
		return err
	}
	defer s.kill()
	l := &report.Load{Wanted: loadRows, For: report.In(f.lasts)}
	counted, err := f.counted(ctx, d)
	if err != nil {
		return err
	}
	begun := time.Now()
	if l.Made, err = f.write(ctx, f.lasts, loadRows); err != nil {
		return err
	}
	ended := time.Now()
	if err := errors.Join(f.behind(l), s.closeIn()); err != nil {
		return err
	}
	result, err := s.result(ctx)
	if err != nil {
		return err
	}
	if err := f.right(ctx, l, ended); err != nil {
		return err
	}
	if err := counted(l); err != nil {
		return err
	}
	part := f.lasts / turns
	l.First, l.Last = between(result.Probes, begun, begun.Add(part)), between(result.Probes, ended.Add(-part), ended)
	f.report.Load = l
	f.keepLag(lagOf(report.WhileLoaded, report.ByWAL, result.Probes))
	return nil
}

// between is the median lag of commits in a span of time.
func between(probes []baseline.Probe, from, to time.Time) report.Seconds {
	var took []report.Seconds
	for _, p := range probes {
		if !p.Commit.Before(from) && p.Commit.Before(to) {
			took = append(took, report.In(p.Took))
		}
	}
	return report.Median(took)
}

// counted notes what the daemon has counted, and returns what notes how much more
// that has become.
func (f *feed) counted(ctx context.Context, d *daemon) (more func(*report.Load) error, err error) {
	before, err := d.metrics(ctx)
	if err != nil {
		return nil, err
	}
	used, err := proc.CPU(d.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	job := fmt.Sprintf("{job=%q}", f.data.name)
	return func(l *report.Load) error {
		after, err := d.metrics(ctx)
		if err != nil {
			return err
		}
		grown := func(name string) int64 { return int64(after[name] - before[name]) }
		l.Changed = grown("stoker_changes_rows_total")
		l.Fenced = grown("stoker_changes_keys_total" + job)
		l.Refreshed = grown("stoker_changes_keys_refreshed_total" + job)
		l.Runs = grown("stoker_changes_runs_total" + job)
		now, err := proc.CPU(d.cmd.Process.Pid)
		l.CPU = report.In(now - used)
		return err
	}, nil
}

// behind notes how much of the log the daemon has not been sent, and has not
// acknowledged.
func (f *feed) behind(l *report.Load) error {
	lines, err := f.sql.Exec(`SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), r.sent_lsn)::bigint, pg_wal_lsn_diff(pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint
		FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid`)
	if err != nil {
		return fmt.Errorf("ask how far the slot is behind: %w", err)
	}
	if len(lines) != 1 {
		return fmt.Errorf("ask how far the slot is behind: %d slots, want 1", len(lines))
	}
	unsent, unacked, _ := strings.Cut(lines[0], "|")
	var err1, err2 error
	l.Unsent, err1 = strconv.ParseInt(unsent, 10, 64)
	l.Unacked, err2 = strconv.ParseInt(unacked, 10, 64)
	return errors.Join(err1, err2)
}
