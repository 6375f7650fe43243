package main

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCmd writes the man pages. Packages are made with it; users have the pages by then.
func (a *app) manCmd(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the man pages of all commands into a folder",
		Long:    "Writes the man pages of all commands into a folder, dated with SOURCE_DATE_EPOCH where that is set.",
		Example: `  stoker man /usr/local/share/man/man1`,
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			date := time.Now()
			if v, ok := a.lookup("SOURCE_DATE_EPOCH"); ok {
				s, err := strconv.ParseInt(v, 10, 64)
				if err != nil {
					return wrong("SOURCE_DATE_EPOCH is %q: give seconds since 1970", v)
				}
				date = time.Unix(s, 0).UTC()
			}
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("make the folder of the man pages: %w", err)
			}
			root.DisableAutoGenTag = true
			h := &doc.GenManHeader{Section: "1", Date: &date, Source: "stoker " + version(), Manual: "Stoker"}
			if err := doc.GenManTree(root, h, args[0]); err != nil {
				return fmt.Errorf("write the man pages: %w", err)
			}
			return nil
		},
	}
}
