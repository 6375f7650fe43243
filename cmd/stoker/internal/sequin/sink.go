package sequin

import (
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// ofTheWay says how Sequin sends, which changes no value.
var ofTheWay = []string{"batch_size", "max_ack_pending", "max_retry_count", "message_grouping", "group_column_names",
	"load_shedding_policy", "annotations", "initial_backfill", "backfill", "backfills", "ack_wait_ms", "max_waiting",
	"health_check", "health", "max_storage_mb", "partition_count", "batch_timeout_ms", "consumer_start"}

func (r *reader) readSinks(n *yaml.Node) {
	r.each(n, r.readSink)
}

func (r *reader) readSink(n *yaml.Node) {
	s := sink{at: n}
	var status, database string
	var databaseAt, transform, routing, destination *yaml.Node
	keep := func(to **yaml.Node) func(*yaml.Node) { return func(n *yaml.Node) { *to = n } }
	const everyRow = "the job would have every row of the table"
	known := map[string]func(*yaml.Node){
		"name": r.into(&s.name), "status": r.into(&status), "destination": keep(&destination),
		"database": func(n *yaml.Node) { databaseAt, database = n, r.text(n) },
		"source":   func(n *yaml.Node) { r.readSource(n, &s) },
		"table":    func(n *yaml.Node) { s.tables = append(s.tables, n) },
		"tables":   func(n *yaml.Node) { r.readTables(n, &s) },
		"actions":  r.readActions, "transform": keep(&transform), "routing": keep(&routing),
		"enrichment":       func(n *yaml.Node) { s.enrichment = r.enrichmentOf(n) },
		"filter":           r.none("a filter in Elixir: "+everyRow, "put it into the query of the job as a WHERE"),
		"filters":          r.no("a filter: "+everyRow, "put it into the query of the job as a WHERE"),
		"timestamp_format": r.timestampFormat,
		"schema":           r.no("it names no table", "name the tables in source.include_tables"),
	}
	for _, name := range ofTheWay {
		known[name] = ignore
	}
	if statusOf(n) != "active" {
		return
	}
	before := len(r.problems)
	r.fields(n, known)
	r.oneDatabase(databaseAt, database, n)
	r.readDestination(destination, n, &s)
	if len(s.tables) == 0 && len(r.problems) == before {
		r.refuse(n, "name them in source.include_tables", "the sink %q names no tables: it is about all of them",
			s.name)
	}
	s.value = r.valueOf(transform, n)
	s.route = r.routeOf(routing)
	if s.value == enrichmentValue && s.enrichment == nil {
		r.refuse(transform, "", "the value is the enrichment, but the sink has none")
	}
	r.sinks = append(r.sinks, s)
}

// statusOf is the status of a sink: one that is not active did nothing.
func statusOf(n *yaml.Node) string {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == "status" {
				return n.Content[i+1].Value
			}
		}
	}
	return "active"
}

// none is no for a field that may say "none".
func (r *reader) none(why, hint string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Value != "none" {
			r.no(why, hint)(n)
		}
	}
}

func (r *reader) timestampFormat(n *yaml.Node) {
	if n.Value != "iso8601" {
		r.refuse(n, "change what reads the values, and take the field out", "times are written as ISO 8601, not as %s",
			n.Value)
	}
}

// oneDatabase: a spec has one.
func (r *reader) oneDatabase(at *yaml.Node, name string, sink *yaml.Node) {
	switch {
	case at == nil:
		r.refuse(sink, "", "the sink names no database")
	case !contains(r.databases, name):
		r.refuse(at, "", "there is no database %q in this file", name)
	case r.used != "" && r.used != name:
		r.refuse(at, "make one spec for each, of a file with the sinks of one database",
			"a spec has one database, and an earlier sink reads %q", r.used)
	default:
		r.used = name
	}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func (r *reader) readSource(n *yaml.Node, s *sink) {
	const hint = "name the tables in source.include_tables"
	r.fields(n, map[string]func(*yaml.Node){
		"include_tables":  func(n *yaml.Node) { r.each(n, func(n *yaml.Node) { s.tables = append(s.tables, n) }) },
		"exclude_tables":  r.no("all tables but these: a job has one query", hint),
		"include_schemas": r.no("all tables of a schema: a job has one query", hint),
		"exclude_schemas": r.no("all tables but those of a schema: a job has one query", hint),
	})
}

func (r *reader) readTables(n *yaml.Node, s *sink) {
	r.each(n, func(n *yaml.Node) {
		r.fields(n, map[string]func(*yaml.Node){"group_column_names": ignore,
			"name":    func(n *yaml.Node) { s.tables = append(s.tables, n) },
			"filters": r.no("a filter: the job would have every row of the table", "put it into the query as a WHERE")})
	})
}

// readDestination: where values go, which the spec leaves to REDIS_URL.
func (r *reader) readDestination(n, sink *yaml.Node, s *sink) {
	if n == nil {
		r.refuse(sink, "", "the sink has no destination")
		return
	}
	var kind, host, port, number, url string
	var at *yaml.Node
	r.fields(n, map[string]func(*yaml.Node){
		"type": func(n *yaml.Node) { at, kind = n, r.text(n) }, "host": r.into(&host), "port": r.into(&port),
		"database": r.into(&number), "url": r.into(&url), "*": ignore,
		"expire_ms": func(n *yaml.Node) {
			ms, err := strconv.ParseInt(r.text(n), 10, 64)
			if err != nil && n.Tag != "!!null" || ms < 0 || ms > 1e12 {
				r.refuse(n, "give milliseconds", "expire_ms is not a number of milliseconds")
			}
			s.expire = time.Duration(ms) * time.Millisecond
		},
	})
	if kind != "redis_string" {
		if at == nil {
			at = n
		}
		r.refuse(at, "keep this sink in Sequin, and take it out of the file that you give to Stoker",
			"destination %q is no Redis string", kind)
		return
	}
	redis := strings.Join([]string{host, port, number, url}, " ")
	if r.redis != "" && r.redis != redis {
		r.refuse(n, "make one spec for each", "a spec has one Redis, and an earlier sink writes to another")
	}
	r.redis = redis
}
