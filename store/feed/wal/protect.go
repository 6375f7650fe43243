package wal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/postgres"
)

// Protector keeps the publication from making the application's own statements fail. A migration may drop a primary
// key, or set another replica identity: from its COMMIT on, Postgres refuses every UPDATE and DELETE of that table
// for as long as it is published. So the table is taken out, whether its changes are followed at the time or not.
type Protector struct {
	ProtectorConfig
	said map[string]time.Time // :: what was logged, and when, of statements that fail and that we cannot mend
}

// ProtectorConfig is what a Protector needs. Every field is required.
type ProtectorConfig struct {
	Source *postgres.Source // the role that follows changes
	Spec   *jobs.Spec       // names the publication
	Log    *slog.Logger
}

// NewProtector returns a protector of the application that the spec's publication is of.
func NewProtector(cfg ProtectorConfig) *Protector {
	return &Protector{cfg, make(map[string]time.Time)}
}

const (
	protectEvery = time.Second
	protectShare = 20 // of the time, at most a twentieth goes into looking
	// protectLock is longer than deadlock_timeout, after which an autovacuum gives way. Who writes to the table is
	// not held up meanwhile: the lock conflicts with no write.
	protectLock = 3 * time.Second
	repeatEvery = 10 * time.Minute // a log line about what we may not mend
)

// Run protects until ctx ends.
func (p *Protector) Run(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		if err := p.Once(ctx); err != nil && ctx.Err() == nil {
			// At debug level: the follower reports that the database is away.
			p.Log.Debug("the published tables could not be looked at", jobs.LogErr, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(protectEvery, protectShare*time.Since(began))):
		}
	}
}

// exposed is a table on which the application's UPDATE and DELETE fail because it is published.
type exposed struct {
	Name  string
	Entry string // what the publication names: the table itself, or the partitioned table that it is part of
	Cause cause
}

// cause is why they fail.
type cause string

const (
	causeIdentity cause = "identity" // there is no replica identity
	causeStored   cause = "stored"   // it has a stored generated column that is not published
	causeVirtual  cause = "virtual"  // it has a virtual generated column, which cannot be published
)

func (c cause) String() string {
	return map[cause]string{causeIdentity: "it has no replica identity",
		causeStored:  "its replica identity has a generated column that is not published",
		causeVirtual: "its replica identity has a virtual generated column"}[c]
}

// exposedSQL finds the exposed tables of publication $1. Of those that it names, also the partitions count. A table
// has the replica identity that tablesSQL of package feed describes.
const exposedSQL = `WITH p AS (
	SELECT oid, to_jsonb(p) ->> 'pubgencols' AS gencols FROM pg_publication p WHERE pubname = $1 AND (pubupdate OR pubdelete)
), entries AS (
	SELECT r.prrelid AS entry FROM pg_publication_rel r JOIN p ON r.prpubid = p.oid
), leaves AS (
	SELECT entry, entry AS oid FROM entries UNION SELECT entry, t.relid::oid FROM entries, pg_partition_tree(entry) AS t
), identified AS (
	SELECT l.entry, c.oid, count(a.attnum) AS columns, count(*) FILTER (WHERE a.attgenerated = 's') AS stored, count(*) FILTER (WHERE a.attgenerated = 'v') AS virtual
	FROM leaves l JOIN pg_class c USING (oid) LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		AND (c.relreplident = 'f' OR a.attnum = ANY (
			SELECT unnest(x.indkey::int2[]) FROM pg_index x WHERE x.indrelid = c.oid AND x.indisvalid AND x.indimmediate
				AND (c.relreplident = 'd' AND x.indisprimary OR c.relreplident = 'i' AND x.indisreplident)))
	WHERE c.relkind = 'r' GROUP BY l.entry, c.oid
), exposed AS (
	SELECT i.entry, i.oid, CASE WHEN i.columns = 0 THEN 'identity' WHEN current_setting('server_version_num')::int < 180000 THEN NULL
		WHEN i.virtual > 0 THEN 'virtual' WHEN i.stored > 0 AND p.gencols IS DISTINCT FROM 's' THEN 'stored' END AS cause FROM identified i, p
), named AS (
	SELECT c.oid, format('%I.%I', s.nspname, c.relname) AS name FROM pg_class c JOIN pg_namespace s ON s.oid = c.relnamespace
)
SELECT coalesce(json_agg(json_build_object('Name', n.name, 'Entry', e.name, 'Cause', x.cause) ORDER BY n.name), '[]')
FROM exposed x JOIN named n ON n.oid = x.oid JOIN named e ON e.oid = x.entry WHERE x.cause IS NOT NULL`

