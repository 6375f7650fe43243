package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// Install returns the SQL that makes the outbox and the triggers for what the
// spec watches, and removes those for what it does not watch any more. Triggers
// that are as they should be are left alone, so that what failed half way is
// mended by installing again. A watched table that does not exist is an error.
func Install(ctx context.Context, s *postgres.Source, spec *jobs.Spec) (Script, error) {
	tables, err := feed.WatchedTables(ctx, s, spec)
	if err != nil {
		return nil, err
	}
	state, err := readState(ctx, s, tables)
	if err != nil {
		return nil, err
	}
	if state.Schema == "" {
		return nil, errors.New("the search_path of Stoker's role has no schema to make stoker_outbox in: set it " +
			"(ALTER ROLE ... SET search_path), or make the schema")
	}
	needs := needsOf(spec, tables)
	for _, n := range needs {
		if err := recordable(n); err != nil {
			return nil, err
		}
	}
	return state.install(needs, spec.Changes.RunAbove), nil
}

// recordable is an error if no triggers can record the table.
func recordable(n need) error {
	if n.table.Kind != "r" && n.table.Kind != "p" {
		return fmt.Errorf("%s is %s: its changes cannot be recorded; watch the tables that it is made of", n.table.Name,
			feed.KindName(n.table.Kind))
	}
	for _, c := range n.columns {
		if !slices.Contains(n.table.Columns, c) {
			return fmt.Errorf("table %s has no column %s, which a watch entry names; it has: %s", n.table.Name, c,
				strings.Join(n.table.Columns, ", "))
		}
		if slices.Contains(n.table.Virtual, c) {
			return fmt.Errorf("column %s of table %s, which a watch entry names, is a virtual generated column, which "+
				"triggers see as NULL: make it STORED, or watch a column that it is computed from, with column and "+
				"keys",
				c, n.table.Name)
		}
	}
	return nil
}

// install makes the table and the functions first: a trigger that is there must
// have what it writes to.
func (s *installed) install(needs []need, limit int) Script {
	script := Script{s.installTable(needs, limit)}
	if !s.Marked {
		script = script.with("", []string{markLimitSQL, fmt.Sprintf(markSQL, s.Schema)})
	}
	keep := make(map[string]bool) // :: relation and trigger
	for _, n := range needs {
		for _, r := range s.partsOf(n) {
			var sql []string
			for _, event := range events {
				keep[r.Name+" "+triggerOf(r.Root, event)] = true
				if t, ok := s.trigger(r.Root, r.OID, event); !ok || !t.Always {
					sql = append(sql, triggerSQL(s.Schema, r, event))
				}
			}
			script = script.with(r.Name, sql)
		}
	}
	script = append(script, s.dropTriggers(func(t trigger) bool { return keep[t.Relation+" "+t.Name] })...)
	return script.with("", s.dropFunctions(func(f function) bool {
		return slices.ContainsFunc(needs, func(n need) bool { return functionOf(n.table.OID) == f.Name })
	}))
}

// installTable locks no table of the application's. That all is ours is looked at
// twice: before, so that nothing of somebody else's is touched, and after, because
// they may have made it meanwhile.
func (s *installed) installTable(needs []need, limit int) Transaction {
	ours := s.ownedSQL(needs)
	t := Transaction{SQL: []string{ours, fmt.Sprintf(tableSQL, s.Schema, s.Role)}}
	if !s.Full { // it takes a lock that writers wait for
		t.SQL = append(t.SQL, fmt.Sprintf("ALTER TABLE %s.stoker_outbox REPLICA IDENTITY FULL", s.Schema))
	}
	for _, n := range needs {
		t.SQL = append(t.SQL, functionSQL(s.Schema, n, limit))
	}
	t.SQL = append(t.SQL, ours)
	return t
}

// partsOf are the relations that get the triggers of a watched table.
func (s *installed) partsOf(n need) (parts []relation) {
	for _, r := range s.Relations {
		if r.Root == n.table.OID {
			parts = append(parts, r)
		}
	}
	return parts
}

// Remove returns the SQL that removes all that Install has made; nil
// when there is nothing.
func Remove(ctx context.Context, s *postgres.Source) (Script, error) {
	state, err := readState(ctx, s, nil)
	if err != nil || state.OID == 0 && len(state.Functions) == 0 {
		return nil, err
	}
	return state.dropTriggers(nil).with("", append(state.dropFunctions(nil),
		fmt.Sprintf("DROP FUNCTION IF EXISTS %[1]s.stoker_invalidate(text, jsonb), %[1]s.stoker_invalidate(text)",
			state.Schema),
		fmt.Sprintf("DROP TABLE IF EXISTS %s.stoker_outbox", state.Schema))), nil
}

// Installed is the table of the outbox that Remove would remove, or what triggers call; "" if there is none.
func Installed(ctx context.Context, s *postgres.Source) (string, error) {
	state, err := readState(ctx, s, nil)
	switch {
	case err != nil:
		return "", err
	case state.OID != 0:
		return state.Table, nil
	case len(state.Functions) > 0:
		return state.Schema + ".stoker_outbox (which is gone, so that they fail)", nil
	}
	return "", nil
}

// dropTriggers drops all triggers but those that are kept.
func (s *installed) dropTriggers(keep func(trigger) bool) (script Script) {
	byTable := make(map[string][]string)
	for _, t := range s.Triggers {
		if keep == nil || !keep(t) {
			byTable[t.Relation] = append(byTable[t.Relation],
				fmt.Sprintf("DROP TRIGGER IF EXISTS %s ON %s", pgx.Identifier{t.Name}.Sanitize(), t.Relation))
		}
	}
	for _, table := range slices.Sorted(maps.Keys(byTable)) {
		script = script.with(table, byTable[table])
	}
	return script
}

func (s *installed) dropFunctions(keep func(function) bool) (sql []string) {
	for _, f := range s.Functions {
		if keep == nil || !keep(f) {
			sql = append(sql, fmt.Sprintf("DROP FUNCTION IF EXISTS %s.%s()", s.Schema, f.Name))
		}
	}
	return sql
}
