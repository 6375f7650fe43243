package past

import (
	"time"

	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/web/wording"
)

// Run words a Record. Its methods are what the templates call.
type Run struct {
	store.Record
	Now time.Time
}

// EndedAgo says how long ago it ended.
func (v Run) EndedAgo() string { return wording.Ago(v.Now, v.End) }

// Took is how long it lasted.
func (v Run) Took() string { return wording.Duration(v.End.Sub(v.Start)) }

// RowsPerSec is its rate over all.
func (v Run) RowsPerSec() string { return wording.Rate(v.Rows, v.End.Sub(v.Start)) }

// DatabaseTime is how long it held its snapshot.
func (v Run) DatabaseTime() string { return wording.Duration(v.Database) }

// Late is how long after its tick the run began.
func (v Run) Late() string {
	if v.Due.IsZero() {
		return ""
	}
	return wording.Duration(v.Start.Sub(v.Due))
}

// Notes are what a run did beside writing keys.
func (v Run) Notes() []string {
	var notes []string
	if v.Removed > 0 {
		notes = append(notes, wording.Quantity(v.Removed, "key", "keys")+" removed")
	}
	switch {
	case v.Unchanged:
		notes = append(notes, "nothing was committed since the last run: the query was not run")
	case v.Kept > 0:
		notes = append(notes, wording.Quantity(v.Kept, "key", "keys")+" in Redis already, "+
			wording.Size(v.Sent)+" sent")
	}
	if v.Old > 0 {
		notes = append(notes, wording.Quantity(v.Old, "key", "keys")+" left to a newer refresh")
	}
	if v.Restarts > 0 {
		notes = append(notes, "began again "+wording.Quantity(int64(v.Restarts), "time", "times")+
			" with a new snapshot")
	}
	if v.NullKeys > 0 {
		notes = append(notes, wording.Quantity(v.NullKeys, "row", "rows")+" skipped for NULL in a key column")
	}
	return notes
}

// Warnings are what a run should have written and did not.
func (v Run) Warnings() []string {
	var warnings []string
	if v.Held > 0 {
		warnings = append(warnings, "the result shrank by more than shrink_guard: "+
			wording.Quantity(v.Held, "key", "keys")+
			" no longer in it kept (if that is right: stoker warm "+v.Job+" --accept-shrink)")
	}
	if v.Oversized > 0 {
		warnings = append(warnings, wording.Quantity(v.Oversized, "key", "keys")+" not written, over max_value_bytes")
	}
	if v.BadKeys > 0 {
		warnings = append(warnings, wording.Quantity(v.BadKeys, "row", "rows")+
			" skipped for a key that is empty or reserved")
	}
	if v.Duplicates > 0 {
		warnings = append(warnings, wording.Quantity(v.Duplicates, "row", "rows")+
			" skipped, of keys that another row had before")
	}
	if v.Returned > 0 {
		warnings = append(warnings, wording.Quantity(v.Returned, "key", "keys")+
			" removed, whose rows did not follow one another")
	}
	if v.Warning != "" {
		warnings = append(warnings, v.Warning)
	}
	return warnings
}
