package check

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/cache"
	"github.com/stokerhq/stoker/store/cache/info"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
	"github.com/stokerhq/stoker/store/rights"
)

// redis looks at the cache and at the queue.
func (f *Findings) redis(ctx context.Context, spec *jobs.Spec, s *connect.Servers) {
	for _, use := range s.Uses(spec) {
		if f.oneRedis(ctx, use.Name, use.URL, use.Client, use.Name == "queue") {
			f.rights(ctx, use, spec.Namespace)
		}
	}
	f.paused(ctx, s)
	f.shared(ctx, spec, s)
	if spec.Redis.Shared() {
		f.queuePolicy(ctx, s.CacheClient, "the queue shares it")
		return
	}
	f.queuePolicy(ctx, s.QueueClient, "the queue has it for itself")
}

// paused names the queues that someone has paused. That they cannot be read was said of the Redis already.
func (f *Findings) paused(ctx context.Context, s *connect.Servers) {
	paused, _ := s.Queues().Paused(ctx)
	for _, p := range paused {
		f.add(Warn, "queue", "%s", p)
	}
}

// rights asks what a Redis is, whether the user of the URL may send all that Stoker sends, and whether writes are taken
// now.
func (f *Findings) rights(ctx context.Context, use connect.Use, n jobs.Namespace) {
	problems, err := use.Problems(ctx)
	if err != nil {
		f.add(Fail, use.Name, "%v", err)
		return
	}
	fatal := false
	for _, p := range problems {
		grade := Warn
		if p.Fatal {
			grade, fatal = Fail, true
		}
		f.add(grade, use.Name, "%s", p.Message)
	}
	if fatal {
		return // a write would fail for the same reason
	}
	if err := cache.Probe(ctx, use.Client, n); err != nil {
		f.add(Fail, use.Name, "%v", err)
	}
}

// oneRedis reports whether the Redis answers.
func (f *Findings) oneRedis(ctx context.Context, subject string, url jobs.Secret, c redis.UniversalClient,
	queue bool) (answers bool) {
	server, err := info.Inspect(ctx, c)
	switch {
	case err != nil:
		f.add(Fail, subject, "%s: %v", url.Redacted(), rights.Explain(c, url, err))
		return false
	case !server.AtLeast(connect.OldestMajor, connect.OldestMinor):
		f.add(Fail, subject, "version %s is too old: Stoker needs %d.%d or newer", server.Version, connect.OldestMajor,
			connect.OldestMinor)
	case server.Version == "":
		f.add(Warn, subject, "%s answers, but does not say its version: Stoker is tested with Redis 7", url.Redacted())
	default:
		f.add(Pass, subject, "version %s at %s", server.Version, url.Redacted())
	}
	if !queue && server.Evicts() {
		f.add(Warn, subject, "maxmemory_policy is %s: it may evict the book of fences, and then runs and refreshes "+
			"begin again; volatile-ttl or volatile-lru spares it", server.Policy)
	}
	if !queue && server.MaxMemory > 0 && server.Policy == "noeviction" {
		f.add(Warn, subject, "maxmemory is set with noeviction: when it is full, nothing more can be written; "+
			"watch its memory, or choose volatile-ttl")
	}
	return true
}

// queuePolicy: a server that may evict keys without a TTL loses tasks silently.
func (f *Findings) queuePolicy(ctx context.Context, c redis.UniversalClient, who string) {
	server, err := info.Inspect(ctx, c)
	switch {
	case err != nil: // told already
	case server.Evicts():
		f.add(Warn, "queue", "maxmemory_policy is %s, and %s: queued tasks may be evicted without a word; set "+
			"redis.queue_url to another Redis, or choose volatile-* or noeviction", server.Policy, who)
	case server.Policy != "":
		f.add(Pass, "queue", "maxmemory_policy %s keeps queued tasks", server.Policy)
	}
}

// oldestPostgres has the functions that snapshots are read with.
const oldestPostgres = 140000

