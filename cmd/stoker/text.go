package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/jobs"
)

func jobNames(spec *jobs.Spec) string {
	names := make([]string, len(spec.Jobs))
	for i, j := range spec.Jobs {
		names[i] = j.Name
	}
	return strings.Join(names, ", ")
}

// printJSON prints v, indented.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print JSON: %w", err)
	}
	return nil
}

// completeJobs completes job names from the spec; a spec that does not load
// completes nothing.
func (a *app) completeJobs(_ *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	spec, err := a.spec()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, j := range spec.Jobs {
		names = append(names, j.Name+"\t"+j.Key.String())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
