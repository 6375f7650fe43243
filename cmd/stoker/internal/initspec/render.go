// Package initspec writes a first stoker.yaml from what a database is asked, with the reasons as comments.
package initspec

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs/specfile/schema"
	"github.com/stokerhq/stoker/store/postgres/discover"
)

// Spec is a written spec.
type Spec struct {
	Text string
	Jobs []string // names, in their order
	Left int      // statements that no job was made of
}

// Write writes a spec with the jobs that save most, at most so many. A Spec without jobs is none: its Text says why.
func Write(r *discover.Report, now time.Time, most int) Spec {
	jobs, left := plan(r, most)
	w := &writer{}
	s := Spec{Left: len(left)}
	if len(jobs) > 0 {
		w.head(r, now)
		for i := range jobs {
			w.job(i+1, &jobs[i])
			s.Jobs = append(s.Jobs, jobs[i].Name)
		}
	}
	w.left(left)
	s.Text = w.String()
	return s
}

type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }

// comment writes a text as comment lines of bearable length.
func (w *writer) comment(indent, text string) { w.lines(indent+"#", text) }

func (w *writer) lines(begin, text string) {
	column := 0
	for word := range strings.FieldsSeq(printable(text)) {
		if column > 0 && column+len(word) >= 100 {
			w.WriteString("\n")
			column = 0
		}
		if column == 0 {
			w.WriteString(begin)
			column = len(begin)
		}
		w.WriteString(" " + word)
		column += len(word) + 1
	}
	w.WriteString("\n")
}

// printable keeps what came out of a database from ending a comment.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) && r != ' ' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

func (w *writer) head(r *discover.Report, now time.Time) {
	w.line("%s", schema.Modeline)
	w.line("#")
	w.comment("", fmt.Sprintf("Written by stoker init on %s from %s of Postgres %s, as %s. Each query was prepared, "+
		"read once, and compared for some keys with the statement that it stands for. The figures are of that day. "+
		"deploy/stoker.example.yaml explains every field. Next: stoker check, stoker preview %s, stoker run.",
		now.UTC().Format(time.DateOnly), origin(r), r.Version, r.User, "JOB"))
	if r.Missing != "" {
		w.line("#")
		w.comment("", "What is asked most is not known: "+r.Missing+". So these are the tables whose keys and indexes "+
			"are used most; keep those that your API reads.")
	}
	if r.Hidden > 0 {
		w.line("#")
		w.comment("", fmt.Sprintf("The statements of other roles (%d) are hidden from %s. To have them looked at: "+
			"GRANT pg_read_all_stats TO %s", r.Hidden, r.User, r.User))
	}
	if r.Lost > 0 {
		w.line("#")
		w.comment("", fmt.Sprintf("pg_stat_statements has no room for all statements: %d times some were pushed out. "+
			"Calls and times are lower bounds; raise pg_stat_statements.max.", r.Lost))
	}
	w.line("")
	w.line("postgres:")
	w.line("  url: ${DATABASE_URL}")
	w.line("redis:")
	w.line("  url: ${REDIS_URL}")
	w.line("jobs:")
}

func origin(r *discover.Report) string {
	if r.Missing != "" {
		return "keys and indexes"
	}
	return "pg_stat_statements"
}

func (w *writer) job(n int, p *planned) {
	w.line("")
	w.comment("  ", fmt.Sprintf("%d. %s", n, p.reads()))
	w.comment("  ", p.costs())
	for _, note := range p.Notes {
		w.comment("  ", note)
	}
	w.line("  - name: %s", p.Name)
	w.line("    query: %s", Block(p.Query, "      "))
	w.line("    key: %s", Quoted(p.Key))
	w.line("    value: %s", p.Value)
	w.line("    schedule: %s", Quoted("@every "+span(p.period)))
	w.line("    ttl: %s", span(p.ttl))
}

// reads says what the job replaces.
func (p *planned) reads() string {
	if p.Age == 0 {
		return fmt.Sprintf("%d scans of its index so far.", p.Scans)
	}
	statements := "one statement"
	if p.Shapes > 1 {
		statements = fmt.Sprintf("%d statements", p.Shapes)
	}
	return fmt.Sprintf("%s of database time in %d calls of %s (%s each) within %s: %.3g %% of a core.",
		rounded(p.Took), p.Calls, statements, rounded(p.Took/time.Duration(max(1, p.Calls))), rounded(p.Age),
		100*p.Load())
}

// costs says what the job costs, and what it saves.
func (p *planned) costs() string {
	load := p.Run.Seconds() / p.period.Seconds()
	text := fmt.Sprintf("A run reads %s in %s and makes %s, some %s in Redis: every %s that is %.2g %% of a "+
		"core", show.Plural(int(p.Rows), "row"), rounded(p.Run), show.Plural(int(p.Keys), "key"), size(p.Bytes),
		span(p.period), 100*load)
	if p.Age > 0 {
		text += fmt.Sprintf(", and %.3g %% of the database time is saved", 100*(1-load/p.Load()))
	}
	return text + "."
}

func size(bytes int64) string {
	switch {
	case bytes >= 10<<20:
		return fmt.Sprintf("%d MiB", bytes>>20)
	case bytes >= 10<<10:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d bytes", bytes)
}

// mostLeft is how many reasons are written down.
const mostLeft = 40

// left writes what no job was made of, and why.
func (w *writer) left(list []discover.Left) {
	if len(list) == 0 {
		return
	}
	w.line("")
	w.comment("", "Left out, by database time:")
	for i, l := range list {
		if i == mostLeft {
			w.line("#")
			w.comment("", fmt.Sprintf("and %d more", len(list)-mostLeft))
			return
		}
		w.line("#")
		w.comment("", "- "+l.Query)
		reason := l.Reason
		if l.Calls > 0 {
			reason = fmt.Sprintf("%s (%d calls, %s)", l.Reason, l.Calls, rounded(l.Took))
		}
		w.lines("#  ", reason)
	}
}

// Quoted is a YAML scalar in double quotes, in which ${ means nothing.
func Quoted(text string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(strings.ReplaceAll(text, "${", "$${")); err != nil {
		panic(err) // a string can always be encoded
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// Block is a text as a YAML block, or in quotes where a block cannot hold it.
func Block(text, indent string) string {
	plain := !strings.HasPrefix(text, " ") && !strings.HasPrefix(text, "\n")
	for _, r := range text {
		plain = plain && (r == '\n' || unicode.IsPrint(r))
	}
	if !plain {
		return Quoted(text)
	}
	text = strings.ReplaceAll(text, "${", "$${")
	return "|\n" + indent + strings.ReplaceAll(text, "\n", "\n"+indent)
}
