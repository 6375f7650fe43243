// Package analyze finds out what a job's query depends on: which relations it reads, what it calls, whether its
// result is a function of the contents of tables alone, and whether the value of one key can depend on rows of
// other keys. It asks Postgres for the query's plan, without and with a condition on the key, and the catalog for
// the views and functions behind it. No query of a job is run.
//
//	query ─► EXPLAIN ─► scans, conditions, expressions ─┐
//	  └────► names ───► views, functions, their texts ──┴─► Facts
package analyze

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
)

// Facts are what is known of a job's query.
type Facts struct {
	Relations []Relation     // that it reads, as far as bodies of functions can be followed
	Opaque    []string       // functions whose body cannot be followed: they may read any table
	Unsteady  []string       // why the result may change although nothing is committed; none: it cannot
	Refused   []string       // what a READ ONLY transaction refuses
	Filtered  []string       // relations of which row-level security hides rows from the job's role
	Tenancy   []string       // columns of these by which its policies decide what is seen
	Whole     map[int]string // :: index of a watch that names keys -> why it cannot name them all
	Tables    []Relation     // that the job's spec names; a name that does not exist is not there
}

// Analyst analyzes the queries of jobs, each once as long as nothing is committed.
type Analyst struct {
	source *postgres.Source

	mu    sync.Mutex
	known map[string]knownFacts // :: job name
}

type knownFacts struct {
	job      *jobs.Job
	snapshot store.Snapshot
	facts    *Facts
}

// New returns an analyst that asks this database.
func New(source *postgres.Source) *Analyst {
	return &Analyst{source: source, known: make(map[string]knownFacts)}
}

// Facts analyzes the job's query.
func (a *Analyst) Facts(ctx context.Context, job *jobs.Job) (*Facts, error) {
	known, err := a.at(ctx, job)
	return known.facts, err
}

// Unsteady says why the result of the job's query may change although nothing is committed, as of a snapshot with
// this clock; nothing if it cannot. now is the caller's snapshot: if nothing was committed before it since the job was
// analyzed, the database is not asked.
func (a *Analyst) Unsteady(ctx context.Context, job *jobs.Job, now store.Snapshot) (why []string, clock uint64,
	err error) {
	known, is := a.knownAt(job, now)
	if !is {
		known, err = a.at(ctx, job)
	}
	if err != nil {
		return nil, 0, err
	}
	return known.facts.Unsteady, known.snapshot.Clock, nil
}

// Filtered are the relations that the job's query reads and of which row-level security hides rows from the job's
// role.
func (a *Analyst) Filtered(ctx context.Context, job *jobs.Job) ([]string, error) {
	known, err := a.at(ctx, job)
	if err != nil {
		return nil, err
	}
	return known.facts.Filtered, nil
}

// knownAt returns what is known of the job, if nothing was committed since.
func (a *Analyst) knownAt(job *jobs.Job, now store.Snapshot) (knownFacts, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	known := a.known[job.Name]
	return known, known.job == job && known.snapshot.Clock == now.Clock && known.snapshot.Origin == now.Origin &&
		known.snapshot.Place == now.Place
}

