package store

import "fmt"

// HeadroomError says that a run was refused, or has ended, because the cache's Redis would get fuller by it than
// redis.headroom allows.
type HeadroomError struct {
	Job    string
	Begun  bool   // the run had begun to write
	Growth int64  // bytes that the run would have added; 0: that was not known
	Used   int64  // bytes that the fullest server uses
	Max    int64  // its maxmemory, in bytes
	Free   int64  // bytes of it that are kept free
	Policy string // maxmemory_policy, where the job is evictable and the policy evicts nothing
}

func (e *HeadroomError) Error() string {
	what := "the run was refused: "
	switch {
	case e.Begun:
		what = "the run has ended, and what it wrote stays: "
	case e.Growth > 0:
		what = fmt.Sprintf("the run was refused, as it would add about %d bytes: ", e.Growth)
	}
	text := fmt.Sprintf("job %s: %sredis uses %d of %d bytes, and redis.headroom keeps %d free; raise maxmemory, "+
		"take other keys elsewhere, or write fewer or smaller values (compress)", e.Job, what, e.Used, e.Max, e.Free)
	if e.Policy != "" {
		return text + "; evictable: true means nothing with maxmemory-policy " + e.Policy
	}
	return text + "; where other keys may be evicted for it, set evictable: true on the job"
}
