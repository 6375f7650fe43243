package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/report"
)

// The writer is pgbench: so many connections, each of whose transactions changes
// so many random rows.
const (
	writerConns = 4
	writerRows  = 10
)

// script is a transaction of the writer. Each of its rows is from another part of
// the table, and the parts are in order: two transactions cannot wait for each
// other. Its statements are sent in one go, so that the machine's time goes into
// changes rather than into the ways between them.
func (f *feed) script() string {
	var sets, updates strings.Builder
	for i := range int64(writerRows) {
		from, to := f.data.rows*i/writerRows+1, f.data.rows*(i+1)/writerRows
		fmt.Fprintf(&sets, "\\set id%d random(%d, %d)\n", i, from, to)
		fmt.Fprintf(&updates, "UPDATE product SET stock = stock + 1 WHERE id = :id%d;\n", i)
	}
	return sets.String() + "\\startpipeline\nBEGIN;\n" + updates.String() + "COMMIT;\n\\endpipeline\n"
}

var writerSaid = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)

// write lets the writer write for a while, at most so many rows a second if a
// rate is given, and returns how many a second it did.
func (f *feed) write(ctx context.Context, lasts time.Duration, rate float64) (rows float64, err error) {
	program, err := f.postgres.Program("pgbench")
	if err != nil {
		return 0, err
	}
	script := filepath.Join(f.dir, "writer.sql")
	if err := os.WriteFile(script, []byte(f.script()), 0o600); err != nil {
		return 0, fmt.Errorf("write the writer's script: %w", err)
	}
	args := []string{"-n", "-M", "prepared", "-c", strconv.Itoa(writerConns), "-j", "2", "-T",
		strconv.Itoa(int(lasts.Seconds())), "-f", script}
	if rate > 0 {
		args = append(args, "-R", strconv.FormatFloat(rate/writerRows, 'f', -1, 64))
	}
	said, err := f.command(ctx, ".", program, append(args, f.postgres.URL("postgres"))...)
	if err != nil {
		return 0, err
	}
	m := writerSaid.FindStringSubmatch(said)
	if m == nil {
		return 0, failure("pgbench", errors.New("it did not say how many transactions it made"), said)
	}
	tps, err := strconv.ParseFloat(m[1], 64)
	return tps * writerRows, err
}

// turns is how many turns at full speed take as long as the writer's long one.
const turns = 6

// fullSpeed is the writer's turn beside something.
func (f *feed) fullSpeed(ctx context.Context, round int, beside string) error {
	// on a machine that is busy, pgbench may come to nothing in less
	rows, err := f.write(ctx, max(2*time.Second, f.lasts/turns), 0)
	if err != nil {
		return err
	}
	f.report.Writers = append(f.report.Writers, report.Writer{Round: round, Beside: beside, Rows: rows})
	f.say("changes, round %d of %d: the writer beside %s: %.0f rows/s", round, f.rounds, beside, rows)
	return nil
}