// postgres looks at the database server and reports whether jobs can be looked
// at as well.
func (f *Findings) postgres(ctx context.Context, spec *jobs.Spec, s *connect.Servers) bool {
	server, err := s.Source.Server(ctx)
	if err != nil {
		f.add(Fail, "postgres", "%s: %v", spec.Postgres.URL.Redacted(), err)
		return false
	}
	if server.Version < oldestPostgres {
		f.add(Fail, "postgres", "version %s is too old: Stoker needs 14 or newer", server.Text)
		return false
	}
	f.add(Pass, "postgres", "version %s at %s, as %s", server.Text, spec.Postgres.URL.Redacted(), server.User)
	if server.Encoding != "UTF8" {
		f.add(Warn, "postgres", "the database's encoding is %s: values are converted to UTF-8, and text that "+
			"cannot be fails a run", server.Encoding)
	}
	if server.Standby {
		f.add(Fail, "postgres", "%v", postgres.ErrStandby)
		return true
	}
	if _, err := s.Source.Now(ctx); err != nil {
		f.add(Fail, "postgres", "the order of snapshots cannot be read, without which nothing is written: %v", err)
		return true
	}
	switch lost, err := s.Source.Unnoticed(ctx); {
	case err != nil:
		f.add(Fail, "postgres", "%v", err)
	case lost != "":
		f.add(Warn, "postgres", "%s", lost)
	}
	return true
}

// dear is the planner's cost above which a refresh that reads the whole query
// is worth a warning: below, it is not noticed.
const dear = 500

// job prepares and explains one job's query.
func (f *Findings) job(ctx context.Context, file string, job *jobs.Job, s *connect.Servers) {
	shape, err := s.Source.Describe(ctx, job)
	if err == nil {
		_, err = kept(job, shape)
	}
	if err != nil {
		f.jobFails(job, err)
		return
	}
	facts, err := s.Analyst.Facts(ctx, job)
	if err != nil {
		f.jobFails(job, err)
		return
	}
	if len(facts.Refused) > 0 {
		f.readOnly(job, facts.Refused)
		return
	}
	if err := s.Source.Start(ctx, job); err != nil {
		f.jobFails(job, err)
		return
	}
	cost, err := s.Source.Explain(ctx, job)
	if err != nil {
		f.jobFails(job, err)
		return
	}
	columns := make([]string, len(shape.Columns))
	for i, c := range shape.Columns {
		columns[i] = c.Name + " " + c.Type
	}
	f.add(Pass, job.Name, "key %s, %s, about %d rows: %s", job.Key, job.Value, cost.Rows, strings.Join(columns, ", "))
	f.facts(file, job, shape, facts)
	if len(shape.Converted) > 0 {
		f.add(Pass, job.Name, "the JSON of %s is built by Postgres", strings.Join(shape.Converted, ", "))
	}
	if len(shape.Inexact) > 0 {
		which := ""
		if job.Value == jobs.ValueRows {
			which = ", and of equal rows the smallest"
		}
		f.add(Pass, job.Name, "equal values of %s can have several texts: a key has the text of its row%s",
			strings.Join(shape.Inexact, ", "), which)
	}
	f.duplicates(ctx, job, s, cost)
	f.pace(job, cost.Rows)
	if len(shape.Keys) > 0 && cost.Run > dear && cost.Refresh > cost.Run/2 {
		f.add(Warn, job.Name, "a refresh of one key costs a full query (planner cost %.0f, the run %.0f): the "+
			"condition on %s cannot be pushed into it", cost.Refresh, cost.Run, strings.Join(job.Key.Columns(), ", "))
	}
}

// pace warns of a job that its own max_rate keeps from an end.
func (f *Findings) pace(job *jobs.Job, rows int64) {
	if job.MaxRate == 0 {
		return
	}
	if takes := time.Duration(rows) * time.Second / time.Duration(job.MaxRate); takes > job.Timeout*9/10 {
		f.add(Warn, job.Name, "about %d rows take %s at max_rate %d, and the timeout is %s: a run will not end; "+
			"raise one of them", rows, show.Duration(takes), job.MaxRate, show.Duration(job.Timeout))
	}
}

