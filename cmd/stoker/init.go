package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/cmd/stoker/internal/initspec"
	"github.com/stokerhq/stoker/cmd/stoker/internal/sequin"
	"github.com/stokerhq/stoker/cmd/stoker/internal/show"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
	"github.com/stokerhq/stoker/store/postgres/analyze"
	"github.com/stokerhq/stoker/store/postgres/discover"
)

// initOptions are the flags of `stoker init`.
type initOptions struct {
	out   string
	from  string // a sequin.yaml to translate
	watch time.Duration
	jobs  int
}

// Limits of what `stoker init` does in a database.
const (
	initStatements = 200
	initBudget     = 2 * time.Minute
	initMaxRows    = 1_000_000
	initMaxBytes   = 256 << 20
)

func (a *app) initCmd() *cobra.Command {
	o := initOptions{watch: 3 * time.Second, jobs: 25}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first spec from what the database is asked most",
		Long: `Asks the database of DATABASE_URL which reads cost it most (pg_stat_statements; without it, which keys and indexes
are used most), and writes a stoker.yaml with a job for each that a cache can answer: its query for all keys, a
schedule that the database hardly notices, and the reasons as comments. Each query was prepared, read once and
compared with its original. What was left out, and why, stands at the end. No file is overwritten, nothing is
written to the databases, and all reading is READ ONLY, with a limit of ten seconds a statement and two minutes in all.

Constants in the SQL of the application (LIMIT 10) are not in pg_stat_statements: they are read off running sessions,
so let the API work meanwhile. The role needs SELECT, and pg_read_all_stats to see the statements of other roles.

With --from, the Redis string sinks of a sequin.yaml are translated: the same keys, and the records as values. What
cannot be translated is told with its line, and then nothing is written (exit status 2).`,
		Example: `  DATABASE_URL=postgres://... REDIS_URL=redis://... stoker init
  stoker init --out -
  stoker init --from sequin.yaml
  stoker init --watch 30s --jobs 10 --out shop.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.out == "" {
				o.out = a.config
			}
			return a.initSpec(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.out, "out", "", "write to `FILE`, or with - to standard output (default: the file of --config)")
	f.StringVar(&o.from, "from", "", "translate the Redis string sinks of a sequin.yaml `FILE`, and look for nothing")
	f.DurationVar(&o.watch, "watch", o.watch, "how long sessions are watched for the constants of statements")
	f.IntVar(&o.jobs, "jobs", o.jobs, "at most so many jobs, those that save most")
	return cmd
}

func (a *app) initSpec(ctx context.Context, o initOptions) error {
	if o.jobs < 1 || o.watch < 0 || o.watch > time.Hour {
		return wrong("give --jobs 1 or more, and --watch a duration of up to 1h")
	}
	if err := initspec.Free(o.out); err != nil {
		return usageError{err}
	}
	url, err := a.initURLs()
	if err != nil {
		return err
	}
	source, err := postgres.Open(jobs.Postgres{URL: url, MaxConnections: 1, StatementTimeout: 10 * time.Second})
	if err != nil {
		return usageError{err}
	}
	defer source.Close()
	if o.from != "" {
		return a.fromSequin(ctx, o, source)
	}
	report, err := discover.Run(ctx, discover.Config{Source: source, Analyst: analyze.New(source),
		Statements: initStatements, Watch: o.watch, Budget: initBudget, MaxRows: initMaxRows, MaxBytes: initMaxBytes})
	if err != nil {
		return err
	}
	spec := initspec.Write(report, time.Now(), o.jobs)
	if len(spec.Jobs) == 0 {
		fmt.Fprint(a.stderr, spec.Text)
		return errors.New("no read was found that is worth a job; nothing was written" + missing(report))
	}
	if err := initspec.Validate(spec.Text); err != nil {
		return err
	}
	return a.writeSpec(o.out, spec)
}

// fromSequin translates a sequin.yaml. What cannot be translated is a located problem, and then nothing is written.
func (a *app) fromSequin(ctx context.Context, o initOptions, source *postgres.Source) error {
	data, err := os.ReadFile(o.from)
	if err != nil {
		return wrong("--from: %w", err)
	}
	catalog, err := discover.NewCatalog(ctx, source)
	if err != nil {
		return err
	}
	list, err := sequin.Translate(ctx, o.from, data, a.lookup, catalog)
	if err != nil {
		return err
	}
	spec := initspec.Spec{Text: sequin.Render(o.from, list)}
	for _, j := range list {
		spec.Jobs = append(spec.Jobs, j.Name)
	}
	if err := initspec.Validate(spec.Text); err != nil {
		return err
	}
	return a.writeSpec(o.out, spec)
}

func missing(r *discover.Report) string {
	if r.Missing == "" {
		return ""
	}
	return ": " + r.Missing
}

// initURLs returns the URL of the database. The written spec names both by their variables.
func (a *app) initURLs() (jobs.Secret, error) {
	text, set := a.lookup("DATABASE_URL")
	if !set || text == "" {
		return jobs.Secret{}, wrong("DATABASE_URL is not set: set it to the database that your API reads, as in " +
			"postgres://user:password@host/database")
	}
	url := jobs.NewSecret(text)
	if err := connect.Drivers.Postgres(url); err != nil {
		return url, wrong("DATABASE_URL: %w", err)
	}
	text, set = a.lookup("REDIS_URL")
	if !set || text == "" {
		fmt.Fprintln(a.stderr, "stoker: REDIS_URL is not set: the spec names it, and stoker check will need it")
		return url, nil
	}
	if err := connect.Drivers.Redis(jobs.NewSecret(text)); err != nil {
		return url, wrong("REDIS_URL: %w", err)
	}
	return url, nil
}

// writeSpec writes the spec to a file that must not be there, or to standard output.
func (a *app) writeSpec(out string, spec initspec.Spec) error {
	if out == initspec.Stdout {
		_, err := fmt.Fprint(a.stdout, spec.Text)
		return err
	}
	if err := initspec.Create(out, spec.Text); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%s: %s; %d left out, the reasons are at the end of the file\n"+
		"next: stoker check; stoker preview %s; for editors: stoker schema > stoker.schema.json\n", out,
		show.Plural(len(spec.Jobs), "job"), spec.Left, spec.Jobs[0])
	return err
}
