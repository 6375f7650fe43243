package verify

import "time"

// cacheRead is what Redis has of a key at one moment.
type cacheRead struct {
	face fingerprint
	mark string        // in the book
	ttl  time.Duration // left
	// it has what Stoker never writes: no TTL, or one longer than the job's, another type or form of value
	foreign bool
}

// still reports whether the key is as it was at another moment. Its TTL runs.
func (g cacheRead) still(at cacheRead) bool { return g.face == at.face && g.mark == at.mark }

// observation is one look at a key: at Redis, then at a snapshot of Postgres, then at
// Redis again.
type observation struct {
	before, after cacheRead
	want          wanted
}

// verdict is what is said of a key.
type verdict int

const (
	right verdict = iota
	wrong
	again // it does not hold still, or has not long enough
)

// judge says what a look at a key means, after the one before it, if that may be
// compared with it (last is nil if not). A key that Redis had right on either side
// of the snapshot is right. One that moved while it was looked at, in Redis or in
// the book, is on its way somewhere. And one that was as wrong at the last look, a
// pause ago, against the same row, is wrong: whoever was to mend it had the time.
func judge(last *observation, now observation) verdict {
	switch {
	case now.want.print == now.before.face || now.want.print == now.after.face:
		return right
	case !now.before.still(now.after):
		return again
	case last == nil || last.want.print != now.want.print || !last.after.still(now.before):
		return again
	}
	return wrong
}

// kind says what is wrong with a key that is.
func (s observation) kind() Kind {
	switch {
	case !s.want.print.there():
		return Orphan
	case !s.after.face.there():
		return Missing
	}
	return Stale
}
