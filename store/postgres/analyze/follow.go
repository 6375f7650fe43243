package analyze

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// follow reads a text, and the texts of the views and functions that it names.
func (a *analysis) follow(first text) error {
	for queue := []text{first}; len(queue) > 0; queue = queue[1:] {
		t := queue[0]
		t.refs = scan(t.sql)
		a.judgeText(t)
		for _, step := range []func(text) ([]text, error){a.followRelations, a.followCalls} {
			more, err := step(t)
			if err != nil {
				return err
			}
			queue = append(queue, more...)
		}
	}
	return nil
}

// judgeText notes what a text says by itself.
func (a *analysis) judgeText(t text) {
	for _, clock := range t.refs.clocks {
		a.unsteady(clock, t.of)
	}
	if !t.plan || t.of == "" {
		return
	}
	for _, write := range t.refs.writes {
		a.facts.Refused = append(a.facts.Refused, fmt.Sprintf("%s, which contains %s", t.of, write))
	}
	if t.refs.dynamic {
		a.facts.Opaque = append(a.facts.Opaque, t.of)
		a.unsteady("EXECUTE of a text that it puts together", t.of)
	}
}

func (a *analysis) unsteady(what, of string) {
	if of == "" {
		a.inPlan = append(a.inPlan, what)
		return
	}
	a.facts.Unsteady = append(a.facts.Unsteady, what+in(of))
}

// followRelations looks up the relations that a text names, and returns the texts of views.
func (a *analysis) followRelations(t text) (more []text, err error) {
	if len(t.refs.relations) == 0 {
		return nil, nil
	}
	list, err := lookUp[named](a.catalog, "the relations that a query names", namedSQL, unique(t.refs.relations),
		t.path)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		a.access[[2]uint32{r.OID, t.role}] = struct{}{}
		if t.plan && t.of != "" && r.Kind != "v" {
			a.read[r.OID] = append(a.read[r.OID], t.of)
		}
		if r.Kind != "v" || a.seen[r.OID] {
			continue
		}
		a.seen[r.OID] = true
		role := r.Owner
		if r.Invoker {
			role = t.role
		}
		more = append(more, text{sql: r.Definition, of: "view " + r.Name, plan: t.plan, role: role, path: t.path})
	}
	return more, nil
}

// followCalls looks up the functions that a text calls, and returns the texts of those that can be followed.
func (a *analysis) followCalls(t text) (more []text, err error) {
	var names, args []string
	for _, c := range t.refs.calls {
		names, args = append(names, c.name), append(args, strconv.Itoa(c.args))
	}
	if len(names) == 0 {
		return nil, nil
	}
	list, err := lookUp[routine](a.catalog, "the functions that a query calls", routinesSQL, names, args, t.path)
	if err != nil {
		return nil, err
	}
	var aggregates []string
	for _, r := range fitting(list) {
		a.routines[r.Given] = append(a.routines[r.Given], r)
		if r.Aggregate && !r.System {
			aggregates = append(aggregates, strconv.Itoa(int(r.OID)))
			continue
		}
		more = append(more, a.judgeRoutine(r, t)...)
	}
	if len(aggregates) == 0 {
		return more, nil
	}
	parts, err := lookUp[routine](a.catalog, "the functions of an aggregate", hiddenRoutinesSQL, nil, nil, aggregates)
	for _, r := range parts {
		more = append(more, a.judgeRoutine(r, t)...)
	}
	return more, err
}

// fitting leaves out the functions that cannot take a call's arguments, unless none can: then the arguments are
// written in a way of their own.
func fitting(list []routine) []routine {
	fits := make(map[string]bool)
	for _, r := range list {
		fits[r.Given] = fits[r.Given] || r.Fits
	}
	return slices.DeleteFunc(list, func(r routine) bool { return fits[r.Given] && !r.Fits })
}

