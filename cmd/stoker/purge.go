package main

import (
	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/removal"
)

func (a *app) purgeCmd() *cobra.Command {
	how := &removal.Removal{}
	cmd := &cobra.Command{
		Use:   "purge",
		Short: "Remove what this spec's namespace has in Redis",
		Long: `Removes every key and queue of the spec's namespace from the Redis servers of the
cache and of the queue: fences, manifests, run records, and tasks that wait. The
values of jobs, which API nodes read, stay until their TTL, or go with --values.
Without --yes it only counts what there is. It refuses while a daemon of the
namespace is there. In Postgres it changes nothing: see stoker changes remove.`,
		Example: `  stoker purge                   what would be removed?
  stoker purge --yes
  stoker purge --yes --values    also the values of all jobs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(false, false, func(r *runner) error {
				how.Spec, how.Servers, how.Stdout, how.Stderr, how.JSON = r.spec, r.servers, r.stdout, r.stderr, r.json
				return how.Run(cmd.Context())
			})
		},
	}
	cmd.Flags().BoolVar(&how.Yes, "yes", false, "do it")
	cmd.Flags().BoolVar(&how.Values, "values", false, "remove the values of the jobs as well")
	cmd.Flags().BoolVar(&how.Force, "force", false, "also while a daemon is there, or a newer version has been")
	return cmd
}
