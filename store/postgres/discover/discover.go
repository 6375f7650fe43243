// Package discover finds out which reads of a database are worth a job. pg_stat_statements says what is asked most;
// each SELECT in it is taken apart, and what a reader's value decides (id = $1) becomes the key: the query without
// that condition makes the values of all keys. Nothing is believed that Postgres has not confirmed: each query that
// is proposed was prepared, measured, and compared with the original for some keys.
//
//	pg_stat_statements ─┬─► dissect ─► equalities ─► set query ─► prove ─► merge ─► Report
//	pg_stat_activity ───┘ (constants)                  (Postgres)
//
// All that is done in the database is READ ONLY, with a limit on time.
package discover

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
)

// Config says where to look, and how far.
type Config struct {
	Source  *postgres.Source
	Analyst *analyze.Analyst

	Statements int           // how many statements are looked at, by the time they took
	Watch      time.Duration // how long sessions are watched, for the constants of statements
	Budget     time.Duration // how long all measuring may take
	MaxRows    int64         // of one job
	MaxBytes   int64         // of the values of one job
	// Say is told what is under way; nil: nobody.
	Say func(string)
}

// Report is what was found.
type Report struct {
	Version string // of the server
	User    string
	Missing string // why pg_stat_statements could not be read; "": it was
	Hidden  int64  // statements of other roles, whose text this role may not read
	Lost    int64  // statements that pg_stat_statements has pushed out for want of room
	Found   []Found
	Left    []Left
}

// Found is a job that is worth while.
type Found struct {
	Name  string
	Key   string // template
	Value jobs.ValueKind
	Query string

	Tables   []string
	Calls    int64
	Took     time.Duration // of all calls
	Age      time.Duration // since when they are counted; 0: not known, and neither are Calls and Took
	Scans    int64         // of an index or table, where there are no statements
	Shapes   int           // statements that it answers
	Rows     int64
	Keys     int64
	Bytes    int64
	Run      time.Duration // that reading all rows took
	Measured bool          // Rows, Keys, Bytes and Run are no estimates
	Notes    []string      // what the reader of the spec should know

	parts signature
}

// Left is a statement that no job was made of.
type Left struct {
	Query  string // cut short
	Reason string
	Calls  int64
	Took   time.Duration
}

// discovery is the work on one report.
type discovery struct {
	cfg      Config
	report   *Report
	samples  map[string][]sample // :: queryid
	reserved map[string]bool     // words that a name cannot be without quotes
	deadline time.Time
}

// Run looks at the database and reports what is worth a job, most database time first.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	d := &discovery{cfg: cfg, report: &Report{}, samples: make(map[string][]sample)}
	if d.cfg.Say == nil {
		d.cfg.Say = func(string) {}
	}
	info, err := cfg.Source.Server(ctx)
	if err != nil {
		return nil, err
	}
	d.report.Version, d.report.User = info.Text, info.User
	if err := d.readReserved(ctx); err != nil {
		return nil, err
	}
	statements, missing, err := d.statements(ctx)
	if err != nil {
		return nil, err
	}
	if d.report.Missing = missing; missing != "" {
		return d.report, d.fromIndexes(ctx)
	}
	return d.report, d.fromStatements(ctx, statements)
}

// fromStatements makes jobs of what is asked most.
func (d *discovery) fromStatements(ctx context.Context, statements []statement) error {
	var unclear []string
	kept := statements[:0]
	for _, s := range statements {
		yes, why := s.candidate()
		if !yes {
			continue
		}
		if why != "" {
			d.leave(s, why)
			continue
		}
		kept = append(kept, s)
		if len(parameters(s.text)) > 0 {
			unclear = append(unclear, s.id)
		}
	}
	d.cfg.Say(fmt.Sprintf("%d statements; watching sessions for the constants in them", len(kept)))
	if err := d.watch(ctx, unclear); err != nil {
		return err
	}
	d.startBudget()
	var found []Found
	for i, s := range kept {
		if d.late() {
			d.leave(s, "no time was left to measure it")
			continue
		}
		d.cfg.Say(fmt.Sprintf("statement %d of %d", i+1, len(kept)))
		f, why, err := d.propose(ctx, s)
		switch {
		case err != nil:
			return err
		case why != "":
			d.leave(s, why)
		default:
			found = append(found, *f)
		}
	}
	var err error
	d.report.Found, err = d.merged(ctx, found)
	return err
}

func (d *discovery) startBudget() { d.deadline = time.Now().Add(d.cfg.Budget) }

// late reports whether the time for measuring is over.
func (d *discovery) late() bool { return time.Now().After(d.deadline) }

// leave notes why there is no job for a statement.
func (d *discovery) leave(s statement, why string) {
	d.report.Left = append(d.report.Left, Left{Query: Brief(s.text), Reason: why, Calls: s.calls, Took: s.took})
}

// briefText is how much of a statement is shown.
const briefText = 90

// Brief is the beginning of a statement, on one line.
func Brief(sql string) string {
	t := strings.ToValidUTF8(plain(sql), "")
	t = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, t)
	if r := []rune(t); len(r) > briefText {
		return strings.TrimSpace(string(r[:briefText])) + " ..."
	}
	return t
}

// secretive are the beginnings of the functions whose arguments may be secrets: no constant of such a statement is
// shown to anybody.
var secretive = []string{"pgp_", "crypt", "encrypt", "decrypt", "hmac", "digest", "dblink", "pgsodium",
	"md5", "sha1", "sha2", "sha3", "sha5"}

func handlesSecrets(sql string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(strings.ToLower(sql), func(r rune) bool {
		return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}), func(word string) bool {
		return slices.ContainsFunc(secretive, func(s string) bool { return strings.HasPrefix(word, s) })
	})
}
