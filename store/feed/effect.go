package feed

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/stokerhq/stoker/jobs"
)

// Commits is committed row changes of watched tables, of one transaction or of
// several in the order of their commits, as a change feed yields them.
type Commits struct {
	Effect *Effect
	// of transactions that snapshots may not show yet, modulo 2^32; none where the feed read them in a
	// snapshot
	XIDs      []uint32
	Rows      int64     // changed
	Committed time.Time // the oldest, by Postgres' clock; zero where the feed does not know
	Position  uint64    // of the feed after the last of them
}

// Merge adds what was committed after c.
func (c *Commits) Merge(later *Commits) {
	c.Effect.Merge(later.Effect)
	c.XIDs = append(c.XIDs, later.XIDs...)
	c.Rows += later.Rows
	c.Position = later.Position
	if c.Committed.IsZero() {
		c.Committed = later.Committed
	}
}

// Effect is what changes mean for the jobs that watch: which of their keys are out
// of date. It folds: a key is there once, however often its row has changed. It is
// used by one goroutine at a time.
type Effect struct {
	limit int // keys of a job
	parts map[string]*Part
}

// Part is the effect on one job. With RerunReason, nothing else is in it.
type Part struct {
	Job         *jobs.Job
	Keys        map[string]jobs.Key         // :: the key's text -> itself; named by changed rows
	Invalidated map[string]struct{}         // of Keys, those that a caller has named: rows may be written otherwise
	Lookups     map[int]map[string]struct{} // :: index of a watch -> the values to ask its query for
	RerunReason string                      // why the whole job is to be run; "": it is not
}

// NewEffect returns an empty effect. More than limit keys of a job make it whole.
func NewEffect(limit int) *Effect { return &Effect{limit: limit, parts: make(map[string]*Part)} }

// Limit is how many keys of a job an effect holds.
func (e *Effect) Limit() int { return e.limit }

// Cell says what is known of a column of a changed row.
type Cell int

// What is known of a column.
const (
	CellValue   Cell = iota
	CellNull         // it is NULL
	CellUnknown      // the change does not carry it
)

// Image is a changed row, before or after the change: the text of a column, as
// Postgres prints it.
type Image func(column string) (value string, what Cell)

// Row adds a changed row of a table that the job watches; watch is the index of
// that watch. A row with NULL where a key comes from has none.
func (e *Effect) Row(job *jobs.Job, watch int, row Image) {
	w := job.Watch[watch]
	switch {
	case w.Key != nil:
		e.key(job, w, row)
	case w.Keys != "":
		switch value, what := row(w.Column); what {
		case CellValue:
			e.lookup(job, watch, value)
		case CellUnknown:
			e.Rerun(job, unknownColumn(w.Table, w.Column))
		}
	case w.Whole != "":
		e.Rerun(job, fmt.Sprintf("a change of table %s, which may matter to any key: %s", w.Table, w.Whole))
	default:
		e.Rerun(job, "a change of table "+w.Table)
	}
}

func unknownColumn(table, column string) string {
	return fmt.Sprintf("a change of table %s that does not carry its column %s", table, column)
}

func (e *Effect) key(job *jobs.Job, w jobs.Watch, row Image) {
	key := make(jobs.Key, len(w.Key))
	for column, from := range w.Key {
		value, what := row(from)
		switch what {
		case CellNull:
			return
		case CellUnknown:
			e.Rerun(job, unknownColumn(w.Table, from))
			return
		}
		key[column] = value
	}
	e.Key(job, key)
}

// Key adds a key of the job. It has a value for every column of its template.
func (e *Effect) Key(job *jobs.Job, key jobs.Key) {
	if p := e.part(job); p.RerunReason == "" {
		p.Keys[key.Text(job)] = key
		e.bound(p)
	}
}

// Invalidate adds a key of the job that a caller has named, and not a changed row.
func (e *Effect) Invalidate(job *jobs.Job, key jobs.Key) {
	e.Key(job, key)
	e.invalidated(e.part(job), key.Text(job))
}

func (e *Effect) invalidated(p *Part, text string) {
	if p.RerunReason != "" {
		return
	}
	if p.Invalidated == nil {
		p.Invalidated = make(map[string]struct{})
	}
	p.Invalidated[text] = struct{}{}
}

// Resolved reports whether all keys of the part are named, as they are written in the cache.
func (p *Part) Resolved() bool { return len(p.Lookups) == 0 && len(p.Invalidated) == 0 }

func (e *Effect) lookup(job *jobs.Job, watch int, value string) {
	p := e.part(job)
	if p.RerunReason != "" {
		return
	}
	if p.Lookups[watch] == nil {
		p.Lookups[watch] = make(map[string]struct{})
	}
	p.Lookups[watch][value] = struct{}{}
	e.bound(p)
}

// Rerun says that the whole job is to be run, and why.
func (e *Effect) Rerun(job *jobs.Job, why string) {
	if p := e.part(job); p.RerunReason == "" {
		p.RerunReason = why
		p.Keys, p.Lookups, p.Invalidated = nil, nil, nil
	}
}

// bound keeps memory small: a bulk change is cheaper as a run.
func (e *Effect) bound(p *Part) {
	n := len(p.Keys)
	for _, values := range p.Lookups {
		n += len(values)
	}
	if n > e.limit {
		e.Rerun(p.Job, fmt.Sprintf("changes of more than %d keys", e.limit))
	}
}

func (e *Effect) part(job *jobs.Job) *Part {
	p := e.parts[job.Name]
	if p == nil {
		p = &Part{Job: job, Keys: make(map[string]jobs.Key), Lookups: make(map[int]map[string]struct{})}
		e.parts[job.Name] = p
	}
	return p
}

// Merge adds another effect, which is not used any more.
func (e *Effect) Merge(more *Effect) {
	for _, p := range more.parts {
		e.Take(p)
	}
}

// Take adds a part of another effect, which is not used any more.
func (e *Effect) Take(p *Part) {
	if e.parts[p.Job.Name] == nil {
		e.parts[p.Job.Name] = p
		return
	}
	if p.RerunReason != "" {
		e.Rerun(p.Job, p.RerunReason)
	}
	for _, key := range p.Keys {
		e.Key(p.Job, key)
	}
	for text := range p.Invalidated {
		e.invalidated(e.part(p.Job), text)
	}
	for watch, values := range p.Lookups {
		for value := range values {
			e.lookup(p.Job, watch, value)
		}
	}
}

// Empty reports whether no job is touched.
func (e *Effect) Empty() bool { return len(e.parts) == 0 }

// Parts yields the jobs that are touched, in the order of their names.
func (e *Effect) Parts() iter.Seq[*Part] {
	return func(yield func(*Part) bool) {
		for _, name := range slices.Sorted(maps.Keys(e.parts)) {
			if !yield(e.parts[name]) {
				return
			}
		}
	}
}