// readExposed finds the exposed tables of a publication.
func readExposed(ctx context.Context, s *postgres.Source, name string) (tables []exposed, err error) {
	row, err := s.Row(ctx, exposedSQL, name)
	if err == nil {
		err = json.Unmarshal([]byte(row[0]), &tables)
	}
	if err != nil {
		return nil, fmt.Errorf("look at the tables of publication %s: %w", name, err)
	}
	return tables, nil
}

// describe says what fails, and what ends that.
func (t exposed) describe(name string) string {
	sql := dropSQL(name, t.Entry)
	if t.Cause == causeStored {
		sql = generatedSQL(name)
	}
	return fmt.Sprintf("every UPDATE and DELETE of the application on table %s fails, because publication %s has it, "+
		"and %s: %s", t.Name, name, t.Cause, sql)
}

// Failures says which statements of the application fail because of a publication, and what ends that.
func Failures(ctx context.Context, s *postgres.Source, name string) (messages []string, err error) {
	tables, err := readExposed(ctx, s, name)
	for _, t := range tables {
		messages = append(messages, t.describe(name))
	}
	return messages, err
}

// Once looks at the published tables, and takes those out of the publication that are exposed.
func (p *Protector) Once(ctx context.Context) error {
	name := p.Spec.Changes.Name
	tables, err := readExposed(ctx, p.Source, name)
	if err != nil {
		return err
	}
	if len(tables) == 0 {
		clear(p.said)
		return nil
	}
	now, err := describe(ctx, p.Source, name)
	if err != nil {
		return err
	}
	var errs error
	for len(tables) > 0 {
		entry := tables[0].Entry
		var parts []exposed
		tables = slices.DeleteFunc(tables, func(t exposed) bool {
			if t.Entry == entry {
				parts = append(parts, t)
			}
			return t.Entry == entry
		})
		errs = errors.Join(errs, p.mend(ctx, now, entry, parts))
	}
	return errs
}

// mend ends what makes statements on the exposed parts of a published table fail.
func (p *Protector) mend(ctx context.Context, now described, entry string, parts []exposed) error {
	name := p.Spec.Changes.Name
	sql, done := dropSQL(name, entry), "it was taken out of the publication, and its changes are "+
		"not followed until that is mended"
	if !slices.ContainsFunc(parts, func(t exposed) bool { return t.Cause != causeStored }) {
		sql, done = generatedSQL(name), "the publication publishes generated columns from now on"
	}
	why := "may not alter it: " + notMade
	if now.Made {
		why = "does not own the publication"
	}
	if now.Made && now.Owned {
		err := alter(ctx, p.Source, []string{sql}, protectLock)
		if err == nil {
			for _, t := range parts {
				p.Log.Error("the application's UPDATE and DELETE on a published table failed: "+done, "table", t.Name,
					"reason", t.Cause.String(), "publication", name, "statement", sql)
			}
			return nil
		}
		if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == "42704" {
			return nil // another replica was quicker
		}
		why = err.Error()
	}
	for _, t := range parts {
		p.report(t, sql, why)
	}
	return nil
}

// notMade is why a publication is left as it is.
const notMade = "the publication does not have the mark of one that Stoker made"

// report logs, from time to time, which statements fail and what mends that.
func (p *Protector) report(t exposed, sql, why string) {
	if key := t.Name + why; time.Since(p.said[key]) > repeatEvery {
		p.said[key] = time.Now()
		p.Log.Error("every UPDATE and DELETE of the application on a published table fails; run the statement, or "+
			"give the table a replica identity", "table", t.Name, "reason", t.Cause.String(), "publication",
			p.Spec.Changes.Name, "statement", sql, "left_because", why)
	}
}

// dropSQL takes a table, but no other that inherits from it, out of a publication.
func dropSQL(name, table string) string {
	return fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE ONLY %s", quoted(name), table)
}
