package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/jobs/specfile/schema"
)

func (a *app) schemaCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "The JSON schema of stoker.yaml, for editors",
		Long: `Prints the JSON schema (draft-07) of stoker.yaml. An editor with a YAML language server completes
and explains the fields by it, and marks mistakes. Keep it beside the spec, which names it in a line:

  ` + schema.Modeline,
		Example: `  stoker schema > stoker.schema.json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			text, err := schema.JSON()
			if err != nil {
				return err
			}
			if _, err := a.stdout.Write(text); err != nil {
				return fmt.Errorf("print the schema: %w", err)
			}
			return nil
		},
	}
}
