package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
)

// facts says what follows from what the job's query depends on.
func (f *Findings) facts(file string, job *jobs.Job, shape postgres.Shape, facts *analyze.Facts) {
	f.unsteady(job, facts.Unsteady)
	f.names(job, shape)
	if len(facts.Filtered) > 0 && job.Role != "" {
		f.tenant(job, facts)
	} else if len(facts.Filtered) > 0 {
		f.add(Warn, job.Name, "row-level security of %s hides rows from Stoker's role: the keys of what it does "+
			"not see are "+
			"not there; use a role with BYPASSRLS, or one that a policy lets see what readers need",
			strings.Join(facts.Filtered, ", "))
	}
	f.watchList(file, job, facts)
}

// tenant says that keys do not tell tenants apart: what the job's role may see is one tenant's rows, and another role
// sees others under the same keys.
func (f *Findings) tenant(job *jobs.Job, facts *analyze.Facts) {
	inKey := func(column string) bool { return slices.Contains(job.Key.Columns(), column) }
	if slices.ContainsFunc(facts.Tenancy, inKey) || strings.Contains(job.Key.String(), job.Role) {
		return
	}
	by := ""
	if len(facts.Tenancy) > 0 {
		by = " by " + strings.Join(facts.Tenancy, ", ")
	}
	f.add(Warn, job.Name, "row-level security of %s shows role %s its own rows%s, and the key %s does not say "+
		"whose they are: "+
		"rows of two tenants would have one key; put the tenant's column, or the name of the role, into the key",
		strings.Join(facts.Filtered, ", "), job.Role, by, job.Key)
}

// mostReasons is how many reasons of a kind are worth reading.
const mostReasons = 4

// unsteady says that the job is run although nothing was committed, and why. What the spec says wins.
func (f *Findings) unsteady(job *jobs.Job, why []string) {
	if len(why) == 0 || job.Rewrite == jobs.RewriteAlways || job.Volatile {
		return
	}
	if n := len(why) - mostReasons; n > 0 {
		why = append(slices.Clone(why[:mostReasons]), fmt.Sprintf("and %d more", n))
	}
	reasons := strings.Join(why, ", ")
	if job.Steady {
		f.add(Warn, job.Name, "volatile: false is written, but the query reads %s: a run is skipped while nothing is "+
			"committed, and such a change does not show", reasons)
		return
	}
	f.add(Pass, job.Name, "a run is not skipped when nothing was committed, because the query reads %s; "+
		"volatile: true or "+
		"false says that it is meant, or that it does not matter", reasons)
}

// kept returns which columns stand in a value.
func kept(job *jobs.Job, shape postgres.Shape) ([]int, error) {
	names := make([]string, len(shape.Columns))
	for i, c := range shape.Columns {
		names[i] = c.Name
	}
	at, err := job.Kept(names)
	if err != nil {
		return nil, &store.ShapeError{Job: job.Name, Message: err.Error()}
	}
	return at, nil
}

// names warns of columns whose names in the value say nothing, or the same.
func (f *Findings) names(job *jobs.Job, shape postgres.Shape) {
	var twice, none []string
	seen := map[string]int{}
	at, _ := kept(job, shape) // that it cannot be known was said
	for _, i := range at {
		name := shape.Columns[i].Name
		seen[name]++
		switch {
		case name == "?column?" && seen[name] == 1:
			none = append(none, fmt.Sprintf("column %d", i+1))
		case seen[name] == 2:
			twice = append(twice, name)
		}
	}
	if job.Value == jobs.ValueScalar {
		return // the value has no names in it
	}
	if len(twice) > 0 {
		f.add(Warn, job.Name, "the query returns several columns named %s: the value has that name twice, and "+
			"most readers "+
			"see one of them; give each a name of its own with AS", strings.Join(twice, ", "))
	}
	if len(none) > 0 {
		f.add(Warn, job.Name, "%s of the query has no name, and is \"?column?\" in the value: give it one with AS",
			strings.Join(none, ", "))
	}
}
