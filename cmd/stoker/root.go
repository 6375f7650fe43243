package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/reload"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
)

// env is what a command touches of the world around it.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookup         func(string) (string, bool) // environment variables
	unhandle       func()                      // gives signals back their default; nil: they are not ours
	hangup         <-chan os.Signal            // SIGHUP, unless it is ignored
}

// Exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // it was tried and failed
	exitWrong  = 2 // the command or the spec is wrong; nothing was done
)

// usageError is a mistake in the command line: exit status 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func wrong(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errReported ends a command that has already said what is wrong.
var errReported = errors.New("reported")

// app is the state that all commands share.
type app struct {
	env
	config    string
	json      bool
	logLevel  string
	logFormat string
	started   bool // a command's own code has begun: its errors are no usage errors
}

// execute runs one command line and returns the exit status.
func execute(ctx context.Context, args []string, e env) int {
	a := &app{env: e}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(e.stdin)
	root.SetOut(e.stdout)
	root.SetErr(e.stderr)
	err := root.ExecuteContext(ctx)
	return a.exit(err)
}

func (a *app) exit(err error) int {
	if err == nil {
		return exitOK
	}
	_, usage := errors.AsType[usageError](err)
	_, newer := errors.AsType[*store.FormatError](err)
	problems, located := errors.AsType[jobs.Problems](err)
	switch {
	case located:
		fmt.Fprintln(a.stderr, err)
		fmt.Fprintf(a.stderr, "stoker: %s\n", show.Plural(len(problems), "problem"))
		return exitWrong
	case errors.Is(err, errReported):
		return exitFailed
	case !a.started:
		fmt.Fprintf(a.stderr, "stoker: %v\nTry 'stoker help'.\n", err)
		return exitWrong
	case usage || newer:
		fmt.Fprintf(a.stderr, "stoker: %v\n", err)
		return exitWrong
	}
	fmt.Fprintf(a.stderr, "stoker: %v\n", store.WithRemedy(err))
	return exitFailed
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "stoker",
		Short: "Keep a shared Redis warm with the results of hot Postgres queries",
		Long: `Stoker keeps a shared Redis warm. Write down your hot queries in stoker.yaml;
Stoker runs them on a schedule, on demand and when you say that rows changed,
and writes each result under its key with a TTL, so that API nodes just GET.`,
		Example: `  stoker demo                        see it work, on private throw-away servers
  stoker check                       is my stoker.yaml right, and my servers ready?
  stoker run                         the daemon
  stoker warm product --wait         warm one job now
  stoker invalidate product id=42    these rows changed: load their keys again`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := a.level(slog.LevelInfo); err != nil {
				return err
			}
			if a.logFormat != "text" && a.logFormat != "json" {
				return wrong("--log-format is %q: give text or json", a.logFormat)
			}
			a.started = true
			a.heedHangup(cmd)
			a.heedSecondSignal(cmd)
			return nil
		},
	}
	f := root.PersistentFlags()
	f.StringVar(&a.config, "config", "stoker.yaml", "the spec `FILE`")
	f.BoolVar(&a.json, "json", false, "print JSON where a table would be printed")
	f.StringVar(&a.logLevel, "log-level", "", "debug, info, warn or error (default info for the daemon, warn "+
		"elsewhere)")
	f.StringVar(&a.logFormat, "log-format", "text", "text or json")
	root.AddCommand(a.runCmd(), a.checkCmd(), a.warmCmd(), a.invalidateCmd(), a.previewCmd(), a.verifyCmd(),
		a.changesCmd(), a.outboxCmd(), a.statusCmd(), a.waitCmd(), a.resumeCmd(), a.budgetCmd(), a.purgeCmd(),
		a.healthCmd(), a.schemaCmd(), a.aclCmd(), a.demoCmd(), a.initCmd(), a.versionCmd(), a.manCmd(root))
	return root
}

// heedSecondSignal: the first signal stops in order; with the default handling
// restored, a second one ends the process at once. But not the demo, which would
// leave its servers' files behind: it ends by itself in a moment.
func (a *app) heedSecondSignal(cmd *cobra.Command) {
	if a.unhandle != nil && cmd.Name() != "demo" {
		context.AfterFunc(cmd.Context(), a.unhandle)
	}
}

// spec loads the spec file.
func (a *app) spec() (*jobs.Spec, error) { return located(a.loader().First()) }

func (a *app) loader() *reload.Loader {
	return &reload.Loader{File: a.config, Lookup: a.lookup, Drivers: connect.Drivers}
}

// located makes a usage error of a spec that cannot be read at all; where it has mistakes, these are the error.
func located(spec *jobs.Spec, err error) (*jobs.Spec, error) {
	if _, is := errors.AsType[jobs.Problems](err); err == nil || is {
		return spec, err
	}
	return nil, usageError{err}
}

// named returns the spec's jobs of the given names.
func named(spec *jobs.Spec, names []string) ([]*jobs.Job, error) {
	var list []*jobs.Job
	for _, name := range names {
		job, ok := spec.Job(name)
		if !ok {
			return nil, wrong("no job %q in %s; it has: %s", name, spec.File, jobNames(spec))
		}
		list = append(list, job)
	}
	return list, nil
}

// log returns the command's logger; level is its default.
func (a *app) log(level slog.Level) *slog.Logger {
	level, err := a.level(level)
	if err != nil {
		level = slog.LevelInfo // refused before any command began
	}
	o := &slog.HandlerOptions{Level: level}
	if a.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(a.stderr, o))
	}
	return slog.New(slog.NewTextHandler(a.stderr, o))
}

func (a *app) level(level slog.Level) (slog.Level, error) {
	if a.logLevel == "" {
		return level, nil
	}
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return level, wrong("--log-level is %q: give debug, info, warn or error", a.logLevel)
	}
	return level, nil
}
