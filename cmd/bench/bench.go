package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/bench/internal/proc"
	"github.com/stokerhq/stoker/cmd/bench/internal/report"
	"github.com/stokerhq/stoker/store/testserver"
)

// bench is one run of the benchmark: the servers that all parts share, and what
// they found out.
type bench struct {
	options
	stderr   io.Writer
	dir      string // every file that we write
	self     string // this program, to start contenders from
	postgres *testserver.Postgres
	sql      *testserver.Shell
	ready    map[string]string // by part: the file that redis-cli is given
	report   *report.Report
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.stderr, "bench: "+format+"\n", args...)
}

// run does the wanted parts, prints the report and leaves nothing behind. What
// was measured before something failed is printed all the same.
func run(ctx context.Context, o options, stdout, stderr io.Writer) (err error) {
	b := &bench{options: o, stderr: stderr, ready: map[string]string{}}
	begun := time.Now()
	b.report = &report.Report{Date: begun.UTC(), Machine: proc.ThisMachine(), Go: runtime.Version(), Scale: o.scale,
		Rounds: o.rounds}
	if b.self, err = os.Executable(); err != nil {
		return fmt.Errorf("find this program, to start contenders from: %w", err)
	}
	if b.report.Stoker, err = versionOf(ctx, o.stoker); err != nil {
		return err
	}
	closeFolder, err := b.folder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, left(closeFolder())) }()
	err = b.measureAll(ctx)
	if err == nil && o.wants(partChanges) {
		err = b.changes(ctx)
	}
	b.report.Took = report.In(time.Since(begun))
	if err == nil && o.wants(partMicro) {
		err = b.micro(ctx)
	}
	if b.report.Empty() {
		return err
	}
	b.report.Conclude()
	return errors.Join(b.print(stdout), err)
}

// folder makes the folder of all our files. Private servers of the tests that
// micro runs have theirs in it, and may run as another user.
func (b *bench) folder() (remove func() error, err error) {
	if b.dir, err = os.MkdirTemp("", "stoker-bench-"); err != nil {
		return nil, fmt.Errorf("make a folder for the benchmark: %w", err)
	}
	if err := os.Chmod(b.dir, 0o711); err != nil {
		return nil, errors.Join(fmt.Errorf("open the folder of the benchmark: %w", err), os.Remove(b.dir))
	}
	return func() error {
		var err error
		// A server that was killed may still be writing its last file.
		for range 20 {
			if err = os.RemoveAll(b.dir); err == nil {
				return nil
			}
			time.Sleep(100 * time.Millisecond)
		}
		return err
	}, nil
}

// part is one chapter of the report that needs those servers.
type part struct {
	name string
	do   func(context.Context) error
}

// measureAll does the parts that share servers.
func (b *bench) measureAll(ctx context.Context) (err error) {
	parts := slices.DeleteFunc([]part{
		{partProducts, func(ctx context.Context) error { return b.throughput(ctx, b.products()) }},
		{partAccounts, func(ctx context.Context) error { return b.throughput(ctx, b.accounts()) }},
		{partReader, b.reader},
		{partReruns, b.reruns},
		{partMemory, b.memory},
		{partScopes, b.scopes},
		{partLost, b.lost},
		{partKilled, b.killed},
		{partForeground, b.foreground},
		{partTraces, b.traces},
	}, func(p part) bool { return !b.wants(p.name) })
	if len(parts) == 0 {
		return nil
	}
	b.say("starting a private Postgres")
	if b.postgres, err = b.startPostgres(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, left(b.postgres.Close())) }()
	if b.sql, err = b.postgres.Shell(ctx, "postgres"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.sql.Close()) }()
	if err := b.fill(ctx); err != nil {
		return err
	}
	for _, p := range parts {
		if err := p.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// print writes the table, the JSON, or both.
func (b *bench) print(stdout io.Writer) error {
	text, err := json.MarshalIndent(b.report, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	text = append(text, '\n')
	switch b.json {
	case "-":
		_, err = stdout.Write(text)
		return err
	case "":
	default:
		if err := os.WriteFile(b.json, text, 0o644); err != nil {
			return fmt.Errorf("-json: %w", err)
		}
	}
	return b.report.Print(stdout)
}

// versionOf asks the binary that is measured what it is.
func versionOf(ctx context.Context, stoker string) (string, error) {
	out, err := exec.CommandContext(ctx, stoker, "version").Output()
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", stoker, err)
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "stoker "), nil
}
