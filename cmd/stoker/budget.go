package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/jobs/budget"
)

func (a *app) budgetCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "budget [SHARE | none | spec]",
		Short: "Show or set how much of the database's time runs may take",
		Long: `Shows the budget that runs of all daemons share, or sets it at once for all daemons,
in place of postgres.budget of the spec: a share, none, or spec for the spec's again.`,
		Example: `  stoker budget
  stoker budget 10%
  stoker budget spec`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var share string
			if len(args) == 1 && args[0] != "spec" {
				parsed, err := budget.ParseShare(args[0])
				if err != nil {
					return wrong("%q %w: write it as in 25%%, none for no limit, or spec for what the spec says",
						args[0], err)
				}
				share = budget.ShareText(parsed)
			}
			return a.withKnown(cmd.Context(), false, false, func(r *runner) error {
				if len(args) == 1 {
					if err := r.servers.Ledger.SetBudgetShare(cmd.Context(), share); err != nil {
						return err
					}
				}
				return r.showBudget(cmd)
			})
		},
	}
}

// showBudget says what counts, and why.
func (r *runner) showBudget(cmd *cobra.Command) error {
	set, err := r.servers.Ledger.BudgetShare(cmd.Context())
	if err != nil {
		return err
	}
	own := budget.ShareText(r.spec.Postgres.Budget.Share)
	if r.json {
		return r.printJSON(map[string]string{"spec": own, "set": set})
	}
	text := fmt.Sprintf("budget %s, set at run time; the spec says %s (stoker budget spec)\n", set, own)
	if set == "" {
		text = fmt.Sprintf("budget %s, as the spec says\n", own)
	}
	_, err = io.WriteString(r.stdout, text)
	return err
}
