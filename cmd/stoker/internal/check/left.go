package check

import (
	"context"
	"slices"
	"strings"

	"github.com/stokerhq/stoker/cmd/stoker/internal/connect"
	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store/feed/outbox"
	"github.com/stokerhq/stoker/store/feed/wal"
)

// left looks for what Stoker has made in the database to follow changes, and the spec does not use: it outlives
// Stoker, and may hurt the application long after.
func (f *Findings) left(ctx context.Context, spec *jobs.Spec, s *connect.Servers) {
	b, err := wal.ReadBelongings(ctx, s.Source, wal.DefaultName, spec.Changes.Name)
	if err != nil {
		f.add(Warn, "changes", "%v", err)
		return
	}
	f.leftPublications(spec, b)
	f.leftFailures(ctx, spec, s, b)
	f.leftSlots(spec, b)
	if spec.Changes.Source == jobs.SourceOutbox {
		return
	}
	switch name, err := outbox.Installed(ctx, s.Source); {
	case err != nil:
		f.add(Warn, "changes", "%v", err)
	case name != "":
		f.add(Warn, "changes", "the outbox is left, and changes.source is %s: the triggers of the tables write to %s, "+
			"which grows for as long as nobody reads it; unless another spec reads it, remove it: "+
			"stoker changes remove%s --apply", spec.Changes.Source, name, option(spec, jobs.SourceOutbox, ""))
	}
}

// leftFailures names the statements of the application that fail by now.
func (f *Findings) leftFailures(ctx context.Context, spec *jobs.Spec, s *connect.Servers, b wal.Belongings) {
	for _, p := range b.Publications {
		if spec.Changes.Source == jobs.SourceWAL && p.Name == spec.Changes.Name {
			continue // the check of the feed has looked at it
		}
		failures, err := wal.Failures(ctx, s.Source, p.Name)
		if err != nil {
			f.add(Warn, "changes", "%v", err)
		}
		for _, message := range failures {
			f.add(Fail, "changes", "%s", message)
		}
	}
}

// leftPublications names those that no Stoker follows, and the spec does not use.
func (f *Findings) leftPublications(spec *jobs.Spec, b wal.Belongings) {
	made := 0
	for _, p := range b.Publications {
		if p.Made {
			made++
		}
	}
	for _, p := range b.Publications {
		if p.Follower != 0 || spec.Changes.Source == jobs.SourceWAL && p.Name == spec.Changes.Name {
			continue
		}
		const harm = "while it is there, every UPDATE and DELETE of the application fails on a table of it that " +
			"loses its replica identity, with its primary key for instance"
		tables := strings.Join(p.Tables, ", ")
		if !p.Made {
			f.add(Warn, "changes", "there is a publication %s (of %s), without the mark of one that Stoker "+
				"made: if it was left by an earlier version of Stoker, and nothing else uses it, drop it: DROP "+
				"PUBLICATION %q; %s",
				p.Name, tables, p.Name, harm)
			continue
		}
		name := ""
		if made > 1 || spec.Changes.Source == jobs.SourceWAL {
			name = p.Name
		}
		f.add(Warn, "changes", "publication %s (of %s), which Stoker made, is left, and no Stoker follows it: %s; "+
			"unless another spec uses it, remove it: stoker changes remove%s --apply", p.Name, tables, harm,
			option(spec, jobs.SourceWAL, name))
	}
}

// leftSlots names the permanent slots that nobody reads, and the spec does not use.
func (f *Findings) leftSlots(spec *jobs.Spec, b wal.Belongings) {
	for _, slot := range b.Slots {
		uses := spec.Changes.Source == jobs.SourceWAL && spec.Changes.Slot == jobs.SlotPermanent &&
			slot.Name == spec.Changes.Name
		if uses || slot.Active != 0 {
			continue
		}
		const harm = "it keeps WAL until the disk is full"
		i := slices.IndexFunc(b.Publications, func(p wal.Publication) bool { return p.Name == slot.Name })
		inUse := spec.Changes.Source == jobs.SourceWAL && slot.Name == spec.Changes.Name
		if i >= 0 && b.Publications[i].Made && !inUse {
			f.add(Warn, "changes", "permanent slot %s is left, and nobody reads it: %s; unless another spec uses it, "+
				"stoker changes remove%s --apply removes it with the publication", slot.Name, harm,
				option(spec, jobs.SourceWAL, slot.Name))
			continue
		}
		f.add(Warn, "changes", "permanent slot %s is left, and nobody reads it: %s; unless another program uses it, "+
			"drop it: SELECT pg_drop_replication_slot('%s')", slot.Name, harm, slot.Name)
	}
}

// option is what `stoker changes remove` needs to remove what a source has made; name "": the only one there is.
func option(spec *jobs.Spec, source jobs.Source, name string) (options string) {
	if spec.Changes.Source != jobs.SourceNone {
		options = " --source " + string(source)
	}
	if source == jobs.SourceWAL && name != "" {
		options += " --name " + name
	}
	return options
}
