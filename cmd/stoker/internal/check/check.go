// Package check examines what a spec names: the servers, each job's query, and what its change feed needs. It
// reads only.
package check

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/feed/wal"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
)

// Grade is the verdict of one check.
type Grade string

const (
	Pass Grade = "pass"
	Warn Grade = "warn"
	Fail Grade = "fail"
)

// Finding is one line of what `stoker check` found.
type Finding struct {
	Grade   Grade  `json:"grade"`
	Subject string `json:"subject"` // spec, postgres, redis, queue, or a job
	Message string `json:"message"`
	// Next are the next ticks of a job's schedule, in its zone.
	Next []time.Time `json:"next,omitempty"`
}

// Findings collects them.
type Findings struct {
	List []Finding
	// like finds tables whose names differ from one by case or schema, as SQL writes them.
	like func(name string) []string
}

func (f *Findings) add(g Grade, subject, format string, args ...any) {
	f.List = append(f.List, Finding{Grade: g, Subject: subject, Message: fmt.Sprintf(format, args...)})
}

// Count counts the findings of one grade.
func (f *Findings) Count(g Grade) (n int) {
	for _, x := range f.List {
		if x.Grade == g {
			n++
		}
	}
	return n
}

// shortToken is a length that can be guessed over a network, given time.
const shortToken = 16

// Run checks everything in the order a reader would mend it.
func Run(ctx context.Context, spec *jobs.Spec, s *connect.Servers) *Findings {
	f := &Findings{like: func(name string) []string { return feed.TablesLike(ctx, s.Source, name) }}
	f.add(Pass, "spec", "%s with %s", spec.File, show.Plural(len(spec.Jobs), "job"))
	for _, w := range spec.Warnings {
		f.add(Warn, "spec", "%s", w)
	}
	f.schedules(spec, time.Now())
	if n := len(spec.Admin.Token.Reveal()); n > 0 && n < shortToken {
		f.add(Warn, "admin", "the token has %d characters: with %d or more nobody guesses it", n, shortToken)
	}
	f.redis(ctx, spec, s)
	f.memory(ctx, spec, s)
	if f.postgres(ctx, spec, s) {
		f.budget(ctx, spec, s)
		for _, job := range spec.Jobs {
			f.job(ctx, spec.File, job, s)
		}
		f.changes(ctx, spec, s)
		f.left(ctx, spec, s)
	}
	return f
}

// shownTicks is how many ticks of a schedule tell a daily from a weekly one.
const shownTicks = 3

// schedules shows when each job is due next: a schedule that was misread is seen there.
func (f *Findings) schedules(spec *jobs.Spec, now time.Time) {
	for _, job := range spec.Jobs {
		if job.Schedule == nil {
			continue
		}
		ticks := job.Schedule.Upcoming(now, shownTicks)
		shown := make([]string, len(ticks))
		zone := "UTC"
		for i, tick := range ticks {
			shown[i] = tick.Format("Mon 2006-01-02 15:04:05 -07:00")
			zone = tick.Location().String()
		}
		f.List = append(f.List, Finding{Grade: Pass, Subject: job.Name, Next: ticks,
			Message: fmt.Sprintf("schedule %s: next %s (%s)", job.Schedule, strings.Join(shown, ", "), zone)})
	}
}

// Feed checks what the change feed of a spec needs.
type Feed struct {
	Source  *postgres.Source
	Analyst *analyze.Analyst
}

// Check checks the feed that the spec names.
func (c Feed) Check(ctx context.Context, spec *jobs.Spec) ([]feed.Problem, error) {
	own := wal.Check
	if spec.Changes.Source == jobs.SourceOutbox {
		own = outbox.Check
	}
	problems, err := feed.Check(ctx, c.Source, spec, own)
	if err != nil || spec.Changes.Source == jobs.SourceNone {
		return problems, err
	}
	more, err := c.watches(ctx, spec)
	return append(problems, more...), err
}
