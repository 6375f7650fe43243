package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
)

// Script is SQL statements that belong into one transaction.
type Script []string

// String is the script as psql takes it.
func (s Script) String() string {
	return "BEGIN;\n" + strings.Join(s, ";\n") + ";\nCOMMIT;\n"
}

// lockLimitSQL keeps the application from waiting behind us: to make a trigger, its
// table is locked against writes, and who comes after us waits while we do.
const lockLimitSQL = "SET LOCAL lock_timeout = '3s'"

// OutboxInstall returns the SQL that makes the outbox and the triggers for what the
// spec watches, and removes those for what it does not watch any more. Triggers
// that are as they should be are left alone. A watched table that does not exist
// is an error.
func (s *Source) OutboxInstall(ctx context.Context, spec *jobs.Spec) (Script, error) {
	tables, err := s.watched(ctx, spec)
	if err != nil {
		return nil, err
	}
	state, err := s.outboxState(ctx, tables)
	if err != nil {
		return nil, err
	}
	if state.Schema == "" {
		return nil, errors.New("the search_path of Stoker's role has no schema to make stoker_outbox in: set it (ALTER ROLE ... SET search_path), or make the schema")
	}
	needs := outboxNeeds(spec, tables)
	for _, n := range needs {
		if err := recordable(n); err != nil {
			return nil, err
		}
	}
	return state.install(needs, spec.Changes.RunAbove), nil
}

// recordable is an error if no triggers can record the table.
func recordable(n outboxNeed) error {
	if n.table.Kind != "r" && n.table.Kind != "p" {
		return fmt.Errorf("%s is %s: its changes cannot be recorded; watch the tables that it is made of", n.table.Name, kindName(n.table.Kind))
	}
	for _, c := range n.columns {
		if !slices.Contains(n.table.Columns, c) {
			return fmt.Errorf("table %s has no column %s, which a watch entry names; it has: %s", n.table.Name, c, strings.Join(n.table.Columns, ", "))
		}
	}
	return nil
}

func (s *outboxState) install(needs []outboxNeed, limit int) Script {
	script := Script{lockLimitSQL, fmt.Sprintf(outboxTableSQL, s.Schema, s.Role)}
	keep := make(map[string]bool) // :: relation and trigger
	for _, n := range needs {
		script = append(script, functionSQL(s.Schema, n, limit))
		for _, r := range s.Relations {
			if r.Root != n.table.OID {
				continue
			}
			for _, event := range outboxEvents {
				keep[r.Name+" "+triggerOf(r.Root, event)] = true
				if t, ok := s.trigger(r.Root, r.OID, event); !ok || !t.Always {
					script = append(script, triggerSQL(s.Schema, r, event))
				}
			}
		}
	}
	script = append(script, s.dropTriggers(func(t outboxTrigger) bool { return keep[t.Relation+" "+t.Name] })...)
	return append(script, s.dropFunctions(func(f outboxFunction) bool {
		return slices.ContainsFunc(needs, func(n outboxNeed) bool { return functionOf(n.table.OID) == f.Name })
	})...)
}

// OutboxRemove returns the SQL that removes all that OutboxInstall has made; nil
// when there is nothing.
func (s *Source) OutboxRemove(ctx context.Context) (Script, error) {
	state, err := s.outboxState(ctx, nil)
	if err != nil || state.OID == 0 && len(state.Functions) == 0 {
		return nil, err
	}
	script := append(Script{lockLimitSQL}, state.dropTriggers(nil)...)
	script = append(script, state.dropFunctions(nil)...)
	return append(script,
		fmt.Sprintf("DROP FUNCTION IF EXISTS %[1]s.stoker_invalidate(text, jsonb), %[1]s.stoker_invalidate(text)", state.Schema),
		fmt.Sprintf("DROP TABLE IF EXISTS %s.stoker_outbox", state.Schema)), nil
}

// dropTriggers drops all triggers but those that are kept.
func (s *outboxState) dropTriggers(keep func(outboxTrigger) bool) (script Script) {
	for _, t := range s.Triggers {
		if keep == nil || !keep(t) {
			script = append(script, fmt.Sprintf("DROP TRIGGER %s ON %s", pgx.Identifier{t.Name}.Sanitize(), t.Relation))
		}
	}
	return script
}

func (s *outboxState) dropFunctions(keep func(outboxFunction) bool) (script Script) {
	for _, f := range s.Functions {
		if keep == nil || !keep(f) {
			script = append(script, fmt.Sprintf("DROP FUNCTION %s.%s()", s.Schema, f.Name))
		}
	}
	return script
}

// Apply runs a script in one transaction. Nothing of it stays if a statement
// fails.
func (s *Source) Apply(ctx context.Context, script Script) error {
	err := s.with(ctx, func(c *pgx.Conn) error {
		_, err := c.PgConn().Exec(ctx, script.String()).ReadAll()
		if err == nil || c.PgConn().IsClosed() || c.PgConn().TxStatus() == 'I' {
			return err
		}
		_, rerr := c.PgConn().Exec(ctx, "ROLLBACK").ReadAll()
		return errors.Join(err, rerr)
	})
	pe, _ := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		return nil
	case pe != nil && pe.Code == "42501":
		return fmt.Errorf("%w; nothing was changed: have the owner of the tables run what the command prints without --apply", err)
	case pe != nil && pe.Code == "55P03":
		return fmt.Errorf("%w: a transaction holds one of the tables; nothing was changed: run it again", err)
	}
	return fmt.Errorf("nothing was changed: %w", err)
}

// kindName says what a relation that is no table is.
func kindName(kind string) string {
	switch kind {
	case "v":
		return "a view"
	case "m":
		return "a materialized view"
	case "f":
		return "a foreign table"
	}
	return "no table"
}
