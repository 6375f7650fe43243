package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stokerhq/stoker/store/feed"
)

// covers is an error if what is installed does not record what is needed.
func (s *installed) covers(needs []need) error {
	if problems := s.unseen(); len(problems) > 0 {
		return errors.New(strings.Join(problems, "; "))
	}
	if problems := s.uncovered(needs); len(problems) > 0 {
		return errors.New(strings.Join(problems, "; ") + "; run: stoker outbox install --apply")
	}
	return nil
}

// unseen says which tables no trigger of ours can watch. What applies the changes of
// a subscription fires triggers for each row only, not for a statement.
func (s *installed) unseen() (problems []string) {
	for _, name := range s.Subscribed {
		problems = append(problems, fmt.Sprintf("table %s is filled by logical replication, which fires no "+
			"statement triggers, so that the outbox would miss its changes: "+
			"use changes.source: wal on this server, or have Stoker watch the publisher", name))
	}
	return problems
}

const noOutbox = "there is no table stoker_outbox in the search_path of Stoker's role"

const olderOutbox = "the outbox has no index by transaction, and is read as a whole ten times a second, with all " +
	"dead rows that a long transaction keeps: have its owner run: stoker outbox install --apply"

// uncovered says what is missing in what is installed.
func (s *installed) uncovered(needs []need) (problems []string) {
	if s.OID == 0 {
		return []string{noOutbox}
	}
	for _, n := range needs {
		if p := s.uncoveredTable(n); p != "" {
			problems = append(problems, p)
		}
	}
	return problems
}

func (s *installed) uncoveredTable(n need) string {
	var missing, disabled []string
	for _, event := range events {
		switch t, ok := s.trigger(n.table.OID, n.table.OID, event); {
		case !ok:
			missing = append(missing, event)
		case !t.Always:
			disabled = append(disabled, event)
		}
	}
	switch {
	case len(missing) == len(events):
		return fmt.Sprintf("table %s has no triggers that write to the outbox", n.table.Name)
	case len(missing) > 0:
		return fmt.Sprintf("table %s has no trigger for %s that writes to the outbox", n.table.Name,
			strings.Join(missing, ", "))
	case len(disabled) > 0:
		return fmt.Sprintf("the triggers of table %s for %s are disabled, or not enabled always", n.table.Name,
			strings.Join(disabled, ", "))
	}
	recorded := s.recorded(n.table.OID)
	for _, column := range n.columns {
		if !slices.Contains(recorded, column) {
			return fmt.Sprintf("the outbox does not record column %s of table %s", column, n.table.Name)
		}
	}
	return ""
}

// columnsMark begins the line of a trigger function that says what it records.
const columnsMark = "-- columns: "

// recorded are the columns that the triggers of a table record.
func (s *installed) recorded(root uint32) (columns []string) {
	i := slices.IndexFunc(s.Functions, func(f function) bool { return f.Name == functionOf(root) })
	if i < 0 {
		return nil
	}
	for line := range strings.Lines(s.Functions[i].Source) {
		if list, ok := strings.CutPrefix(line, columnsMark); ok {
			if json.Unmarshal([]byte(list), &columns) != nil {
				return nil // somebody's own function: it records nothing that we know of
			}
			return columns
		}
	}
	return nil
}

// bypassed are the parts of watched tables without all triggers: a statement that
// names such a part, not the whole, is not recorded.
func (s *installed) bypassed(n need) (names []string) {
	for _, r := range s.Relations {
		if r.Root != n.table.OID || r.OID == r.Root {
			continue
		}
		if slices.ContainsFunc(events, func(event string) bool {
			t, ok := s.trigger(r.Root, r.OID, event)
			return !ok || !t.Always
		}) {
			names = append(names, r.Name)
		}
	}
	return names
}

// guard is an error if the outbox does not record any more what it did when the
// feed was opened: a table was made anew, a trigger was disabled, or the outbox was
// removed and installed again.
func (o *Feed) guard(ctx context.Context) error {
	tables, err := feed.WatchedTables(ctx, o.source, o.spec)
	if err != nil {
		return err
	}
	state, err := readState(ctx, o.source, tables)
	if err != nil {
		return err
	}
	needs := needsOf(o.spec, tables)
	if err := state.covers(needs); err != nil {
		return err
	}
	o.marked = state.Marked // an index may have been added, or dropped
	if place := state.place(needs); place != o.place {
		return errors.New("the triggers of the outbox were made anew or switched: they may have missed changes " +
			"meanwhile")
	}
	return nil
}

// guardEvery is how often it is checked that the outbox records what it did.
const guardEvery = 10 * time.Second