// judgeRoutine notes what is known of a function that a text calls, and returns its own text if that has to be
// followed. What is declared IMMUTABLE is trusted.
func (a *analysis) judgeRoutine(r routine, t text) []text {
	if r.System {
		a.judgeSystem(r, t)
		return nil
	}
	of := "function " + r.Name
	if r.Volatility == "v" {
		a.unsteady(r.Name+", which is declared VOLATILE (if it only reads tables, declare it STABLE)", t.of)
	}
	followed := r.Language == "sql" || r.Language == "plpgsql"
	if r.Volatility == "s" && !followed {
		a.unsteady(fmt.Sprintf("%s, whose body in language %s cannot be followed", r.Name, r.Language), t.of)
	}
	if t.plan && !followed && r.Volatility != "i" && r.Language != "c" && r.Language != "internal" {
		a.facts.Opaque = append(a.facts.Opaque, of)
	}
	if !followed || a.seen[r.OID] {
		return nil
	}
	a.seen[r.OID] = true
	role := t.role
	if r.Definer {
		role = r.Owner
	}
	body := text{sql: r.Body, of: of, plan: t.plan, role: role, path: append(slices.Clone(t.path), schemas(r.Path)...)}
	if r.Volatility == "i" {
		return nil
	}
	return []text{body}
}

// schemas are the schemas of a search_path.
func schemas(path string) (list []string) {
	for _, s := range strings.Split(path, ",") {
		if s = strings.TrimSpace(s); s != "" {
			list = append(list, s)
		}
	}
	return list
}

// judgeSystem notes what is known of a function of Postgres' own.
func (a *analysis) judgeSystem(r routine, t text) {
	if t.plan && slices.Contains(writers, r.Bare) {
		a.facts.Refused = append(a.facts.Refused, r.Bare+"()"+in(t.of))
	}
	if r.Volatility == "v" || r.Volatility == "s" && !slices.Contains(steady, r.Bare) {
		a.unsteady(r.Bare+"()", t.of)
	}
}

func in(of string) string {
	if of == "" {
		return ""
	}
	return " (in " + of + ")"
}

// writers are functions of Postgres' own that write.
var writers = []string{"nextval", "setval", "lo_create", "lo_creat", "lo_from_bytea", "lo_import", "lo_put",
	"lo_truncate", "lo_truncate64", "lo_unlink", "lowrite"}

// steady are those functions of Postgres' own that are declared STABLE because they depend on settings of the session,
// which a reading makes the same each time, on names in the catalog, which only a commit changes, or on the functions
// of types. All others may depend on time, on the session or on the state of the server.
var steady = strings.Fields(`
	aclexplode anytextcat array_in array_out array_to_json array_to_string col_description concat concat_ws convert
	convert_from convert_to current_database current_schema current_schemas current_user date date_part date_trunc
	enum_first enum_last enum_range extract format format_type generate_series get_current_ts_config getdatabaseencoding
	has_any_column_privilege has_column_privilege has_database_privilege has_function_privilege has_schema_privilege
	has_sequence_privilege has_table_privilege has_type_privilege in_range interval_pl_timestamptz json_agg
	json_arrayagg json_build_array json_build_object json_object_agg json_object_agg_strict json_object_agg_unique
	json_object_agg_unique_strict json_objectagg json_populate_record json_populate_recordset json_agg_strict json_to_record
	json_to_recordset json_to_tsvector jsonb_agg jsonb_agg_strict jsonb_build_array jsonb_build_object jsonb_object_agg
	jsonb_object_agg_strict jsonb_object_agg_unique jsonb_object_agg_unique_strict jsonb_path_exists_tz
	jsonb_path_match_tz jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
	jsonb_populate_recordset jsonb_to_record jsonb_to_recordset jsonb_to_tsvector length make_timestamptz money numeric
	obj_description overlaps pg_client_encoding pg_collation_for pg_column_size pg_has_role pg_typeof
	phraseto_tsquery plainto_tsquery quote_literal quote_nullable record_out regclass row_security_active row_to_json
	session_user shobj_description textanycat time timestamp timestamptz timestamptz_mi_interval timestamptz_pl_interval
	timetz timezone to_char to_date to_json to_jsonb to_number to_regclass to_regcollation to_regnamespace to_regproc
	to_regprocedure to_regrole to_regtype to_timestamp to_tsquery to_tsvector ts_debug ts_headline ts_parse
	ts_token_type version websearch_to_tsquery xml xml_is_well_formed`)
