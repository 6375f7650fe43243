package check

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres/analyze"
)

// watches holds what jobs watch against what their queries depend on.
func (c Feed) watches(ctx context.Context, spec *jobs.Spec) (problems []feed.Problem, err error) {
	for _, job := range spec.Jobs {
		if len(job.Watch) == 0 {
			continue
		}
		facts, err := c.Analyst.Facts(ctx, job)
		if refused(err) {
			problems = append(problems, unknown(job, err)...)
			continue
		}
		if err != nil {
			return problems, fmt.Errorf("analyze the query of job %s: %w", job.Name, err)
		}
		problems = append(problems, wholes(job, facts)...)
	}
	return problems, nil
}

// refused: the query itself is at fault, or a table is locked.
func refused(err error) bool {
	_, query := errors.AsType[*store.QueryError](err)
	_, shape := errors.AsType[*store.ShapeError](err)
	return query || shape
}

// unknown is the problem of a query that cannot be looked at: until it can, no change is taken to name all keys.
func unknown(job *jobs.Job, err error) []feed.Problem {
	p := feed.Problem{Job: job.Name, Whole: make(map[int]string), Message: fmt.Sprintf("its query cannot be "+
		"analyzed: until "+
		"it can, a change of a watched table runs the job: %v", err)}
	for i, w := range job.Watch {
		if !w.Partial && (w.Key != nil || w.Keys != "") {
			p.Whole[i] = "its query cannot be analyzed"
		}
	}
	if len(p.Whole) == 0 {
		return nil
	}
	return []feed.Problem{p}
}

// wholes are the watched tables whose watch entries name keys while rows of them matter to others.
func wholes(job *jobs.Job, facts *analyze.Facts) (problems []feed.Problem) {
	at := make(map[string]int) // :: table -> its problem
	for i, w := range job.Watch {
		why := facts.Whole[i]
		if why == "" || w.Partial {
			continue
		}
		if _, reported := at[w.Table]; !reported {
			at[w.Table] = len(problems)
			problems = append(problems, feed.Problem{Job: job.Name, Whole: make(map[int]string), Message: fmt.Sprintf(
				"a row of watched table %s can matter to keys that its watch entry does not name (%s): any "+
					"change of it "+
					"runs the job, at most once a second; to refresh only the keys that a row names, and leave others "+
					"as they are until the next run, write partial: true in the entry", w.Table, why)})
		}
		problems[at[w.Table]].Whole[i] = why
	}
	return problems
}

// watchList holds what the job's spec names against the relations that its query reads.
func (f *Findings) watchList(file string, job *jobs.Job, facts *analyze.Facts) {
	if len(job.Watch) == 0 {
		return
	}
	var missing, read []string
	for _, r := range facts.Relations {
		if r.Kind == "S" || r.Schema == "pg_catalog" || r.Schema == "information_schema" {
			continue // nothing that can be watched: such a query is run each time
		}
		read = append(read, r.Name)
		if slices.ContainsFunc(facts.Tables, func(t analyze.Relation) bool { return t.Holds(r) }) {
			continue
		}
		if what := r.Name + notes[r.Kind]; !slices.Contains(missing, what) {
			missing = append(missing, what)
		}
	}
	if len(missing) > 0 {
		f.add(Warn, job.Name, "the query reads what its watch list does not name: %s; a change of it shows at "+
			"the next run "+
			"only: watch it, or name it in unwatched", strings.Join(missing, ", "))
	}
	if len(facts.Opaque) > 0 {
		f.add(Warn, job.Name, "which tables are read by %s cannot be learned: watch them, too",
			strings.Join(facts.Opaque, ", "))
	}
	for _, u := range job.Unwatched {
		if message := unread(job, u, facts, read); message != "" {
			f.add(Fail, job.Name, "%s:%d:%d: %s", file, u.Line, u.Col, message)
		}
	}
}

// notes say of kinds of relations how their changes show.
var notes = map[string]string{
	"m": " (a materialized view, which cannot be watched: a change shows once it is refreshed)",
	"f": " (a foreign table, which cannot be watched)",
}

// unread says what is wrong with a table that unwatched names; "" if nothing is.
func unread(job *jobs.Job, u jobs.Unwatched, facts *analyze.Facts, read []string) string {
	i := slices.IndexFunc(facts.Tables, func(t analyze.Relation) bool { return t.Given == u.Table })
	if i < 0 {
		return fmt.Sprintf("unwatched names %s, which does not exist, or is not in the search_path of Stoker's "+
			"role", u.Table)
	}
	table := facts.Tables[i]
	for _, w := range job.Watch {
		if facts.Names(w.Table, table) {
			return fmt.Sprintf("unwatched names %s, which is watched as %s: remove one of the two", u.Table, w.Table)
		}
	}
	if len(facts.Opaque) == 0 && !slices.ContainsFunc(facts.Relations, table.Holds) {
		return fmt.Sprintf("unwatched names %s, which the query does not read; it reads: %s", u.Table,
			strings.Join(slices.Compact(slices.Sorted(slices.Values(read))), ", "))
	}
	return ""
}
