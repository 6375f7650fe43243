package postgres

import (
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
)

// Tag marks a statement with the job that it is made for, so that whoever finds it in
// pg_stat_activity, pg_stat_statements or a log knows whose it is. The mark stands in
// front, where a statement that is cut off keeps it; where the query holds a hint for
// pg_hint_plan, whose comment must be the first, it comes last. offset is where the
// job's query begins in the statement, before and after.
func Tag(job *jobs.Job, sql string, offset int) (string, int) {
	mark := "/* stoker job=" + markName(job.Name) + " */"
	if strings.Contains(sql, "/*+") {
		return sql + "\n" + mark, offset // on a line of its own: the query may end with a -- comment
	}
	return mark + " " + sql, offset + len(mark) + 1
}

// markName keeps a name that no spec gave from ending the comment.
func markName(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
}

// SetName gives a connection its name in the server's lists: the URL's own, or, without
// one, the given name.
func SetName(cfg *pgconn.Config, name string) {
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = name
	}
}
