// Package layout names what Stoker keeps in the Redis of the cache, and knows which hash slot of a cluster a key is in.
//
// The keys of a cluster's slot are reached by one script, so there is a book for each slot, in that slot:
//
//	stoker:{<tag>}:book              what may still be written: see package cache
//	stoker:{<tag>}:new:<job>         the untracked keys of a job
//	stoker:{<tag>}:new:<job>:<id>    the journal of a run
//	stoker:manifest:<job>:<part>     the head, or a chunk, of a manifest
//	stoker:epoch:postgres            which epoch it is, and the format of all this
//
// In a namespace, stoker:ns:<namespace>: is what they begin with.
package layout

import "github.com/stokerhq/stoker/jobs"

// Names names the keys of one namespace.
type Names struct {
	Namespace jobs.Namespace
	Cluster   bool // a Redis Cluster, where a script reaches one slot only
}

// Books is how many books there are: one for the whole cache, or one for each slot.
func (n Names) Books() int {
	if n.Cluster {
		return Slots
	}
	return 1
}

// BookOf returns the number of the book that a key is in.
func (n Names) BookOf(key []byte) int {
	if n.Cluster {
		return Slot(key)
	}
	return 0
}

// Book is the name of a book: its tag puts it in the slot of its keys.
func (n Names) Book(book int) string { return n.beside(book, "book") }

// Untracked is the name of the set of a job's untracked keys that are in a book.
func (n Names) Untracked(book int, job string) string { return n.beside(book, "new:"+job) }

// Journal is the name of the journal of a run.
func (n Names) Journal(job, id string) string { return n.Untracked(0, job) + ":" + id }

// Probe is the name of a key in the slot of a book that never exists.
func (n Names) Probe(book int) string {
	if !n.Cluster {
		return n.Namespace.Key("probe")
	}
	return n.beside(book, "probe")
}

func (n Names) beside(book int, name string) string {
	tag := "cache"
	if n.Cluster {
		tag = tags()[book]
	}
	return n.Namespace.Key("{" + tag + "}:" + name)
}

// Manifest is the name of a part of a job's manifest.
func (n Names) Manifest(job, part string) string {
	return n.Namespace.Key("manifest:" + job + ":" + part)
}

// Epoch is the name of the record that the epoch of our one source is kept in: {epoch, origin, clock, server, masters},
// beside the format of all keys of the namespace.
func (n Names) Epoch() string { return n.Namespace.Key("epoch:postgres") }
