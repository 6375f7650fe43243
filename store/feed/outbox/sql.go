package outbox

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stokerhq/stoker/store/postgres"
)

// tableSQL makes the table and what any program calls. It gets REPLICA IDENTITY FULL
// besides, which lets us delete from it also where somebody publishes all tables.
const tableSQL = `CREATE TABLE IF NOT EXISTS %[1]s.stoker_outbox (
	id bigint GENERATED ALWAYS AS IDENTITY,
	at timestamptz NOT NULL DEFAULT clock_timestamp(),
	tab oid,        -- the table that changed
	columns text[], -- of it that are recorded
	keys text[],    -- their values in the changed rows, before and after, each once
	changed bigint, -- rows
	whole text,     -- why no values are recorded
	job text,       -- of stoker_invalidate
	key jsonb,
	xid xid8 NOT NULL DEFAULT pg_current_xact_id()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
	toast.autovacuum_vacuum_scale_factor = 0, toast.autovacuum_vacuum_threshold = 5000, toast.autovacuum_vacuum_cost_delay = 0);
REVOKE ALL ON TABLE %[1]s.stoker_outbox FROM PUBLIC;
GRANT SELECT, DELETE ON TABLE %[1]s.stoker_outbox TO %[2]s;
CREATE OR REPLACE FUNCTION %[1]s.stoker_invalidate(job text, key jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$ INSERT INTO %[1]s.stoker_outbox (job, key) VALUES ($1, coalesce($2, 'null')) $$;
CREATE OR REPLACE FUNCTION %[1]s.stoker_invalidate(job text) RETURNS void LANGUAGE sql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$ INSERT INTO %[1]s.stoker_outbox (job) VALUES ($1) $$;
REVOKE ALL ON FUNCTION %[1]s.stoker_invalidate(text, jsonb), %[1]s.stoker_invalidate(text) FROM PUBLIC`

// markSQL has the table show which transaction has written a row, and find the rows of
// one. The index is the one that the application's statements have to keep up: they add
// to its end. A table of an older version has no such column; its rows get the
// transaction that adds it, which no poll has seen before.
const markSQL = `ALTER TABLE %[1]s.stoker_outbox ADD COLUMN IF NOT EXISTS xid xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX IF NOT EXISTS stoker_outbox_xid ON %[1]s.stoker_outbox (xid)`

// markLimitSQL bounds how long statements that write to the outbox wait for the index of
// one that holds many rows.
const markLimitSQL = "SET LOCAL statement_timeout = '5s'"

// ownedSQL fails unless what is there already is owned by who installs: its owner
// could change it, and with it what the triggers do with our rights. It fails, too,
// for a role that does not own the watched tables, before anything is made, and for one
// that may not call what each row is marked with: the application's statements would fail.
const ownedSQL = `
DECLARE
	names text;
BEGIN
	SELECT string_agg(c.oid::regclass::text, ', ') INTO names FROM pg_class c WHERE c.oid = ANY (ARRAY[%[2]s]::regclass[]) AND NOT pg_has_role(c.relowner, 'USAGE');
	IF names IS NOT NULL THEN
		RAISE EXCEPTION 'must be owner of table %%', names USING ERRCODE = 'insufficient_privilege';
	END IF;
	IF NOT has_function_privilege('pg_catalog.pg_current_xact_id()', 'EXECUTE') THEN
		RAISE EXCEPTION 'role %%, which installs the outbox, may not call pg_current_xact_id(): GRANT EXECUTE ON FUNCTION pg_current_xact_id() TO %%', current_user, current_user USING ERRCODE = 'insufficient_privilege';
	END IF;
	SELECT string_agg(o.name, ', ') INTO names FROM (
		SELECT format('%%I.%%I', s.nspname, c.relname), c.relowner FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
			WHERE s.oid = %[1]s::regnamespace AND c.relname = 'stoker_outbox'
		UNION ALL SELECT format('%%I.%%I(%%s)', s.nspname, p.proname, oidvectortypes(p.proargtypes)), p.proowner FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace
			WHERE s.oid = %[1]s::regnamespace AND p.proname ~ '^stoker_(invalidate|outbox_[0-9]+)$') AS o(name, owner)
		WHERE o.owner <> (SELECT oid FROM pg_roles WHERE rolname = current_user);
	IF names IS NOT NULL THEN
		RAISE EXCEPTION 'role %%, which installs the outbox, does not own %%: install as the owner, or remove it (stoker outbox remove; by hand what that leaves)', current_user, names;
	END IF;
END
`

func (s *installed) ownedSQL(needs []need) string {
	var tables []string
	for _, n := range needs {
		for _, r := range s.partsOf(n) {
			tables = append(tables, quoteLiteral(r.Name))
		}
	}
	body := fmt.Sprintf(ownedSQL, quoteLiteral(s.Schema), strings.Join(tables, ", "))
	tag := dollarTag(body)
	return "DO " + tag + body + tag
}

// dollarTag is a quote that is not in the body.
func dollarTag(body string) string {
	tag := "$stoker$"
	for i := 1; strings.Contains(body, tag); i++ {
		tag = fmt.Sprintf("$stoker%d$", i)
	}
	return tag
}

