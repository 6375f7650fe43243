package analyze

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
)

// catalog looks up what names stand for, in the transaction in which the query was planned.
type catalog struct {
	ctx  context.Context
	name string // of the job
	conn *pgconn.PgConn
}

// lookUp runs a query of ours that returns one JSON array.
func lookUp[T any](c catalog, what, sql string, arrays ...[]string) (list []T, err error) {
	params := make([][]byte, len(arrays))
	for i, a := range arrays {
		params[i] = postgres.ArrayLiteral(a)
	}
	sql = "SELECT coalesce(json_agg(r), '[]') FROM (" + sql + ") AS r"
	res := c.conn.ExecParams(c.ctx, sql, params, nil, nil, nil).Read()
	if pe, refused := errors.AsType[*pgconn.PgError](res.Err); refused {
		// As with an error of the query itself, what it depends on is not known: that must not end a feed.
		return nil, &store.QueryError{Job: c.name, SQLState: pe.Code, Message: "look up " + what + ": " + pe.Message,
			Err: res.Err}
	}
	if res.Err != nil {
		return nil, fmt.Errorf("look up %s: %w", what, res.Err)
	}
	if err := json.Unmarshal(res.Rows[0][0], &list); err != nil {
		return nil, fmt.Errorf("look up %s: %w", what, err)
	}
	return list, nil
}

// Relation is a relation that a query reads.
type Relation struct {
	OID     uint32   `json:"oid"`
	Name    string   `json:"name"` // as the search_path needs it; of a partition, its root's
	Schema  string   `json:"schema"`
	Bare    string   `json:"bare"` // its name alone
	Kind    string   `json:"kind"`
	Given   string   `json:"given"` // as the spec has it, or ""
	Above   []uint32 `json:"above"` // itself, and the tables that it is a part of
	Columns []struct {
		Name string `json:"name"`
		Type uint32 `json:"type"`
	} `json:"columns"`
}

// relationsSQL describes the relations of a query, which returns their rows of pg_class as c and their names as given.
func relationsSQL(query string) string {
	return `
SELECT (u.c).oid::bigint AS oid, n.nspname AS schema, (u.c).relname AS bare, (u.c).relkind AS kind, a.oids AS above, u.given,
	(a.oids[cardinality(a.oids)])::oid::regclass::text AS name,
	(SELECT json_agg(json_build_object('name', attname, 'type', CASE WHEN typcategory = 'S' AND typbasetype = 0 AND atttypid >= 16384 THEN 0 ELSE coalesce(nullif(typbasetype, 0), atttypid)::bigint END))
		FROM pg_attribute JOIN pg_type t ON t.oid = atttypid WHERE attrelid = (u.c).oid AND attnum > 0 AND NOT attisdropped) AS columns
FROM (` + query + `) AS u JOIN pg_namespace n ON n.oid = (u.c).relnamespace,
	LATERAL (WITH RECURSIVE up(oid, depth) AS (SELECT (u.c).oid, 0
			UNION ALL SELECT i.inhparent, depth + 1 FROM up JOIN pg_inherits i ON i.inhrelid = up.oid)
		SELECT array_agg(up.oid::bigint ORDER BY depth) AS oids FROM up) AS a`
}

const (
	scanned = `SELECT c, '' AS given FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[]) AS u(s, r)) AS u
	JOIN pg_namespace n ON n.nspname = u.s JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = u.r`
	byOID  = `SELECT c, '' AS given FROM pg_class c WHERE oid = ANY ($1::oid[])`
	byName = `SELECT c, u.given FROM ` + fromNames

	// fromNames finds relations by names as written, and schemas where names without one are looked for besides the
	// search_path. It needs no right on them: a view may read what our role may not.
	fromNames = `unnest($1::text[]) AS u(given), LATERAL (SELECT parse_ident(u.given, false) AS id) AS i
	JOIN pg_class c ON c.relname = i.id[cardinality(i.id)] JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND (cardinality(i.id) > 1 AND n.nspname = i.id[cardinality(i.id) - 1]
	OR cardinality(i.id) = 1 AND (pg_table_is_visible(c.oid) OR quote_ident(n.nspname) = ANY ($2::text[])))`
)

// named is a relation that some text names, with the text of a view.
type named struct {
	Given      string `json:"given"`
	OID        uint32 `json:"oid"`
	Name       string `json:"name"`
	Kind       string `json:"kind"`
	Owner      uint32 `json:"owner"`
	Invoker    bool   `json:"invoker"`    // a view that reads with the rights of who asks
	Definition string `json:"definition"` // of a view
}

