package wal

import (
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pglogrepl"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed"
)

// decoder folds the messages of a transaction into its effect on the jobs.
type decoder struct {
	limit     int
	watches   map[uint32][]feed.Watcher  // :: table -> who watches it
	parts     map[uint32][]feed.Relation // :: table -> where the rows lie whose changes are told as its own
	relations map[uint32]*relation       // :: table -> its columns, as the log has told
	now       *feed.Commits              // the transaction that is being read
}

// relation is a table as the log describes it, before its first change and
// whenever it has changed.
type relation struct {
	columns map[string]int  // :: name -> place
	carried map[string]bool // :: name -> every update and delete carries its old value
}

// newDecoder returns a decoder for the tables that the spec's jobs watch.
func newDecoder(spec *jobs.Spec, tables []feed.Table) *decoder {
	d := &decoder{limit: spec.Changes.RunAbove, watches: make(map[uint32][]feed.Watcher),
		parts: make(map[uint32][]feed.Relation), relations: make(map[uint32]*relation)}
	byName := make(map[string]feed.Table, len(tables))
	for _, t := range tables {
		byName[t.Given] = t
		d.addParts(t)
	}
	for _, job := range spec.Jobs {
		for i, w := range job.Watch {
			for _, oid := range publishedAs(byName[w.Table], tables) {
				d.watches[oid] = append(d.watches[oid], feed.Watcher{Job: job, At: i})
			}
		}
	}
	return d
}

// publishedAs are the tables under which changes of a watched one arrive: itself, those
// that inherit from it, and partitioned tables that are watched too and that it is
// part of, because all that lies in these arrives under the topmost alone.
func publishedAs(t feed.Table, tables []feed.Table) []uint32 {
	as := []uint32{t.OID}
	for _, p := range t.Parts {
		as = append(as, p.OID)
	}
	for _, root := range tables {
		inside := func(p feed.Relation) bool {
			return slices.ContainsFunc(root.Parts, func(r feed.Relation) bool { return r.OID == p.OID })
		}
		if root.Partitioned() && slices.ContainsFunc(t.Parts, inside) {
			as = append(as, root.OID)
		}
	}
	slices.Sort(as)
	return slices.Compact(as)
}

// addParts notes under which table changes arrive: those of a partition as the
// partitioned table's, all others as those of the table itself.
func (d *decoder) addParts(t feed.Table) {
	for _, p := range t.Parts {
		d.parts[p.OID] = []feed.Relation{p}
	}
	if t.Partitioned() {
		d.parts[t.OID] = t.Parts
	}
}

// add reads one message. At the end of a transaction it returns what that has
// changed, if anything concerns us, and where it ends.
func (d *decoder) add(msg pglogrepl.Message) (*feed.Commits, pglogrepl.LSN, error) {
	switch m := msg.(type) {
	case *pglogrepl.BeginMessage:
		if d.now != nil {
			return nil, 0, fmt.Errorf("transaction %d begins before the end of %d", m.Xid, d.now.XIDs[0])
		}
		d.now = &feed.Commits{Effect: feed.NewEffect(d.limit), XIDs: []uint32{m.Xid}, Committed: m.CommitTime}
		return nil, 0, nil
	case *pglogrepl.RelationMessage:
		d.relation(m)
		return nil, 0, nil
	case *pglogrepl.CommitMessage:
		return d.commit(m)
	}
	if d.now == nil {
		return nil, 0, fmt.Errorf("a %s message outside of a transaction", msg.Type())
	}
	return nil, 0, d.change(msg)
}

func (d *decoder) commit(m *pglogrepl.CommitMessage) (*feed.Commits, pglogrepl.LSN, error) {
	c := d.now
	d.now = nil
	if c == nil {
		return nil, 0, fmt.Errorf("a commit at %s of a transaction that has not begun", m.CommitLSN)
	}
	c.Position = uint64(m.TransactionEndLSN)
	c.Committed = c.Committed.Truncate(time.Microsecond)
	if c.Effect.Empty() {
		c = nil
	}
	return c, m.TransactionEndLSN, nil
}

// relation notes what the log says of a table. Its flags are of that table's own
// replica identity; but what a change of a partition carries is what the partition's
// has.
func (d *decoder) relation(m *pglogrepl.RelationMessage) {
	r := &relation{columns: make(map[string]int, len(m.Columns)), carried: make(map[string]bool)}
	for i, c := range m.Columns {
		r.columns[c.Name] = i
		lacks := func(p feed.Relation) bool { return !slices.Contains(p.Identity, c.Name) }
		r.carried[c.Name] = c.Flags&1 != 0 && !slices.ContainsFunc(d.parts[m.RelationID], lacks)
	}
	d.relations[m.RelationID] = r
}

func (d *decoder) change(msg pglogrepl.Message) error {
	switch m := msg.(type) {
	case *pglogrepl.InsertMessage:
		return d.images(m.RelationID, func(r *relation) []feed.Image { return []feed.Image{r.image(m.Tuple, nil)} })
	case *pglogrepl.UpdateMessage:
		return d.images(m.RelationID, func(r *relation) []feed.Image {
			return []feed.Image{r.old(m.OldTuple, m.NewTuple), r.image(m.NewTuple, m.OldTuple)}
		})
	case *pglogrepl.DeleteMessage:
		return d.images(m.RelationID, func(r *relation) []feed.Image { return []feed.Image{r.old(m.OldTuple, nil)} })
	case *pglogrepl.TruncateMessage:
		for _, table := range m.RelationIDs {
			for _, w := range d.watches[table] {
				d.now.Effect.Rerun(w.Job, "TRUNCATE of table "+w.Job.Watch[w.At].Table)
			}
		}
	}
	return nil // types, origins, messages
}

// images adds a row's images for all who watch its table.
func (d *decoder) images(table uint32, of func(*relation) []feed.Image) error {
	r := d.relations[table]
	if r == nil {
		return fmt.Errorf("a change of table %d, which was not described", table)
	}
	watches := d.watches[table]
	if len(watches) == 0 {
		return nil // published for others
	}
	d.now.Rows++
	images := of(r)
	for _, w := range watches {
		for _, image := range images {
			d.now.Effect.Row(w.Job, w.At, image)
		}
	}
	return nil
}

// image reads the columns of a new row. A large value that an update has left
// alone is not in it; it may be in the old one.
func (r *relation) image(row, old *pglogrepl.TupleData) feed.Image {
	return func(column string) (string, feed.Cell) {
		value, what := r.cell(row, column)
		if what == feed.CellUnknown && old != nil && r.carried[column] {
			return r.cell(old, column)
		}
		return value, what
	}
}

// old reads the columns of a row before its change, as far as the table's replica
// identity carries them: the others are NULL in it, whatever they were. Where an
// update carries no old row, what its identity has did not change.
func (r *relation) old(old, row *pglogrepl.TupleData) feed.Image {
	if old == nil {
		old = row
	}
	return func(column string) (string, feed.Cell) {
		if !r.carried[column] {
			return "", feed.CellUnknown
		}
		return r.cell(old, column)
	}
}

func (r *relation) cell(row *pglogrepl.TupleData, column string) (string, feed.Cell) {
	at, ok := r.columns[column]
	if !ok || at >= len(row.Columns) {
		return "", feed.CellUnknown
	}
	switch c := row.Columns[at]; c.DataType {
	case pglogrepl.TupleDataTypeText:
		return string(c.Data), feed.CellValue
	case pglogrepl.TupleDataTypeNull:
		return "", feed.CellNull
	}
	return "", feed.CellUnknown
}
