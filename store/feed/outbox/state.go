package outbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// need is what the outbox must record of a watched table.
type need struct {
	table   feed.Table
	columns []string // sorted; none: that it has changed is enough
	watches []feed.Watcher
}

// needsOf says what the spec's watches need of these tables.
// Two names may lead to one table.
func needsOf(spec *jobs.Spec, tables []feed.Table) []need {
	byOID := make(map[uint32]*need)
	for _, job := range spec.Jobs {
		for i, w := range job.Watch {
			at := slices.IndexFunc(tables, func(t feed.Table) bool { return t.Given == w.Table })
			if at < 0 {
				continue // it is told otherwise
			}
			t := tables[at]
			n := byOID[t.OID]
			if n == nil {
				n = &need{table: t}
				byOID[t.OID] = n
			}
			n.watches = append(n.watches, feed.Watcher{Job: job, At: i})
			n.columns = append(n.columns, feed.WatchedColumns(w)...)
		}
	}
	var needs []need
	for _, oid := range slices.Sorted(maps.Keys(byOID)) {
		n := byOID[oid]
		slices.Sort(n.columns)
		n.columns = slices.Compact(n.columns)
		needs = append(needs, *n)
	}
	return needs
}

// installed is what is installed, as of one snapshot.
type installed struct {
	Schema     string // where the outbox is, or would be made, quoted where needed; "": search_path has no schema
	Role       string // ours, quoted where needed
	Table      string // "" when there is none
	OID        uint32
	Select     bool // we may read it
	Delete     bool
	Full       bool // its replica identity
	Marked     bool // it has the transaction of each row, with an index
	Triggers   []trigger
	Functions  []function
	Relations  []relation
	Subscribed []string // relations that logical replication fills, and watched rows lie in

	origin string
}

// trigger is a trigger that writes to the outbox.
type trigger struct {
	OID      uint32
	Version  string // changes when it is replaced, disabled or enabled
	Name     string
	On       uint32 // the relation
	Relation string // its schema and name, quoted where needed
	Always   bool   // it is enabled, also with session_replication_role = replica
}

// function is what the triggers of a watched table call.
type function struct {
	Name   string
	Source string
}

// relation is a watched table, or one that is part of it or inherits from it:
// a statement fires the triggers of the table that it names only.
type relation struct {
	Root uint32
	OID  uint32
	Name string // schema and name, quoted where needed
}

// stateSQL describes what is installed, and the relations of the watched tables
// $1, beside a snapshot.
const stateSQL = `, (
WITH RECURSIVE place AS (
	SELECT coalesce((SELECT relnamespace FROM pg_class WHERE oid = to_regclass('stoker_outbox')), to_regnamespace(quote_ident(current_schema()))::oid) AS schema,
		to_regclass('stoker_outbox')::oid AS outbox
), parts AS (
	SELECT oid AS root, oid FROM unnest($1::oid[]) AS r(oid)
	UNION SELECT root, i.inhrelid FROM parts JOIN pg_inherits i ON i.inhparent = parts.oid
), functions AS (
	SELECT p.oid, p.proname, p.prosrc FROM pg_proc p, place WHERE p.pronamespace = place.schema AND p.proname ~ '^stoker_outbox_[0-9]+$'
), named AS (
	SELECT c.oid, c.relkind, format('%I.%I', s.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
)
SELECT json_build_object('Schema', (SELECT quote_ident(nspname) FROM pg_namespace WHERE oid = place.schema), 'Role', quote_ident(current_user),
	'Table', (SELECT name FROM named WHERE oid = outbox), 'OID', coalesce(outbox, 0)::bigint,
	'Select', has_table_privilege(outbox, 'SELECT'), 'Delete', has_table_privilege(outbox, 'DELETE'),
	'Full', (SELECT relreplident = 'f' FROM pg_class WHERE oid = outbox),
	'Marked', EXISTS (SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = outbox AND a.attname = 'xid' AND a.atttypid = 'xid8'::regtype AND a.attnotnull AND a.atthasdef AND i.indisvalid AND i.indpred IS NULL),
	'Triggers', (SELECT json_agg(json_build_object('OID', t.oid::bigint, 'Version', t.xmin::text, 'Name', t.tgname, 'On', t.tgrelid::bigint,
		'Relation', n.name, 'Always', t.tgenabled = 'A') ORDER BY n.name, t.tgname)
		FROM pg_trigger t JOIN functions f ON f.oid = t.tgfoid JOIN named n ON n.oid = t.tgrelid),
	'Functions', (SELECT json_agg(json_build_object('Name', proname, 'Source', prosrc) ORDER BY proname) FROM functions),
	'Relations', (SELECT json_agg(json_build_object('Root', root::bigint, 'OID', parts.oid::bigint, 'Name', n.name) ORDER BY root, root <> parts.oid, n.name)
		FROM parts JOIN named n USING (oid) WHERE n.relkind IN ('r', 'p')),
	'Subscribed', (SELECT json_agg(n.name ORDER BY n.name) FROM pg_subscription_rel r JOIN named n ON n.oid = r.srrelid
		WHERE n.oid IN (SELECT oid FROM parts UNION SELECT a.relid FROM unnest($1::oid[]) AS w(oid), pg_partition_ancestors(w.oid) AS a(relid))))
FROM place)`

