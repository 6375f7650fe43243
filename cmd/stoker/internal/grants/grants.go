// Package grants prints the users that a spec needs in Redis.
package grants

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/rights"
)

// Grants says which users are printed, and how.
type Grants struct {
	For     string // rights.ForCache, ForQueue or ForReaders; "": all
	Name    string // of that user; "": its own
	SetUser bool   // as commands
	JSON    bool
	Scope   rights.Scope
}

// Flags adds the flags of the command.
func (g *Grants) Flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&g.For, "for", "", "only the user for cache, queue or readers")
	f.StringVar(&g.Name, "user", "", "the user's `NAME`, with --for")
	f.BoolVar(&g.SetUser, "setuser", false, "print ACL SETUSER commands, which leave passwords as they are")
	f.BoolVar(&g.Scope.Purge, "purge", false, "with what stoker purge needs besides")
	f.BoolVar(&g.Scope.NoDashboard, "no-dashboard", false, "without what only the pages under /queues/ need")
}

// Check refuses what cannot be printed.
func (g *Grants) Check() error {
	uses := []string{rights.ForCache, rights.ForQueue, rights.ForReaders}
	switch {
	case g.For != "" && !slices.Contains(uses, g.For):
		return fmt.Errorf("--for is %q: give cache, queue or readers", g.For)
	case g.Name != "" && g.For == "":
		return errors.New("--user needs --for: each user has its own rights")
	case g.Name != "" && !rights.IsName(g.Name):
		return fmt.Errorf("--user is %q: the name of a Redis user has no blanks and no quotes", g.Name)
	}
	return nil
}

// Print prints the users of a spec, and to notes what to know besides.
func (g *Grants) Print(spec *jobs.Spec, out, notes io.Writer) error {
	users := g.wanted(spec)
	if g.JSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		if err := enc.Encode(users); err != nil {
			return fmt.Errorf("print the users: %w", err)
		}
		return nil
	}
	for _, u := range users {
		line := u.Line()
		if g.SetUser {
			line = u.Command()
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return fmt.Errorf("print the users: %w", err)
		}
	}
	for _, note := range rights.Notes(spec) {
		fmt.Fprintf(notes, "note: %s\n", note)
	}
	return nil
}

// wanted are the users that are asked for. Where cache and queue share a Redis, one user is for both.
func (g *Grants) wanted(spec *jobs.Spec) (users []rights.User) {
	for _, u := range rights.Users(spec, g.Scope) {
		shared := u.For == rights.ForBoth && g.For != rights.ForReaders
		if g.For != "" && g.For != u.For && !shared {
			continue
		}
		if g.Name != "" {
			u.Name = g.Name
		}
		users = append(users, u)
	}
	return users
}
