package postgres

import "strings"

// Setting is a setting of a Postgres session, and its value.
type Setting struct{ Name, Value string }

// PrintSettings are the settings that decide how Postgres prints a value. A reading,
// the replication connection and the trigger functions of the outbox all use them: a
// key that one of them prints in another way is another key.
var PrintSettings = []Setting{
	{"timezone", "UTC"},
	{"datestyle", "ISO"},
	{"intervalstyle", "postgres"},
	{"bytea_output", "hex"},
	{"extra_float_digits", "1"},
}

// SetSQL is a SET clause for each of the PrintSettings, with a separator in between:
// "; " makes statements of a session, " " the clauses of CREATE FUNCTION.
func SetSQL(separator string) string {
	clauses := make([]string, len(PrintSettings))
	for i, s := range PrintSettings {
		clauses[i] = "SET " + s.Name + " = '" + s.Value + "'"
	}
	return strings.Join(clauses, separator)
}

// localSettings are the PrintSettings as further columns of a SELECT, which sets them
// for its transaction.
func localSettings() string {
	var b strings.Builder
	for _, s := range PrintSettings {
		b.WriteString(", set_config('" + s.Name + "', '" + s.Value + "', true)")
	}
	return b.String()
}