// readState reads what is installed in the database for these tables.
func readState(ctx context.Context, s *postgres.Source, tables []feed.Table) (state *installed, err error) {
	var oids []string
	for _, t := range tables {
		oids = append(oids, fmt.Sprint(t.OID))
	}
	err = s.Do(ctx, func(c *pgx.Conn) error {
		snapshot, err := s.SnapshotSQL(ctx, c.PgConn())
		if err != nil {
			return err
		}
		res := c.PgConn().ExecParams(ctx, snapshot+stateSQL, [][]byte{postgres.ArrayLiteral(oids)}, nil, nil,
			nil).Read()
		if res.Err != nil {
			s.RetrySigns(res.Err)
			return fmt.Errorf("look at the outbox: %w", res.Err)
		}
		now, err := postgres.ReadSnapshot(c.PgConn(), res.Rows[0])
		if err != nil {
			return err
		}
		state = &installed{origin: now.Origin}
		if err := json.Unmarshal(res.Rows[0][3], state); err != nil {
			return fmt.Errorf("look at the outbox: %w", err)
		}
		return nil
	})
	return state, err
}

// events are what a trigger each is for: transition tables cannot be shared.
var events = []string{"insert", "update", "delete", "truncate"}

// functionOf names what the triggers of a table call. Names that say which table
// need not fit into what Postgres allows for one.
func functionOf(root uint32) string { return fmt.Sprintf("stoker_outbox_%d", root) }

func triggerOf(root uint32, event string) string { return functionOf(root) + "_" + event }

func (s *installed) trigger(root, on uint32, event string) (trigger, bool) {
	i := slices.IndexFunc(s.Triggers, func(t trigger) bool { return t.On == on && t.Name == triggerOf(root, event) })
	if i < 0 {
		return trigger{}, false
	}
	return s.Triggers[i], true
}

// place names the outbox and how it was set up: other tables or columns, or
// triggers that were made anew or switched, are another place.
func (s *installed) place(needs []need) string {
	h := sha256.New()
	fmt.Fprintln(h, s.OID)
	for _, n := range needs {
		fmt.Fprintln(h, n.table.OID, strings.Join(n.columns, "\x00"))
		for _, event := range events {
			t, _ := s.trigger(n.table.OID, n.table.OID, event)
			fmt.Fprintln(h, t.OID, t.Version)
		}
	}
	return "outbox " + hex.EncodeToString(h.Sum(nil)[:8])
}
