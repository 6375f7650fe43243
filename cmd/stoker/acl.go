package main

import (
	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/grants"
)

func (a *app) aclCmd() *cobra.Command {
	g := &grants.Grants{}
	cmd := &cobra.Command{
		Use:   "acl",
		Short: "Print the least rights in Redis for Stoker and for readers",
		Long: `Prints a line for each Redis user that the spec needs, with the least rights: Stoker on
the cache, Stoker on the queue (one user where they share a Redis), and API nodes that
only read. No password is printed: <...> is where it belongs, which Redis refuses.`,
		Example: `  stoker acl                                   for redis.conf or an aclfile
  stoker acl --setuser | redis-cli             users get these rights, and keep their passwords
  stoker acl --for readers --user shop-api     one line, for a user of that name`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := g.Check(); err != nil {
				return usageError{err}
			}
			spec, err := a.spec()
			if err != nil {
				return err
			}
			g.JSON = a.json
			return g.Print(spec, a.stdout, a.stderr)
		},
	}
	g.Flags(cmd)
	return cmd
}