// at returns what is known of the job as things are now.
func (a *Analyst) at(ctx context.Context, job *jobs.Job) (knownFacts, error) {
	now, err := a.source.Now(ctx)
	if err != nil {
		return knownFacts{}, err
	}
	known, is := a.knownAt(job, now)
	if is {
		return known, nil
	}
	err = a.source.WithPlans(ctx, job, func(c *pgconn.PgConn, p postgres.Plans) (err error) {
		known = knownFacts{job: job, snapshot: p.Snapshot}
		known.facts, err = analyze(catalog{ctx, job.Name, c}, job, p)
		return err
	})
	if err != nil {
		return knownFacts{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known[job.Name] = known
	return known, nil
}

// analysis is the analysis of one query under way.
type analysis struct {
	catalog
	job   *jobs.Job
	run   *node
	facts Facts

	scanned  []Relation             // of the plans
	types    map[column]uint32      // :: alias and name -> the OID of its type
	seen     map[uint32]bool        // views and functions whose text is known
	routines map[string][]routine   // :: a call's name as written -> what it may be
	read     map[uint32][]string    // :: relation -> functions that name it
	inBodies []Relation             // those relations
	inPlan   []string               // why the result may change, as the plan has it: without where it is written
	access   map[[2]uint32]struct{} // :: relation, role -> the role reads it; role 0 is that of the session
}

// text is a piece of SQL, and where it comes from.
type text struct {
	sql  string
	of   string // "view v" or "function f()"; "": the job's query
	plan bool   // the plan calls it: what it names is not in the plan itself
	role uint32 // with whose rights it reads; 0: the session's
	path []string
	refs refs
}

func analyze(c catalog, job *jobs.Job, p postgres.Plans) (*Facts, error) {
	run, err := parsePlan(p.Run)
	if err != nil {
		return nil, err
	}
	a := &analysis{catalog: c, job: job, run: run, types: make(map[column]uint32), seen: make(map[uint32]bool),
		routines: make(map[string][]routine), read: make(map[uint32][]string), access: make(map[[2]uint32]struct{})}
	roots := []*node{run}
	key := run
	if p.Key != nil {
		if key, err = parsePlan(p.Key); err != nil {
			return nil, err
		}
		roots = append(roots, key)
	}
	for _, step := range []func() error{
		func() error { return a.scans(roots) },
		a.plan,
		func() error { return a.follow(text{sql: job.Query}) },
		a.bodies, a.filtered,
		func() error { return a.watches(key) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	a.facts.Unsteady = append(a.facts.Unsteady, a.inPlan...)
	for _, list := range []*[]string{&a.facts.Opaque, &a.facts.Unsteady, &a.facts.Refused, &a.facts.Filtered,
		&a.facts.Tenancy} {
		*list = unique(*list)
	}
	return &a.facts, nil
}

// unique keeps the first of each, and of two that say the same the one that says where.
func unique(list []string) (out []string) {
	for _, s := range list {
		located := func(other string) bool { return other == s || strings.HasPrefix(other, s+" (in ") }
		if !slices.ContainsFunc(out, located) {
			out = append(out, s)
		}
	}
	return out
}

// scans looks up the relations that plans scan.
func (a *analysis) scans(roots []*node) error {
	var schemas, relations []string
	for _, root := range roots {
		for _, n := range root.all() {
			if n.Relation != "" {
				schemas, relations = append(schemas, n.Schema), append(relations, n.Relation)
			}
		}
	}
	var err error
	if a.scanned, err = lookUp[Relation](a.catalog, "the relations of a plan", relationsSQL(scanned), schemas,
		relations); err != nil {
		return err
	}
	for _, root := range roots {
		for _, n := range root.all() {
			for _, column := range a.relation(n).Columns {
				a.addType(n.Alias, column.Name, column.Type)
			}
		}
	}
	a.facts.Relations = a.scanned
	return nil
}

// relation is the relation that a node scans; a zero one if it scans none.
func (a *analysis) relation(n *node) Relation {
	for _, r := range a.scanned {
		if n.Relation != "" && r.Bare == n.Relation && r.Schema == n.Schema {
			return r
		}
	}
	return Relation{}
}

// addType notes the type of an alias' column, and of the table's that the alias is a part of.
func (a *analysis) addType(alias, name string, oid uint32) {
	for _, as := range []string{alias, family(alias)} {
		c := column{as, name}
		if known, is := a.types[c]; is && known != oid {
			oid = 0
		}
		a.types[c] = oid
	}
}

// bodies looks up the relations that functions read.
func (a *analysis) bodies() (err error) {
	var oids []string
	for oid := range a.read {
		oids = append(oids, fmt.Sprint(oid))
	}
	slices.Sort(oids)
	a.inBodies, err = lookUp[Relation](a.catalog, "the relations that functions read", relationsSQL(byOID), oids)
	for _, r := range a.inBodies {
		if !slices.ContainsFunc(a.facts.Relations, func(known Relation) bool { return known.OID == r.OID }) {
			a.facts.Relations = append(a.facts.Relations, r)
		}
	}
	return err
}
