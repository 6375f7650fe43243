package wal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
	"github.com/stokerhq/stoker/store/postgres"
)

// Belongings are the publications and permanent slots of a database that are Stoker's, or may be.
type Belongings struct {
	Publications []Publication
	Slots        []PermanentSlot
}

// Publication is one that Stoker has made, or that has the name of one.
type Publication struct {
	Name     string
	Made     bool     // by Stoker: it has the mark
	Tables   []string // each with its schema, quoted where needed
	Follower int      // process that streams from a slot of its name; 0: none
}

// PermanentSlot is a slot that outlives its reader, and has the name of such a publication.
type PermanentSlot struct {
	Name   string
	Active int // process that reads from it; 0: none
}

// belongingsSQL finds them: publications with the mark, or one of the names $1; and slots of their names, or of one
// of the names.
const belongingsSQL = `WITH pubs AS (
	SELECT p.pubname AS name, ` + madeSQL + ` AS made FROM pg_publication p
), mine AS (
	SELECT name, made FROM pubs WHERE made OR name = ANY (string_to_array($1, ','))
), slots AS (
	SELECT slot_name AS name, coalesce(active_pid, 0) AS active, temporary FROM pg_replication_slots WHERE plugin = 'pgoutput' AND database = current_database()
)
SELECT json_build_object('Publications', (SELECT json_agg(json_build_object('Name', m.name, 'Made', m.made,
		'Tables', (SELECT json_agg(r.prrelid::regclass::text ORDER BY 1) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = m.name),
		'Follower', (SELECT coalesce(max(s.active), 0) FROM slots s WHERE s.name = m.name OR s.name ~ ('^' || m.name || '_[a-z0-9]{8}$'))) ORDER BY m.name) FROM mine m),
	'Slots', (SELECT json_agg(json_build_object('Name', s.name, 'Active', s.active) ORDER BY s.name) FROM slots s
		WHERE NOT s.temporary AND (s.name IN (SELECT name FROM mine) OR s.name = ANY (string_to_array($1, ',')))))`

// DefaultName is that of the publication of a spec that names none.
const DefaultName = "stoker"

// ReadBelongings looks for the publications with Stoker's mark, and for publications and slots of these names.
func ReadBelongings(ctx context.Context, s *postgres.Source, names ...string) (b Belongings, err error) {
	row, err := s.Row(ctx, belongingsSQL, strings.Join(names, ","))
	if err == nil {
		err = json.Unmarshal([]byte(row[0]), &b)
	}
	if err != nil {
		return b, fmt.Errorf("look for publications and slots of Stoker's: %w", err)
	}
	return b, nil
}

// Slot returns the permanent slot of that name.
func (b Belongings) Slot(name string) (PermanentSlot, bool) {
	i := slices.IndexFunc(b.Slots, func(s PermanentSlot) bool { return s.Name == name })
	if i < 0 {
		return PermanentSlot{}, false
	}
	return b.Slots[i], true
}

// Publication returns the publication of that name.
func (b Belongings) Publication(name string) (Publication, bool) {
	i := slices.IndexFunc(b.Publications, func(p Publication) bool { return p.Name == name })
	if i < 0 {
		return Publication{}, false
	}
	return b.Publications[i], true
}

// Script is SQL statements, to be run in their order. All of it can be run again.
type Script []string

// String is the script as psql takes it.
func (s Script) String() string { return strings.Join(s, ";\n") + ";\n" }

// Apply runs a script, each statement on its own. Those before one that fails stay.
func Apply(ctx context.Context, s *postgres.Source, script Script) error {
	for i, sql := range script {
		err := alter(ctx, s, []string{sql}, protectLock)
		if err == nil {
			continue
		}
		if pe, ok := errors.AsType[*pgconn.PgError](err); ok && pe.Code == "42501" {
			return fmt.Errorf("%w; %d of %d statements are done: have a role that may run what the command prints "+
				"without --apply", err, i, len(script))
		}
		return fmt.Errorf("%s: %w; %d of %d statements are done: run it again when that is mended", sql, err, i,
			len(script))
	}
	return nil
}

