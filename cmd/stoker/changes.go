package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/postgres"
)

func (a *app) changesCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "changes",
		Short: "What following changes needs in Postgres: install it, remove it",
		Example: `  stoker changes install            the SQL, for the tables' owner to read
  stoker changes install --apply    run it
  stoker changes remove --apply     remove all of it, before Stoker goes`,
		Long: `Makes and removes what changes.source needs in the database. For wal that is the
publication of the watched tables; the permanent slot, if the spec asks for one,
is made by the daemon. For outbox it is the table stoker_outbox, the triggers of
the watched tables that write to it, and the function stoker_invalidate.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.changesInstallCmd(), a.changesRemoveCmd())
	return cmd
}

func (a *app) changesInstallCmd() *cobra.Command {
	var apply bool
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Print the SQL that makes what the spec's changes.source needs, or run it",
		Long: `Prints the SQL that makes what the spec's changes.source needs for the tables that
it watches; with --apply runs it. Run it again when it failed half way, or the
watch lists have changed: what is as it should be is left alone, what is not
watched any more is taken out. The role must own the watched tables.`,
		Example: `  stoker changes install
  stoker changes install --apply
  stoker changes install | psql "$OWNER_URL"         where Stoker's role is not the owner`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.changesSQL(cmd.Context(), apply, "everything is there: nothing to install",
				func(s *postgres.Source, spec *jobs.Spec) ([]sqlScript, error) {
					if spec.Changes.Source == jobs.SourceNone {
						return nil, wrong("changes.source of %s is none: there is nothing to install; write "+
							"source: wal or source: outbox", spec.File)
					}
					return installSQL(cmd.Context(), s, spec, spec.Changes.Source)
				})
		},
	}
	applyFlag(cmd, &apply)
	return cmd
}

func (a *app) changesRemoveCmd() *cobra.Command {
	var apply bool
	var source, name string
	cmd := &cobra.Command{
		Use:   "remove",
		Short: "Print the SQL that removes what Stoker has made to follow changes, or run it",
		Long: `Prints the SQL that removes what Stoker has made in the database to follow changes;
with --apply runs it. What is removed is that of the spec's changes.source, and
with source: none that of both. Stop every daemon first. A publication is removed
only if Stoker made it, which its comment says.`,
		Example: `  stoker changes remove
  stoker changes remove --apply
  stoker changes remove --source wal --name shop     after changes.source or changes.name was changed`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch jobs.Source(source) {
			case "", jobs.SourceWAL, jobs.SourceOutbox:
			default:
				return wrong("--source is %q: give wal or outbox", source)
			}
			return a.changesSQL(cmd.Context(), apply, "nothing of Stoker's is there: nothing to remove",
				func(s *postgres.Source, spec *jobs.Spec) ([]sqlScript, error) {
					return removeSQL(cmd.Context(), s, spec, jobs.Source(source), name)
				})
		},
	}
	applyFlag(cmd, &apply)
	cmd.Flags().StringVar(&source, "source", "", "wal or outbox: what to remove (default changes.source of the spec; "+
		"both where that is none)")
	cmd.Flags().StringVar(&name, "name", "", "of wal: the publication to remove (default changes.name of the spec)")
	return cmd
}

func applyFlag(cmd *cobra.Command, apply *bool) {
	cmd.Flags().BoolVar(apply, "apply", false, "run the SQL instead of printing it")
}

// sqlScript is SQL of one source.
type sqlScript struct {
	text  string
	parts string // how many of what it has
	apply func(context.Context, *postgres.Source) error
}

func walScript(sql wal.Script, err error) ([]sqlScript, error) {
	if err != nil || len(sql) == 0 {
		return nil, err
	}
	return []sqlScript{{sql.String(), show.Plural(len(sql), "statement"),
		func(ctx context.Context, s *postgres.Source) error { return wal.Apply(ctx, s, sql) }}}, nil
}

func outboxScript(sql outbox.Script, err error) ([]sqlScript, error) {
	if err != nil || len(sql) == 0 {
		return nil, err
	}
	return []sqlScript{{sql.String(), show.Plural(len(sql), "transaction"),
		func(ctx context.Context, s *postgres.Source) error { return outbox.Apply(ctx, s, sql) }}}, nil
}

func installSQL(ctx context.Context, s *postgres.Source, spec *jobs.Spec, source jobs.Source) ([]sqlScript, error) {
	if len(spec.Watched()) == 0 {
		return nil, wrong("no job of %s has a watch list: there is nothing to install", spec.File)
	}
	if source == jobs.SourceOutbox {
		return outboxScript(outbox.Install(ctx, s, spec))
	}
	return walScript(wal.Install(ctx, s, spec))
}

// removeSQL is the SQL that removes what a source has; source "" is the spec's, and of none it is both.
func removeSQL(ctx context.Context, s *postgres.Source, spec *jobs.Spec, source jobs.Source, name string) (
	scripts []sqlScript, err error) {
	if source == "" && name != "" {
		source = jobs.SourceWAL
	}
	if source == "" {
		source = spec.Changes.Source
	}
	if source == jobs.SourceWAL && name == "" && spec.Changes.Source == jobs.SourceWAL {
		name = spec.Changes.Name
	}
	if source != jobs.SourceWAL {
		if scripts, err = outboxScript(outbox.Remove(ctx, s)); err != nil {
			return nil, err
		}
	}
	if source != jobs.SourceOutbox {
		more, err := walScript(wal.Removal(ctx, s, spec, name))
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, more...)
	}
	return scripts, nil
}

// changesSQL prints or runs the SQL that script returns; nothing is what to say if there is none.
func (a *app) changesSQL(ctx context.Context, apply bool, nothing string,
	script func(*postgres.Source, *jobs.Spec) ([]sqlScript, error)) error {
	spec, err := a.spec()
	if err != nil {
		return err
	}
	source, err := postgres.Open(spec.Postgres)
	if err != nil {
		return usageError{err}
	}
	defer source.Close()
	scripts, err := script(source, spec)
	if err == nil && len(scripts) == 0 {
		_, err = fmt.Fprintln(a.stderr, nothing)
	}
	if err != nil {
		return err
	}
	for _, s := range scripts {
		if !apply {
			fmt.Fprint(a.stdout, s.text)
			continue
		}
		if err := s.apply(ctx, source); err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "done: %s\n", s.parts)
	}
	return nil
}
