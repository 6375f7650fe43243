package cache

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/stokerhq/stoker/jobs"
	"github.com/stokerhq/stoker/store"
	"github.com/stokerhq/stoker/store/lookups"
)

// Claim is the right of one run, or of one refresh, to write what it read in one
// snapshot. Its writers share it.
type Claim struct {
	Stamp store.Stamp
	id    string // of the run
	job   string
	armed *Armed
	mode  string // run or refresh, as put.lua has it
	typ   string // of the values: string, hash or zset
	field string // of the run in the book

	before  string // id of the run before this one
	journal string // the key of the run's journal
	pruned  string // #p when this run began
	since   string // when the run armed whose values are kept, 13 digits; see Trust
	meta    int64  // fields of the book that are no key's; -1: not known
	began   int64  // ms, by Redis' own clock
	conns   chan *bookConn
	lookups *lookups.Counter
}

// ClaimRun begins the writing of a run: from here on, no older run or refresh of
// the job writes anything. id is new; "" is for a run that only looks after what
// the last one wrote. The caller closes the claim.
func (c *Cache) ClaimRun(ctx context.Context, a *Armed, job *jobs.Job, s store.Stamp, id string) (*Claim, error) {
	cl := newClaim(a, job, s, "run")
	cl.id, cl.journal = id, c.names.Journal(job.Name, id)
	cl.conns, cl.lookups = make(chan *bookConn, maxConns), c.lookups
	cl.meta, cl.began = -1, a.At.UnixMilli()
	if c.names.Cluster {
		return cl, nil // there is a book a slot: each is told by the first put that reaches it
	}
	cmds, err := c.run(ctx, claimScript, call{[]string{c.names.Book(0)},
		append(cl.head(a.nonces[0]), writerField(job.Name), id)})
	if err != nil {
		return nil, fmt.Errorf("claim job %s: %w", job.Name, store.WithRemedy(err))
	}
	if err := refusal(cmds[0].Val()); err != nil {
		return nil, err
	}
	reply, err := cmds[0].StringSlice()
	if err != nil {
		return nil, fmt.Errorf("claim job %s: %w", job.Name, err)
	}
	cl.before, cl.pruned = reply[0], reply[1]
	if cl.meta, err = strconv.ParseInt(reply[2], 10, 64); err == nil {
		cl.began, err = strconv.ParseInt(reply[3], 10, 64)
	}
	return cl, err
}

// NewID returns an id for a run.
func NewID() string { return rand.Text()[:8] }

func writerField(job string) string { return "#w:" + job }

// ClaimRefresh begins the writing of a refresh.
func (c *Cache) ClaimRefresh(a *Armed, job *jobs.Job, s store.Stamp) *Claim {
	return newClaim(a, job, s, "refresh")
}

func newClaim(a *Armed, job *jobs.Job, s store.Stamp, mode string) *Claim {
	return &Claim{Stamp: s, job: job.Name, armed: a, mode: mode, typ: string(job.Type), field: "#r:" + job.Name}
}

// head is how the arguments of every write begin.
func (cl *Claim) head(nonce string) []any {
	return []any{nonce, cl.Stamp.String(), cl.armed.deadline, cl.field}
}

// heads is how the arguments of a write begin for each book, and what follows there.
func (cl *Claim) heads(more ...any) func(book int) []any {
	return func(book int) []any { return append(cl.head(cl.armed.nonces[book]), more...) }
}

// Close ends the connections of a run's writers.
func (cl *Claim) Close() {
	for {
		select {
		case w := <-cl.conns:
			w.Close()
		default:
			return
		}
	}
}