const namedSQL = `
SELECT u.given, c.oid::bigint AS oid, c.oid::regclass::text AS name, c.relkind AS kind, c.relowner::bigint AS owner,
	coalesce(c.reloptions::text ~ 'security_invoker=(true|on|yes|1)', false) AS invoker,
	CASE WHEN c.relkind = 'v' THEN coalesce(pg_get_viewdef(c.oid), '') ELSE '' END AS definition
FROM ` + fromNames

// routine is a function that may be called.
type routine struct {
	Given      string `json:"given"`
	OID        uint32 `json:"oid"`
	Name       string `json:"name"`
	Bare       string `json:"bare"` // without schema and arguments
	System     bool   `json:"system"`
	Volatility string `json:"volatility"` // i, s, v
	Aggregate  bool   `json:"aggregate"`
	Language   string `json:"language"`
	Body       string `json:"body"`
	Path       string `json:"path"` // the search_path it sets
	Definer    bool   `json:"definer"`
	Owner      uint32 `json:"owner"`
	Text       bool   `json:"text"`  // it returns a text
	Fits       bool   `json:"fits"`  // it can take so many arguments
	Parts      bool   `json:"parts"` // it is a part of an aggregate
}

const routineFields = `p.oid::bigint AS oid, p.oid::regprocedure::text AS name, p.proname AS bare, p.pronamespace = 'pg_catalog'::regnamespace AS system,
	p.provolatile AS volatility, p.prokind = 'a' AS aggregate, l.lanname AS language,
	CASE WHEN l.lanname = 'sql' AND p.prosqlbody IS NOT NULL THEN pg_get_function_sqlbody(p.oid) ELSE coalesce(p.prosrc, '') END AS body,
	coalesce((SELECT substr(s, 13) FROM unnest(p.proconfig) AS s WHERE s LIKE 'search_path=%'), '') AS path,
	p.prosecdef AS definer, p.proowner::bigint AS owner, t.typcategory = 'S' AS text`

// routinesSQL finds the functions that calls may mean: names as written, numbers of arguments, and schemas where
// names without one are looked for besides the search_path.
const routinesSQL = `
SELECT u.given, ` + routineFields + `,
	u.args BETWEEN p.pronargs - p.pronargdefaults AND p.pronargs OR p.provariadic <> 0 AND u.args >= p.pronargs - 1 AS fits
FROM unnest($1::text[], $2::int[]) AS u(given, args), LATERAL (SELECT parse_ident(u.given, false) AS id) AS i
	JOIN pg_proc p ON p.proname = i.id[cardinality(i.id)] JOIN pg_language l ON l.oid = p.prolang JOIN pg_type t ON t.oid = p.prorettype
WHERE cardinality(i.id) > 1 AND p.pronamespace::regnamespace::text = quote_ident(i.id[cardinality(i.id) - 1])
	OR cardinality(i.id) = 1 AND (pg_function_is_visible(p.oid) OR p.pronamespace::regnamespace::text = ANY ($3::text[]))`

// hiddenRoutinesSQL are the functions behind operators, casts and aggregates that are not Postgres' own.
const hiddenRoutinesSQL = `
SELECT DISTINCT '' AS given, true AS fits, ` + routineFields + `
FROM (SELECT oprcode::oid AS f FROM pg_operator WHERE oprname = ANY ($1::text[]) AND oprnamespace <> 'pg_catalog'::regnamespace
	UNION SELECT castfunc FROM pg_cast WHERE castfunc >= 16384 AND format_type(casttarget, NULL) = ANY ($2::text[])
	UNION SELECT unnest(ARRAY[aggtransfn::oid, aggfinalfn::oid]) FROM pg_aggregate WHERE aggfnoid::oid::text = ANY ($3::text[])) AS h
	JOIN pg_proc p ON p.oid = h.f JOIN pg_language l ON l.oid = p.prolang JOIN pg_type t ON t.oid = p.prorettype`

// filteredSQL are the relations of which row-level security hides rows from a role, 0 for that of the session.
const filteredSQL = `
SELECT DISTINCT c.oid::regclass::text AS name, (SELECT coalesce(json_agg(DISTINCT a.attname), '[]')
		FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
			AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
		JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
		WHERE p.polrelid = c.oid AND p.polcmd IN ('r', '*'))::text AS columns
FROM unnest($1::oid[], $2::oid[]) AS u(rel, role) JOIN pg_class c ON c.oid = u.rel
	JOIN pg_roles r ON CASE WHEN u.role = 0 THEN r.rolname = current_user ELSE r.oid = u.role END
WHERE c.relrowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls
	AND (c.relforcerowsecurity OR NOT pg_has_role(r.oid, c.relowner, 'USAGE'))`
