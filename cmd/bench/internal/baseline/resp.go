package baseline

import (
	"fmt"
	"strconv"
)

// fetch is how many rows psql takes from its cursor at once: enough to make the
// round trips cheap, few enough that it streams.
const fetch = 10_000

// Script is what psql runs to print a job as the Redis protocol, for psql's
// flags -A and -t: one SET with its TTL a row. Where cpuFile is not empty, the
// backend's own /proc/self/stat is written there in the end, because it is gone
// with the connection.
func Script(j Job, cpuFile string) string {
	s := fmt.Sprintf("\\set ON_ERROR_STOP on\n\\set FETCH_COUNT %d\n%s;\n", fetch, ProtocolSQL(j))
	if cpuFile != "" {
		s += fmt.Sprintf("\\unset FETCH_COUNT\n\\o %s\nSELECT pg_read_file('/proc/self/stat');\n\\o\n", quote(cpuFile))
	}
	return s
}

// ProtocolSQL is a query that returns each row of the job as text of the Redis
// protocol, without the last newline: psql ends every row with one, the last row
// included, which it would not do with a record separator of "\r\n".
//
// OFFSET 0 keeps the planner from flattening the inner query, which would make
// the JSON of every row twice, once for its length.
func ProtocolSQL(j Job) string {
	ttl := strconv.FormatInt(TTL.Milliseconds(), 10)
	return fmt.Sprintf(`SELECT E'*5\r\n$3\r\nSET\r\n$' || octet_length(k) || E'\r\n' || k || E'\r\n$' || octet_length(v) || E'\r\n' || v || E'\r\n$2\r\nPX\r\n$%d\r\n%s\r'
FROM (SELECT %s || q.%s AS k, row_to_json(q)::text AS v FROM (%s) q OFFSET 0) s`,
		len(ttl), ttl, quote(j.Prefix), identifier(j.Column), j.Query)
}