// cheap is the planner's cost, and the number of rows, up to which check runs a query.
const (
	cheapCost = 50_000
	cheapRows = 100_000
)

// duplicates looks for two rows of one key where a job has one row a key, if its query is cheap. A run counts them,
// too.
func (f *Findings) duplicates(ctx context.Context, job *jobs.Job, s *connect.Servers, cost postgres.Cost) {
	if job.Value == jobs.ValueRows || cost.Run > cheapCost || cost.Rows > cheapRows {
		return
	}
	rows, key, err := s.Source.Duplicate(ctx, job)
	if err != nil {
		f.jobFails(job, err)
		return
	}
	if rows > 0 {
		columns := job.Key.Columns()
		name := job.Key.Append(nil, func(dst []byte, i int) []byte { return append(dst, key[columns[i]]...) })
		f.add(Warn, job.Name, "key %s has %d rows, and the first of them is written: have the key template tell "+
			"the rows apart, select one row a key (DISTINCT ON), or set value: rows", name, rows)
	}
}

// jobFails says why the query of a job cannot be run.
func (f *Findings) jobFails(job *jobs.Job, err error) {
	q, ok := errors.AsType[*store.QueryError](err)
	switch writes := analyze.Writes(job.Query); {
	case ok && len(writes) > 0:
		f.readOnly(job, writes)
	case ok && q.SQLState == "42501":
		f.add(Fail, job.Name, "%v; %s", err, grant(q.Message))
	case ok && q.SQLState == "42P01":
		f.add(Fail, job.Name, "%v%s", err, f.spelled(q.Message))
	default:
		f.add(Fail, job.Name, "%v", err)
	}
}

// spelled says how to write a table that Postgres does not find by the name that a query gives it; "" if none is like
// it.
func (f *Findings) spelled(message string) string {
	_, rest, _ := strings.Cut(message, `relation "`)
	name, _, found := strings.Cut(rest, `" does not exist`)
	if !found {
		return ""
	}
	like := f.like(name)
	if len(like) == 0 {
		return ""
	}
	return "; there is " + strings.Join(like, ", and ") + ": write it so in the query"
}

// readOnly says that the query does what its transaction refuses.
func (f *Findings) readOnly(job *jobs.Job, what []string) {
	f.add(Fail, job.Name, "the query of a job is run in a READ ONLY transaction, which refuses %s: remove it "+
		"from the query",
		strings.Join(what, ", "))
}

// grant is the right that Stoker's role lacks, by Postgres' message.
func grant(message string) string {
	if _, rest, is := strings.Cut(message, `denied to set role "`); is {
		role, _, _ := strings.Cut(rest, `"`)
		return fmt.Sprintf("GRANT %q TO Stoker's role", role)
	}
	for object, right := range map[string]string{"schema": "USAGE on the schema", "function": "EXECUTE on the function",
		"procedure": "EXECUTE on the function", "sequence": "SELECT on the sequence", "type": "USAGE on the type",
		"foreign server": "USAGE on the foreign server", "language": "USAGE on the language"} {
		if strings.Contains(message, "denied for "+object+" ") {
			return "grant " + right + " to Stoker's role"
		}
	}
	return "grant SELECT to Stoker's role"
}

// changes looks at what the change feed needs, if there is one.
func (f *Findings) changes(ctx context.Context, spec *jobs.Spec, s *connect.Servers) {
	if spec.Changes.Source == jobs.SourceNone {
		return
	}
	problems, err := Feed{s.Source, s.Analyst}.Check(ctx, spec)
	if err != nil {
		f.add(Fail, "changes", "%v", err)
		return
	}
	good := true
	for _, p := range problems {
		subject, verdict := "changes", Warn
		if p.Job != "" {
			subject = p.Job
		}
		if p.Fatal {
			verdict, good = Fail, false
		}
		f.add(verdict, subject, "%s", p.Message)
	}
	if good {
		f.add(Pass, "changes", "source %s: %s watched", spec.Changes.Source, show.Plural(len(spec.Watched()), "table"))
	}
}