// triggerFunctionSQL makes the function that the triggers of a table call. It runs
// with its owner's rights, so that who writes to the table needs none on the
// outbox, and with the settings of a reading, so that a value has the text that it
// has everywhere else. What can fail in it, because a column was renamed or
// dropped, is caught: the application's own statement goes on, and the jobs that
// watch are run. Only the reading is in the block with the handler: a block that
// writes would cost a subtransaction id.
var triggerFunctionSQL = `CREATE OR REPLACE FUNCTION %[1]s() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	` + postgres.SetSQL(" ") + ` AS %[2]s
` + columnsMark + `%[3]s
DECLARE
	rows_changed bigint;
	key_values text[];
	reason text;
BEGIN
	IF TG_OP = 'TRUNCATE' THEN
		reason := 'TRUNCATE';
	ELSE
		BEGIN
			IF TG_OP = 'INSERT' THEN
				%[4]s
			ELSIF TG_OP = 'DELETE' THEN
				%[5]s
			ELSE
				%[6]s
			END IF;
		EXCEPTION WHEN OTHERS THEN
			reason := 'a change that could not be recorded (' || SQLERRM || ')';
		END;
		IF rows_changed = 0 THEN
			RETURN NULL;
		END IF;%[7]s
	END IF;
	INSERT INTO %[8]s.stoker_outbox (tab, columns, keys, changed, whole) VALUES (%[9]d, %[10]s, key_values, rows_changed, reason);
	RETURN NULL;
END
%[2]s;
REVOKE ALL ON FUNCTION %[1]s() FROM PUBLIC`

// foldSQL is put into a trigger function where values are recorded.
const foldSQL = `
		IF reason IS NULL AND (key_values IS NULL OR array_length(key_values, 1) > %[1]d) THEN
			reason := 'a change of more than %[1]d keys';
			key_values := NULL;
		END IF;`

// manyRows is how many rows a statement may change, as a multiple of the keys that
// are recorded of it, before its keys are not even counted.
const manyRows = 10

// functionSQL is triggerFunctionSQL for one watched table. More than limit keys in
// one statement are recorded as a change of the whole table.
func functionSQL(schema string, n need, limit int) string {
	list, err := json.Marshal(n.columns)
	if err != nil {
		panic(err) // a list of strings
	}
	fold := ""
	if len(n.columns) > 0 {
		fold = fmt.Sprintf(foldSQL, limit)
	}
	inserted, deleted := collectSQL(n.columns, limit, "new_rows"), collectSQL(n.columns, limit, "old_rows")
	updated := collectSQL(n.columns, limit, "new_rows", "old_rows")
	columns := quoteLiteral(string(postgres.ArrayLiteral(n.columns)))
	return fmt.Sprintf(triggerFunctionSQL, schema+"."+functionOf(n.table.OID), dollarTag(inserted+columns+string(list)),
		list, inserted, deleted, updated, fold, schema, n.table.OID, columns)
}

// collectSQL counts the rows of the first transition table and, unless they are
// very many, collects the distinct values of all. The count is a statement of its
// own: as a condition in the other it costs more. Every name in it is qualified,
// because a column of the user's may have any name.
func collectSQL(columns []string, limit int, tables ...string) string {
	count := "SELECT count(*) INTO rows_changed FROM " + tables[0] + ";"
	if len(columns) == 0 {
		return count
	}
	cells := make([]string, len(columns))
	for i, c := range columns {
		name := "r." + pgx.Identifier{c}.Sanitize()
		// Not name::text, which for some types is not what the type prints; not IS
		// NULL, which is also true of a row of NULLs. Two texts are two keys, whatever the column's collation
		// takes for equal.
		cells[i] = fmt.Sprintf(`CASE WHEN num_nulls(%s) = 0 THEN concat(%s) COLLATE pg_catalog."C" END`, name, name)
	}
	distinct := " DISTINCT"
	if len(tables) > 1 {
		distinct = "" // UNION does it
	}
	var images []string
	for _, t := range tables {
		images = append(images, fmt.Sprintf("SELECT%s ARRAY[%s] FROM %s AS r", distinct, strings.Join(cells, ", "), t))
	}
	return fmt.Sprintf(`%s
				IF rows_changed <= %d THEN
					SELECT array_agg(v.k) INTO key_values FROM (%s LIMIT %d) AS v(k);
				END IF;`, count, limit*manyRows, strings.Join(images, " UNION "), limit+1)
}

// triggerSQL makes one trigger. ALWAYS: also for sessions with
// session_replication_role = replica. What logical replication applies fires no
// trigger for a statement, whatever it is enabled for: see unseen.
func triggerSQL(schema string, r relation, event string) string {
	referencing := map[string]string{
		"insert": " REFERENCING NEW TABLE AS new_rows", "delete": " REFERENCING OLD TABLE AS old_rows",
		"update": " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
	}[event]
	name := triggerOf(r.Root, event)
	return fmt.Sprintf("CREATE OR REPLACE TRIGGER %s AFTER %s ON %s%s FOR EACH STATEMENT EXECUTE FUNCTION "+
		"%s.%s();\nALTER TABLE ONLY %s ENABLE ALWAYS TRIGGER %s",
		name, strings.ToUpper(event), r.Name, referencing, schema, functionOf(r.Root), r.Name, name)
}

// quoteLiteral quotes text as SQL, also where backslashes are not taken as they
// stand.
func quoteLiteral(text string) string {
	quoted := "'" + strings.ReplaceAll(text, "'", "''") + "'"
	if strings.Contains(text, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