// Install returns the SQL that makes the publication of what the spec watches, or adds what it lacks. Where Stoker
// has made it, it also takes out what is not watched any more. nil: all is there.
func Install(ctx context.Context, s *postgres.Source, spec *jobs.Spec) (Script, error) {
	tables, err := feed.WatchedTables(ctx, s, spec)
	if err != nil {
		return nil, err
	}
	name := spec.Changes.Name
	now, err := describe(ctx, s, name)
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		for _, p := range t.Parts {
			if len(p.Identity) == 0 {
				return nil, errors.New(noIdentity(name, t, p, now))
			}
		}
	}
	script := Script(now.completeSQL(name, tables))
	if !now.Made {
		return script, nil
	}
	unwatched, err := unwatchedTables(ctx, s, name, tables)
	for _, table := range unwatched {
		script = append(script, dropSQL(name, table))
	}
	return script, err
}

// How long Removal waits for a Stoker that was stopped a moment ago.
const (
	stoppedLimit = 5 * time.Second
	stoppedLook  = 200 * time.Millisecond
)

// Removal returns the SQL that removes the publication and the permanent slot that Stoker has made for a feed of that
// name; of the only one that there is if name is "". nil: there is nothing. What Stoker may not have made, or
// follows, is an error that says what to do.
func Removal(ctx context.Context, s *postgres.Source, spec *jobs.Spec, name string) (Script, error) {
	names := []string{DefaultName}
	if name != "" {
		names = []string{name}
	}
	for until := time.Now().Add(stoppedLimit); ; {
		b, err := ReadBelongings(ctx, s, names...)
		if err != nil {
			return nil, err
		}
		script, followed, err := b.removal(spec, name)
		if followed == 0 || err != nil {
			return script, err
		}
		if time.Now().After(until) {
			return nil, fmt.Errorf("changes are followed by process %d of Postgres: stop every `stoker run` of "+
				"this spec first", followed)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(stoppedLook):
		}
	}
}

// removal is Removal as things are; followed is the process that still reads.
func (b Belongings) removal(spec *jobs.Spec, name string) (script Script, followed int, err error) {
	if name == "" {
		if name, err = b.only(); name == "" || err != nil {
			return nil, 0, err
		}
	}
	pub, published := b.Publication(name)
	slot, kept := b.Slot(name)
	switch {
	case published && pub.Follower != 0:
		return nil, pub.Follower, nil
	case kept && slot.Active != 0:
		return nil, slot.Active, nil
	case published && !pub.Made:
		return nil, 0, fmt.Errorf("publication %s is left alone: it does not have the mark of one that Stoker made; "+
			"if nothing else uses it: %s", name, dropPublicationSQL(name))
	case kept && !published && !(spec.Changes.Slot == jobs.SlotPermanent && spec.Changes.Name == name):
		return nil, 0, fmt.Errorf("slot %s is left alone: there is no publication of that name that Stoker made; if "+
			"nothing else uses it: %s", name, dropSlotSQL(name))
	}
	if kept {
		script = append(script, dropSlotSQL(name))
	}
	if published {
		script = append(script, dropPublicationSQL(name))
	}
	return script, 0, nil
}

// only is the name of what there is to remove; "" if there is nothing.
func (b Belongings) only() (string, error) {
	var names []string
	for _, p := range b.Publications {
		if p.Made {
			names = append(names, p.Name)
		}
	}
	switch {
	case len(names) > 1:
		return "", fmt.Errorf("the publications %s were all made by Stoker: name one, as in --name %s",
			strings.Join(names, ", "), names[0])
	case len(names) == 1:
		return names[0], nil
	case len(b.Publications) > 0:
		return b.Publications[0].Name, nil
	case len(b.Slots) > 0:
		return b.Slots[0].Name, nil
	}
	return "", nil
}

func dropPublicationSQL(name string) string { return "DROP PUBLICATION IF EXISTS " + quoted(name) }

// dropSlotSQL drops a slot, unless it is gone already.
func dropSlotSQL(name string) string {
	return fmt.Sprintf("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '%s'",
		strings.ReplaceAll(name, "'", "''"))
}
