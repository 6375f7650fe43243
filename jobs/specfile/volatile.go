package specfile

import (
	"slices"
	"strings"
)

// What gives another answer without a commit in this database.
var (
	volatileCalls = []string{
		"now", "clock_timestamp", "statement_timestamp", "transaction_timestamp", "timeofday", "pg_sleep",
		"random", "random_normal", "setseed", "gen_random_uuid", "gen_random_bytes", "uuidv4", "uuidv7",
		"uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4", "nextval", "currval", "lastval",
	}
	volatileWords    = []string{"current_timestamp", "current_date", "current_time", "localtimestamp", "localtime"}
	volatileLiterals = []string{"now", "today", "tomorrow", "yesterday"} // when they are read as a date or time
)

// volatileRead names the first thing in a query that can change though no
// transaction commits, "" when it finds none. It knows names, not what they stand
// for: a view or a function of the user's, or a foreign table, it takes for stable.
func volatileRead(query string) string {
	before := ""
	all := slices.Collect(tokens(strings.ToLower(query)))
	for i, token := range all {
		after := ""
		if i+1 < len(all) {
			after = all[i+1]
		}
		if name := volatileToken(before, token, after); name != "" {
			return name
		}
		before = token
	}
	return ""
}

// volatileToken names a token, between its neighbours, if it is volatile.
func volatileToken(before, token, after string) string {
	switch {
	case token[0] == '\'':
		if slices.Contains(volatileLiterals, strings.TrimSpace(strings.TrimSuffix(token[1:], "'"))) {
			return token
		}
	case slices.Contains(volatileWords, token) && before != "." && before != "as": // where it is a column's name
		return token
	case after == "(" && (slices.Contains(volatileCalls, token) || token == "dblink" ||
		strings.HasPrefix(token, "dblink_")):
		return token + "()"
	case token == "tablesample", strings.HasPrefix(token, "pg_stat_"), strings.HasPrefix(token, "pg_statio_"):
		return token
	}
	return ""
}
