package main

import (
	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/postgres"
)

func (a *app) outboxCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "outbox",
		Short: "The triggers and the table of changes.source: outbox, as `stoker changes` has them",
		Example: `  stoker outbox install             the SQL, for the tables' owner to read
  stoker outbox install --apply     run it
  stoker outbox remove --apply      remove all of it`,
		Long: `Makes and removes what changes.source: outbox reads: one table, stoker_outbox, the
triggers of the watched tables that write to it, and the function
stoker_invalidate, which any program may call in its transaction.
With source: outbox, stoker changes install and remove do the same.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.outboxInstallCmd(), a.outboxRemoveCmd())
	return cmd
}

func (a *app) outboxInstallCmd() *cobra.Command {
	var apply bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Print the SQL that makes the outbox for what the spec watches, or run it",
		Long: `Prints the SQL that makes the outbox and its triggers for what the spec watches;
with --apply runs it, in a transaction for each table. Run it again when it failed
half way, the watch lists have changed or a partition was added: what is as it
should be is left alone, what is not watched any more is removed. The role must own the watched tables. Let the
application's role call stoker_invalidate with:

  GRANT EXECUTE ON FUNCTION stoker_invalidate(text, jsonb), stoker_invalidate(text) TO ...`,
		Example: `  stoker outbox install                             look at it
  stoker outbox install --apply
  stoker outbox install | psql "$OWNER_URL"         where Stoker's role is not the owner`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changesSQL(cmd.Context(), apply, "everything is there: nothing to install",
				func(s *postgres.Source, spec *jobs.Spec) ([]sqlScript, error) {
					return installSQL(cmd.Context(), s, spec, jobs.SourceOutbox)
				})
		},
	}
	applyFlag(cmd, &apply)
	return cmd
}

func (a *app) outboxRemoveCmd() *cobra.Command {
	var apply bool
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Print the SQL that removes the outbox and its triggers, or run it",
		Example: `  stoker outbox remove
  stoker outbox remove --apply`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changesSQL(cmd.Context(), apply, "there is no outbox: nothing to remove",
				func(s *postgres.Source, _ *jobs.Spec) ([]sqlScript, error) {
					return outboxScript(outbox.Remove(cmd.Context(), s))
				})
		},
	}
	applyFlag(cmd, &apply)
	return cmd
}
