package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/check"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
)

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
				found := check.Run(cmd.Context(), r.spec, r.servers)
				if err := a.printFindings(found); err != nil {
					return err
				}
				if found.Count(check.Fail) > 0 {
					return errReported
				}
				return nil
			})
		},
	}
}

func (a *app) printFindings(f *check.Findings) error {
	if a.json {
		return a.printJSON(f.List)
	}
	paint := show.Painter(a.stdout, a.lookup)
	colours := map[check.Grade]show.Colour{check.Pass: show.Green, check.Warn: show.Yellow, check.Fail: show.Red}
	width := 0
	for _, x := range f.List {
		width = max(width, len(x.Subject))
	}
	for _, x := range f.List {
		fmt.Fprintf(a.stdout, "%s  %-*s  %s\n", paint(colours[x.Grade], string(x.Grade)), width, x.Subject, x.Message)
	}
	_, err := fmt.Fprintf(a.stdout, "%d passed, %s, %d failed\n", f.Count(check.Pass),
		show.Plural(f.Count(check.Warn), "warning"), f.Count(check.Fail))
	return err
}
