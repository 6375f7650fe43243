package specfile

import (
	"math"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/budget"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
	"github.com/stokerhq/stoker/jobs/specfile/field"
)

// spec reads the whole document.
func (d *decoder) spec(n *yaml.Node) *jobs.Spec {
	s := &jobs.Spec{
		File: d.file,
		Postgres: jobs.Postgres{MaxConnections: 8, StatementTimeout: time.Minute,
			Budget: budget.Budget{MaxSnapshotAge: budget.DefaultMaxSnapshotAge}},
		Redis: jobs.Redis{Headroom: 0.1},
		Admin: jobs.Admin{Listen: "127.0.0.1:8080"},
		Changes: jobs.Changes{Source: jobs.SourceNone, Slot: jobs.SlotTemporary, RunAbove: 10_000,
			Concurrency: 4},
	}
	base := builtIn()
	given := d.fields(n, "the spec", d.specFields(s, &base))
	switch c := &s.Changes; {
	case c.URL.IsZero():
		c.URL, c.Access = s.Postgres.URL, s.Postgres.Access
	case c.Access.TLS.IsZero() && !connurl.SaysTLS(c.URL):
		c.Access.TLS = s.Postgres.Access.TLS
	}
	if s.Changes.Name == "" {
		s.Changes.Name = feedNameIn(s.Namespace)
	}
	if given["jobs"] != nil {
		d.jobs(given["jobs"], base, s)
	}
	return s
}

// Fields is the table of stoker.yaml: what the decoder knows, and the schema says.
func Fields() []field.Field {
	base := builtIn()
	return new(decoder).specFields(new(jobs.Spec), &base)
}

func (d *decoder) specFields(s *jobs.Spec, base *defaults) []field.Field {
	return []field.Field{
		{Name: "namespace", Type: field.Namespace, MayBeEmpty: true, Example: "shop",
			Doc: "What keeps the keys and queues of this spec apart from those of other specs on the same Redis; " +
				"the keys of the jobs are called as without.",
			Set: single(d, &s.Namespace, parseNamespace)},
		{Name: "postgres", Type: field.Section, Missing: "add postgres: {url: ...}",
			Doc:    "The database that the rows come from; Stoker only reads.",
			Fields: d.postgresFields(&s.Postgres),
			Set:    func(_ field.Field, n *yaml.Node) { d.postgres(n, &s.Postgres) }},
		{Name: "redis", Type: field.Section, Missing: "add redis: {url: ...}",
			Doc:    "The Redis that the values go to, and the one that queues live in.",
			Fields: d.redisFields(&s.Redis),
			Set:    func(_ field.Field, n *yaml.Node) { d.redis(n, &s.Redis) }},
		{Name: "admin", Type: field.Section,
			Doc:    "The listener of the status page, the API, metrics, probes and the Asynq dashboard.",
			Fields: d.adminFields(&s.Admin),
			Set:    func(_ field.Field, n *yaml.Node) { d.admin(n, &s.Admin) }},
		{Name: "changes", Type: field.Section,
			Doc:    "How Stoker learns that rows have changed between two ticks.",
			Fields: d.changesFields(&s.Changes),
			Set:    func(_ field.Field, n *yaml.Node) { d.changes(n, &s.Changes) }},
		{Name: "audit", Type: field.Section,
			Doc:    "The continuous comparison of the cache with the database, which repairs what is wrong.",
			Fields: d.auditFields(&s.Audit),
			Set:    func(f field.Field, n *yaml.Node) { d.fields(n, "audit", d.auditFields(&s.Audit)) }},
		{Name: "notify", Type: field.Sections,
			Doc:    "The receivers of what needs a person, each by one POST.",
			Fields: d.notifyFields(new(jobs.Notify)),
			Set:    func(_ field.Field, n *yaml.Node) { d.notifications(n, s) }},
		{Name: "defaults", Type: field.Section,
			Doc:    "What holds for jobs that do not say otherwise.",
			Fields: d.defaultsFields(base),
			Set:    func(_ field.Field, n *yaml.Node) { d.fields(n, "defaults", d.defaultsFields(base)) }},
		{Name: "jobs", Type: field.Sections.Some(), Missing: "add a job: name, query, key, schedule, ttl",
			Doc:    "The hot queries that are kept warm, at least one.",
			Fields: d.jobFields(&base.job, new(*time.Location)),
			Set:    field.Later}, // defaults may stand below them
	}
}

func (d *decoder) postgresFields(p *jobs.Postgres) []field.Field {
	return append([]field.Field{
		{Name: "url", Type: field.PostgresURL, Missing: "add url: ${DATABASE_URL}, or url_file", Or: "url_file",
			Example: "${DATABASE_URL}",
			Doc:     "The primary of a Postgres 14 or newer.",
			Set:     single(d, &p.URL, d.postgresURL)},
		d.maxConnections(&p.MaxConnections),
		{Name: "statement_timeout", Type: field.Duration, Default: "60s",
			Doc: "How long Postgres may work on one statement, without the time in which it waits for Redis.",
			Set: single(d, &p.StatementTimeout, parsePositive)},
	}, append(d.budgetFields(&p.Budget), d.fileFields("", "Postgres", &p.Access)...)...)
}

func (d *decoder) maxConnections(dst *int) field.Field {
	return field.Field{Name: "max_connections", Type: field.Number(1, math.MaxInt16), Default: "8",
		Doc: "The most connections that one process uses at once, over all jobs; pool_max_conns of the URL is " +
			"another way to give it.",
		Set: whole(d, dst, "8 suits most databases")}
}

