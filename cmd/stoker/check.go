package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
)

// grade is the verdict of one check.
type grade string

const (
	pass grade = "pass"
	warn grade = "warn"
	fail grade = "fail"
)

// finding is one line of what `stoker check` found.
type finding struct {
	Grade   grade  `json:"grade"`
	Subject string `json:"subject"` // spec, postgres, redis, queue, or a job
	Message string `json:"message"`
}

// findings collects them.
type findings struct{ list []finding }

func (f *findings) add(g grade, subject, format string, args ...any) {
	f.list = append(f.list, finding{g, subject, fmt.Sprintf(format, args...)})
}

func (f *findings) count(g grade) (n int) {
	for _, x := range f.list {
		if x.Grade == g {
			n++
		}
	}
	return n
}

func (a *app) checkCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Validate the spec, then the live servers it names",
		Long: `Validates the spec; every mistake is told at once with its place in the file. Then
asks the live servers: each query is prepared and explained, its columns held
against the key template, rights and versions looked at. Nothing is run and
nothing is written. Exit status: 0 no check failed (warnings are no failure); 1
a live check failed; 2 the spec is wrong.`,
		Example: `  stoker check
  stoker check --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(false, false, func(r *runner) error {
				found := examine(cmd.Context(), r.spec, r.servers)
				if err := a.printFindings(found); err != nil {
					return err
				}
				if found.count(fail) > 0 {
					return errReported
				}
				return nil
			})
		},
	}
}

// shortToken is a length that can be guessed over a network, given time.
const shortToken = 16

// examine checks everything in the order a reader would mend it.
func examine(ctx context.Context, spec *jobs.Spec, s *servers) *findings {
	f := &findings{}
	f.add(pass, "spec", "%s with %s", spec.File, plural(len(spec.Jobs), "job"))
	for _, w := range spec.Warnings {
		f.add(warn, "spec", "%s", w)
	}
	if n := len(spec.Admin.Token.Reveal()); n > 0 && n < shortToken {
		f.add(warn, "admin", "the token has %d characters: with %d or more nobody guesses it", n, shortToken)
	}
	f.redis(ctx, spec, s)
	if f.postgres(ctx, spec, s) {
		for _, job := range spec.Jobs {
			f.job(ctx, job, s)
		}
		f.changes(ctx, spec, s)
	}
	return f
}

func (a *app) printFindings(f *findings) error {
	if a.json {
		return a.printJSON(f.list)
	}
	paint := show.Painter(a.stdout, a.lookup)
	colours := map[grade]show.Colour{pass: show.Green, warn: show.Yellow, fail: show.Red}
	width := 0
	for _, x := range f.list {
		width = max(width, len(x.Subject))
	}
	for _, x := range f.list {
		fmt.Fprintf(a.stdout, "%s  %-*s  %s\n", paint(colours[x.Grade], string(x.Grade)), width, x.Subject, x.Message)
	}
	_, err := fmt.Fprintf(a.stdout, "%d passed, %s, %d failed\n", f.count(pass), plural(f.count(warn), "warning"),
		f.count(fail))
	return err
}
