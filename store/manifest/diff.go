package manifest

import (
	"bytes"
	"iter"

	"github.com/cespare/xxhash/v2"
)

// Bounds of what a Diff remembers.
const (
	ahead  = 16      // entries of the manifest it reads on for a key that it does not find
	window = 1 << 15 // entries it has passed, and keys it has not found, that it remembers
)

// Diff compares a run, key by key as they come, with the manifest of the run
// before. Both are read once, in step: a plan that did not change returns rows
// in nearly the same order, and memory must not grow with the result. A key that
// is far from where it was counts as changed, which costs a write and no more.
// It is used by one goroutine.
type Diff struct {
	next func() ([]byte, error, bool) // the next chunk
	stop func()

	chunk  []byte // what is left of the one at hand
	at     Entry
	ended  bool
	passed map[string]uint64   // entries of the manifest that the run has not shown yet
	order  []string            // of passed, oldest first; some are no longer in it
	fresh  map[string]struct{} // keys of the run that the manifest has not shown yet
	unsure bool                // some were forgotten
}

// NewDiff begins to compare with the manifest of these chunks. The caller calls
// Stop.
func NewDiff(chunks Chunks) (*Diff, error) {
	d := &Diff{passed: make(map[string]uint64), fresh: make(map[string]struct{})}
	d.next, d.stop = iter.Pull2(chunks)
	return d, d.advance()
}

// Stop ends the reading of chunks.
func (d *Diff) Stop() { d.stop() }

// Same reports whether the manifest has the key with this digest. Each key of
// the run is asked for once.
func (d *Diff) Same(key []byte, digest uint64) (bool, error) {
	if !d.ended && bytes.Equal(d.at.Key, key) {
		same := d.at.Digest == digest
		return same, d.advance()
	}
	if old, ok := d.passed[string(key)]; ok {
		delete(d.passed, string(key))
		return old == digest, nil
	}
	for range ahead {
		if d.ended {
			break
		}
		if bytes.Equal(d.at.Key, key) {
			same := d.at.Digest == digest
			return same, d.advance()
		}
		d.pass()
		if err := d.advance(); err != nil {
			return false, err
		}
	}
	d.remember(key)
	return false, nil
}

// advance goes on to the next entry.
func (d *Diff) advance() (err error) {
	for len(d.chunk) == 0 {
		var more bool
		if d.chunk, err, more = d.next(); err != nil || !more {
			d.ended = true
			return err
		}
		d.at.Key = d.at.Key[:0]
	}
	d.at, d.chunk, err = next(d.at.Key, d.chunk)
	return err
}

// pass puts the entry at hand among those that the run may still show.
func (d *Diff) pass() {
	if _, shown := d.fresh[string(d.at.Key)]; shown {
		delete(d.fresh, string(d.at.Key))
		return
	}
	key := string(d.at.Key)
	d.passed[key] = d.at.Digest
	d.order = append(d.order, key)
	if len(d.order) > 2*window { // most of it has been found since
		d.tidy()
	}
	for len(d.passed) > window {
		oldest := d.order[0]
		d.order = d.order[1:]
		if _, there := d.passed[oldest]; there {
			delete(d.passed, oldest)
			d.unsure = true
		}
	}
}

// tidy drops what is no longer in passed from order.
func (d *Diff) tidy() {
	kept := make([]string, 0, len(d.passed))
	for _, key := range d.order {
		if _, there := d.passed[key]; there {
			kept = append(kept, key)
		}
	}
	d.order = kept
}

// remember puts a key of the run among those that the manifest may still show.
func (d *Diff) remember(key []byte) {
	if len(d.fresh) == window {
		clear(d.fresh)
		d.unsure = true
	}
	d.fresh[string(key)] = struct{}{}
}

// Complete reports, once the run has shown all its keys, whether it surely showed
// every key of the manifest. If not, Vanished yields those that are gone, if any.
func (d *Diff) Complete() (bool, error) {
	for !d.ended {
		if d.pass(); len(d.passed) > 0 {
			return false, nil
		}
		if err := d.advance(); err != nil {
			return false, err
		}
	}
	return len(d.passed) == 0 && !d.unsure, nil
}

// part is how many keys one pass of Vanished holds in memory.
const part = 1 << 18

// Vanished yields the keys of one manifest that another, of n keys, has not,
// whatever order they are in. Each pass over both takes a part of the keys, told
// by their hash, so that memory is bounded; few results need more than some.
func Vanished(old, now Chunks, n int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		passes := uint64(n/part + 1)
		for pass := range passes {
			there := make(map[uint64]struct{})
			for e, err := range Read(now) {
				if err != nil {
					yield(nil, err)
					return
				}
				if h := xxhash.Sum64(e.Key); h%passes == pass && e.Digest != Held {
					there[h] = struct{}{}
				}
			}
			for e, err := range Read(old) {
				if err != nil {
					yield(nil, err)
					return
				}
				h := xxhash.Sum64(e.Key)
				if _, is := there[h]; h%passes == pass && !is && !yield(e.Key, nil) {
					return
				}
			}
		}
	}
}
