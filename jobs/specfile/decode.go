package specfile

import (
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/jobs/specfile/connurl"
)

// spec reads the whole document.
func (d *decoder) spec(n *yaml.Node) *jobs.Spec {
	s := &jobs.Spec{
		File:     d.file,
		Postgres: jobs.Postgres{MaxConnections: 8, StatementTimeout: time.Minute},
		Admin:    jobs.Admin{Listen: "127.0.0.1:8080"},
		Changes: jobs.Changes{Source: jobs.SourceNone, Slot: jobs.SlotTemporary, Name: "stoker", RunAbove: 10_000,
			Concurrency: 4},
	}
	base := builtIn()
	given := d.fields(n, "the spec", map[string]setter{
		"postgres": func(_ string, n *yaml.Node) { d.postgres(n, &s.Postgres) },
		"redis":    func(_ string, n *yaml.Node) { d.redis(n, &s.Redis) },
		"admin":    func(_ string, n *yaml.Node) { d.admin(n, &s.Admin) },
		"changes":  func(_ string, n *yaml.Node) { d.changes(n, &s.Changes) },
		"audit":    func(_ string, n *yaml.Node) { d.audit(n, &s.Audit) },
		"notify":   func(_ string, n *yaml.Node) { d.notifications(n, s) },
		"defaults": func(_ string, n *yaml.Node) { d.defaults(n, &base) },
		"jobs":     later, // defaults may stand below them
	})
	if given == nil {
		return s
	}
	if s.Changes.URL.IsZero() {
		s.Changes.URL = s.Postgres.URL
	}
	d.demand(n, given, "the spec", "postgres", "add postgres: {url: ...}")
	d.demand(n, given, "the spec", "redis", "add redis: {url: ...}")
	if d.demand(n, given, "the spec", "jobs", "add a job: name, query, key, schedule, ttl") {
		d.jobs(given["jobs"], base, s)
	}
	return s
}

// demand reports a field that must be there and is not.
func (d *decoder) demand(n *yaml.Node, given map[string]*yaml.Node, what, name, hint string) bool {
	if given == nil || given[name] != nil {
		return given != nil
	}
	d.problem(n, hint, "%s has no %s", what, name)
	return false
}

func (d *decoder) postgres(n *yaml.Node, p *jobs.Postgres) {
	given := d.fields(n, "postgres", map[string]setter{
		"url":               required(d, &p.URL, d.postgresURL),
		"max_connections":   required(d, &p.MaxConnections, parseConnections),
		"statement_timeout": required(d, &p.StatementTimeout, parsePositive),
	})
	d.demand(n, given, "postgres", "url", "add url: ${DATABASE_URL}")
	if inURL, has := connurl.Parameter(p.URL, "pool_max_conns"); has && given["max_connections"] == nil {
		if v, err := parseConnections(inURL); err == nil {
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

func (d *decoder) redis(n *yaml.Node, r *jobs.Redis) {
	given := d.fields(n, "redis", map[string]setter{
		"url":       required(d, &r.URL, d.redisURL),
		"queue_url": optional(d, &r.QueueURL, d.redisURL),
	})
	d.demand(n, given, "redis", "url", "add url: ${REDIS_URL}")
	if r.QueueURL.IsZero() {
		r.QueueURL = r.URL
	}
}

func (d *decoder) admin(n *yaml.Node, a *jobs.Admin) {
	before := len(d.problems)
	given := d.fields(n, "admin", map[string]setter{
		"listen": required(d, &a.Listen, parseListen),
		"token":  optional(d, &a.Token, parseToken),
		"queues": required(d, &a.QueuesWrite, parseQueues),

		"base_path": optional(d, &a.BasePath, parseBasePath),
	})
	if len(d.problems) == before && a.Token.IsZero() && !isLocal(a.Listen) {
		d.problem(given["listen"], "set admin.token, or listen on 127.0.0.1",
			"admin can be reached from other machines and has no token")
	}
}
