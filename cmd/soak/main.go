// Command soak is the long form of the consistency checker: the mutation score, and
// then random mixes of faults, seed after seed, until its time is over. `make soak`
// builds and runs it; `soak -h` lists its flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/stokerhq/stoker/cmd/soak/internal/checker"
)

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // a promise was broken, or a mutant was not caught
	exitWrong  = 2 // the command line is wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the stopping
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func execute(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "soak: %v\n", err)
		return exitWrong
	}
	if err := soak(ctx, o, stdout); err != nil {
		fmt.Fprintf(stderr, "soak: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// options are what the command line says.
type options struct {
	duration time.Duration
	seed     uint64
	race     bool
	before   string
	mixed    bool
	mutants  []checker.Mutant
	sources  []string
}

func parse(args []string, out io.Writer) (o options, err error) {
	var mutants, sources string
	f := flag.NewFlagSet("soak", flag.ContinueOnError)
	f.SetOutput(out)
	f.DurationVar(&o.duration, "duration", 10*time.Minute,
		"how long mixes go on; the mutation score comes before and takes a minute")
	f.Uint64Var(&o.seed, "seed", 1, "of the first mix; the next one has the next")
	f.BoolVar(&o.race, "race", false, "build the daemons with the race detector")
	f.StringVar(&o.before, "before", "",
		"the `binary` of another version: in each mix, one of two daemons is of it")
	f.StringVar(&mutants, "mutants", "all", "`names` of mutants to score, with commas between; all, or none")
	f.BoolVar(&o.mixed, "mixed", false, "have a random mix try each mutant, too; for interest, it need not catch them")
	f.StringVar(&sources, "sources", "wal,outbox", "change `feeds` to mix, with commas between: wal, outbox")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: give flags only", f.Arg(0))
	}
	o.sources = strings.Split(sources, ",")
	for _, source := range o.sources {
		if source != "wal" && source != "outbox" {
			return o, fmt.Errorf("-sources: there is no feed %q; they are: wal, outbox", source)
		}
	}
	if o.before != "" {
		if info, err := os.Stat(o.before); err != nil || info.IsDir() {
			return o, fmt.Errorf("-before: %q is no binary", o.before)
		}
	}
	o.mutants, err = chosen(mutants)
	return o, err
}

func chosen(names string) (list []checker.Mutant, err error) {
	switch names {
	case "all":
		return checker.Mutants, nil
	case "none":
		return nil, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(checker.Mutants, func(m checker.Mutant) bool { return m.Name == strings.TrimSpace(name) })
		if i < 0 {
			return nil, fmt.Errorf("-mutants: there is no mutant %q", name)
		}
		list = append(list, checker.Mutants[i])
	}
	return list, nil
}

var errBroken = errors.New("a promise was broken, or a mutant was not caught")

func soak(ctx context.Context, o options, out io.Writer) error {
	dir, err := os.MkdirTemp("", "stoker-soak-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	var flags []string
	if o.race {
		flags = []string{"-race"}
	}
	b := checker.Binaries{Sound: filepath.Join(dir, "stoker")}
	if len(o.mutants) > 0 {
		b, err = checker.BuildBoth(ctx, dir, flags...)
	} else {
		err = checker.Build(ctx, b.Sound, nil, flags...)
	}
	if err != nil {
		return err
	}
	good := true
	if len(o.mutants) > 0 {
		rows := checker.Score(ctx, b, o.mutants, 2, checker.Options{Seed: o.seed})
		fmt.Fprintln(out, checker.Table(rows))
		for _, c := range rows {
			good = good && c.OK()
			if c.Err != nil {
				fmt.Fprintf(out, "%s: %v\n", c.Mutant, c.Err)
			}
		}
	}
	if o.mixed {
		fmt.Fprintln(out, checker.Table(checker.MixScore(ctx, b, o.mutants, rounds,
			checker.Options{Seed: o.seed, Source: "wal", Grace: time.Second})))
	}
	for begun := time.Now(); time.Since(begun) < o.duration && ctx.Err() == nil; o.seed++ {
		ok, err := mix(ctx, o, b, out)
		if err != nil {
			return err
		}
		good = good && ok
	}
	if !good {
		return errBroken
	}
	return nil
}

// rounds of a mix: one without faults, then faults without and with those after
// which every job is run.
var rounds = []time.Duration{4 * time.Second, 10 * time.Second, 15 * time.Second, 10 * time.Second, 15 * time.Second}

// mix does one random mix. The seed says how the world is made, too: one fails
// again with the same seed.
func mix(ctx context.Context, o options, b checker.Binaries, out io.Writer) (ok bool, err error) {
	w := checker.Options{Binary: b.Sound, Seed: o.seed, Source: o.sources[o.seed%uint64(len(o.sources))],
		OwnQueue: o.seed%2 == 0, Neighbours: true,
		Before: o.before, BeforeAt: int(o.seed / 2 % 2)} // each with each source
	if o.seed%5 > 0 {
		w.Grace = time.Second
	}
	if w.Source == "wal" && o.seed%3 == 0 {
		w.Slot = "permanent"
	}
	var log strings.Builder
	w.Log = &log
	r, err := checker.Mix(ctx, w, rounds)
	if err != nil {
		return false, err
	}
	with := ""
	if o.before != "" {
		with = fmt.Sprintf(", daemon %d of the other version", w.BeforeAt)
	}
	fmt.Fprintf(out, "seed %d, %s %s%s: %d findings, %d faults, %d reads, %d epochs, commit to readable p50 %s "+
		"p99 %s\n",
		o.seed, w.Source, w.Slot, with,
		len(r.Findings), r.Counts["faults"], r.Counts["reads"], r.Counts["epochs seen"],
		r.P50.Round(100*time.Microsecond), r.P99.Round(100*time.Microsecond))
	if len(r.Findings) == 0 {
		return true, nil
	}
	fmt.Fprint(out, log.String())
	for _, f := range r.Findings {
		fmt.Fprintf(out, "%s after %s: %s\n", f.Invariant, f.After.Round(time.Millisecond), f.Text)
	}
	fmt.Fprintf(out, "%s\n%s\n", r, r.Logs)
	return false, nil
}