func (d *decoder) postgres(n *yaml.Node, p *jobs.Postgres) {
	given := d.fields(n, "postgres", d.postgresFields(p))
	d.complete(server{section: "postgres", url: &p.URL, access: &p.Access, parse: d.postgresURL, given: given})
	if inURL, has := connurl.Parameter(p.URL, "pool_max_conns"); has && given["max_connections"] == nil {
		if v, err := parseWhole(inURL, d.maxConnections(nil), ""); err == nil {
			p.MaxConnections = v
		} else {
			d.problem(given["url"], "write pool_max_conns=8, or max_connections in the spec",
				"url has a pool_max_conns that is not a whole number from 1 up")
		}
	}
}

func (d *decoder) postgresURL(s string) (jobs.Secret, error) {
	u, err := connurl.ParsePostgres(s)
	return u, driverError(d.drivers.Postgres, u, err)
}

func (d *decoder) redisURL(s string) (jobs.Secret, error) {
	u, err := connurl.ParseRedis(s)
	return u, driverError(d.drivers.Redis, u, err)
}

// driverError returns what a driver says of a URL, unless it has a mistake already.
func driverError(driver func(jobs.Secret) error, u jobs.Secret, mistake error) error {
	if mistake != nil || driver == nil {
		return mistake
	}
	if err := driver(u); err != nil {
		return wrong("cannot be used: "+err.Error(), "")
	}
	return nil
}

func (d *decoder) redisFields(r *jobs.Redis) []field.Field {
	return slices.Concat([]field.Field{
		{Name: "url", Type: field.RedisURL, Missing: "add url: ${REDIS_URL}, or url_file", Or: "url_file",
			Example: "${REDIS_URL}",
			Doc:     "The Redis 6.2 or newer that API nodes read.",
			Set:     single(d, &r.URL, d.redisURL)},
		{Name: "queue_url", Type: field.RedisURL, MayBeEmpty: true, Default: "redis.url", InWords: true,
			Example: "${QUEUE_REDIS_URL:-}",
			Doc:     "The Redis that Asynq's queues, run records and leases live in, which may evict nothing.",
			Set:     single(d, &r.QueueURL, d.redisURL)},
		{Name: "headroom", Type: field.Headroom, Default: "10%",
			Doc: "The share of the cache's maxmemory that runs leave free: one that would take it is refused.",
			Set: single(d, &r.Headroom, parseHeadroom)},
	}, d.fileFields("", "the cache", &r.Access), d.sentinelFields("", &r.Access),
		d.fileFields("queue_", "the queue", &r.QueueAccess), d.sentinelFields("queue_", &r.QueueAccess))
}

func (d *decoder) redis(n *yaml.Node, r *jobs.Redis) {
	given := d.fields(n, "redis", d.redisFields(r))
	d.complete(server{section: "redis", url: &r.URL, access: &r.Access, parse: d.redisURL, given: given})
	if !r.QueueURL.IsZero() || r.QueueAccess.URLFile != "" {
		d.complete(server{section: "redis", prefix: "queue_", url: &r.QueueURL, access: &r.QueueAccess,
			parse: d.redisURL, given: given})
		if given["queue_tls"] == nil {
			r.QueueAccess.TLS = r.Access.TLS
		}
		return
	}
	for _, name := range []string{"password_file", "tls", "sentinel_password_file", "sentinel_tls"} {
		if at := given["queue_"+name]; at != nil {
			d.problem(at, "remove it, or add queue_url", "queue_%s is given, and the queue has no URL of its own", name)
		}
	}
	r.QueueURL, r.QueueAccess = r.URL, r.Access
}

func (d *decoder) adminFields(a *jobs.Admin) []field.Field {
	return []field.Field{
		{Name: "listen", Type: field.Listen, Default: "127.0.0.1:8080",
			Doc: "The address of the admin pages; one that other machines reach needs a token.",
			Set: single(d, &a.Listen, parseListen)},
		{Name: "token", Type: field.Token, MayBeEmpty: true, Example: "${STOKER_TOKEN}",
			Doc: "What every request but the probes must bring, as a bearer token or in the login form.",
			Set: single(d, &a.Token, parseToken)},
		{Name: "token_file", Type: field.AnyFile, Example: "/run/secrets/token",
			Doc: "A file that has the token, in place of token.",
			Set: secretFile(d, &a.Token, parseToken)},
		{Name: "queues", Type: field.OneOf("read-only", "read-write"), Default: "read-only",
			Doc: "What the Asynq dashboard may do: read-write lets it pause queues and delete tasks.",
			Set: either(d, &a.QueuesWrite, "read-write")},
		{Name: "base_path", Type: field.Path, MayBeEmpty: true, Example: "/stoker",
			Doc: "The path of an ingress that shows the pages, which may take it off or leave it on.",
			Set: single(d, &a.BasePath, parseBasePath)},
	}
}

func (d *decoder) admin(n *yaml.Node, a *jobs.Admin) {
	before := len(d.problems)
	given := d.fields(n, "admin", d.adminFields(a))
	d.oneOfTwo(given, "admin", "token", "token_file")
	if len(d.problems) == before && a.Token.IsZero() && !isLocal(a.Listen) {
		d.problem(given["listen"], "set admin.token, or listen on 127.0.0.1",
			"admin can be reached from other machines and has no token")
	}
}
